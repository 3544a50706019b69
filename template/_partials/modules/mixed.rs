/// The Rust side of `{{ package }}`.
#[pyo3::pymodule]
mod _core {
    use pyo3::prelude::*;

    // What Python can import: one `use` each, below a `#[pymodule_export]`.
    // example: begin
    #[pymodule_export]
    use crate::py_summary::{PySummary, summarize};
    // example: end

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.setattr("__crate_version__", {{ core_path }}::VERSION)
    }
}
