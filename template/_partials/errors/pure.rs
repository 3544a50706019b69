use pyo3::exceptions::{PyException, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{IntoPyDict, PyTuple, PyType};
// example: begin

use {{ core_path }}::summary::Empty;
{% if "rayon" in extras %}
use {{ core_path }}::summary_parallel::ThreadPoolBuildError;
{% endif %}
// example: end

/// The base of every exception that the package defines.
pub fn error(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let doc = "Base of every exception that this package defines.";
    let base = py.get_type::<PyException>();
    let class = CLASS.get_or_try_init(py, || define("Error", doc, &[base]))?;
    Ok(class.bind(py))
}

const MODULE: &str = "{{ package }}";

/// Defines an exception as Python's `class` does: pyo3 has nothing for more than one base.
fn define(name: &str, doc: &str, bases: &[Bound<'_, PyType>]) -> PyResult<Py<PyType>> {
    let py = bases[0].py();
    let bases = PyTuple::new(py, bases)?;
    let namespace = [("__module__", MODULE), ("__doc__", doc)].into_py_dict(py)?;
    let class = py.get_type::<PyType>().call1((name, bases, namespace))?;
    Ok(class.cast_into::<PyType>()?.unbind())
}
// example: begin

/// What is raised where no values leave nothing to tell.
pub fn empty_error(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let doc = "There are no values, and so no mean, variance, minimum or maximum.";
    let bases = [error(py)?.clone(), py.get_type::<PyValueError>()];
    let class = CLASS.get_or_try_init(py, || define("EmptyError", doc, &bases))?;
    Ok(class.bind(py))
}

struct EmptyError;

impl EmptyError {
    fn new_err(text: String) -> PyErr {
        Python::attach(|py| match empty_error(py) {
            Ok(class) => PyErr::from_type(class.clone(), text),
            Err(error) => error,
        })
    }
}
// example: end
