"""Does `nox -s bump` raise the version everywhere, or change nothing and say why?"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import new_project
from packaging.version import Version

from template import Project, clean_environment, import_file, run

pytestmark = pytest.mark.slow

ADDRESS = "https://github.com/example/quickstats"
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}  # 2023-11-14
KINDS: dict[str, dict[str, Any]] = {"cargo": {}, "git": {"version": "git"}, "workspace": {"layout": "workspace"}}
Plant = Callable[[Project], object]


@pytest.fixture(scope="module")
def originals(source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Project]:
    """Give one locked project of each kind, to be copied, and the environments of nox beside them."""
    folder = tmp_path_factory.mktemp("bump")
    (folder / "nox").mkdir()
    projects = {}
    for kind, answers in KINDS.items():
        project = new_project(source, folder / kind, {"package": "quickstats", "upkeep": ["bump"], **answers}, target)
        project.run("cargo", "generate-lockfile", "--quiet")
        project.commit("chore: lock")
        projects[kind] = project
    return projects


@pytest.fixture
def make(originals: dict[str, Project], tmp_path: Path) -> Callable[[str], Project]:
    """Give a function that copies a project."""

    def copy(kind: str) -> Project:
        folder = tmp_path / "quickstats"
        shutil.copytree(originals[kind].folder, folder, symlinks=True)
        (tmp_path / "nox").symlink_to(originals[kind].folder.parent / "nox", target_is_directory=True)
        return Project(folder, originals[kind].answers)

    return copy


@pytest.fixture
def project(make: Callable[[str], Project]) -> Project:
    """Give a project with one release and one commit after it."""
    project = make("cargo")
    project.run("git", "tag", "--annotate", "v0.1.0", "--message", "Release 0.1.0")
    project.commit("feat: tell the median")
    return project


def command(*arguments: str) -> tuple[str, ...]:
    """Give the command that runs the session, in an environment that all tests share."""
    return ("nox", "--envdir=../nox", "--reuse-venv=yes", "--session", "bump", "--", *arguments)


def bump(project: Project, *arguments: str, check: bool = True, **variables: str) -> str:
    """Run the session, and give what it printed."""
    done = project.run(*command(*arguments), check=False, **{**EPOCH, **variables})
    assert (done.returncode == 0) == check, done.stdout
    return done.stdout


def state(project: Project) -> tuple[str, ...]:
    """Give all that a failure must leave as it is."""
    commands = (("status", "--short", "--branch"), ("show-ref", "--head"), ("ls-files", "--stage"))
    return (*(project.run("git", *each).stdout for each in commands), project.read("CHANGELOG.md"))


def locked(project: Project) -> set[str]:
    """Give the versions of the project's own crates in a lock file that is up to date."""
    project.run("cargo", "metadata", "--locked", "--offline", "--format-version=1")
    packages = tomllib.loads(project.read("Cargo.lock"))["package"]
    return {package["version"] for package in packages if "source" not in package}


# ---- What it does.


@pytest.mark.parametrize("kind", KINDS)
def test_bump_raises_version_everywhere(kind: str, make: Callable[[str], Project]) -> None:
    project = make(kind)
    for tag in ("docs-5", "5.0.0", "v5", "v5.0.x"):
        project.run("git", "tag", tag)  # no versions
    bump(project, "0.1.0")
    assert project.run("git", "show", "--format=", "--name-only").stdout.split() == ["CHANGELOG.md"]
    project.commit("feat: tell the median")
    printed = bump(project, "0.2.0-alpha.1")
    assert "Version 0.2.0a1 is committed and tagged" in printed
    assert project.run("git", "log", "-1", "--format=%s %D").stdout == "Release 0.2.0a1 HEAD -> main, tag: v0.2.0a1\n"
    assert project.run("git", "cat-file", "-t", "v0.2.0a1").stdout == "tag\n"
    assert project.run("git", "status", "--short").stdout == ""
    assert locked(project) == {"0.0.0" if kind == "git" else "0.2.0-alpha.1"}
    files = ["CHANGELOG.md"] + ["Cargo.lock", "Cargo.toml"] * (kind != "git")
    assert project.run("git", "diff", "--name-only", "HEAD^").stdout.split() == files
    for file, count in (("Cargo.toml", 1), ("Cargo.lock", 2 if kind == "workspace" else 1)) if kind != "git" else ():
        changed = project.run("git", "diff", "--unified=0", "HEAD^", "--", file).stdout
        lines = re.findall(r"(?m)^[-+][^-+].*", changed)
        assert lines == ['-version = "0.1.0"', '+version = "0.2.0-alpha.1"'] * count


