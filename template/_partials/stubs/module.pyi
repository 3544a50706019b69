{% set rows = extras | map("extract", options.extras) | list %}
# The types of what Rust gives to Python; `just test` compares them with the module.
# example: begin
from collections.abc import Iterable
from typing import ClassVar, final

{% set imports = rows | map(attribute="imports") | sum(start=[]) | unique | sort %}
{% for line in imports | groupby("0") | map(attribute="list") | list | reverse | sum(start=[]) %}
{{ line }}{{ "\n" if loop.last }}
{% endfor %}
# example: end
__all__ = [
    "EmptyError",  # example
    "Error",
    "Summary",  # example
{% for function in ["summarize"] + rows | map(attribute="function") | list | sort %}
    "{{ function }}",  # example
{% endfor %}
]

# example: begin
class EmptyError(Error):
    """There are no values."""

@final
class Summary:
    """Statistics of one or more values, without the values.

    The mean, the minimum and the maximum have the unit of the values, the population
    variance its square.
    """

    __hash__: ClassVar[None]  # type: ignore[assignment]
    def __new__(
        cls, count: int, mean: float, variance: float, minimum: float, maximum: float
    ) -> Summary: ...
    @property
    def count(self) -> int: ...
    @property
    def mean(self) -> float: ...
    @property
    def variance(self) -> float: ...
    @property
    def minimum(self) -> float: ...
    @property
    def maximum(self) -> float: ...
    def merge(self, other: Summary) -> Summary:
        """Summarize the values of both."""

    def __eq__(self, value: object, /) -> bool: ...

def summarize(values: Iterable[float]) -> Summary:
    """Summarize values in one pass.

    Other threads can run meanwhile, and Ctrl-C ends the call.

    Parameters
    ----------
    values : iterable of float
        At least one value, in any unit.

    Raises
    ------
    TypeError
        If something is not a number.
    EmptyError
        If there are no values.
    """
{% for extra in extras | sort %}

{% include "template/_partials/stubs/" ~ extra ~ ".pyi" %}
{% endfor %}

# example: end
class Error(Exception):
    """Base of every exception of this package."""
