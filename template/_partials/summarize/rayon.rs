#[pyo3(signature = (values, *, threads=None))]
pub fn summarize(values: &Bound<'_, PyAny>, threads: Option<isize>) -> Result<PySummary> {
    let threads = match threads {
        Some(..1) => return Err(Error::Value("threads must be at least 1".to_owned())),
        Some(threads) => threads.unsigned_abs(),
        None => 0,
    };
    let mut workers = Workers::new(threads);
    let mut fold = |summary: Summary, chunks: Range<usize>, chunk: &Chunk<'_>| {
        Ok(workers.fold(summary, chunks, chunk)?)
    };
