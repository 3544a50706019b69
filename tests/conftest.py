"""Fixtures: the template as it stands, and the projects that it renders."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from relocated import relocate

from releases import Releases, clone
from sandbox import Sandbox, Sandboxes, prepare
from template import Project, clean_environment, render, run, snapshot
from variants import VARIANTS

IDENTITY = {
    "GIT_AUTHOR_NAME": "Test",
    "GIT_AUTHOR_EMAIL": "test@example.org",
    "GIT_COMMITTER_NAME": "Test",
    "GIT_COMMITTER_EMAIL": "test@example.org",
}


def pytest_configure() -> None:
    """Commit under a name of the tests' own, as a machine's git need not have one, and let Ctrl-C reach what is run.

    What a shell has started in the background ignores Ctrl-C, and hands that on to all that it starts.
    """
    os.environ.update(IDENTITY)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how long each file took."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.partition("::")[0]] += report.duration
    terminalreporter.section("seconds by file")
    for file, duration in sorted(seconds.items(), key=lambda item: -item[1]):
        terminalreporter.write_line(f"{duration:7.1f}  {file}")


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the template as it stands in the working tree."""
    return snapshot(tmp_path_factory.mktemp("template"))


def new_project(source: Path, folder: Path, answers: dict[str, Any], target: Path) -> Project:
    """Render a project, with a repository of its own and the target folder that all projects share."""
    render(source, folder, answers)
    (folder / "target").symlink_to(target, target_is_directory=True)
    run("git", "init", "--quiet", "--initial-branch=main", cwd=folder)
    project = Project(folder, answers)
    project.commit("Begin")
    return project


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the one folder that cargo builds all projects in, so that pyo3 is compiled once for each set of features."""
    return tmp_path_factory.mktemp("target", numbered=False)


@pytest.fixture(scope="session", params=VARIANTS)
def variant(
    request: pytest.FixtureRequest, source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """Give each variant in turn; tests read it and build in it, and leave its tracked files as they are."""
    name = request.param
    project = new_project(source, tmp_path_factory.mktemp("variant") / name, VARIANTS[name], target)
    project.run("git", "tag", "v0.1.0")  # where git's tags hold the version, that of the others
    return project


@pytest.fixture
def default(source: Path, target: Path, tmp_path: Path) -> Project:
    """Give a default project that a test may change."""
    return new_project(source, tmp_path / "quickstats", {}, target)


@pytest.fixture(scope="module")
def shared(source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give one default project for a file of tests, so that each environment is made once."""
    project = new_project(source, tmp_path_factory.mktemp("shared") / "quickstats", {}, target)
    project.run("cargo", "generate-lockfile")
    project.commit("Lock")
    return project


@pytest.fixture
def project(shared: Project) -> Iterator[Project]:
    """Give the project of the file, and undo what a test plants in it."""
    yield shared
    shared.run("git", "reset", "--quiet", "--hard")
    shared.run("git", "clean", "--quiet", "--force", "-d")
    shared.run("rm", "-rf", "dist")


@pytest.fixture(scope="session")
def relocated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Give variables with a PATH on which a relocated Python comes first, as most people's is, who have it from uv."""
    folders = relocate(tmp_path_factory.mktemp("relocated") / "python")
    return {"PATH": os.pathsep.join([folders, clean_environment()["PATH"]])}


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    """Give a clone of the repository with its releases, and the working tree as the newest; tests leave it as it is."""
    return clone(tmp_path_factory.mktemp("releases") / "template")


@pytest.fixture(scope="session")
def sandboxes(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Sandboxes:
    """Give what makes sandboxes, for fixtures of a file; they share what is downloaded and compiled."""
    return prepare(tmp_path_factory.mktemp("sandbox", numbered=False), pytestconfig.cache.mkdir("tools"))


@pytest.fixture
def sandbox(sandboxes: Sandboxes) -> Sandbox:
    """Give a sandbox to one test."""
    return sandboxes.new()
