pub fn summarize(values: &Bound<'_, PyAny>) -> Result<PySummary> {
    let mut fold = |summary: Summary, chunks: Range<usize>, chunk: &Chunk<'_>| {
        Ok(chunks.map(chunk).fold(summary, Summary::merge))
    };
