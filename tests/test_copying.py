"""Does `copier copy` leave alone what was there before?"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from releases import OLDER, PRESENT, Releases, tree, unmerged, update
from template import Project, clean_environment, questions, run

MINE = {"README.md": "Mine.\n", "src/lib.rs": "// Mine.\n", "notes.md": "Mine too.\n"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with files in it, some of which the template has too."""
    for path, text in MINE.items():
        (tmp_path / "folder" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / path).write_text(text, "utf-8")
    return tmp_path / "folder"


def copy(releases: Releases, folder: Path, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Copy as a script does: no terminal, no questions."""
    return run("copier", "copy", "--defaults", *options, releases.folder, folder, cwd=folder.parent, check=check)


def mine(folder: Path) -> dict[str, str]:
    """Read the files that the user had."""
    return {path: (folder / path).read_text("utf-8") for path in MINE}


def test_copy_keeps_and_names_existing_files(releases: Releases, folder: Path) -> None:
    printed = re.sub(r"\x1b\[\d*m", "", copy(releases, folder).stdout)
    assert set(re.findall(r"skip +(.+)", printed)) == tree(folder).keys() & {"README.md", "src/lib.rs"}
    assert mine(folder) == MINE
    assert (folder / "justfile").exists()


def test_enter_at_every_question_keeps_files(releases: Releases, folder: Path) -> None:
    pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
    ours, theirs = pty.openpty()
    os.write(ours, b"\r" * (len(questions()) + len(MINE)))
    command = ["copier", "copy", str(releases.folder), str(folder)]
    environment = {**clean_environment(), "PROMPT_TOOLKIT_NO_CPR": "1"}
    subprocess.run(command, env=environment, stdin=theirs, stdout=subprocess.DEVNULL, check=True, timeout=60)
    assert mine(folder) == MINE
    assert (folder / "justfile").exists()


def test_copy_into_repository_keeps_local_changes(releases: Releases, folder: Path) -> None:
    project = Project(folder, {})
    project.run("git", "init", "--quiet")
    project.commit()
    (folder / "notes.md").write_text("Staged.\n", "utf-8")
    project.run("git", "add", "--all")
    (folder / "notes.md").write_text("Not yet staged.\n", "utf-8")
    changes = [project.run("git", "diff", *staged).stdout for staged in ([], ["--staged"])]
    copy(releases, folder)
    assert changes == [project.run("git", "diff", *staged).stdout for staged in ([], ["--staged"])]


def test_second_copy_changes_no_file(releases: Releases, tmp_path: Path) -> None:
    project = releases.project(OLDER, tmp_path / "project")
    (project.folder / "README.md").write_text("Mine.\n", "utf-8")
    project.commit()
    copy(releases, project.folder, "--data", "license=MIT")
    assert not project.run("git", "diff").stdout
    project.commit()
    update(project)
    assert unmerged(project) == set()
    assert project.read("README.md") == "Mine.\n"
    assert f"_commit: {PRESENT}" in project.read(".copier-answers.yml")


def test_recopy_keeps_edits(releases: Releases, tmp_path: Path) -> None:
    project = releases.project(PRESENT, tmp_path / "project")
    before = tree(project.folder)
    (project.folder / "README.md").write_text("Mine.\n", "utf-8")
    project.run("copier", "recopy", "--defaults")
    assert project.read("README.md") == "Mine.\n"
    project.run("copier", "recopy", "--defaults", "--overwrite")
    assert tree(project.folder) == before


def test_overwrite_needs_its_option(releases: Releases, folder: Path) -> None:
    copy(releases, folder, "--overwrite")
    assert {path for path, text in mine(folder).items() if text == MINE[path]} == {"notes.md"}


def test_file_in_place_of_folder_stops_copy(releases: Releases, folder: Path) -> None:
    (folder / "tests").write_text("Mine.\n", "utf-8")
    assert "tests" in copy(releases, folder, check=False).stdout
    assert (folder / "tests").read_text("utf-8") == "Mine.\n"
    assert mine(folder) == MINE


def test_refused_answer_writes_nothing(releases: Releases, folder: Path) -> None:
    before = tree(folder)
    assert copy(releases, folder, "--data", "package=Not-A-Name", check=False).returncode
    assert tree(folder) == before


def test_pretending_writes_nothing(releases: Releases, tmp_path: Path) -> None:
    copy(releases, tmp_path / "project", "--pretend")
    assert not (tmp_path / "project").exists()


def test_any_release_can_be_copied(releases: Releases, tmp_path: Path) -> None:
    copy(releases, tmp_path / "project", "--vcs-ref", OLDER)
    assert f"_commit: {OLDER}\n" in (tmp_path / "project" / ".copier-answers.yml").read_text("utf-8")
