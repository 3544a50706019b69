"""Can a user start on code of their own by deleting the example, just as the README says?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import new_project

from template import Project
from variants import VARIANTS

MARKED_BLOCK = re.compile(r"^[^\n]*example: begin\n.*?example: end\n", re.MULTILINE | re.DOTALL)
MARKED_LINE = re.compile(r"^[^\n]*(#|//) example\n", re.MULTILINE)


def delete_example(project: Project) -> None:
    """Delete the files with `summary` in their names and the lines marked `example`."""
    for path in project.run("git", "ls-files").stdout.splitlines():
        file = project.folder / path
        if "summary" in file.name:
            file.unlink()
        else:
            file.write_text(MARKED_LINE.sub("", MARKED_BLOCK.sub("", file.read_text("utf-8"))), "utf-8")
    project.commit("Delete the example")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["default", "pure-numpy-rayon", "workspace"])
def test_project_without_the_example_builds_and_passes(name: str, source: Path, target: Path, tmp_path: Path) -> None:
    project = new_project(source, tmp_path / "project", VARIANTS[name], target)
    delete_example(project)
    assert (
        "ummar"
        not in project.run("git", "grep", "-I", "-i", "summar", "--", "*.rs", "*.py", "*.pyi", check=False).stdout
    )
    project.run("nox", "--session", "lint", "stubs", f"test-{project.answer('python')}")


def test_few_lines_are_marked(variant: Project) -> None:
    text = "".join(variant.read(path) for path in variant.run("git", "ls-files", "*.rs", "*.toml").stdout.split())
    assert 0 < len(MARKED_LINE.findall(text)) <= 20
