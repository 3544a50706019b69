//! Lets `cargo test` find the library of the Python that it links, wherever that Python is installed.

fn main() {
    // maturin sets the variable when it builds the extension, which must not name any library.
    println!("cargo:rerun-if-env-changed=PYO3_BUILD_EXTENSION_MODULE");
    if std::env::var_os("PYO3_BUILD_EXTENSION_MODULE").is_none() {
        pyo3_build_config::add_libpython_rpath_link_args();
    }
}
