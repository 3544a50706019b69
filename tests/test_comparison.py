"""Is a base measured against the working tree, and does what got slower turn the comparison red?"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from conftest import new_project

from planting import append, replace
from sandbox import Outcome, Sandbox, Sandboxes, lock
from template import ROOT, Project, render

slow = pytest.mark.slow
BENCHES = ROOT / "template" / "benches"
LIST = "bench_summary.py::test_list[quickstats]"
OTHER = "bench_summary.py::test_list[statistics]"
SLOWDOWN = replace(
    "src/summary.rs",
    "    pub fn of(values: &[f64]) -> Self {\n",
    "    pub fn of(values: &[f64]) -> Self {\n"
    "        for _ in 0..200 {\n"
    "            std::hint::black_box(Self::of_chunk(std::hint::black_box(values)));\n"
    "        }\n",
)


# ---- The verdict.


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    """Import the project's own module, which finds its neighbour on the path."""
    specification = importlib.util.spec_from_file_location("comparison", BENCHES / "comparison.py")
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules["comparison"] = module  # dataclasses look themselves up
    sys.path.insert(0, str(BENCHES))
    specification.loader.exec_module(module)
    yield module
    sys.path.remove(str(BENCHES))
    del sys.modules["comparison"]


def test_the_least_of_all_turns_counts(tool: ModuleType) -> None:
    assert tool.least([{"a": 3.0, "b": 1.0}, {"a": 2.0}, {"a": 5.0, "b": 4.0}]) == {"a": 2.0, "b": 1.0}


@pytest.mark.parametrize(
    ("base", "head", "verdict"),
    [
        ({"a": 1.0}, {"a": 1.31}, "slower"),
        ({"a": 1.0}, {"a": 1.3}, "as before"),
        ({"a": 1.3}, {"a": 1.0}, "as before"),
        ({"a": 1.31}, {"a": 1.0}, "faster"),
        ({}, {"a": 1.0}, "new"),
        ({"a": 1.0}, {}, "gone"),
    ],
)
def test_a_benchmark_is_judged(tool: ModuleType, base: dict[str, float], head: dict[str, float], verdict: str) -> None:
    (row,) = tool.compare(base, head, "quickstats", 1.3)
    assert row.verdict == verdict
    assert (row.ratio is None) is (verdict in ("new", "gone"))


def test_the_mark_can_be_moved(tool: ModuleType) -> None:
    (row,) = tool.compare({"a": 1.0}, {"a": 1.31}, "quickstats", 1.4)
    assert row.verdict == "as before"


@pytest.mark.parametrize(
    ("names", "judged"),
    [
        (["test_a[quickstats]", "test_a[NumPy]"], ["test_a[quickstats]"]),
        (["test_a[quickstats, one thread]", "test_a[statistics]"], ["test_a[quickstats, one thread]"]),
        (["test_a[10]", "test_a[100]", "test_b"], ["test_a[10]", "test_a[100]", "test_b"]),
        (["test_a[quickstats]", "test_b[NumPy]"], ["test_a[quickstats]", "test_b[NumPy]"]),
    ],
)
def test_what_others_wrote_is_not_judged(tool: ModuleType, names: list[str], judged: list[str]) -> None:
    rows = tool.compare(dict.fromkeys(names, 1.0), dict.fromkeys(names, 9.0), "quickstats", 1.3)
    assert {row.name: row.verdict for row in rows} == {
        name: "slower" if name in judged else "not ours" for name in names
    }


BEFORE = {"test_a[quickstats]": 0.001, "test_a[x|y]": 0.5, "test_b": 0.002}
NOW = {"test_a[quickstats]": 0.0025, "test_a[x|y]": 0.5, "test_c": 3e-7}


def test_the_table_shows_each_benchmark(tool: ModuleType) -> None:
    assert tool.table(tool.compare(BEFORE, NOW, "quickstats", 1.3)).splitlines() == [
        "| benchmark | base | head | head / base | verdict |",
        "|---|---:|---:|---:|---|",
        "| `test_a[quickstats]` | 1 ms | 2.5 ms | 2.50 | **slower** |",
        r"| `test_a[x\|y]` | 500 ms | 500 ms | 1.00 | not ours |",
        "| `test_b` | 2 ms |  |  | gone |",
        "| `test_c` |  | 300 ns |  | new |",
    ]


def test_the_chart_shows_the_ratios_of_what_is_judged(tool: ModuleType) -> None:
    lines = tool.chart(tool.compare(BEFORE, NOW, "quickstats", 1.3), 1.3).splitlines()
    assert (lines[0], lines[-1]) == ("```mermaid", "```")
    assert [line.strip() for line in lines[2:-1]] == [
        "xychart-beta horizontal",
        'title "time of head / time of base: 1 is no change, above 1.3 is slower"',
        'x-axis ["test_a[quickstats]"]',
        'y-axis "head / base" 0 --> 2.75',
        "bar [2.50]",
    ]


