use pyo3::PyErr;
use pyo3::exceptions::{PyTypeError, PyValueError};
// example: begin

use {{ core_path }}::summary::Empty;
{% if "rayon" in extras %}
use {{ core_path }}::summary_parallel::ThreadPoolBuildError;
{% endif %}

pyo3::import_exception! { {{ package }}.errors, EmptyError }
// example: end
