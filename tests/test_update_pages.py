"""The commands of the pages on updates and on moves, in projects of releases."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from releases import OLDER, PRESENT, Releases, tree, update, work
from template import ROOT, Project, render

Move = tuple[dict[str, object], dict[str, object]]
MOVES: list[Move] = [
    ({}, {"package": "tally"}),
    ({}, {"layout": "workspace"}),
    ({"layout": "pure"}, {"layout": "mixed"}),
]


@pytest.fixture
def worked(move: Move, releases: Releases, tmp_path: Path) -> Project:
    """Give a project with a user's edits."""
    project = releases.project(PRESENT, tmp_path / "project", move[0])
    work(project)
    return project


def commands(page: str, word: str) -> list[str]:
    """Read the block of a page that contains a word, for the Copier of the tests."""
    text = (ROOT / "docs" / "how-to" / f"{page}.md").read_text("utf-8")
    block = next(block for block in text.split("```") if "$ " in block and word in block)
    return re.findall(r"^\$ (?:uvx )?(.+)", block, flags=re.MULTILINE)


def test_commands_update_and_add_an_extra(releases: Releases, tmp_path: Path) -> None:
    project = releases.project(OLDER, tmp_path / "project")
    for command in commands("update-a-project", "check-update"):
        project.run("bash", "-c", command)
    assert f"_commit: {PRESENT}" in project.read(".copier-answers.yml")
    project.commit()
    for command in commands("update-a-project", "extras="):
        project.run("bash", "-c", command)
    assert "numpy" in project.read("Cargo.toml")


def edits(project: Project) -> set[str]:
    """Read the lines that the user wrote."""
    return set(re.findall(r"^\+(?!\+\+ )(.+)", project.run("git", "diff", "HEAD~", "HEAD").stdout, flags=re.MULTILINE))


@pytest.mark.parametrize("move", MOVES, ids=str)
def test_move_keeps_edits(move: Move, worked: Project, releases: Releases, tmp_path: Path) -> None:
    own = edits(worked)
    ((question, answer),) = move[1].items()
    *first, last = commands("change-the-name-or-the-layout", "cherry-pick")
    for command in first:
        worked.run("bash", "-c", command.replace("package=tally", f"{question}={answer}"))
    worked.run("bash", "-c", last, check=False)
    assert own <= {line for text, _ in tree(worked.folder).values() for line in text.splitlines()}
    fresh = render(releases.folder, tmp_path / "fresh", {**move[0], **move[1]})
    assert tree(fresh).keys() <= tree(worked.folder).keys()
    if question == "package":
        assert 'OWN = "words"\n' in worked.read("python/tally/__init__.py")


@pytest.mark.parametrize("move", MOVES[:2], ids=str)
def test_plain_update_to_move_loses_edits(move: Move, worked: Project) -> None:
    """The reason for the page: edits in files with other paths are only in git's history afterwards."""
    own = edits(worked)
    added = set(worked.run("git", "diff", "--name-only", "--diff-filter=A", "HEAD~", "HEAD").stdout.split())
    update(worked, data=move[1])
    kept = tree(worked.folder)
    assert added <= kept.keys()
    assert not own <= {line for text, _ in kept.values() for line in text.splitlines()}
