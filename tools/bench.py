"""Measure the template against its marks, as ratios taken in one run, and write docs/speed.md and docs/speed.png.

Each contest runs its two sides by turns, so that a busy neighbour slows both, and takes the best of each.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # draws into a file, on machines without a screen too

import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from template import render, snapshot

ROUNDS = 3


@dataclass(frozen=True)
class Result:
    """A line of the table: what was measured against what, the ratio, and the mark it is to stay under."""

    what: str
    against: str
    ours: str
    theirs: str
    ratio: float
    mark: float


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command in the environment of the folder, quietly."""
    environment = {**os.environ, "VIRTUAL_ENV": str(cwd / ".venv")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{command} failed in {cwd}:\n{done.stdout}{done.stderr}")
    return done.stdout


def best(contenders: dict[str, Callable[[int], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Time each contender by turns and keep its best."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds):
        for name, act in contenders.items():
            start = time.perf_counter()
            act(turn)
            times[name].append(time.perf_counter() - start)
    return {name: min(found) for name, found in times.items()}


def python_of(folder: Path) -> Path:
    """Name the interpreter of a project's environment."""
    return folder / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def develop(folder: Path, package: str, *options: str) -> None:
    """Make the environment where there is none, build into it, and import."""
    if not (folder / ".venv").exists():
        run("uv", "venv", "--quiet", "--python", sys.executable, folder / ".venv", cwd=folder)
    run("maturin", "develop", "--quiet", *(options or ("--uv",)), cwd=folder)
    run(python_of(folder), "-c", f"import {package}", cwd=folder)


def copier_copy(folder: Path, *data: str) -> None:
    """Render with the command line that users have."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    answers = [part for answer in data for part in ("--data", answer)]
    run("copier", "copy", "--quiet", "--defaults", "--vcs-ref", "HEAD", *answers, ROOT, folder, cwd=folder.parent)


def maturin_new(folder: Path) -> None:
    """Begin a project with maturin's own command."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    run("maturin", "new", "--mixed", "--bindings", "pyo3", folder, cwd=folder.parent)


def copy_to_import(folder: Path) -> list[Result]:
    """Begin a project, build it with nothing built before, import it."""

    def ours(turn: int) -> None:
        copier_copy(folder / f"ours{turn}" / "quickstats")
        # Without the tools of the group `dev`, which maturin would install: the other side has none.
        develop(folder / f"ours{turn}" / "quickstats", "quickstats", "--uv", "--group", "build")

    def theirs(turn: int) -> None:
        maturin_new(folder / f"theirs{turn}" / "plain")
        develop(folder / f"theirs{turn}" / "plain", "plain")

    times = best({"ours": ours, "theirs": theirs})
    return [
        Result(
            "`copier copy` to the first import",
            "`maturin new --mixed`, `maturin develop`",
            f"{times['ours']:.1f} s",
            f"{times['theirs']:.1f} s",
            times["ours"] / times["theirs"],
            1.0,
        )
    ]


def edit_to_import(folder: Path) -> list[Result]:
    """Change one line of Rust, build, import; in the projects of the last round before."""

    def edit(path: Path, package: str, *options: str) -> Callable[[int], None]:
        text = path.read_text("utf-8")

        def act(turn: int) -> None:
            path.write_text(f"{text}\n/// Changes with each turn.\npub const TURN: usize = {turn};\n", "utf-8")
            develop(path.parent.parent, package, *options)

        return act

    last = ROUNDS - 1
    times = best(
        {
            "ours": edit(folder / f"ours{last}" / "quickstats" / "src" / "lib.rs", "quickstats", "--skip-install"),
            "theirs": edit(folder / f"theirs{last}" / "plain" / "src" / "lib.rs", "plain"),
        },
        rounds=5,
    )
    return [
        Result(
            "a line of Rust edited to imported, as `just dev` builds",
            "`maturin develop` in that project",
            f"{times['ours']:.2f} s",
            f"{times['theirs']:.2f} s",
            times["ours"] / times["theirs"],
            0.8,
        )
    ]


def wheel_bytes(folder: Path) -> list[Result]:
    """Build a release wheel, then again without the template's profile."""
    project = folder / "wheel" / "quickstats"
    copier_copy(project)
    run("uv", "venv", "--quiet", "--python", sys.executable, project / ".venv", cwd=project)

    def size(out: str) -> int:
        run("maturin", "build", "--release", "--quiet", "--out", out, cwd=project)
        (wheel,) = (project / out).glob("*.whl")
        return wheel.stat().st_size

    ours = size("ours")
    manifest = project / "Cargo.toml"
    text = manifest.read_text("utf-8")
    plain, count = re.subn(r"\[profile\.release\]\n(?:\w.*\n)+", "[profile.release]\n", text)
    assert count == 1, "Cargo.toml has no [profile.release] to leave out"
    manifest.write_text(plain, "utf-8")
    theirs = size("theirs")
    return [
        Result(
            "release wheel",
            "the same sources under `maturin new`'s profile",
            f"{ours:,} bytes",
            f"{theirs:,} bytes",
            ours / theirs,
            0.8,
        )
    ]


SUMMARIES = """
import json, statistics, timeit
import numpy
import quickstats

def best(act, number=1):
    return min(timeit.repeat(act, number=number, repeat=15)) / number

values = numpy.random.default_rng(1).normal(size=10_000_000)
numbers = [float(value) for value in values[:100_000]]
print(json.dumps({
    "ours": best(lambda: quickstats.summarize(values OPTIONS)),
    "numpy": best(lambda: (values.mean(), values.var(), values.min(), values.max())),
    "list": best(lambda: quickstats.summarize(numbers)),
    "statistics": min(timeit.repeat(lambda: (statistics.fmean(numbers), statistics.pvariance(numbers)), number=1, repeat=5)),
}))
"""


def summaries(folder: Path) -> list[Result]:
    """Measure the example itself, in release builds."""
    found = {}
    for name, extras, options in (
        ("plain", "[]", None),
        ("one thread", "[numpy]", ""),
        ("two cores", "[numpy, rayon]", ", threads=2"),
    ):
        project = folder / name.replace(" ", "-") / "quickstats"
        copier_copy(project, f"extras={extras}")
        develop(project, "quickstats", "--uv", "--release")
        run("uv", "pip", "install", "--quiet", "numpy", cwd=project)
        if options is not None:
            found[name] = json.loads(run(python_of(project), "-c", SUMMARIES.replace(" OPTIONS", options), cwd=project))
        else:
            script = SUMMARIES.replace("quickstats.summarize(values OPTIONS)", "None")
            found[name] = json.loads(run(python_of(project), "-c", script, cwd=project))

    def result(what: str, against: str, case: str, ours: str, theirs: str, mark: float) -> Result:
        mine, other = found[case][ours], found[case][theirs]
        return Result(what, against, f"{mine * 1e3:.2f} ms", f"{other * 1e3:.2f} ms", mine / other, mark)

    array, calls = "`summarize` of ten million float64", "NumPy's mean, var, min and max"
    return [
        result(f"{array}, one thread", calls, "one thread", "ours", "numpy", 0.25),
        result(f"{array}, `rayon`, two cores", calls, "two cores", "ours", "numpy", 0.12),
        result(
            "`summarize` of a list of 100,000 floats",
            "`statistics.fmean` and `statistics.pvariance`",
            "plain",
            "list",
            "statistics",
            0.02,
        ),
    ]


def rehearsal(folder: Path) -> list[Result]:
    """Build one release wheel from nothing, then rehearse a whole release from nothing."""
    project = folder / "rehearsal" / "quickstats"
    copier_copy(project)
    run("git", "init", "--quiet", cwd=project)
    run(sys.executable, "tools/notices.py", cwd=project)
    run("git", "add", "--all", cwd=project)
    identity = ("-c", "user.name=Bench", "-c", "user.email=bench@example.org")
    run("git", *identity, "commit", "--quiet", "--message", "Begin", cwd=project)
    times = best(
        {
            "wheel": lambda _: run("maturin", "build", "--release", "--target-dir", folder / "cold", cwd=project),
            "rehearsal": lambda _: run("uvx", "nox", "--session", "release", cwd=project),
        },
        rounds=1,
    )
    return [
        Result(
            "`just release`: a whole rehearsal",
            "one release wheel, from nothing too",
            f"{times['rehearsal']:.0f} s",
            f"{times['wheel']:.1f} s",
            times["rehearsal"] / times["wheel"],
            10,
        )
    ]


def render_seconds(folder: Path) -> float:
    """Render one answer set in this process."""
    source = snapshot(folder / "source")
    return best({"render": lambda turn: render(source, folder / f"render{turn}")}, rounds=5)["render"]


def machine() -> str:
    """Describe what this ran on."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        model = next((line.split(": ")[1] for line in cpuinfo.read_text().splitlines() if "model name" in line), model)
    rust = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, Rust {rust}"


OVER_THE_LINE: dict[str, Any] = {"bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1}}


def draw(results: list[Result], path: Path) -> None:
    """Draw each ratio beside its mark."""
    figure, axes = plt.subplots(figsize=(9, 0.7 * len(results) + 0.8), layout="constrained")
    shares = [result.ratio / result.mark for result in results]
    bars = axes.barh(
        [result.what.replace("`", "") for result in results],
        shares,
        color=["#dea584" if share <= 1 else "#b03a2e" for share in shares],
    )
    axes.bar_label(
        bars, [f"{result.ratio:.3g} (mark {result.mark:g})" for result in results], padding=4, **OVER_THE_LINE
    )
    axes.axvline(1, color="black", linewidth=1, linestyle="--")
    axes.set_xlabel("ratio, as a share of its mark (dashed): shorter is better")
    axes.margins(x=0.35)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Run every contest, print the table and write the page."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        results: list[Result] = []
        contests = (copy_to_import, edit_to_import, wheel_bytes, summaries, rehearsal)
        for number, contest in enumerate(contests, 1):
            print(f"[{number}/{len(contests)}] {contest.__doc__}", flush=True)
            results += contest(folder)
        seconds = render_seconds(folder)
    lines = ["| what | against | ours | theirs | ratio | mark |", "|---|---|---:|---:|---:|---:|"]
    lines += [
        f"| {one.what} | {one.against} | {one.ours} | {one.theirs} | {'' if one.ratio <= one.mark else '**over** '}"
        f"{one.ratio:.3f} | {one.mark:g} |"
        for one in results
    ]
    table = "\n".join(lines)
    print(f"\n{table}\n\nOne answer set renders in {seconds:.2f} s.")
    page = ROOT / "docs" / "speed.md"
    text = page.read_text("utf-8")
    stamp = f"Measured on {datetime.date.today()}: {machine()}. One answer set renders in process in {seconds:.2f} s."
    begin, end = "<!-- measured -->\n", "<!-- end -->"
    before, after = text.partition(begin)[0], text.partition(end)[2]
    page.write_text(
        f"{before}{begin}\n{stamp}\n\n{table}\n\n![Each ratio beside its mark](speed.png)\n\n{end}{after}", "utf-8"
    )
    draw(results, page.with_suffix(".png"))


if __name__ == "__main__":
    main()
