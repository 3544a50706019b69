/// The version as Cargo spells it: `1.2.3-alpha.1` is Python's `1.2.3a1`.
pub const VERSION: &str = match option_env!("CRATE_VERSION") {
    Some(version) => version, // that of git's tags, from tools/backend.py
    None => env!("CARGO_PKG_VERSION"),
};
