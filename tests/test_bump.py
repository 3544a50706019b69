"""Does `just bump` raise the version everywhere at once, or change nothing and say why?"""

from __future__ import annotations

import importlib.util
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import new_project
from packaging.version import Version

from template import ROOT, Project, clean_environment, run

TOOLS = ROOT / "template" / "tools"
sys.path.append(str(TOOLS))  # where the script finds its neighbour
ADDRESS = "https://github.com/example/quickstats"
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}  # 2023-11-14
ANSWERS: dict[str, dict[str, Any]] = {"cargo": {}, "git": {"version": "git"}, "workspace": {"layout": "workspace"}}


def load() -> ModuleType:
    """Import the script, under a name that is not that of the repository's own."""
    spec = importlib.util.spec_from_file_location("template_bump", TOOLS / "bump.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load()


@pytest.fixture(scope="module")
def originals(source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give one locked project of each kind, to be copied."""
    folders = {}
    for kind, answers in ANSWERS.items():
        folders[kind] = tmp_path_factory.mktemp("bump") / "quickstats"
        project = new_project(source, folders[kind], answers, target)
        project.run("cargo", "generate-lockfile")
        project.commit("chore: lock")
    return folders


@pytest.fixture
def make(originals: dict[str, Path], tmp_path: Path) -> Callable[[str], Project]:
    """Give a function that copies a project."""

    def copy(kind: str) -> Project:
        folder = tmp_path / "quickstats"
        shutil.copytree(originals[kind], folder, symlinks=True)
        return Project(folder, ANSWERS[kind])

    return copy


@pytest.fixture
def project(make: Callable[[str], Project]) -> Project:
    """Give a project whose version is in Cargo.toml, with one release and one commit after it."""
    project = make("cargo")
    bump(project, "0.1.0")
    project.commit("feat: tell the median")
    return project


def bump(project: Project, version: str, check: bool = True, **variables: str) -> str:
    """Raise the version, and give what was printed."""
    done = project.run(sys.executable, "tools/bump.py", version, check=False, **{**EPOCH, **variables})
    assert (done.returncode == 0) == check, done.stdout
    return done.stdout


def state(project: Project) -> tuple[str, ...]:
    """Give all that a failure must leave as it is."""
    commands = (
        ("status", "--short", "--branch", "--ignored", "--", ".", ":!tools"),
        ("show-ref", "--head"),
        ("ls-files", "--stage"),
    )
    return (*(project.run("git", *command).stdout for command in commands), project.read("CHANGELOG.md"))


def versions(project: Project) -> set[str]:
    """Give the versions of the project's own crates, as the lock has them."""
    text = project.run("cargo", "metadata", "--locked", "--offline", "--no-deps", "--format-version=1").stdout
    project.run("cargo", "tree", "--locked", "--offline", "--depth=0")
    return set(re.findall(r'"version":"([^"]+)","id":"path', text)) | {
        package["version"]
        for package in tomllib.loads(project.read("Cargo.lock"))["package"]
        if "source" not in package
    }


# ---- What it does.


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_version_is_raised_everywhere_at_once(kind: str, make: Callable[[str], Project]) -> None:
    project = make(kind)
    project.commit("fix: count again")
    bump(project, "0.1.0")
    assert project.run("git", "show", "--format=%s", "--name-only").stdout.split("\n\n")[1].split() == ["CHANGELOG.md"]
    project.commit("feat: tell the median")
    printed = bump(project, "minor")
    assert "Version 0.2.0 is committed and tagged" in printed
    assert versions(project) == {"0.0.0" if kind == "git" else "0.2.0"}
    assert project.run("git", "status", "--short").stdout == ""
    assert project.run("git", "log", "-1", "--format=%s %D").stdout == "Release 0.2.0 HEAD -> main, tag: v0.2.0\n"
    assert project.run("git", "cat-file", "-t", "v0.2.0").stdout == "tag\n"
    files = ["CHANGELOG.md"] + ["Cargo.lock", "Cargo.toml"] * (kind != "git")
    assert project.run("git", "diff", "--name-only", "HEAD^").stdout.split() == files
    if kind != "git":
        for file, count in (("Cargo.toml", 1), ("Cargo.lock", 2 if kind == "workspace" else 1)):
            changed = project.run("git", "diff", "--unified=0", "HEAD^", "--", file).stdout
            assert re.findall(r"(?m)^[-+][^-+].*", changed) == ['-version = "0.1.0"', '+version = "0.2.0"'] * count


def test_the_changelog_has_a_section_and_links_for_every_version(project: Project) -> None:
    bump(project, "0.2.0-rc.1")
    project.commit("perf: go twice as fast")
    bump(project, "patch")
    text = project.read("CHANGELOG.md")
    assert re.findall(r"(?m)^## (.+)$", text) == [
        "[Unreleased]",
        "[0.2.0] - 2023-11-14",
        "[0.2.0-rc.1] - 2023-11-14",
        "[0.1.0] - 2023-11-14",
    ]
    assert text.partition("\n[")[2].splitlines() == [
        f"Unreleased]: {ADDRESS}/compare/v0.2.0...HEAD",
        f"[0.2.0]: {ADDRESS}/compare/v0.2.0-rc.1...v0.2.0",
        f"[0.2.0-rc.1]: {ADDRESS}/compare/v0.1.0...v0.2.0-rc.1",
        f"[0.1.0]: {ADDRESS}/releases/tag/v0.1.0",
    ]
    assert "## [0.2.0] - 2023-11-14\n\n### Changed\n\n- Go twice as fast\n\n## [0.2.0-rc.1]" in text
    assert "### Added\n\n- Tell the median\n\n## [0.1.0]" in text
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
    "chore: tidy up": None,
    "ci: cache": None,
    "docs(readme): say it": None,
    "test: prove it": None,
    "style: wrap": None,
    "Begin": None,
    "Merge branch 'x'": None,
    "Release 0.0.9\n\nWith a body.": None,
}


def test_commits_stand_under_the_headings_of_keep_a_changelog(project: Project) -> None:
    for message in COMMITS:
        project.commit(message)
    bump(project, "minor")
    section = project.read("CHANGELOG.md").split("\n## ")[2]
    parts = re.split(r"\n### (.+)\n", section)
    found = {heading: text.strip().splitlines() for heading, text in zip(parts[1::2], parts[2::2], strict=True)}
    assert list(found) == ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
    lines = [line for texts in found.values() for line in texts]
    for message, heading in COMMITS.items():
        text = message.splitlines()[0].rpartition(": ")[2]
        if heading:
            assert any(text.lower() in line.lower() for line in found[heading])
        else:
            assert not any(text.lower() in line.lower() for line in lines)
    assert "- **Breaking:** Drop Python 3.10" in found["Changed"]


def test_what_was_written_by_hand_comes_before_what_commits_say() -> None:
    by_hand = "\nA word before.\n\n### Fixed\n\n- By hand\n  on two lines\n\n### Other\n\n- Else\n\n"
    commits = {"Fixed": ["- By hand", "- New"], "Added": ["- More"]}
    assert script.section(by_hand, commits) == (
        "A word before.\n\n### Added\n\n- More\n\n### Fixed\n\n- By hand\n  on two lines\n- New\n\n### Other\n\n- Else"
    )
    assert script.section("\n", {}) == "Nothing that users see."


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
def test_a_part_is_raised_and_a_pre_release_is_finished(present: str, major: str, minor: str, patch: str) -> None:
    assert [script.raised(Version(present), part) for part in ("major", "minor", "patch")] == [major, minor, patch]


@pytest.mark.parametrize("spelling", ["0.2.0-alpha.1", "0.2.0a1"])
def test_either_spelling_is_taken_and_that_of_cargo_is_written(spelling: str, project: Project) -> None:
    bump(project, spelling)
    assert versions(project) == {"0.2.0-alpha.1"}
    assert project.run("git", "tag", "--points-at", "HEAD").stdout == "v0.2.0-alpha.1\n"


def test_a_tag_is_pushed_as_the_script_says(project: Project, tmp_path: Path) -> None:
    run("git", "init", "--quiet", "--bare", "remote", cwd=tmp_path)
    project.run("git", "remote", "add", "origin", tmp_path / "remote")
    command = bump(project, "minor").splitlines()[-1].partition(": ")[2]
    assert command == "git push --atomic origin main v0.2.0"
    assert run("git", "ls-remote", "remote", cwd=tmp_path).stdout == ""  # it has pushed nothing
    project.run(*command.split())
    pushed = run("git", "ls-remote", "remote", cwd=tmp_path).stdout
    assert re.findall(r"refs/\S+", pushed) == ["refs/heads/main", "refs/tags/v0.2.0", "refs/tags/v0.2.0^{}"]


# ---- What it refuses.


def append(path: str) -> Callable[[Project], None]:
    """Change a file, or write a new one."""

    def plant(project: Project) -> None:
        with (project.folder / path).open("a", encoding="utf-8") as file:
            file.write("\n")

    return plant


def git(*arguments: str) -> Callable[[Project], None]:
    """Run git."""

    def plant(project: Project) -> None:
        project.run("git", *arguments)

    return plant


def no_heading(project: Project) -> None:
    """Take the heading from the changelog."""
    path = project.folder / "CHANGELOG.md"
    path.write_text(path.read_text("utf-8").replace("## [Unreleased]", "## Next"), "utf-8")
    project.commit("docs: another heading")


REFUSED: dict[str, tuple[Callable[[Project], None], str, str]] = {
    "a change": (append("README.md"), "minor", "the tree is not clean; commit or stash first:\nM README.md"),
    "a new file": (append("new.txt"), "minor", "the tree is not clean; commit or stash first:\n?? new.txt"),
    "a tag that exists": (git("tag", "v0.2.0"), "0.2.0", "0.2.0 is released: the tag v0.2.0 exists"),
    "its other spelling": (git("tag", "v0.2.0a1"), "0.2.0-alpha.1", "is released: the tag v0.2.0a1 exists"),
    "the present version": (git("status"), "0.1.0", "0.1.0 is released: the tag v0.1.0 exists"),
    "a version below": (git("status"), "0.1.0-rc.1", "0.1.0-rc.1 is not above the present version, 0.1.0"),
    "no version": (git("status"), "next", "'next' is no version that Python and Cargo share"),
    "an ambiguous one": (git("status"), "0.2.0-0", "for Python's 0.2.0.post0 Cargo has 0.2.0-post.0"),
    "four numbers": (git("status"), "0.2.0.1", "three numbers and no epoch"),
    "a local part": (git("status"), "0.2.0+here", "no index takes a local part: leave out +here"),
    "no branch": (git("checkout", "--quiet", "--detach"), "minor", "HEAD is on no branch. Run: git switch main"),
    "no commit": (git("reset", "--quiet", "--hard", "v0.1.0"), "minor", "nothing to release: no commit since v0.1.0"),
    "no heading": (no_heading, "minor", "CHANGELOG.md has no line: ## [Unreleased]"),
    "an option": (git("status"), "--help", "'--help' is no version"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_it_refuses(fault: str, project: Project) -> None:
    plant, version, message = REFUSED[fault]
    plant(project)
    before = state(project)
    assert message in bump(project, version, check=False)
    assert state(project) == before


def test_it_refuses_in_git_mode_what_is_not_above_the_last_tag(make: Callable[[str], Project]) -> None:
    project = make("git")
    bump(project, "0.3.0")
    project.commit("feat: more")
    before = state(project)
    assert "0.2.0 is not above the present version, 0.3.0" in bump(project, "0.2.0", check=False)
    assert state(project) == before


# ---- What fails on the way changes nothing.


def stub(folder: Path, name: str, text: str) -> dict[str, str]:
    """Put a program before the real one."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{clean_environment()['PATH']}"}


def hook(project: Project, name: str, text: str) -> None:
    """Install a hook of git."""
    stub(project.folder / ".git" / "hooks", name, text)


STEPS = ["git-cliff", "cargo", "pre-commit", "commit-msg", "tag"]


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails_changes_nothing(step: str, project: Project, tmp_path: Path) -> None:
    variables: dict[str, str] = {}
    if step in ("git-cliff", "cargo"):
        variables = stub(tmp_path / "stubs", step, "echo planted; exit 3")
    elif step == "tag":
        project.run("git", "config", "tag.gpgSign", "true")
        project.run("git", "config", "gpg.program", "false")
    else:
        hook(project, step, "echo planted; exit 3")
    before = state(project)
    printed = bump(project, "minor", check=False, **variables)
    assert "failed" in printed
    assert "error: nothing was changed" in printed
    assert state(project) == before
    if step == "tag":
        project.run("git", "config", "tag.gpgSign", "false")
    elif "-" in step and step != "git-cliff":
        (project.folder / ".git" / "hooks" / step).unlink()
    bump(project, "minor")
    assert versions(project) == {"0.2.0"}


@pytest.mark.parametrize("step", ["git-cliff", "cargo", "pre-commit", "post-commit"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_changes_nothing(step: str, number: signal.Signals, project: Project, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    variables, wait = dict(EPOCH), f"touch {begun}; exec sleep 60"
    if "commit" in step:
        hook(project, step, wait)
    else:
        variables |= stub(tmp_path / "stubs", step, wait)
    before = state(project)
    process = subprocess.Popen(
        [sys.executable, "tools/bump.py", "minor"],
        cwd=project.folder,
        env={**clean_environment(), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not begun.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    assert "error: nothing was changed" in process.communicate(timeout=30)[0]
    assert process.returncode
    assert state(project) == before


def test_a_lock_that_was_not_there_goes_again(project: Project) -> None:
    project.run("git", "rm", "--quiet", "Cargo.lock")
    project.commit("chore: no lock")
    hook(project, "pre-commit", "exit 3")
    before = state(project)
    bump(project, "minor", check=False)
    assert state(project) == before
    assert not (project.folder / "Cargo.lock").exists()
