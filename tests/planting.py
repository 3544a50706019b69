"""Faults to plant into a project, for tests that prove that something notices them."""

from __future__ import annotations

from collections.abc import Callable

from template import Project

Plant = Callable[[Project], None]


def append(path: str, text: str) -> Plant:
    """Put a text at the end of a file, or into a new one."""

    def plant(project: Project) -> None:
        (project.folder / path).parent.mkdir(exist_ok=True)
        with (project.folder / path).open("a", encoding="utf-8") as file:
            file.write(text)

    return plant


def replace(path: str, old: str, new: str) -> Plant:
    """Put a text in the place of another, which must be there."""

    def plant(project: Project) -> None:
        text = project.read(path)
        assert old in text, f"{path} has no {old!r}"
        (project.folder / path).write_text(text.replace(old, new, 1), "utf-8")

    return plant


def maturin_key(text: str) -> Plant:
    """Add a line to `[tool.maturin]`."""
    return replace("pyproject.toml", "[tool.maturin]\n", f"[tool.maturin]\n{text}\n")
