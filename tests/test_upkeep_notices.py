"""Does LICENSE-THIRD-PARTY contain the terms of what is linked, and does `-- --check` fail on a stale one?"""

from __future__ import annotations

import lzma
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import new_project

from template import ROOT, Project, import_file

NOTICES = "LICENSE-THIRD-PARTY"
WHEELS = ROOT / "template" / ".github" / "workflows" / "wheels.yml"
MANIFEST = (
    '[package]\nname = "{0}"\nversion = "1.0.0"\nedition = "2024"\n{1}\nrepository = "https://git.example.org/{0}"\n'
)


@pytest.fixture(scope="module")
def shared(source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give one project to all tests of this file, with its lock file and its notices."""
    project = new_project(source, tmp_path_factory.mktemp("notices") / "quickstats", {"upkeep": ["notices"]}, target)
    notices(project)
    project.commit("Lock")
    return project


@pytest.fixture(scope="module")
def script(shared: Project) -> ModuleType:
    """Import the session's file."""
    path = shared.folder / "sessions" / "notices.py"
    return import_file(path)


def notices(project: Project, *arguments: str, check: bool = True) -> str:
    """Run the session, and give what it printed."""
    done = project.run("nox", "--session", "notices", "--", *arguments, check=False)
    assert (done.returncode == 0) == check, done.stdout
    return done.stdout


def linked(project: Project) -> set[str]:
    """Name the crates in the file: each has a line with its licence, above the terms."""
    parts = project.read(NOTICES).split("\n" + "-" * 80 + "\n\n")[1:]
    return {line.partition(" ")[0] for part in parts for line in part.partition("\n\n")[0].splitlines()}


def require(project: Project, name: str, metadata: str, table: str = "dependencies", *files: str) -> None:
    """Let the project depend on a new local crate, which comes with some files."""
    folder = project.folder / "dist" / name
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "lib.rs").touch()
    (folder / "Cargo.toml").write_text(MANIFEST.format(name, metadata))
    for file in files:
        (folder / file).write_text(f"Terms of {name}\n")
    with (project.folder / "Cargo.toml").open("a") as manifest:
        manifest.write(f'\n[{table}.{name}]\npath = "dist/{name}"\n')


# ---- Which terms are taken.


@pytest.mark.parametrize(
    ("license_", "present", "taken"),
    [
        ("MIT OR Apache-2.0", "LICENSE-APACHE LICENSE-MIT", "LICENSE-MIT"),
        ("Apache-2.0/MIT", "LICENSE-APACHE LICENSE-MIT", "LICENSE-MIT"),
        ("MIT OR Apache-2.0", "LICENSE-APACHE", "LICENSE-APACHE"),
        ("MIT OR Apache-2.0", "LICENSE", "LICENSE"),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", "LICENSE-APACHE LICENSE-MIT LICENSE-UNICODE",
         "LICENSE-APACHE LICENSE-MIT LICENSE-UNICODE"),
        ("Apache-2.0 WITH LLVM-exception OR MIT", "LICENSE-APACHE LICENSE-MIT", "LICENSE-MIT"),
        ("Apache-2.0", "LICENSE.txt NOTICE", "LICENSE.txt NOTICE"),
        ("Apache-2.0", "LICENSE-APACHE NOTICE", "LICENSE-APACHE NOTICE"),
        ("BSD-2-Clause", "COPYING", "COPYING"),
        (None, "terms.txt", "terms.txt"),
    ],
)  # fmt: skip
def test_texts_are_those_of_the_choice(
    license_: str | None, present: str, taken: str, script: ModuleType, tmp_path: Path
) -> None:
    for name in (*present.split(), "Cargo.toml", "README.md", "lib.rs"):
        (tmp_path / name).touch()
    file = None if license_ else "terms.txt"
    manifest = str(tmp_path / "Cargo.toml")
    crate: dict[str, Any] = {"name": "x", "license": license_, "license_file": file, "manifest_path": manifest}
    assert [path.name for path in script.find_texts(crate)] == taken.split()


