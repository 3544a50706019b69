"""Do the pages on updates and on moves keep what they promise?"""

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
    ({}, {"layout": "pure"}),
    ({"layout": "pure"}, {"layout": "mixed"}),
    ({"layout": "workspace"}, {"layout": "mixed"}),
]


@pytest.fixture(
    params=[pytest.param(move, id=str(move), marks=pytest.mark.slow if "layout" in move[1] else ()) for move in MOVES]
)
def move(request: pytest.FixtureRequest) -> Move:
    """Give the answers before, and what changes."""
    chosen: Move = request.param
    return chosen


@pytest.fixture
def worked(move: Move, releases: Releases, tmp_path: Path) -> Project:
    """Give a project that a user has worked in."""
    project = releases.project(PRESENT, tmp_path / "project", move[0])
    work(project)
    return project


def commands(page: str, word: str) -> list[str]:
    """Read the block of a page that holds a word, for the Copier of the tests."""
    text = (ROOT / "docs" / "how-to" / f"{page}.md").read_text("utf-8")
    block = next(block for block in text.split("```") if "$ " in block and word in block)
    return re.findall(r"^\$ (?:uvx )?(.+)", block, flags=re.MULTILINE)


def test_commands_update_a_project_and_switch_an_extra_on(releases: Releases, tmp_path: Path) -> None:
    project = releases.project(OLDER, tmp_path / "project")
    for command in commands("update-a-project", "check-update"):
        project.run("bash", "-c", command)
    assert f"_commit: {PRESENT}" in project.read(".copier-answers.yml")
    project.commit()
    for command in commands("update-a-project", "extras="):
        project.run("bash", "-c", command)
    assert "numpy" in project.read("Cargo.toml")


def own_lines(project: Project) -> set[str]:
    """Read what the user wrote."""
    return set(re.findall(r"^\+(?!\+\+ )(.+)", project.run("git", "diff", "HEAD~", "HEAD").stdout, flags=re.MULTILINE))


def lines(project: Project) -> set[str]:
    """Read all lines of the project."""
    return {line for text, _ in tree(project.folder).values() for line in text.splitlines()}


def test_commands_of_the_page_lose_nothing(move: Move, worked: Project, releases: Releases, tmp_path: Path) -> None:
    own = own_lines(worked)
    ((question, answer),) = move[1].items()
    *first, last = commands("change-the-name-or-the-layout", "cherry-pick")
    for command in first:
        worked.run("bash", "-c", command.replace("package=tally", f"{question}={answer}"))
    worked.run("bash", "-c", last, check=False)
    assert own <= lines(worked)
    fresh = render(releases.folder, tmp_path / "fresh", {**move[0], **move[1]})
    assert tree(fresh).keys() <= tree(worked.folder).keys()
    if question == "package":
        assert 'OWN = "words"\n' in worked.read("python/tally/__init__.py")


def test_update_to_another_answer_leaves_own_files_and_history(move: Move, worked: Project) -> None:
    """Why the page exists: an edited file whose path changes is gone from the tree, and only there."""
    head = worked.run("git", "rev-parse", "HEAD").stdout
    own = set(worked.run("git", "diff", "--name-only", "--diff-filter=A", "HEAD~", "HEAD").stdout.split())
    update(worked, data=move[1])
    assert own
    assert own <= tree(worked.folder).keys()
    assert worked.run("git", "rev-parse", "HEAD").stdout == head
