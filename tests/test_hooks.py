"""Does what a user wrote in a file survive a release that renames it?"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from releases import Releases, tree, unmerged
from template import Project, run

LINES = [f"Line {number} of the release.\n" for number in range(9)]
OLD, NEW = "notes/quickstats.md", "notes/quickstats/index.md"

MIGRATIONS = """
_migrations:
  - version: v1001.0.0
    command:
      - "{{ _copier_python }}"
      - "{{ _copier_conf.src_path }}/hooks/rename.py"
      - "{{ _copier_answers._src_path }}"
      - "notes/{{ package }}.md"
      - "notes/{{ package }}/index.md"
"""


@pytest.fixture
def renaming(releases: Releases, tmp_path: Path) -> Releases:
    """Give a release with a file that the next one renames, and changes in the middle."""
    renaming = releases.copy(tmp_path / "template")
    notes = renaming.folder / "template" / "notes"
    notes.mkdir()
    (notes / "{{ package }}.md").write_text("".join(LINES), "utf-8")
    renaming.release("v1000.0.0")
    (notes / "{{ package }}").mkdir()
    (notes / "{{ package }}.md").rename(notes / "{{ package }}" / "index.md")
    renaming.edit("template/notes/{{ package }}/index.md", LINES[4], "Line 4 of the next release.\n")
    renaming.append("copier.yml", MIGRATIONS)
    renaming.release("v1001.0.0")
    return renaming


@pytest.fixture
def project(renaming: Releases, tmp_path: Path) -> Project:
    """Give a project of the release before."""
    return renaming.project("v1000.0.0", tmp_path / "project")


def edit(project: Project, line: int) -> None:
    """Change a line of the file that will be renamed."""
    text = project.read(OLD).replace(LINES[line], f"Line {line} of the user.\n")
    (project.folder / OLD).write_text(text, "utf-8")
    project.commit()


def update(project: Project) -> str:
    """Update with trust, and give what Copier says."""
    return project.run("copier", "update", "--defaults", "--trust").stdout


def test_untouched_project_equals_fresh_render(project: Project, renaming: Releases, tmp_path: Path) -> None:
    update(project)
    assert tree(project.folder) == tree(renaming.project("v1001.0.0", tmp_path / "fresh").folder)


def test_edit_moves_with_the_file(project: Project) -> None:
    edit(project, 0)
    update(project)
    assert unmerged(project) == set()
    assert not (project.folder / OLD).exists()
    assert project.read(NEW).splitlines()[:5:4] == ["Line 0 of the user.", "Line 4 of the next release."]


def test_line_changed_by_both_is_marked_conflict(project: Project) -> None:
    edit(project, 4)
    update(project)
    assert unmerged(project) == {NEW}
    assert {"Line 4 of the user.", "Line 4 of the next release."} < set(project.read(NEW).splitlines())


def test_conflict_is_recorded_in_a_subfolder_project(project: Project, tmp_path: Path) -> None:
    edit(project, 4)
    shutil.rmtree(project.folder / ".git")
    (tmp_path / "whole").mkdir()
    part = Project(Path(shutil.move(project.folder, tmp_path / "whole" / "part")), {})
    run("git", "init", "--quiet", cwd=tmp_path / "whole")
    part.commit()
    update(part)
    assert unmerged(part) == {NEW}


def test_deleted_file_stays_deleted(project: Project) -> None:
    (project.folder / OLD).unlink()
    project.commit()
    update(project)
    assert not {OLD, NEW} & tree(project.folder).keys()


def test_user_file_at_new_path_is_kept(project: Project) -> None:
    edit(project, 0)
    (project.folder / NEW).parent.mkdir()
    (project.folder / NEW).write_text("Mine.\n", "utf-8")
    project.commit()
    assert "is yours already" in update(project)
    assert "Mine." in project.read(NEW).splitlines()
    assert "Line 0 of the user." in project.read(OLD).splitlines()


def test_file_renamed_by_user_keeps_edits(project: Project) -> None:
    edit(project, 0)
    (project.folder / NEW).parent.mkdir()
    (project.folder / OLD).rename(project.folder / NEW)
    project.commit()
    update(project)
    assert "Line 0 of the user." in project.read(NEW).splitlines()


def test_update_without_trust_changes_nothing(project: Project) -> None:
    edit(project, 0)
    before = tree(project.folder)
    refused = project.run("copier", "update", "--defaults", check=False)
    assert refused.returncode == 4
    assert "unsafe feature: migrations" in refused.stdout
    assert "--trust" in refused.stdout
    assert tree(project.folder) == before
    assert not project.run("git", "status", "--porcelain").stdout
    update(project)
    assert "Line 0 of the user." in project.read(NEW)


def test_later_updates_need_no_trust(renaming: Releases, tmp_path: Path) -> None:
    project = renaming.project("v1001.0.0", tmp_path / "project")
    renaming.append("template/justfile.jinja", "# more\n")
    renaming.release("v1002.0.0")
    project.run("copier", "update", "--defaults")
    assert "# more" in project.read("justfile")
