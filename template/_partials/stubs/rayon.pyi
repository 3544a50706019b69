def summarize_parallel(values: typing_extensions.Buffer, threads: int | None = None) -> Summary:
    """Summarize a buffer in one pass, by several threads.

    Parameters
    ----------
    values : buffer of float64
        At least one value, such as an `array.array("d")`. No thread may write to it meanwhile.
    threads : int, optional
        At least 1; by default, one for each processor, or as many as `RAYON_NUM_THREADS` says.

    Raises
    ------
    TypeError, BufferError
        If `values` is no buffer, or holds something else.
    ValueError
        If `values` is not contiguous, or `threads` is 0.
    EmptyError
        If the buffer is empty.
    """
