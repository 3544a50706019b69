"""Does `upkeep: nightly` test other versions, and open one issue while it fails?"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import new_project

from checks import plant
from planting import append
from sandbox import COMMANDS, Sandboxes, lock
from template import ROOT, Project, facts, run
from workflows import workflows

slow = pytest.mark.slow
FILES = workflows(ROOT / "template")
TITLE = "The nightly run fails"


# ---- What the files say.


def test_next_python_is_tested() -> None:
    following = f"3.{int(facts()['pythons'][-1].partition('.')[2]) + 1}"
    rows = FILES["nightly"].jobs["test"]["strategy"]["matrix"]["include"]
    assert [(row["name"], row["python"]) for row in rows if "python" in row] == [(f"Python {following}", following)]
    jobs = yaml.safe_load((ROOT / "template" / ".gitlab" / "nightly.yml").read_text("utf-8"))
    assert jobs["next-python"]["variables"]["PYTHON"] == following


@pytest.mark.parametrize("name", ["nightly", "audit", "template"])
def test_schedules_avoid_round_minutes(name: str) -> None:
    (clock,) = FILES[name].tree["on"]["schedule"]
    assert int(clock["cron"].split()[0]) % 5, "the service is busiest then, and drops what it cannot start"


# ---- The step that reports.


class Desk:
    """Runs the step of nightly.yml that reports, with a stand-in for GitHub's command."""

    def __init__(self, folder: Path) -> None:
        """Make the folders."""
        self.folder, self.github = folder, folder / "github"
        for name in ("bin", "github"):
            (folder / name).mkdir(parents=True)
        self.gh = folder / "bin" / "gh"
        self.gh.symlink_to(COMMANDS / "gh.py")

    def report(self, result: str) -> None:
        """Report that the jobs ended so."""
        (step,) = FILES["nightly"].jobs["report"]["steps"]
        variables = {
            "GH_REPO": "example/quickstats",
            "GH_TOKEN": "a",
            "RESULT": result,
            "RUN": "https://a",
            "TITLE": TITLE,
        }
        assert variables.keys() == step["env"].keys()
        command = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"])
        path = f"PATH={self.gh.parent}:/usr/bin:/bin"
        run("env", path, *command, cwd=self.folder, check=True, SANDBOX_GITHUB=str(self.github), **variables)

    def keep(self, *issues: dict[str, Any]) -> None:
        """Write issues."""
        (self.github / "issues.json").write_text(json.dumps(issues))

    def states(self) -> list[tuple[str, str]]:
        """Give title and state of each issue."""
        return [(issue["title"], issue["state"]) for issue in kept(self.github)]


def kept(folder: Path) -> list[dict[str, Any]]:
    """Read the issues."""
    file = folder / "issues.json"
    return list(json.loads(file.read_text("utf-8"))) if file.exists() else []


def issue(title: str, state: str = "OPEN") -> dict[str, Any]:
    """Make an issue."""
    return {"number": 7, "title": title, "body": "", "state": state, "labels": [], "comments": [], "url": "a"}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Give a desk to one test."""
    return Desk(tmp_path / "desk")


def test_one_issue_stays_open_until_success(desk: Desk) -> None:
    for result, expected in (
        ("success", []),
        ("failure", [(TITLE, "OPEN")]),
        ("failure", [(TITLE, "OPEN")]),
        ("skipped", [(TITLE, "OPEN")]),
        ("success", [(TITLE, "CLOSED")]),
        ("success", [(TITLE, "CLOSED")]),
        ("cancelled", [(TITLE, "CLOSED"), (TITLE, "OPEN")]),
    ):
        desk.report(result)
        assert desk.states() == expected
    first = kept(desk.github)[0]
    assert (first["body"], first["comments"]) == ("https://a", [{"body": "All jobs succeed: https://a"}])


def test_other_issues_are_left_alone(desk: Desk) -> None:
    desk.keep(issue("The nightly run fails on my machine"))
    desk.report("success")
    desk.report("failure")
    assert desk.states() == [("The nightly run fails on my machine", "OPEN"), (TITLE, "OPEN")]


def test_unreachable_service_opens_no_issue(desk: Desk) -> None:
    desk.keep(issue(TITLE))
    desk.gh.unlink()
    desk.gh.write_text(f'#!/bin/sh\ncase "$*" in issue\\ list*) exit 1 ;; esac\nexec {COMMANDS}/gh.py "$@"\n')
    desk.gh.chmod(0o755)
    with pytest.raises(AssertionError, match="exited with"):
        desk.report("failure")
    assert desk.states() == [(TITLE, "OPEN")]


# ---- The sessions.


# A project that is compiled in no time: a program, in place of a module.
FILES_OF_SAMPLE = {
    "pyproject.toml": """
