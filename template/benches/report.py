"""Turn what pytest-benchmark measured into a table and a picture."""

from __future__ import annotations

import json
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # draws into a file, on machines without a screen too

import matplotlib.pyplot as plt
from comparison import readable

COLOURS = {True: "#dea584", False: "#c8c8c8"}  # this package, and what it is measured against


def rows(results: dict[str, Any]) -> list[tuple[str, str, float, float]]:
    """List group, contender, median seconds and its ratio to the slowest of the group."""
    found = []
    benchmarks = sorted(
        results["benchmarks"], key=lambda one: (one["group"] or "", -one["stats"]["median"])
    )
    for group, members in groupby(benchmarks, key=lambda one: one["group"] or ""):
        medians = [(one["param"] or one["name"], one["stats"]["median"]) for one in members]
        slowest = medians[0][1]
        found += [(group, name, median, median / slowest) for name, median in medians]
    return found


def table(measured: list[tuple[str, str, float, float]], ours: str) -> str:
    """Write the rows as Markdown, the package's own in bold."""
    lines = ["| what | by | median | of the slowest |", "|---|---|---:|---:|"]
    for group, name, median, ratio in measured:
        mark = "**" if name.startswith(ours) else ""
        lines.append(f"| {group} | {mark}{name}{mark} | {readable(median)} | {ratio:.3f} |")
    return "\n".join(lines) + "\n"


def picture(
    measured: list[tuple[str, str, float, float]], ours: str, machine: str, path: Path
) -> None:
    """Draw a panel for each group, its bars relative to the slowest."""
    groups = [
        (group, list(members)) for group, members in groupby(measured, key=lambda row: row[0])
    ]
    figure, panels = plt.subplots(
        len(groups),
        squeeze=False,
        figsize=(8, sum(0.9 + 0.35 * len(members) for _, members in groups)),
        height_ratios=[1 + len(members) for _, members in groups],
        layout="constrained",
    )
    for (group, members), panel in zip(groups, panels[:, 0], strict=True):
        names = [name for _, name, _, _ in members]
        medians = [median for _, _, median, _ in members]
        bars = panel.barh(names, medians, color=[COLOURS[name.startswith(ours)] for name in names])
        panel.bar_label(bars, [readable(median) for median in medians], padding=4)
        panel.set_title(group, loc="left", fontsize=10)
        panel.margins(x=0.15)
        panel.invert_yaxis()
        panel.tick_params(left=False, bottom=False, labelbottom=False)
        panel.spines[:].set_visible(False)
    figure.supxlabel(f"median time, shorter is better · {machine}", fontsize=8)
    figure.savefig(path, dpi=150)


def main(path: Path, ours: str) -> None:
    """Write both beside the results."""
    results = json.loads(path.read_text("utf-8"))
    machine = results["machine_info"]
    measured = rows(results)
    text = table(measured, ours)
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    description = f"{machine['cpu']['brand_raw']}, Python {machine['python_version']}"
    picture(measured, ours, description, path.with_suffix(".png"))
    print(f"\n{text}\n{path.with_suffix('.md')}\n{path.with_suffix('.png')}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
