"""Measure a base and the working tree alternately; fail if a benchmark is slower."""

import argparse
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import nox

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "target" / "compare"
TURNS, MOST_TURNS = 3, 9  # more than three only while a benchmark seems slower
Times = dict[str, dict[str, list[float]]]  # seconds of each benchmark, side and turn


@nox.session
def compare(session: nox.Session) -> None:
    """Compare with a commit, tag or branch: `-- [BASE] [--threshold RATIO] [PYTEST…]`."""
    parser = argparse.ArgumentParser(prog="nox -s compare --", allow_abbrev=False)
    parser.add_argument("base", nargs="?", default="main")
    parser.add_argument("--threshold", type=float, default=1.3, metavar="RATIO")
    asked, options = parser.parse_known_args(session.posargs)
    session.install("--group=bench")
    times, slower, turn = Times(), [""], 0
    with check_out(session, asked.base) as base:
        sides = {"base": base, "head": ROOT}
        for side, tree in sides.items():
            build = ("--reinstall", "-C", f"build-args=--target-dir '{OUT / side}'")
            session.install(f"--target={OUT / 'site' / side}", *build, str(tree))
        while turn < TURNS or (slower and turn < MOST_TURNS):
            turn += 1
            for side, tree in sides.items():
                measure(session, side, tree, times, *options)
            slower = report(times, asked.threshold)
    print((OUT / "report.md").read_text("utf-8"))
    if slower:
        session.error(f"error: slower than {asked.base}: {', '.join(slower)}")
    if not any(all(found.values()) for found in times.values()):
        session.error(f"error: no benchmark runs in both {asked.base} and the tree")


@contextmanager
def check_out(session: nox.Session, base: str) -> Iterator[Path]:
    """Check the base out, outside the tree: below it, cargo would use the tree's workspace."""
    git = ("git", "-c", "core.hooksPath=/dev/null")
    prefix = session.run(*git, "rev-parse", "--show-prefix", external=True, silent=True)
    with tempfile.TemporaryDirectory() as folder:
        session.run(*git, "worktree", "add", "-q", "--detach", folder, base, external=True)
        try:
            yield Path(folder, str(prefix).strip())
        finally:
            session.run(*git, "worktree", "remove", "--force", folder, external=True)


def measure(session: nox.Session, side: str, tree: Path, times: Times, *options: str) -> None:
    """Run the benches of a tree with its own build; the shortest time is least disturbed."""
    results, env = OUT / f"{side}.json", {"PYTHONPATH": str(OUT / "site" / side)}
    command = ("pytest", "benches", "--quiet", "--benchmark-quiet", f"--benchmark-json={results}")
    with session.chdir(tree):  # the base may have benches that fail: they are not compared
        codes = range(6 if side == "base" else 1)
        session.run(*command, *options, env=env, success_codes=codes)
    for each in json.loads(results.read_text("utf-8") or '{"benchmarks": []}')["benchmarks"]:
        name = each["fullname"].removeprefix("benches/").replace("|", "/")  # | ends a cell
        times.setdefault(name, {"base": [], "head": []})[side].append(each["stats"]["min"])


def report(times: Times, threshold: float) -> list[str]:
    """Write the table to report.md, and return what is slower by the median of the turns."""
    table, slower = ["| benchmark | base, µs | head, µs | head / base |", "|---|--:|--:|--:|"], []
    for name, found in sorted(times.items()):
        pairs = zip(found["base"], found["head"], strict=False)
        ratio = median([head / base for base, head in pairs] or [0])
        cells = [f"{1e6 * median(seconds):.2f}" if seconds else "" for seconds in found.values()]
        verdict = f"{ratio:.2f}" if ratio else "new" if found["head"] else "removed"
        table.append(f"| `{name}` | {' | '.join(cells)} | {verdict} |")
        if ratio > threshold:
            slower.append(f"{name} takes {ratio:.2f} times as long")
    (OUT / "report.md").write_text("\n".join([*table, "", *slower, ""]), encoding="utf-8")
    return slower