[build-system]
requires = ["maturin>=1.9,<2"]
build-backend = "maturin"

[project]
name = "sample"
dynamic = ["version"]
requires-python = ">=3.11"
classifiers = ["Programming Language :: Python :: 3.11"]
dependencies = ["packaging>=24.0"]

[dependency-groups]
nightly = ["maturin"]
test = ["pytest>=9.2"]

[tool.maturin]
bindings = "bin"
""",
    "Cargo.toml": """
[package]
name = "sample"
version = "0.1.0"
edition = "2024"

[dependencies]
indexmap = "2.0"
""",
    "src/main.rs": """
fn main() {
    indexmap::IndexMap::new().insert_sorted(1, 2); // since indexmap 2.3
}
""",
    "tests/test_planted.py": """
from packaging.licenses import canonicalize_license_expression  # since packaging 24.2


def test_planted():
    assert canonicalize_license_expression("mit") == "MIT"
""",
    "noxfile.py": """
import sys

import nox

nox.options.default_venv_backend = "uv"
sys.path.insert(0, ".")
import sessions.nightly
""",
    ".gitignore": "/.nox\n/target\n__pycache__\n",
}


@slow
def test_wrong_bounds_fail(tmp_path: Path) -> None:
    project = Project(tmp_path / "sample", {})
    for name, text in FILES_OF_SAMPLE.items():
        append(name, text)(project)
    (project.folder / "sessions").mkdir()
    shutil.copy(ROOT / "template" / "sessions" / "nightly.py", project.folder / "sessions")
    project.run("cargo", "generate-lockfile", "--quiet")
    project.run("cargo", "update", "--quiet", "--precise=2.3.0", "indexmap")
    project.run("git", "init", "--quiet")
    project.commit()
    assert "no method named `insert_sorted` found" in nox(project, "lowest", succeeds=False)

    plant(project.folder, "Cargo.toml", '"2.0"', '"2.3"')
    output = nox(project, "lowest", succeeds=False)
    assert " + packaging==24.0" in output
    assert "No module named 'packaging.licenses'" in output

    nox(project, "highest")
    locks = [project.read(f"{folder}Cargo.lock") for folder in ("", "target/nightly/source/")]
    old, new = (re.findall(r'name = "indexmap"\nversion = "(.+)"', text) for text in locks)
    assert old == ["2.3.0"] != new
    assert project.run("git", "status", "--porcelain").stdout.split() == ["M", "Cargo.toml"]


@slow
def test_fresh_project_passes_with_lowest_versions(source: Path, target: Path, tmp_path: Path) -> None:
    project = new_project(source, tmp_path / "quickstats", {"upkeep": ["nightly"]}, target)
    nox(project, "lowest")


def nox(project: Project, session: str, succeeds: bool = True) -> str:
    """Run a session, and give what it prints."""
    done = project.run("nox", "--reuse-venv=yes", "--session", session, check=False)
    assert (done.returncode == 0) is succeeds, done.stdout
    return done.stdout


# ---- Executed.


@slow
def test_failing_jobs_open_one_issue(source: Path, target: Path, sandboxes: Sandboxes, tmp_path: Path) -> None:
    sandbox = sandboxes.new(pythons=("3.11",))
    project = new_project(source, tmp_path / "quickstats", {"upkeep": ["nightly"]}, target)
    lock(project)
    stable = sandbox.shared / "toolchains" / "stable"
    if not stable.exists():
        stable.symlink_to("default")
    chosen = ["Rust beta", "Python 3.16"]  # neither is on this machine
    outcome = sandbox.act(project, "nightly", "schedule", matrix={"name": chosen})
    expected = {"Rust beta": "failure", "Python 3.16": "failure", "report": "success"}
    assert outcome.results == expected, outcome.log
    assert "the toolchain 'beta' is not here" in outcome.logs["Rust beta"]
    assert "3.16 not found" in outcome.logs["Python 3.16"]
    assert [(each["title"], each["state"]) for each in kept(sandbox.github)] == [(TITLE, "OPEN")]


@slow
def test_schedule_does_nothing_in_a_fork(source: Path, target: Path, sandboxes: Sandboxes, tmp_path: Path) -> None:
    project = new_project(source, tmp_path / "quickstats", {"upkeep": ["nightly"]}, target)
    repository = {"name": "quickstats", "full_name": "example/quickstats", "owner": {"login": "example"}, "fork": True}
    outcome = sandboxes.new(pythons=("3.11",)).act(project, "nightly", "schedule", payload={"repository": repository})
    assert (outcome.results, outcome.status) == ({}, 0), outcome.log