def test_a_quote_does_not_end_a_name_in_the_chart(tool: ModuleType) -> None:
    assert """x-axis ["test_a['x']"]""" in tool.chart(
        tool.compare({'test_a["x"]': 1.0}, {'test_a["x"]': 1.0}, "q", 2), 2
    )


def test_where_nothing_is_in_both_there_is_no_chart(tool: ModuleType) -> None:
    assert tool.chart(tool.compare({"a": 1.0}, {"b": 1.0}, "quickstats", 1.3), 1.3) == ""


# ---- The session.


def compare(project: Project, base: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Compare as the recipe does, in little time."""
    command = ("nox", "--reuse-venv=yes", "--session", "compare", "--", base, "--benchmark-max-time=0.1")
    return project.run(*command, *options, check=False)


def verdicts(project: Project) -> dict[str, str]:
    """Read the verdicts out of the table."""
    lines = project.read("target/compare/comparison.md").splitlines()
    rows = [[cell.strip(" `*") for cell in line.split("|")] for line in lines if line.startswith("| `")]
    return {row[1]: row[5] for row in rows}


@slow
def test_what_has_not_changed_is_green_and_the_checkout_is_left_alone(project: Project) -> None:
    project.run("git", "update-ref", "refs/remotes/origin/elsewhere", "HEAD")  # as in a clone of another branch
    done = compare(project, "elsewhere")
    assert done.returncode == 0, done.stdout
    assert verdicts(project) == {LIST: "as before", OTHER: "not ours"}
    assert "xychart-beta" in project.read("target/compare/comparison.md")
    assert (project.folder / "target/compare/comparison.png").read_bytes().startswith(b"\x89PNG")
    assert project.run("git", "status", "--porcelain").stdout == ""
    assert len(project.run("git", "worktree", "list").stdout.splitlines()) == 1


@slow
def test_a_planted_slowdown_is_red_and_names_the_benchmark(project: Project) -> None:
    SLOWDOWN(project)
    done = compare(project, "main")
    assert done.returncode != 0
    assert f"Slower than main: {LIST} takes " in done.stdout, done.stdout
    assert verdicts(project) == {LIST: "slower", OTHER: "not ours"}
    assert done.stdout.count("\nhead: ") == 9
    done = compare(project, "main", "--mark=1000")
    assert done.returncode == 0, done.stdout


NOISE = """
import sys
import time
from pathlib import Path

SIDE = Path(sys.prefix)
TURNS = SIDE.parent / f"{SIDE.name}-turns"


def test_pause(benchmark):
    with TURNS.open("a") as file:
        file.write("turn ")
    noisy = SIDE.name == "head" and len(TURNS.read_text().split()) <= 4
    benchmark(time.sleep, 0.02 if noisy else 0.002)
"""


@slow
def test_what_is_slower_for_a_while_is_measured_again(project: Project) -> None:
    append("benches/bench_noise.py", NOISE)(project)
    done = compare(project, "main", "-k", "pause")
    assert done.returncode == 0, done.stdout
    assert verdicts(project) == {"bench_noise.py::test_pause": "as before"}
    assert done.stdout.count("\nhead: ") == 5


@slow
def test_a_slowdown_that_is_undone_is_faster(project: Project) -> None:
    SLOWDOWN(project)
    project.commit("Slow down")
    project.run("git", "tag", "slow")
    project.run("git", "reset", "--quiet", "--hard", "HEAD~1")
    done = compare(project, "slow")
    assert done.returncode == 0, done.stdout
    assert verdicts(project) == {LIST: "faster", OTHER: "not ours"}


NEW = "import quickstats\n\n\ndef test_name(benchmark):\n    benchmark(len, quickstats.__name__)\n"
CALL = "\n\ndef test_twice(benchmark: BenchmarkFixture) -> None:\n    benchmark(twice, 2)\n"


@slow
def test_what_came_and_what_went_is_shown_and_all_else_compared(project: Project) -> None:
    append("benches/bench_old.py", NEW)(project)
    project.commit("Measure more")
    project.run("git", "tag", "more")
    (project.folder / "benches" / "bench_old.py").unlink()
    append("python/quickstats/__init__.py", "\n\ndef twice(number):\n    return 2 * number\n")(project)
    # Now the base cannot import the file at all.
    replace("benches/bench_summary.py", "import summarize\n", "import summarize, twice\n")(project)
    append("benches/bench_summary.py", CALL)(project)
    done = compare(project, "more")
    project.run("git", "reset", "--quiet", "--hard", "more~1")
    assert done.returncode == 0, done.stdout
    expected = {"bench_old.py::test_name": "gone", "bench_summary.py::test_twice": "new"}
    assert verdicts(project) == {**expected, LIST: "as before", OTHER: "not ours"}


@slow
@pytest.mark.parametrize(
    ("base", "sentence"),
    [
        ("nothing-of-that-name", "Nothing here is called 'nothing-of-that-name': give a commit, a tag or a branch."),
        ("empty", "The base is from before there was a Cargo.toml here"),
    ],
)
def test_a_base_that_cannot_be_built_is_refused(project: Project, base: str, sentence: str) -> None:
    tree = project.run("git", "hash-object", "-t", "tree", "--stdin", "-w").stdout.strip()
    project.run("git", "tag", "--force", "empty", project.run("git", "commit-tree", "-m", "Begin", tree).stdout.strip())
    done = compare(project, base)
    assert done.returncode != 0
    assert sentence in done.stdout, done.stdout
    assert len(project.run("git", "worktree", "list").stdout.splitlines()) == 1


@slow
def test_where_nothing_can_be_compared_the_session_fails(project: Project) -> None:
    (project.folder / "benches" / "bench_summary.py").unlink()
    project.commit("Measure nothing")
    project.run("git", "tag", "none")
    project.run("git", "reset", "--quiet", "--hard", "HEAD~1")
    append("python/quickstats/__init__.py", "\n\nTWO = 2\n")(project)
    replace("benches/bench_summary.py", "import summarize\n", "import TWO, summarize\n")(project)
    done = compare(project, "none")
    assert done.returncode != 0
    assert "No benchmark runs on both none and the working tree" in done.stdout, done.stdout


@slow
def test_a_workspace_is_compared_with_the_one_package_that_it_was(source: Path, target: Path, tmp_path: Path) -> None:
    before = new_project(source, tmp_path / "quickstats", {"layout": "pure", "version": "git"}, target)
    before.run("git", "rm", "--quiet", "-r", "--ignore-unmatch", ".")
    answers = {"layout": "workspace", "version": "git"}
    render(source, before.folder, answers)
    done = compare(before, "main")
    assert done.returncode == 0, done.stdout
    assert verdicts(before) == {LIST: "as before", OTHER: "not ours"}


# ---- The workflow, for real.


@pytest.fixture(scope="module")
def sandbox(sandboxes: Sandboxes) -> Sandbox:
    """Give one sandbox to both runs."""
    return sandboxes.new()


@pytest.fixture(scope="module")
def proposed(source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Project]:
    """Give what makes a project with a branch, in which a change is committed."""
    made = lock(new_project(source, tmp_path_factory.mktemp("bench") / "quickstats", {}, target))

    def propose(branch: str, change: Callable[[Project], None]) -> Project:
        made.run("git", "switch", "--quiet", "--create", branch, "main")
        change(made)
        made.commit(branch)
        return made

    return propose


def shown(outcome: Outcome) -> str:
    """Give the verdict that the summary of a run has of the package's own benchmark."""
    (line,) = (line for line in outcome.summary.splitlines() if line.startswith(f"| `{LIST}`"))
    assert "```mermaid\n" in outcome.summary
    assert {path.name for path in (outcome.artifacts / "comparison").iterdir()} == {"comparison.md", "comparison.png"}
    return line.split("|")[-2].strip()


@slow
def test_executed_bench_is_green_for_what_costs_nothing(sandbox: Sandbox, proposed: Callable[..., Project]) -> None:
    project = proposed("comment", append("README.md", "\nIt is quick.\n"))
    outcome = sandbox.act(project, "bench", "pull_request")
    assert (outcome.results, outcome.missing) == ({"compare": "success"}, set()), outcome.log
    assert shown(outcome) == "as before"


@slow
def test_executed_bench_is_red_for_a_slowdown(sandbox: Sandbox, proposed: Callable[..., Project]) -> None:
    project = proposed("slowdown", SLOWDOWN)
    outcome = sandbox.act(project, "bench", "pull_request")
    assert (outcome.results, outcome.missing) == ({"compare": "failure"}, set()), outcome.log
    assert f"{LIST} takes " in outcome.log
    assert shown(outcome) == "**slower**"


@slow
def test_executed_bench_takes_a_base_by_hand(sandbox: Sandbox, proposed: Callable[..., Project]) -> None:
    project = proposed("by-hand", SLOWDOWN)
    outcome = sandbox.act(project, "bench", "workflow_dispatch", inputs={"base": "main"})
    assert (outcome.results, outcome.missing) == ({"compare": "failure"}, set()), outcome.log
    assert "Slower than main: " in outcome.log
    assert shown(outcome) == "**slower**"
