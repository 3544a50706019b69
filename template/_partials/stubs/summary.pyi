@final
class Summary:
    """Count, mean, variance, minimum and maximum of numbers, without the numbers.

    ``summarize`` makes them; ``Summary()`` is that of no numbers. They never change.
    Two are equal if all that can be read from them is, where NaN equals NaN. They
    can be hashed, copied and pickled, and a copy holds what merging needs, to the
    last bit.
    """

    def __new__(cls) -> Summary: ...
    @property
    def count(self) -> int:
        """How many numbers there are."""

    @property
    def mean(self) -> float:
        """Arithmetic mean, in the unit of the numbers.

        Raises
        ------
        EmptyError
            If there are no numbers.
        """

    @property
    def variance(self) -> float:
        """Population variance, in the squared unit of the numbers.

        Raises
        ------
        EmptyError
            If there are no numbers.
        """

    @property
    def minimum(self) -> float:
        """Least of the numbers.

        Raises
        ------
        EmptyError
            If there are no numbers.
        """

    @property
    def maximum(self) -> float:
        """Greatest of the numbers.

        Raises
        ------
        EmptyError
            If there are no numbers.
        """

    def merge(self, other: Summary) -> Summary:
        """Summarize the numbers of both.

        Parameters
        ----------
        other : Summary
            What to merge with. An empty one changes nothing.

        Returns
        -------
        Summary
            What the numbers of both together would give, but for the last digit.
        """

    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

def summarize(
    values: Iterable[SupportsFloat | SupportsIndex]{{ " | npt.NDArray[np.float64]" if "numpy" in extras else "" }},
{% if "rayon" in extras %}
    *,
    threads: int | None = None,
{% endif %}
) -> Summary:
{% set docs %}{% include "template/_partials/docs/summarize.txt" %}{% endset %}
    """{{ docs | indent(4) }}    """
