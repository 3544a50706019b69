"""The exceptions: defined in Python, where they can have more than one base."""


class Error(Exception):
    """Base of every exception that this package defines."""


# example: begin
class EmptyError(Error, ValueError):
    """There are no values, and so no mean, variance, minimum or maximum."""


# example: end
# Each cause has its own class, derived from `Error` and called `<Cause>Error`.