def test_changelog_has_section_and_links(project: Project) -> None:
    bump(project, "0.2.0rc1")
    project.commit("perf: go twice as fast")
    bump(project, "patch")
    text = project.read("CHANGELOG.md")
    assert re.findall(r"(?m)^## (.+)$", text) == ["[Unreleased]", "[0.2.0] - 2023-11-14", "[0.2.0rc1] - 2023-11-14"]
    assert text.partition("\n[")[2].splitlines() == [
        f"Unreleased]: {ADDRESS}/compare/v0.2.0...HEAD",
        f"[0.2.0]: {ADDRESS}/compare/v0.2.0rc1...v0.2.0",
        f"[0.2.0rc1]: {ADDRESS}/compare/v0.1.0...v0.2.0rc1",
    ]
    assert "## [Unreleased]\n\n## [0.2.0] - 2023-11-14\n\n### Changed\n\n- Go twice as fast\n\n## [0.2.0rc1]" in text
    assert "\n\n\n" not in text


COMMITS = {
    "feat: add it": "Added",
    "feat(core): add more": "Added",
    "fix: mend it": "Fixed",
    "fix(security): close it": "Security",
    "perf: be quick": "Changed",
    "remove: drop it": "Removed",
    "deprecate: warn of it": "Deprecated",
    "tests are quicker\n\nWith a body.": "Changed",
    "Release notes are better": "Changed",
    "chore!: drop Python 3.10": "Changed",
    "docs: say no more\n\nBREAKING CHANGE: gone": "Changed",
    "chore: tidy up": None,
    "ci: cache": None,
    "docs(readme): say it": None,
    "Begin": None,
    "Merge branch 'x'": None,
    "Release 0.0.9\n\nWith a body.": None,
}


def test_commits_stand_below_handwritten_lines(project: Project) -> None:
    changelog = project.read("CHANGELOG.md")
    start, end = changelog.index("### Added"), changelog.index("[Unreleased]: ")
    by_hand = "A word before.\n\n### Fixed\n\n- By hand\n  on two lines\n- Mend it\n\n### Other\n\n- Else\n\n"
    (project.folder / "CHANGELOG.md").write_text(changelog[:start] + by_hand + changelog[end:], "utf-8")
    for message in COMMITS:
        project.commit(message)
    before = state(project)
    preview = bump(project, "minor", "--dry-run")
    assert state(project) == before
    bump(project, "minor")
    section = project.read("CHANGELOG.md").split("\n## ")[2].partition("\n[")[0].strip()
    assert section in preview
    introduction, *parts = re.split(r"\n### (.+)\n", section)
    found = {heading: text.strip().splitlines() for heading, text in zip(parts[::2], parts[1::2], strict=True)}
    assert introduction.endswith("\n\nA word before.\n")
    assert list(found) == ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Other"]
    assert found["Fixed"] == ["- By hand", "  on two lines", "- Mend it"]
    assert "- **Breaking:** Drop Python 3.10" in found["Changed"]
    for message, heading in COMMITS.items():
        text = message.splitlines()[0].rpartition(": ")[2].lower()
        headings = [each for each, lines in found.items() if any(line.lower().endswith(text) for line in lines)]
        assert headings == ([heading] if heading else []), message


