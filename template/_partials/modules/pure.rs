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
        let name = "{{ package }}";
        let version = py.import("importlib.metadata")?.getattr("version")?;
        module.add("__version__", version.call1((name,))?)?;
        module.setattr("__crate_version__", crate::VERSION)?;
        module.add("Error", errors::error(py)?)?;
        module.add("EmptyError", errors::empty_error(py)?)?; // example
        module.index()?.sort() // `__all__`, to which each `add` has added a name
    }
}
