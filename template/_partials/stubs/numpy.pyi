def summarize_array(values: npt.NDArray[np.float64]) -> Summary:
    """Summarize a NumPy array in one pass, without a copy of it.

    Parameters
    ----------
    values : numpy.ndarray of float64
        At least one value, in any shape and with any strides. No thread may write to it meanwhile.

    Raises
    ------
    TypeError
        If `values` is no array or has another dtype.
    ValueError
        If the array is not aligned.
    EmptyError
        If the array is empty.
    """