def test_printed_command_pushes_branch_and_tag(project: Project, tmp_path: Path) -> None:
    run("git", "init", "--quiet", "--bare", "remote", cwd=tmp_path)
    project.run("git", "remote", "add", "origin", tmp_path / "remote")
    (push,) = re.findall(r"To publish it: (git push .+)", bump(project, "minor"))
    assert run("git", "ls-remote", "remote", cwd=tmp_path).stdout == ""  # the session has pushed nothing
    project.run(*push.split())
    pushed = run("git", "ls-remote", "remote", cwd=tmp_path).stdout
    assert re.findall(r"refs/\S+", pushed) == ["refs/heads/main", "refs/tags/v0.2.0", "refs/tags/v0.2.0^{}"]


def test_lock_of_workspace_around_is_updated(project: Project, tmp_path: Path) -> None:
    shutil.move(project.folder / "Cargo.lock", tmp_path / "Cargo.lock")
    shutil.move(project.folder / ".git", tmp_path / ".git")
    (tmp_path / "Cargo.toml").write_text('[workspace]\nmembers = ["quickstats"]\nresolver = "3"\n')
    (tmp_path / ".gitignore").write_text("/nox\n")
    around = Project(tmp_path, {})
    around.run("cargo", "metadata", "--offline", "--format-version=1")
    around.commit("feat: move into a workspace")
    bump(project, "minor")
    assert locked(around) == {"0.2.0"}
    assert around.run("git", "status", "--short").stdout == ""


# ---- Which version it takes.


class Session:
    """Does what the functions ask of a nox session: there are no tags, and an error stops."""

    def run(self, *_: str, **__: Any) -> str:
        """Run nothing."""
        return ""

    def error(self, message: str) -> None:
        """Stop."""
        raise RuntimeError(message)


@pytest.fixture(scope="module")
def script(originals: dict[str, Project]) -> ModuleType:
    """Import the session's file."""
    path = originals["cargo"].folder / "sessions" / "bump.py"
    return import_file(path)


@pytest.mark.parametrize(
    ("present", "major", "minor", "patch"),
    [
        ("1.2.3", "2.0.0", "1.3.0", "1.2.4"),
        ("0.0.0", "1.0.0", "0.1.0", "0.0.1"),
        ("1.2.3rc1", "2.0.0", "1.3.0", "1.2.3"),
        ("1.3.0a1", "2.0.0", "1.3.0", "1.3.0"),
        ("2.0.0.dev1", "2.0.0", "2.0.0", "2.0.0"),
        ("1.2.3.post1", "2.0.0", "1.3.0", "1.2.4"),
    ],
)
def test_raised_pre_release_is_what_it_precedes(
    present: str, major: str, minor: str, patch: str, script: ModuleType
) -> None:
    raised = [script.choose(Session(), part, Version(present)) for part in ("major", "minor", "patch")]
    assert [str(version) for version in raised] == [major, minor, patch]


@pytest.mark.parametrize(
    ("python", "cargo"),
    [
        ("1.2.3", "1.2.3"),
        ("1.2.3a1", "1.2.3-alpha.1"),
        ("1.2.3b10", "1.2.3-beta.10"),
        ("1.2.3rc1", "1.2.3-rc.1"),
        ("1.2.3.post1", "1.2.3-post.1"),
        ("1.2.3.dev4", "1.2.3-dev.4"),
    ],
)
def test_both_spellings_are_one_version(python: str, cargo: str, script: ModuleType) -> None:
    assert {str(script.choose(Session(), text, Version("0"))) for text in (python, cargo)} == {python}
    assert script.in_cargo(Version(python)) == cargo


@pytest.mark.parametrize(
    "text", ["next", "--help", "0.2.0-0", "0.2.0.1", "0.2", "1!0.2.0", "0.2.0+here", "0.2.0a1.post2"]
)
def test_unshared_versions_are_refused(text: str, script: ModuleType) -> None:
    with pytest.raises(RuntimeError, match=r"is no version: write 0\.2\.0, 0\.2\.0a1"):
        script.choose(Session(), text, Version("0"))


