"""Measure a base and the working tree by turns, on one machine, and say what got slower.

Either is built with the same settings and installed into an environment of its own. The benches
are those of the working tree; those that the base does not run are new.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # draws into a file, on machines without a screen too

import matplotlib.pyplot as plt
from comparison import Row, Times, chart, compare, least, lost, table

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "target" / "compare"
REPORT = OUT / "comparison.md"
TURNS, MOST_TURNS = 3, 9
QUICK = ("--benchmark-max-time=0.001", "--benchmark-min-rounds=1")  # what is there, not how fast
COLOURS = {"slower": "#c44e52", "faster": "#55a868", "as before": "#dea584", "not ours": "#c8c8c8"}


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command, and stop with its exit status if it fails."""
    sys.stdout.flush()
    done = subprocess.run(command, cwd=cwd, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def git(*arguments: str) -> str:
    """Ask git; an empty answer where it has none."""
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def commit_of(base: str) -> str:
    """Find a commit by its name, or by that of a branch of which only the remote's is here."""
    for name in (base, f"origin/{base}"):
        if found := git("rev-parse", "--verify", "--quiet", "--end-of-options", name + "^{commit}"):
            return found
    sys.exit(
        f"Nothing here is called {base!r}: give a commit, a tag or a branch. If it is on the "
        "remote, fetch it; in a shallow clone, git fetch --unshallow --tags brings all."
    )


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """Check a commit out beside the working tree, and give the project's folder in it."""
    folder = OUT / "base"
    shutil.rmtree(folder, ignore_errors=True)
    # Forced, as a run that was killed has left its name behind; the user's hooks are for the user.
    add = ("git", "-c", "core.hooksPath=/dev/null", "worktree", "add", "--quiet", "--force")
    run(*add, "--detach", folder, commit)
    try:
        sources = folder / git("rev-parse", "--show-prefix")
        set_apart(sources / "Cargo.toml")
        yield sources
    finally:
        run("git", "worktree", "remove", "--force", folder)


def set_apart(manifest: Path) -> None:
    """Keep cargo from asking why a base without a workspace is not in the one of the folder above."""
    if not manifest.is_file():
        sys.exit("The base is from before there was a Cargo.toml here: there is nothing to build.")
    above, text = (path.read_text("utf-8") for path in (ROOT / "Cargo.toml", manifest))
    if "[workspace]" in above and "[workspace]" not in text:
        manifest.write_text(f"{text}\n[workspace]\n", encoding="utf-8")


def install(side: str, sources: Path) -> None:
    """Build a wheel, and install it with what the benches need into a new environment."""
    out, environment = OUT / "wheels" / side, OUT / "environments" / side
    shutil.rmtree(out, ignore_errors=True)
    # A folder for each: in one, cargo tells the two builds apart by the dates of files alone.
    build = ("maturin", "build", "--profile", "release-with-debug", "--target-dir")
    run(*build, OUT / "builds" / side, "--out", out, cwd=sources)
    (wheel,) = out.iterdir()
    run("uv", "venv", "--quiet", "--clear", "--python", sys.executable, environment)
    run("uv", "pip", "install", "--quiet", "--python", environment, "--group", "bench", wheel)


def measure(side: str, sources: Path, *options: str) -> dict[str, Any]:
    """Run the benches of some sources against what a side has installed."""
    results = OUT / f"{side}.json"
    results.unlink(missing_ok=True)
    scripts = OUT / "environments" / side / ("Scripts" if os.name == "nt" else "bin")
    command = (
        *(str(scripts / "pytest"), "benches", f"--rootdir={sources}", "--quiet"),
        *("--continue-on-collection-errors", "--benchmark-quiet", f"--benchmark-json={results}"),
        *options,
    )
    print(f"{side}: {' '.join(command)}", flush=True)
    done = subprocess.run(command, cwd=sources, check=False)
    # The base need not have all that the benches of the working tree call.
    if done.returncode and side == "head":
        sys.exit(done.returncode)
    found = results.read_text("utf-8") if results.exists() else ""
    measured: dict[str, Any] = json.loads(found or '{"benchmarks": []}')
    return measured


def times(results: dict[str, Any]) -> Times:
    """Take the least time of each benchmark out of what pytest-benchmark writes."""
    return {
        one["fullname"].removeprefix("benches/"): one["stats"]["min"]
        for one in results["benchmarks"]
    }


def by_turns(sources: Path, options: list[str], package: str, mark: float) -> tuple[list[Row], str]:
    """Measure the base and the working tree in turn, longer where one seems lost; name the machine."""
    own = times(measure("base", sources, *options, *QUICK))
    base: Times = {}
    head: Times = {}
    for turn in range(1, MOST_TURNS + 1):
        measured = times(measure("base", ROOT, *options))
        if own.keys() - measured.keys():  # gone, or in a file that the base cannot import
            measured = times(measure("base", sources, *options)) | measured
        results = measure("head", ROOT, *options)
        base, head = least([base, measured]), least([head, times(results)])
        rows = compare(base, head, package, mark)
        if turn >= TURNS and not lost(rows):
            break
    machine = results["machine_info"]
    return rows, f"{machine['cpu']['brand_raw']}, Python {machine['python_version']}"


def picture(rows: list[Row], mark: float, machine: str, path: Path) -> None:
    """Draw the ratios, with lines for no change and for the mark."""
    drawn = [
        (f"{row.name}   {row.ratio:.2f}", row.ratio, COLOURS[row.verdict])
        for row in rows
        if row.ratio
    ]
    names, ratios, colours = zip(*drawn, strict=True)
    figure, panel = plt.subplots(figsize=(8, 1.2 + 0.35 * len(drawn)), layout="constrained")
    panel.barh(names, ratios, color=colours)
    panel.axvline(1, color="#404040", linewidth=1)
    panel.axvline(mark, color=COLOURS["slower"], linewidth=1, linestyle="dashed")
    panel.margins(x=0.15)
    panel.invert_yaxis()
    panel.tick_params(left=False)
    panel.spines[["top", "right", "left"]].set_visible(False)
    figure.supxlabel(f"time of head / time of base, dashed: the mark · {machine}", fontsize=8)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Compare, write table, chart and picture, and stop with a failure where something got slower."""
    parser = argparse.ArgumentParser(
        prog="nox --session compare --",
        description=__doc__,
        epilog="All other options go to pytest.",
        allow_abbrev=False,
    )
    parser.add_argument("package", help=argparse.SUPPRESS)
    parser.add_argument("base", help="a commit, a tag or a branch")
    parser.add_argument("--mark", type=float, default=1.3, help="the ratio that is too much: 1.3")
    asked, options = parser.parse_known_args()
    commit = commit_of(asked.base)
    REPORT.unlink(missing_ok=True)
    with checked_out(commit) as sources:
        install("base", sources)
        install("head", ROOT)
        rows, machine = by_turns(sources, options, asked.package, asked.mark)
    if not any(row.ratio for row in rows):
        sys.exit(
            f"No benchmark runs on both {asked.base} and the working tree: nothing to compare."
        )
    title = f"The working tree against {asked.base} ({commit[:9]}), on {machine}:"
    text = "\n".join([title, "", table(rows), chart(rows, asked.mark)])
    REPORT.write_text(text, encoding="utf-8")
    picture(rows, asked.mark, machine, REPORT.with_suffix(".png"))
    print(f"\n{text}\n{REPORT}\n{REPORT.with_suffix('.png')}")
    if slower := lost(rows):
        names = ", ".join(f"{row.name} takes {row.ratio:.2f} times" for row in slower)
        sys.exit(f"Slower than {asked.base}: {names} as long; the mark is {asked.mark:g}.")


if __name__ == "__main__":
    main()
