"""What two builds have measured, one held against the other: a table, a chart, a verdict."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

Times = dict[str, float]  # the seconds that each benchmark took
UNITS = ((1, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def readable(seconds: float) -> str:
    """Write a time with three digits and the unit that suits it."""
    size, unit = next((pair for pair in UNITS if seconds >= pair[0]), UNITS[-1])
    return f"{seconds / size:.3g} {unit}"


@dataclass(frozen=True)
class Row:
    """A benchmark that both builds have or one of them, and what is to be said of it."""

    name: str
    base: float | None
    head: float | None
    verdict: str

    @property
    def ratio(self) -> float | None:
        """Divide what it takes of the working tree by what it takes of the base."""
        return self.head / self.base if self.head and self.base else None


def least(turns: Iterable[Times]) -> Times:
    """Give the least time of each benchmark: what else a machine does can only add to it."""
    found: Times = {}
    for turn in turns:
        for name, seconds in turn.items():
            found[name] = min(seconds, found.get(name, seconds))
    return found


def rivals(names: Iterable[str], package: str) -> set[str]:
    """Name what others wrote: where a contender of a test begins with the package, all others."""
    contenders = {name: name.partition("[")[::2] for name in names}
    ours = {name for name, (_, who) in contenders.items() if who.startswith(package)}
    contests = {contenders[name][0] for name in ours}
    return {name for name, (test, _) in contenders.items() if test in contests} - ours


def compare(base: Times, head: Times, package: str, mark: float) -> list[Row]:
    """Judge each benchmark; of the package's own, a ratio above the mark is a loss."""
    names = sorted(base.keys() | head.keys())
    foreign = rivals(names, package)
    rows = []
    for name in names:
        before, now = base.get(name), head.get(name)
        if before is None or now is None:
            verdict = "gone" if now is None else "new"
        elif name in foreign:
            verdict = "not ours"
        else:
            ratio = now / before
            verdict = "slower" if ratio > mark else "faster" if ratio < 1 / mark else "as before"
        rows.append(Row(name, before, now, verdict))
    return rows


def lost(rows: Iterable[Row]) -> list[Row]:
    """Pick out what got slower."""
    return [row for row in rows if row.verdict == "slower"]


def table(rows: Iterable[Row]) -> str:
    """Write the rows as Markdown, a loss in bold."""
    lines = ["| benchmark | base | head | head / base | verdict |", "|---|---:|---:|---:|---|"]
    for row in rows:
        times = [readable(seconds) if seconds else "" for seconds in (row.base, row.head)]
        ratio = f"{row.ratio:.2f}" if row.ratio else ""
        name, strong = row.name.replace("|", r"\|"), "**" if row.verdict == "slower" else ""
        cells = (f"`{name}`", *times, ratio, f"{strong}{row.verdict}{strong}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def chart(rows: Iterable[Row], mark: float) -> str:
    """Draw the ratios of the package's own benchmarks as Mermaid, which GitHub shows in Markdown."""
    drawn = [(row.name, row.ratio) for row in rows if row.ratio and row.verdict != "not ours"]
    if not drawn:
        return ""
    size = {"width": 900, "height": 120 + 40 * len(drawn)}
    theme = {"xyChart": {"plotColorPalette": "#dea584"}}
    settings = json.dumps({"init": {"xyChart": size, "themeVariables": theme}})
    names = ", ".join('"' + name.replace('"', "'") + '"' for name, _ in drawn)
    ratios = ", ".join(f"{ratio:.2f}" for _, ratio in drawn)
    top = 1.1 * max(mark, *(ratio for _, ratio in drawn))
    return f"""```mermaid
%%{settings}%%
xychart-beta horizontal
    title "time of head / time of base: 1 is no change, above {mark:g} is slower"
    x-axis [{names}]
    y-axis "head / base" 0 --> {top:.2f}
    bar [{ratios}]
```
"""
