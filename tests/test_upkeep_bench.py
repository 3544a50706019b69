"""Does `nox -s compare` measure a base against the working tree, and fail if a benchmark is slower?"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
from conftest import new_project

from planting import append, replace
from sandbox import Sandboxes, lock
from template import ROOT, Project, import_file

SCRIPT = ROOT / "template" / "sessions" / "bench.py"
SLOWDOWN = replace(
    "src/py_summary.rs",
    "    let py = values.py();\n",
    "    let py = values.py();\n    std::thread::sleep(std::time::Duration::from_millis(60));\n",
)
FEWER_TURNS = replace("sessions/bench.py", "TURNS, MOST_TURNS = 3, 9", "TURNS, MOST_TURNS = 1, 2")
SHORT = {"PYTEST_ADDOPTS": "--benchmark-max-time=0.1"}
NEW = "def test_new(benchmark):\n    benchmark(len, 'abc')\n"
LIST = "bench_summary.py::test_list[summarize]"

# ---- A project that is built in no time: the session knows neither Rust nor maturin.

FILES = {
    "pyproject.toml": """
[build-system]
requires = ["flit_core>=3.12,<4"]
build-backend = "flit_core.buildapi"

[project]
name = "sample"
version = "0.1.0"
description = "A sample"

[dependency-groups]
bench = ["pytest", "pytest-benchmark"]
""",
    "noxfile.py": """
import sys

import nox

nox.options.default_venv_backend = "uv"
sys.path.insert(0, ".")
import sessions.bench
""",
    "sample.py": "from time import sleep\n\n\ndef slow():\n    sleep(0.001)\n\n\ndef same():\n    sleep(0.001)\n",
    "benches/bench_sample.py": """
import pytest
import sample

@pytest.mark.parametrize("name", ["slow", "same"])
def test_sample(benchmark, name):
    benchmark(getattr(sample, name))
""",
    "pytest.ini": "[pytest]\npython_files = bench_*.py\n",
    ".gitignore": "/.nox\n/target\n__pycache__\n",
}


@pytest.fixture
def sample(tmp_path: Path) -> Project:
    """Give a small project."""
    project = Project(tmp_path / "sample", {})
    for name, text in FILES.items():
        append(name, text)(project)
    (project.folder / "sessions").mkdir()
    shutil.copy(SCRIPT, project.folder / "sessions")
    project.run("git", "init", "--quiet", "--initial-branch=main")
    FEWER_TURNS(project)
    project.commit()
    return project


@pytest.fixture
def script(tmp_path: Path) -> ModuleType:
    """Import the session's file from a project that has nothing else."""
    (tmp_path / "target" / "compare").mkdir(parents=True)
    (tmp_path / "sessions").mkdir()
    path = shutil.copy(SCRIPT, tmp_path / "sessions")
    return import_file(path)


def ratios(text: str) -> dict[str, str]:
    """Read the last column of the table."""
    return dict(re.findall(r"(?m)^\| `([^`]+)` \| [\d.]* \| [\d.]* \| (\S+) \|$", text))


def test_median_turn_decides(script: ModuleType) -> None:
    times = {
        "same": {"base": [1.0, 1.0, 1.0], "head": [1.0, 9.0, 1.2]},  # one turn was disturbed
        "lucky": {"base": [1.0, 0.5, 1.0], "head": [1.0, 1.0, 1.0]},
        "slow": {"base": [1.0, 1.0, 2.0], "head": [1.4, 1.4, 2.0]},
        "fast": {"base": [2.0], "head": [1.0]},
        "new": {"base": [], "head": [1.0]},
        "removed": {"base": [1.0], "head": []},
    }
    assert script.report(times, 1.3) == ["slow takes 1.40 times as long"]
    assert script.report(times, 1.5) == []
    expected = {"same": "1.20", "lucky": "1.00", "slow": "1.40", "fast": "0.50", "new": "new", "removed": "removed"}
    assert ratios((script.OUT / "report.md").read_text("utf-8")) == expected


def compare(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the session with short measurements."""
    return project.run("nox", "--reuse-venv=yes", "--session", "compare", "--", *arguments, check=False, **SHORT)


@pytest.mark.slow
def test_slower_function_fails(sample: Project) -> None:
    replace("sample.py", "0.001", "0.01")(sample)
    append("benches/bench_new.py", NEW)(sample)
    done = compare(sample, "--threshold", "3")
    assert done.returncode, done.stdout
    assert re.search(r"error: slower than main: bench_sample.py::test_sample\[slow\] takes [\d.]+ times", done.stdout)
    shown = ratios(sample.read("target/compare/report.md"))
    assert float(shown["bench_sample.py::test_sample[slow]"]) > 5 > float(shown["bench_sample.py::test_sample[same]"])
    assert shown["bench_new.py::test_new"] == "new"
    # With a higher threshold, or without the slower function, nothing fails.
    for arguments in (("main", "--threshold", "10000"), ("HEAD", "--threshold", "3", "-k", "new or same")):
        done = compare(sample, *arguments)
        assert done.returncode == 0, done.stdout
    done = compare(sample, "missing")
    assert done.returncode and "invalid reference: missing" in done.stdout
    # The tree is as it was, and no checkout of the base is left.
    changed = sample.run("git", "status", "--porcelain").stdout.splitlines()
    assert changed == [" M sample.py", "?? benches/bench_new.py"]
    assert len(sample.run("git", "worktree", "list").stdout.splitlines()) == 1


@pytest.mark.slow
def test_executed_bench_shows_the_slowdown(sandboxes: Sandboxes, source: Path, target: Path, tmp_path: Path) -> None:
    project = new_project(source, tmp_path / "quickstats", {"upkeep": ["bench"]}, target)
    replace("Cargo.toml", 'lto = "fat"\ncodegen-units = 1', "opt-level = 0")(project)
    FEWER_TURNS(project)
    lock(project)
    project.run("git", "switch", "--quiet", "--create", "slowdown")
    SLOWDOWN(project)
    project.commit("Slow down")
    outcome = sandboxes.new().act(project, "bench", "pull_request", environment=SHORT)
    assert (outcome.results, outcome.missing) == ({"compare": "failure"}, set()), outcome.log
    assert float(ratios(outcome.summary)[LIST]) > 2
