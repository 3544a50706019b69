"""Write times for people."""

from __future__ import annotations

UNITS = ((1, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def readable(seconds: float) -> str:
    """Write a time with three digits and the unit that suits it."""
    size, unit = next((pair for pair in UNITS if seconds >= pair[0]), UNITS[-1])
    return f"{seconds / size:.3g} {unit}"
