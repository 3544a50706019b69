/// The version as Cargo spells it: `1.2.3-alpha.1` is Python's `1.2.3a1`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
