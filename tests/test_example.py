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


def code(project: Project, pattern: str) -> list[Path]:
    """List the Rust and Python files that contain a pattern."""
    found = project.run("git", "grep", "-il", pattern, "--", "*.rs", "*.py", "*.pyi", "*.toml", check=False).stdout
    return [project.folder / path for path in found.splitlines()]


def delete_example(project: Project) -> None:
    """Delete the lines marked `example`, then the files of code that still contain `summar`."""
    for file in code(project, "example"):
        file.write_text(MARKED_LINE.sub("", MARKED_BLOCK.sub("", file.read_text("utf-8"))), "utf-8")
    for file in code(project, "summar"):
        file.unlink()
    project.commit("Delete the example")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["default", "pure", "workspace"])
def test_project_without_example_passes(name: str, source: Path, target: Path, tmp_path: Path) -> None:
    project = new_project(source, tmp_path / "project", VARIANTS[name], target)
    delete_example(project)
    project.run("uv", "run", "noxfile.py", "-s", "lint", "stubs", f"test-{project.answer('python')}")


def test_few_lines_are_marked(variant: Project) -> None:
    text = "".join(variant.read(path) for path in variant.run("git", "ls-files", "*.rs", "*.toml").stdout.split())
    assert 0 < len(MARKED_LINE.findall(text)) <= 12
