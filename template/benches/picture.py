"""Draw what pytest-benchmark and criterion measured: `python benches/picture.py RESULTS.json`."""

import json
import sys
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # draws into a file, on machines without a screen too

import matplotlib.pyplot as plt

PICTURE = Path("target/bench/benchmark.png")
medians: defaultdict[str, dict[str, float]] = defaultdict(dict)  # milliseconds, by group and name
for one in json.loads(Path(sys.argv[1]).read_text("utf-8"))["benchmarks"]:
    medians[one["group"] or "Python"][one["param"] or one["name"]] = one["stats"]["median"] * 1e3
for file in sorted(Path("target/nox/cargo/criterion").glob("**/new/estimates.json")):
    name = json.loads(file.with_name("benchmark.json").read_text("utf-8"))["full_id"]
    medians["Rust"][name] = json.loads(file.read_text("utf-8"))["median"]["point_estimate"] / 1e6

rows = [len(group) + 1.5 for group in medians.values()]
figure, panels = plt.subplots(
    len(rows), squeeze=False, figsize=(8, sum(rows) / 3), height_ratios=rows, layout="constrained"
)
for (title, group), panel in zip(medians.items(), panels[:, 0], strict=True):
    names = sorted(group, key=lambda name: group[name])
    slowest = group[names[-1]]
    values = [group[name] for name in names]
    bars = panel.barh(names, values, color=["#dea584"] * (len(names) - 1) + ["#c8c8c8"])
    panel.bar_label(bars, [f"{value:.3g} ms, {value / slowest:.3f}" for value in values], padding=4)
    panel.set_title(title, loc="left", fontsize=10)
    panel.margins(x=0.25)
    panel.invert_yaxis()
    panel.tick_params(left=False, bottom=False, labelbottom=False)
    panel.spines[:].set_visible(False)
figure.supxlabel("median time, and its ratio to the slowest; shorter is better", fontsize=8)
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=150)
print(PICTURE)
