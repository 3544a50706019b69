"""Measure the template against its limits, as ratios taken in one run, and write docs/speed.md and docs/speed.png.

The sides of a comparison run by turns, so that a busy neighbour slows both; the median of each counts.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # draws into a file, on machines without a screen too

import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from template import clean_environment, render, snapshot

ROUNDS = 5


@dataclass(frozen=True)
class Result:
    """A line of the table: what was measured against what, the ratio, and its limit."""

    what: str
    against: str
    ours: str
    theirs: str
    ratio: float
    limit: float


def compare(what: str, against: str, times: dict[str, float], limit: float) -> Result:
    """Compare the seconds of two sides."""
    ours, theirs = (f"{seconds * 1e3:.2f} ms" if seconds < 0.1 else f"{seconds:.2f} s" for seconds in times.values())
    return Result(what, against, ours, theirs, times["ours"] / times["theirs"], limit)


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command in the environment of a folder; print its output only if it fails."""
    environment = {**clean_environment(), "VIRTUAL_ENV": str(cwd / ".venv")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{command} failed in {cwd}:\n{done.stdout}{done.stderr}")
    return done.stdout


def medians(sides: dict[str, Callable[[int], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Time the sides by turns, and return the median of each in seconds."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds):
        for name, act in sides.items():
            start = time.perf_counter()
            act(turn)
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in times.items()}


def python_of(folder: Path) -> Path:
    """Return the interpreter of a project's environment."""
    return folder / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def copier_copy(folder: Path, *data: str) -> None:
    """Render a project with Copier's command."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    answers = [part for answer in data for part in ("--data", answer)]
    run("copier", "copy", "--quiet", "--defaults", "--vcs-ref", "HEAD", *answers, ROOT, folder, cwd=folder.parent)


def develop(folder: Path, package: str, *options: str) -> None:
    """Build into the project's environment, and import."""
    if not (folder / ".venv").exists():
        run("uv", "venv", "--quiet", "--python", sys.executable, folder / ".venv", cwd=folder)
    run("maturin", "develop", "--quiet", *options, cwd=folder)
    run(python_of(folder), "-c", f"import {package}", cwd=folder)


def copy_to_import(folder: Path) -> list[Result]:
    """Create a project, build it with nothing built before, import it."""

    def ours(turn: int) -> None:
        copier_copy(folder / f"ours{turn}" / "quickstats")
        # Without the tools of the group `dev`, which maturin would install: the other side has none.
        develop(folder / f"ours{turn}" / "quickstats", "quickstats", "--uv", "--group", "wheel")

    def theirs(turn: int) -> None:
        (folder / f"theirs{turn}").mkdir()
        run("maturin", "new", "--mixed", "--bindings", "pyo3", "plain", cwd=folder / f"theirs{turn}")
        develop(folder / f"theirs{turn}" / "plain", "plain", "--uv")

    times = medians({"ours": ours, "theirs": theirs})
    return [compare("`copier copy` to the first import", "`maturin new --mixed`, `maturin develop`", times, 1.05)]


def add_line(path: Path, turn: int) -> None:
    """Add a line of Rust to a file, another in each turn."""
    text = path.read_text("utf-8").partition("\n/// Turn")[0]
    path.write_text(f"{text}\n/// Turn\npub const TURN: i32 = {turn};\n", "utf-8")


def edit_to_import(folder: Path) -> list[Result]:
    """Change one line of Rust, build, import; in the projects of the last round before."""

    def edit(project: Path, *options: str) -> Callable[[int], None]:
        def act(turn: int) -> None:
            add_line(project / "src" / "lib.rs", turn)
            develop(project, project.name, *options)

        act(-1)
        return act

    ours = edit(folder / f"ours{ROUNDS - 1}" / "quickstats", "--skip-install")
    theirs = edit(folder / f"theirs{ROUNDS - 1}" / "plain", "--uv")
    times = medians({"ours": ours, "theirs": theirs})
    return [compare("a line of Rust edited to imported, as `just dev` builds", "`maturin develop` there", times, 0.92)]


def edit_to_tests(folder: Path) -> list[Result]:
    """Change one line of Rust, then run all tests; against both test runners by hand."""
    project = folder / "tests" / "quickstats"
    copier_copy(project)
    run("just", "setup", cwd=project)

    def ours(turn: int) -> None:
        add_line(project / "src" / "lib.rs", 2 * turn)
        run("just", "test", cwd=project)

    def theirs(turn: int) -> None:
        add_line(project / "src" / "lib.rs", 2 * turn + 1)
        run("cargo", "test", "--workspace", cwd=project)
        run("uv", "run", "pytest", cwd=project)

    ours(-1)
    times = medians({"ours": ours, "theirs": theirs})
    return [compare("a line of Rust edited to `just test` green", "`cargo test`, `uv run pytest`", times, 1.5)]


def wheel_bytes(folder: Path) -> list[Result]:
    """Build a release wheel, then again without the template's profile."""
    project = folder / "wheel" / "quickstats"
    copier_copy(project)

    def size(out: str) -> int:
        run("maturin", "build", "--release", "--quiet", "--interpreter", sys.executable, "--out", out, cwd=project)
        (wheel,) = (project / out).glob("*.whl")
        return wheel.stat().st_size

    ours = size("ours")
    manifest = project / "Cargo.toml"
    plain, count = re.subn(r"\[profile\.release\]\n(?:\w.*\n)+", "[profile.release]\n", manifest.read_text("utf-8"))
    assert count == 1, "Cargo.toml has no [profile.release] to leave out"
    manifest.write_text(plain, "utf-8")
    theirs = size("theirs")
    against = "the same sources under `maturin new`'s profile"
    return [Result("release wheel", against, f"{ours:,} bytes", f"{theirs:,} bytes", ours / theirs, 0.8)]


SUMMARIES = """
import json, statistics, timeit
import numpy
import quickstats

def best(act, repeat=15):
    return min(timeit.repeat(act, number=1, repeat=repeat))

values = numpy.random.default_rng(1).normal(size=10_000_000)
numbers = [float(value) for value in values[:100_000]]
print(json.dumps({
    "array": best(lambda: quickstats.summarize_array(values)),
    "numpy": best(lambda: (values.mean(), values.var(), values.min(), values.max())),
    "one": best(lambda: quickstats.summarize_parallel(values, 1)),
    "two": best(lambda: quickstats.summarize_parallel(values, 2)),
    "list": best(lambda: quickstats.summarize(numbers)),
    "statistics": best(lambda: (statistics.fmean(numbers), statistics.pvariance(numbers)), 5),
}))
"""


def summaries(folder: Path) -> list[Result]:
    """Measure the example's functions, in a release build."""
    project = folder / "summaries" / "quickstats"
    copier_copy(project, "extras=[numpy, rayon]")
    develop(project, "quickstats", "--uv", "--release", "--group", "wheel")
    run("uv", "pip", "install", "--quiet", "numpy", cwd=project)
    best = json.loads(run(python_of(project), "-c", SUMMARIES, cwd=project))

    def ratio(what: str, against: str, ours: str, theirs: str, limit: float) -> Result:
        return compare(what, against, {"ours": best[ours], "theirs": best[theirs]}, limit)

    parallel = "`summarize_parallel` of ten million float64, two threads"
    calls = "`statistics.fmean`, `statistics.pvariance`"
    return [
        ratio("`summarize_array` of ten million float64", "NumPy's mean, var, min and max", "array", "numpy", 0.3),
        ratio(parallel, "one thread", "two", "one", 1 / 1.6),
        ratio("`summarize` of a list of 100,000 floats", calls, "list", "statistics", 0.02),
    ]


def release(folder: Path) -> list[Result]:
    """Build the three wheels of a release from nothing, then a release with all its checks from nothing."""
    project = folder / "release" / "quickstats"
    copier_copy(project)
    run("git", "init", "--quiet", cwd=project)
    run("cargo", "generate-lockfile", cwd=project)
    run("git", "add", "--all", cwd=project)

    def wheels(_: int) -> None:
        for python in ("3.11", "3.14t", "3.15t"):
            target = ("--target-dir", folder / "cold", "--out", folder / "wheels")
            run("maturin", "build", "--release", f"-i=python{python}", *target, cwd=project)

    whole = ("uv", "run", "noxfile.py", "-s", "release")
    times = medians({"ours": lambda _: run(*whole, cwd=project), "theirs": wheels}, rounds=1)
    return [compare("`nox -s release`: built, checked and tested", "its three wheels", times, 3)]


def rendering(folder: Path) -> float:
    """Render one set of answers in this process, and return the seconds."""
    source = snapshot(folder / "source")
    return medians({"render": lambda turn: render(source, folder / f"render{turn}")}, rounds=9)["render"]


def machine() -> str:
    """Describe what this ran on."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        model = next((line.split(": ")[1] for line in cpuinfo.read_text().splitlines() if "model name" in line), model)
    rust = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, Rust {rust}"


def draw(results: list[Result], path: Path) -> None:
    """Draw each ratio as a share of its limit."""
    figure, axes = plt.subplots(figsize=(10, 4.5), layout="constrained")
    shares = [result.ratio / result.limit for result in results]
    colors = ["#dea584" if share <= 1 else "#b03a2e" for share in shares]
    bars = axes.barh([result.what.replace("`", "") for result in results], shares, color=colors)
    labels = [f"{result.ratio:.3g} (limit {result.limit:.3g})" for result in results]
    axes.bar_label(bars, labels, padding=4, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
    axes.axvline(1, color="black", linewidth=1, linestyle="--")
    axes.set_xlabel("ratio, as a share of its limit (dashed): shorter is better")
    axes.margins(x=0.35)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Run every comparison, print the table and write the page."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        results: list[Result] = []
        comparisons = (copy_to_import, edit_to_import, edit_to_tests, wheel_bytes, summaries, release)
        for number, comparison in enumerate(comparisons, 1):
            print(f"[{number}/{len(comparisons)}] {comparison.__doc__}", flush=True)
            results += comparison(folder)
        seconds = rendering(folder)
    lines = ["| what | against | ours | theirs | ratio | limit |", "|---|---|---:|---:|---:|---:|"]
    lines += [
        f"| {one.what} | {one.against} | {one.ours} | {one.theirs} | {'' if one.ratio <= one.limit else '**over** '}"
        f"{one.ratio:.3f} | {one.limit:.3g} |"
        for one in results
    ]
    table = "\n".join(lines)
    stamp = (
        f"Measured on {datetime.date.today()}: {machine()}. One set of answers renders in {seconds:.3f} s (limit 0.12)."
    )
    print(f"\n{table}\n\n{stamp}")
    page = ROOT / "docs" / "speed.md"
    text = page.read_text("utf-8")
    begin, end = "<!-- measured -->\n", "<!-- end -->"
    before, after = text.partition(begin)[0], text.partition(end)[2]
    page.write_text(
        f"{before}{begin}\n{stamp}\n\n{table}\n\n![Each ratio beside its limit](speed.png)\n\n{end}{after}", "utf-8"
    )
    draw(results, page.with_suffix(".png"))


if __name__ == "__main__":
    main()
