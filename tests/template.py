"""Render the template, and run commands in what it renders."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import pytest
import yaml
from copier import run_copy

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("copier.yml", "template", "hooks")  # what Copier reads of the repository


@cache
def questions() -> dict[str, dict[str, Any]]:
    """Read what copier.yml asks: every key with a help."""
    keys = yaml.safe_load((ROOT / "copier.yml").read_text("utf-8"))
    return {key: value for key, value in keys.items() if "help" in value and not key.startswith("_")}


@cache
def facts() -> dict[str, Any]:
    """Read the facts of copier.yml."""
    return dict(yaml.safe_load((ROOT / "copier.yml").read_text("utf-8"))["facts"]["default"])


@cache
def options() -> dict[str, dict[str, dict[str, Any]]]:
    """Read the table of copier.yml: what belongs to each value of each option."""
    return dict(yaml.safe_load((ROOT / "copier.yml").read_text("utf-8"))["options"]["default"])


def snapshot(folder: Path) -> Path:
    """Copy the template, as it stands in the working tree, out of its repository: Copier then clones nothing."""
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / part)
    return folder


def render(source: Path, folder: Path, answers: dict[str, Any] | None = None, **options: Any) -> Path:
    """Render a project. An answer that no question asks for is refused: it would test nothing."""
    answers = answers or {}
    unknown = answers.keys() - questions().keys()
    if unknown:
        raise ValueError(f"no question of copier.yml is called {sorted(unknown)}")
    run_copy(str(source), folder, data=answers, defaults=True, quiet=True, **options)
    return folder


def run(*command: str | Path, cwd: Path, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the project, and show all that it printed if it fails."""
    return execute(command, cwd, {**clean_environment(), **variables}, check=check)


def execute(
    command: Sequence[str | Path], cwd: Path, environment: dict[str, str], *, check: bool
) -> subprocess.CompletedProcess[str]:
    """Run a command with an environment and nothing else, and show all that it printed if it must not fail and does."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))} exited with {done.returncode}:\n{done.stdout}")
    return done


def clean_environment() -> dict[str, str]:
    """Give the environment of a user's shell: the tests' own tools on the path, no active virtual environment."""
    hidden = ("VIRTUAL_ENV", "CONDA_PREFIX", "PYO3_PYTHON", "CARGO_TARGET_DIR", "CI", "UV_PYTHON")
    prefixes = ("NOX_", "UV_PROJECT", "PYTEST_")  # nox tells uv of its own environment, pytest its plugins of workers
    environment = {
        name: value for name, value in os.environ.items() if name not in hidden and not name.startswith(prefixes)
    }
    # pyenv's shims find no Python but the chosen one: its folders go before them.
    pyenv = Path(environment.get("PYENV_ROOT", Path.home() / ".pyenv"))
    folders = [Path(sys.executable).parent, *sorted(pyenv.glob("versions/3.1?.*/bin"))]
    environment["PATH"] = os.pathsep.join([*map(str, folders), environment["PATH"]])
    return environment


def import_file(path: str | Path) -> ModuleType:
    """Import a file of a project as a module that no other test sees."""
    specification = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def in_ci() -> bool:
    """Tell whether a missing tool is a failure."""
    return os.environ.get("CI", "").lower() in ("1", "true")


def missing_tool(reason: str, excuse: str = "") -> NoReturn:
    """Skip a test for want of a tool, or under CI fail it, unless CI says in a variable why the tool is not to be had."""
    if in_ci() and not os.environ.get(excuse):
        pytest.fail(reason)
    pytest.skip(f"{reason} {os.environ.get(excuse, '')}".strip())


@dataclass(frozen=True)
class Project:
    """A rendered project with its own git repository."""

    folder: Path
    answers: dict[str, Any]

    def answer(self, question: str) -> Any:
        """Give the answer that the project was rendered with, its default if none was given."""
        stored = yaml.safe_load(self.read(".copier-answers.yml"))
        return stored[question]

    def run(self, *command: str | Path, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the project."""
        return run(*command, cwd=self.folder, check=check, **variables)

    def clone(self, folder: Path) -> Project:
        """Give a clone, to plant faults in."""
        self.run("git", "clone", "--quiet", self.folder, folder)
        return Project(folder, self.answers)

    def read(self, path: str) -> str:
        """Read a file of the project."""
        return (self.folder / path).read_text("utf-8")

    def commit(self, message: str = "change") -> None:
        """Commit all that changed."""
        self.run("git", "add", "--all")
        self.run("git", "-c", "core.hooksPath=/dev/null", "commit", "--quiet", "--allow-empty", "--message", message)
