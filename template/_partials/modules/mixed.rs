/// The Rust side of `{{ package }}`.
#[pyo3::pymodule]
mod _core {
    // What Python can import: one `use` each, below a `#[pymodule_export]`.
    // example: begin
    #[pymodule_export]
    use crate::py_summary::{PySummary, summarize};
    // example: end
}
