"""Do ci.yml and notices.yml succeed from a fresh clone, and fail when a part of them fails? In the sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import new_project

from planting import Plant, append
from sandbox import LABEL, Sandbox, Sandboxes, available, lock, only_pythons
from template import Project, facts, missing_tool
from workflows import matrix, workflows

pytestmark = pytest.mark.slow

TEST = f"test on {LABEL}"
GREEN = dict.fromkeys(["changes", "lint", TEST, "check"], "success")
# What cannot run here: jobs of ci.yml, and why.
NOT_HERE = {"macos-15": "needs macOS", "windows-2025": "needs Windows"}

# Sessions that build nothing, for faults in the workflow and not in what it calls.
QUICK = """

@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    pass


@nox.session(venv_backend="none")
def stubs(session: nox.Session) -> None:
    pass


@nox.session(venv_backend="none")
def test(session: nox.Session) -> None:
    pass
"""


@pytest.fixture(scope="module")
def sandbox(sandboxes: Sandboxes) -> Sandbox:
    """Give one sandbox, with the lowest and the highest Python of this machine."""
    return sandboxes.new(tuple(dict.fromkeys((available()[0], available()[-1]))))


@pytest.fixture(scope="module")
def locked(sandbox: Sandbox, source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a project with its lock files, for the Pythons of the sandbox."""
    project = new_project(source, tmp_path_factory.mktemp("ci") / "quickstats", {}, target)
    only_pythons(project, *sandbox.pythons)
    return lock(project)


@pytest.fixture
def project(locked: Project, tmp_path: Path) -> Project:
    """Give a clone, to plant a fault in."""
    return locked.clone(tmp_path / "quickstats")


def test_ci_is_green(sandbox: Sandbox, project: Project) -> None:
    outcome = sandbox.act(project, "ci")
    assert outcome.results == GREEN, outcome.log
    for python in sandbox.pythons:
        assert f"Running session test-{python}" in outcome.logs[TEST]


def test_systems_that_cannot_run_are_known(project: Project) -> None:
    assert matrix(workflows(project.folder)["ci"].jobs["test"], "system") == {LABEL, *NOT_HERE}


def test_every_python_is_here() -> None:
    if missing := set(facts()["pythons"]) - set(available()):
        missing_tool(f"there is no Python {', '.join(sorted(missing))} here", "NO_NEWER_PYTHONS")


def test_documents_alone_start_two_jobs(sandbox: Sandbox, project: Project) -> None:
    project.run("git", "switch", "--quiet", "--create", "words")
    append("README.md", "\nMore words.\n")(project)
    project.commit("Explain")
    outcome = sandbox.act(project, "ci", "pull_request")
    assert outcome.results == {"changes": "success", "check": "success"}
    assert outcome.missing == {"lint", "test"}


@pytest.mark.parametrize(
    ("fault", "failed", "skipped"),
    [
        (append("noxfile.py", QUICK.replace("pass\n", 'session.error("planted")\n')), {"lint", TEST}, set()),
        (append("noxfile.py", "\nimport nothing\n"), {"changes"}, {"lint", "test"}),
        (append("README.md", "\n<<<<<<< before updating\n"), {"changes"}, {"lint", "test"}),
    ],
    ids=["a session", "the list of sessions", "a conflict marker"],
)
def test_check_fails_with(
    fault: Plant, failed: set[str], skipped: set[str], sandbox: Sandbox, project: Project
) -> None:
    fault(project)
    project.commit("Plant")
    outcome = sandbox.act(project, "ci")
    assert {name for name, result in outcome.results.items() if result == "failure"} == {*failed, "check"}, outcome.log
    assert outcome.missing == skipped


def test_notices_are_green_until_a_crate_is_added(sandbox: Sandbox, source: Path, target: Path, tmp_path: Path) -> None:
    project = lock(new_project(source, tmp_path / "quickstats", {"upkeep": ["notices"]}, target))
    assert sandbox.act(project, "notices", "workflow_dispatch").results == {"notices": "success"}
    project.run("cargo", "add", "--quiet", "itoa")
    project.commit("Add a crate")
    outcome = sandbox.act(project, "notices", "workflow_dispatch")
    assert outcome.results == {"notices": "failure"}
    assert "LICENSE-THIRD-PARTY is not up to date" in outcome.log
