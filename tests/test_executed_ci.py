"""Does ci.yml run green from a fresh clone, and red on each fault? In the sandbox, on a default project."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import new_project
from test_gates import FAULTS

from planting import Plant, append
from sandbox import LABEL, Sandbox, Sandboxes, available, llvm_tools, lock
from template import Project, facts, missing_tool
from workflows import workflows

pytestmark = pytest.mark.slow

ALWAYS = {"list the sessions": "success", "check": "success"}
RED = {**ALWAYS, "check": "failure"}

# What runs on the service alone: jobs of ci.yml by name, and why they cannot run here.
NOT_HERE = {
    "on macos-15": "needs macOS",
    "on windows-2025": "needs Windows",
    "test-3.14t on": "needs the free-threaded Python 3.14",
    "test-3.15t on": "needs the free-threaded Python 3.15",
}


@pytest.fixture(scope="module")
def sandbox(sandboxes: Sandboxes) -> Sandbox:
    """Give one sandbox to all tests, with what is compiled in it."""
    return sandboxes.new()


@pytest.fixture(scope="module")
def locked(source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a project with its locks, to clone."""
    return lock(new_project(source, tmp_path_factory.mktemp("ci") / "quickstats", {}, target))


@pytest.fixture
def project(locked: Project, tmp_path: Path) -> Project:
    """Give a fresh clone, to plant a fault in."""
    return locked.clone(tmp_path / "quickstats")


def jobs_that_test(project: Project) -> set[str]:
    """Name the jobs that test on every Python and every system."""
    listed = json.loads(project.run("nox", "--list-sessions", "--json", "--session", "test").stdout)
    strategy = workflows(project.folder)["ci"].jobs["test"]["strategy"]
    return {f"{session['session']} on {system}" for session in listed for system in strategy["matrix"]["system"]}


# ---- Green.


def test_it_is_green_on_every_python_that_is_here(sandbox: Sandbox, project: Project) -> None:
    here = {f"test-{python}" for python in sandbox.pythons}
    one = ["lint", "stubs", "lowest", "highest", *(["coverage"] if llvm_tools() else [])]
    outcome = sandbox.act(project, "ci", matrix={"session": [*one, *here]})
    run = {f"{session} on {LABEL}" for session in here} & jobs_that_test(project)
    assert outcome.results == {**ALWAYS, **dict.fromkeys([*one, *run], "success")}, outcome.log
    assert ("src/summary.rs" in outcome.summary) == ("coverage" in one)


def test_what_cannot_run_here_is_known(project: Project) -> None:
    left = {name for name in jobs_that_test(project) if not any(part in name for part in NOT_HERE)}
    assert left == {f"test-{python} on {LABEL}" for python in facts()["pythons"] if python >= project.answer("python")}


def test_every_python_is_here() -> None:
    if missing := set(facts()["pythons"]) - set(available()):
        missing_tool(f"there is no Python {', '.join(sorted(missing))} here", "NO_NEWER_PYTHONS")


def test_the_tools_that_count_lines_are_here() -> None:
    if not llvm_tools():
        missing_tool("there are no llvm-profdata and llvm-cov here that are as new as rustc", "NO_LLVM_TOOLS")


def test_a_missing_python_is_red_and_not_passed_over(sandbox: Sandbox, project: Project) -> None:
    outcome = sandbox.act(project, "ci", matrix={"session": "test-3.14t"})
    assert outcome.results == {**RED, f"test-3.14t on {LABEL}": "failure"}
    assert "Python interpreter 3.14t not found" in outcome.log


# ---- A pull request.


def test_documents_alone_build_nothing(sandbox: Sandbox, project: Project) -> None:
    project.run("git", "switch", "--quiet", "--create", "words")
    append("README.md", "\nMore words.\n")(project)
    project.commit("Explain")
    outcome = sandbox.act(project, "ci", "pull_request", base="main")
    assert outcome.results == {**ALWAYS, "lint": "success"}
    assert outcome.missing == {"test"}


# ---- Red.

PLANTED: dict[str, tuple[str, Plant, str]] = {
    **{name: FAULTS[name] for name in ("a conflict marker", "a clippy warning", "a stale stub", "a failing Rust test")},
    "a failing Python test": ("test-3.13", *FAULTS["a failing Python test"][1:]),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_it_turns_red_on(fault: str, sandbox: Sandbox, project: Project) -> None:
    session, plant, message = PLANTED[fault]
    plant(project)
    project.commit("Plant")
    outcome = sandbox.act(project, "ci", matrix={"session": session})
    name = f"{session} on {LABEL}" if session.startswith("test-") else session
    assert outcome.results == {**RED, name: "failure"}
    assert message in outcome.logs[name]