def test_platforms_are_those_of_the_wheels(script: ModuleType) -> None:
    built = re.findall(r"\b\w+-(?:unknown|apple|pc)-[a-z-]+", WHEELS.read_text("utf-8"))
    assert set(script.TARGETS) == set(built)


# ---- In a project.


def test_workspace_names_linked_crates_only(source: Path, target: Path, tmp_path: Path) -> None:
    answers = {"layout": "workspace", "extras": ["numpy", "rayon"], "upkeep": ["notices"]}
    project = new_project(source, tmp_path / "quickstats", answers, target)
    notices(project)  # writes the lock file too
    named = linked(project)
    assert {"libc", "ndarray", "numpy", "pyo3", "pyo3-ffi", "rayon", "rayon-core"} <= named
    assert not named & {"quickstats", "quickstats-py", "syn", "heck", "pyo3-macros", "pyo3-build-config", "criterion"}
    notices(project, "--check")
    text = project.read(NOTICES)
    assert text.count("\nonce_cell (") == 1
    assert not re.search(r"(?m)^\S+ v?\d+\.\d+", text)  # without versions, a new lock file rarely changes it
    assert len(lzma.compress(text.encode())) < 3000


def test_check_fails_on_stale_file(project: Project) -> None:
    stale = "LICENSE-THIRD-PARTY is not up to date. Run: uv run noxfile.py -s notices"
    notices(project, "--check")
    require(project, "planted", 'license = "ISC"', "dependencies", "LICENSE")
    assert "because --locked was passed" in notices(project, "--check", check=False)
    project.run("cargo", "metadata", "--offline", "--format-version=1")
    before = project.read(NOTICES)
    assert stale in notices(project, "--check", check=False)
    assert project.read(NOTICES) == before
    notices(project)
    assert "planted (ISC)\n\nTerms of planted\n" in project.read(NOTICES)
    notices(project, "--check")
    (project.folder / NOTICES).unlink()
    assert stale in notices(project, "--check", check=False)


def test_missing_texts_are_named_at_once(project: Project) -> None:
    require(project, "first", 'license = "MIT"')
    require(project, "second", 'license-file = "terms"')
    (project.folder / "dist" / "second" / "terms").touch()
    require(project, "builds", 'license = "MIT"', "build-dependencies")
    require(project, "tests", 'license = "MIT"', "dev-dependencies")
    require(project, "other", 'license = "MIT"', "target.'cfg(target_os = \"uefi\")'.dependencies")
    printed = notices(project, check=False)
    assert "these crates contain no licence text. Copy each from its origin:" in printed
    assert re.findall(r"sessions/licenses/.*", printed) == [
        "sessions/licenses/first.txt: https://git.example.org/first, first (MIT)",
        "sessions/licenses/second.txt: https://git.example.org/second, second (see the text).",
    ]
    (project.folder / "sessions" / "licenses").mkdir()
    for name in ("first", "second"):
        (project.folder / "sessions" / "licenses" / f"{name}.txt").write_text("Given\n")
    notices(project)
    assert "first (MIT)\nsecond (see the text)\n\nGiven\n" in project.read(NOTICES)
    assert not linked(project) & {"builds", "tests", "other"}


def test_sdist_and_metadata_contain_the_file(project: Project, tmp_path: Path) -> None:
    project.run("maturin", "pep517", "write-sdist", "--sdist-directory", tmp_path)
    (sdist,) = tmp_path.glob("*.tar.gz")
    assert f"quickstats-0.1.0/{NOTICES}\n" in project.run("tar", "--list", "--file", sdist).stdout
    project.run("maturin", "pep517", "write-dist-info", "--metadata-directory", tmp_path)
    (metadata,) = tmp_path.glob("*.dist-info")  # as the wheel has it
    assert f"\nLicense-File: {NOTICES}\n" in (metadata / "METADATA").read_text("utf-8")