# ---- What it refuses.


def write(path: str) -> Plant:
    """Change a file, or write a new one."""
    return lambda project: (project.folder / path).open("a").write("\n")


def git(*arguments: str) -> Plant:
    """Run git."""
    return lambda project: project.run("git", *arguments)


def remove(text: str) -> Plant:
    """Remove a line's text from the changelog and commit that."""

    def plant(project: Project) -> None:
        path = project.folder / "CHANGELOG.md"
        path.write_text(path.read_text("utf-8").replace(text, ""), "utf-8")
        project.commit("docs: edit the changelog")

    return plant


def empty(project: Project) -> None:
    """Leave nothing to write into the section."""
    project.run("git", "reset", "--quiet", "--hard", "v0.1.0")
    text = project.read("CHANGELOG.md")
    remove(text[text.index("### Added") : text.index("[Unreleased]: ")])(project)


REFUSED: dict[str, tuple[Plant, str, str]] = {
    "a change": (write("README.md"), "minor", "the tree is not clean; commit or stash first:\nM README.md"),
    "a new file": (write("new.txt"), "minor", "the tree is not clean; commit or stash first:\n?? new.txt"),
    "a tag": (git("tag", "v0.2.0-alpha.1"), "0.2.0a1", "0.2.0a1 is released: the tag v0.2.0-alpha.1 exists"),
    "a lower version": (git("status"), "0.1.0rc1", "0.1.0rc1 is not above the present version, 0.1.0"),
    "no branch": (git("checkout", "--quiet", "--detach"), "minor", "HEAD is on no branch. Run: git switch main"),
    "no heading": (remove("## [Unreleased]\n"), "minor", "CHANGELOG.md has no line: ## [Unreleased]"),
    "nothing": (empty, "minor", "nothing to release since v0.1.0: write a line below ## [Unreleased]"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_refused_bump_changes_nothing(fault: str, project: Project) -> None:
    plant, version, message = REFUSED[fault]
    plant(project)
    before = state(project)
    assert message in bump(project, version, check=False)
    assert state(project) == before


# ---- What fails on the way changes nothing.


def stub(path: Path, text: str) -> None:
    """Write a program."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("step", ["cargo", "commit-msg", "tag"])
def test_failed_step_restores_all(step: str, project: Project, tmp_path: Path) -> None:
    variables: dict[str, str] = {}
    if step == "cargo":
        cargo = shutil.which("cargo", path=clean_environment()["PATH"])
        stub(tmp_path / "cargo", f'[ "$1" = metadata ] && exit 3; exec {cargo} "$@"')
        variables = {"PATH": f"{tmp_path}:{clean_environment()['PATH']}"}
    elif step == "tag":
        project.run("git", "config", "tag.gpgSign", "true")
        project.run("git", "config", "gpg.program", "false")
    else:
        stub(project.folder / ".git" / "hooks" / step, "echo planted >&2; exit 3")
    before = state(project)
    printed = bump(project, "minor", check=False, **variables)
    assert "failed with exit code" in printed
    assert "nothing was changed" in printed
    assert state(project) == before
    assert project.read("Cargo.toml").count("0.1.0") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("hook", ["pre-commit", "post-commit"])
def test_interrupted_bump_restores_all(hook: str, number: signal.Signals, project: Project, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    stub(project.folder / ".git" / "hooks" / hook, f"touch {begun}; exec sleep 10 >/dev/null 2>&1")
    before = state(project)
    process = subprocess.Popen(
        command("minor"),
        cwd=project.folder,
        env={**clean_environment(), **EPOCH},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 30
    while not begun.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    assert "nothing was changed" in process.communicate(timeout=30)[0]
    assert process.returncode
    assert state(project) == before
