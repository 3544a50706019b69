/// {{ description }}.
#[pyo3::pymodule]
mod {{ module }} {
    use pyo3::prelude::*;

    use crate::errors;
    // example: begin

    #[pymodule_export]
    use crate::py_summary::{PySummary, summarize};
    // example: end

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("Error", errors::error(py)?)?;
        module.add("EmptyError", errors::empty_error(py)?)?; // example
        module.index()?.sort() // `__all__`, to which each `add` has added a name
    }
}
