"""Does a newcomer who follows the README meet what it promises? Through just, uv and pip, on real projects."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from template import Project, render

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ready(source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a project that `just setup` made ready from a bare render."""
    folder = render(source, tmp_path_factory.mktemp("journey") / "quickstats")
    (folder / "target").symlink_to(target, target_is_directory=True)
    project = Project(folder, {})
    project.run("just", "setup")
    return project


def test_setup_makes_repository_environment_build_locks_and_hooks(ready: Project) -> None:
    assert ready.run("git", "log", "--format=%s").stdout == "Begin\n"
    assert ready.run("git", "status", "--porcelain").stdout == ""
    tracked = ready.run("git", "ls-files").stdout.split()
    assert {"Cargo.lock", "LICENSE-THIRD-PARTY", "uv.lock"} <= set(tracked)
    assert (ready.folder / ".git" / "hooks" / "pre-commit").exists()
    ready.run(ready.folder / ".venv" / "bin" / "python", "-c", "import quickstats")


def test_setup_twice_changes_nothing(ready: Project) -> None:
    before = ready.run("git", "rev-parse", "HEAD").stdout
    ready.run("just", "setup")
    assert ready.run("git", "rev-parse", "HEAD").stdout == before
    assert ready.run("git", "status", "--porcelain").stdout == ""


def test_root_has_at_most_twenty_entries_beside_what_is_made(ready: Project) -> None:
    roots = {path.split("/")[0] for path in ready.run("git", "ls-files").stdout.split()}
    assert len(roots - {"Cargo.lock", "LICENSE-THIRD-PARTY", "uv.lock"}) <= 20, sorted(roots)


def test_recipes_work(ready: Project) -> None:
    ready.run("just", "test")
    ready.run("just", "lint")
    ready.run("just", "fmt")
    ready.run("just", "lock")
    assert ready.run("git", "status", "--porcelain").stdout == ""


def test_one_line_edit_is_there_at_the_next_run(ready: Project) -> None:
    path = ready.folder / "src" / "py_summary.rs"
    text = path.read_text("utf-8")
    assert "Summary(" in text
    try:
        path.write_text(text.replace('"Summary(', '"Edited('), "utf-8")
        shown = ready.run("uv", "run", "python", "-c", "import quickstats; print(quickstats.summarize([1.0]))")
        assert "Edited(" in shown.stdout
    finally:
        path.write_text(text, "utf-8")
    ready.run("just", "dev")
    shown = ready.run(".venv/bin/python", "-c", "import quickstats; print(quickstats.summarize([1.0]))")
    assert "Summary(" in shown.stdout


def test_second_round_of_work_finds_every_pyo3_crate_fresh(ready: Project) -> None:
    activated = str(ready.folder / ".venv")

    def rounds() -> str:
        commands: tuple[tuple[str, ...], ...] = (
            (".venv/bin/maturin", "develop", "--uv", "--verbose"),
            ("cargo", "test", "--workspace", "--verbose"),
            ("cargo", "clippy", "--workspace", "--all-targets", "--verbose"),
        )
        editor = ("cargo", "check", "--workspace", "--all-targets", "--verbose")
        output = [ready.run(*command, VIRTUAL_ENV=activated).stdout for command in commands]
        return "".join([*output, ready.run(*editor).stdout])

    rounds()
    stale = [line for line in rounds().splitlines() if "pyo3" in line and line.split()[0] in ("Compiling", "Checking")]
    assert stale == []


def test_setup_without_an_identity_prints_the_command(source: Path, target: Path, tmp_path: Path) -> None:
    folder = render(source, tmp_path / "quickstats")
    (folder / "target").symlink_to(target, target_is_directory=True)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".gitconfig").write_text("[user]\n\tuseConfigOnly = true\n")
    nobody: dict[str, Any] = dict.fromkeys(
        ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"), ""
    )
    done = Project(folder, {}).run(
        "just", "setup", GIT_CONFIG_GLOBAL=str(tmp_path / "home" / ".gitconfig"), GIT_CONFIG_SYSTEM=os.devnull, **nobody
    )
    assert "git commit --message Begin" in done.stdout


def test_setup_leaves_the_repository_around_it_alone(source: Path, target: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    folder = render(source, tmp_path / "packages" / "quickstats")
    (folder / "target").symlink_to(target, target_is_directory=True)
    done = Project(folder, {}).run("just", "setup")
    assert not (folder / ".git").exists()
    assert not (tmp_path / ".git" / "hooks" / "pre-commit").exists()
    assert "git hooks are left as they are" in done.stdout


def test_uv_alone_serves(source: Path, target: Path, tmp_path: Path) -> None:
    folder = render(source, tmp_path / "quickstats")
    (folder / "target").symlink_to(target, target_is_directory=True)
    project = Project(folder, {})
    project.run("uv", "sync")
    project.run("uv", "run", "pytest")


def test_pip_alone_serves(source: Path, target: Path, tmp_path: Path) -> None:
    """The README's commands, as they stand there."""
    folder = render(source, tmp_path / "quickstats")
    (folder / "target").symlink_to(target, target_is_directory=True)
    readme = (folder / "README.md").read_text("utf-8")
    commands = readme.partition("With pip alone:\n\n```console\n")[2].partition("```")[0]
    assert "--group" in commands
    path = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if not shutil.which("uv", path=part))
    script = commands.replace("python -m venv", f"{sys.executable} -m venv", 1)
    Project(folder, {}).run("bash", "-euc", script, PATH=path)
