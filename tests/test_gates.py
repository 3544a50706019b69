"""Does each gate of the rendered project turn red? One planted fault for each, in a default project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import new_project

from planting import append, replace
from template import Project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give one project for all faults, so that nox makes each environment once."""
    project = new_project(source, tmp_path_factory.mktemp("gates") / "quickstats", {}, target)
    project.run("cargo", "generate-lockfile")
    project.commit("Lock")
    return project


@pytest.fixture(autouse=True)
def mended(project: Project) -> Iterator[None]:
    """Undo each fault."""
    yield
    project.run("git", "checkout", "--quiet", ".")
    project.run("git", "clean", "--quiet", "--force", "-d")


FAULTS = {
    "an unformatted Rust file": ("lint", append("src/summary.rs", "\n\n\n"), "cargo fmt --all --check"),
    "a clippy warning": (
        "lint",
        append(
            "src/lib.rs", "\n/// Clones.\n#[must_use]\npub fn spare() -> i32 {\n    let one = 1;\n    one.clone()\n}\n"
        ),
        "clone_on_copy",
    ),
    "an undocumented Rust item": (
        "lint",
        append("src/lib.rs", "\npub const SPARE: i32 = 1;\n"),
        "missing documentation",
    ),
    "a broken link in the Rust documentation": (
        "lint",
        append("src/lib.rs", "\n/// See [`nowhere`].\npub const SPARE: i32 = 1;\n"),
        "unresolved link",
    ),
    "unsafe code": (
        "lint",
        append(
            "src/lib.rs", "\n/// Reads.\npub const SPARE: i32 = unsafe { *(&raw const ONE) };\nconst ONE: i32 = 1;\n"
        ),
        "unsafe",
    ),
    "an unformatted Python file": ("lint", append("tests/test_package.py", "x  = 1\n"), "would be reformatted"),
    "an unused Python import": (
        "lint",
        replace("tests/test_package.py", "import ", "import colorsys\nimport "),
        "F401",
    ),
    "a conflict marker": ("lint", append("README.md", "\n<<<<<<< before updating\n"), ":<<<<<<< before updating"),
    "an unformatted justfile": ("lint", append("justfile", "\n\nspare:\n  cargo   --version\n"), "just --fmt"),
    "a stale stub": (
        "stubs",
        replace("python/quickstats/_core.pyi", "def merge(self, other", "def merge(self, another"),
        "another",
    ),
    "a stub that hides a function": (
        "stubs",
        replace("python/quickstats/_core.pyi", "def summarize(", "def summarise("),
        "summarise",
    ),
    "a user's type error": (
        "stubs",
        append("tests/test_package.py", '\n\nWRONG: int = package.summarize([1.0]).mean + ""\n'),
        "Unsupported operand",
    ),
    "a failing Python test": (
        "test-3.11",
        append("tests/test_package.py", "\n\ndef test_it() -> None:\n    assert 0\n"),
        "1 failed",
    ),
    "a failing Rust test": (
        "test-3.11",
        append(
            "src/summary.rs",
            "\n#[cfg(test)]\nmod planted {\n    #[test]\n    fn it() {\n        assert_eq!(1, 2);\n    }\n}\n",
        ),
        "planted::it",
    ),
    "a broken doctest": (
        "test-3.11",
        append("src/lib.rs", "\n/// ```\n/// assert_eq!(1, 2);\n/// ```\npub const SPARE: i32 = 1;\n"),
        "test result: FAILED",
    ),
    "a module of another name": ("test-3.11", replace("src/lib.rs", "mod _core", "mod other"), "PyInit__core"),
    "a lost stable ABI": ("wheel", replace("Cargo.toml", '"abi3-py311", ', ""), "no wheel is tagged cp311-abi3"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_gate_turns_red_on(fault: str, project: Project) -> None:
    session, plant, message = FAULTS[fault]
    plant(project)
    done = project.run("nox", "--reuse-venv=yes", "--session", session, check=False)
    assert done.returncode != 0
    assert message in done.stdout


def test_gates_are_green_without_a_fault(project: Project) -> None:
    project.run("nox", "--reuse-venv=yes", "--session", "lint", "stubs", "test-3.11")
