//! Lets `cargo test` start the Python that it links, wherever that Python is installed.

fn main() {
    // maturin sets the variable when it builds the extension, which must not name any library.
    println!("cargo:rerun-if-env-changed=PYO3_BUILD_EXTENSION_MODULE");
    if std::env::var_os("PYO3_BUILD_EXTENSION_MODULE").is_some() {
        return;
    }
    pyo3_build_config::add_libpython_rpath_link_args();
    // A relocated Python, such as uv's, does not find its modules. https://github.com/PyO3/pyo3/issues/5627
    let python = pyo3_build_config::get();
    if python.executable().is_some() {
        if let Ok(home) = python.run_python_script("import sys; print(sys.base_prefix)") {
            println!("cargo:rustc-env=PYTHONHOME={}", home.trim_end());
        }
    }
}
