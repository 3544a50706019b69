"""Does LICENSE-THIRD-PARTY hold the terms of what is linked, and does a stale one turn lint red?"""

from __future__ import annotations

import importlib.util
import lzma
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import new_project

from template import ROOT, Project

slow = pytest.mark.slow
NOTICES = "LICENSE-THIRD-PARTY"


@pytest.fixture(scope="module")
def notices() -> ModuleType:
    """Import the script, which is static."""
    spec = importlib.util.spec_from_file_location("notices", ROOT / "template" / "tools" / "notices.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- Which terms are taken.


@pytest.mark.parametrize(
    ("expression", "first"),
    [
        ("MIT", ["MIT"]),
        ("Apache-2.0 OR MIT", ["MIT"]),
        ("MIT/Apache-2.0", ["MIT"]),
        ("Apache-2.0 AND BSD-3-Clause", ["Apache-2.0", "BSD-3-Clause"]),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", ["MIT", "Unicode-3.0"]),
        ("GPL-3.0-only OR MIT AND (Zlib OR ISC)", ["MIT", "Zlib"]),
        ("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT", ["MIT"]),
        ("Apache-2.0 WITH LLVM-exception", ["Apache-2.0 WITH LLVM-exception"]),
    ],
)
def test_the_shortest_choice_satisfies_the_expression(expression: str, first: list[str], notices: ModuleType) -> None:
    assert notices.choices(expression)[0] == first


def crate(folder: Path, license_: str | None, *names: str, file: str | None = None) -> dict[str, Any]:
    """Make a crate with some files, as cargo describes it."""
    folder.mkdir(exist_ok=True)
    for name in (*names, "Cargo.toml", "README.md"):
        (folder / name).write_text(f"{name}  \r\n", "utf-8")
    return {
        "name": folder.name,
        "version": "1.0.0",
        "license": license_,
        "license_file": file,
        "manifest_path": str(folder / "Cargo.toml"),
        "repository": "https://git.example.org/planted",
    }


@pytest.mark.parametrize(
    ("license_", "present", "taken"),
    [
        ("MIT OR Apache-2.0", "LICENSE-APACHE LICENSE-MIT", "LICENSE-MIT"),
        ("MIT OR Apache-2.0", "LICENSE-APACHE", "LICENSE-APACHE"),
        ("MIT OR Apache-2.0", "LICENSE", "LICENSE"),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", "LICENSE-APACHE LICENSE-MIT LICENSE-UNICODE", "LICENSE-MIT LICENSE-UNICODE"),
        ("Apache-2.0", "LICENSE.txt NOTICE", "LICENSE.txt NOTICE"),
        ("Apache-2.0", "LICENSE-APACHE NOTICE", "LICENSE-APACHE NOTICE"),
        ("BSD-2-Clause", "COPYING", "COPYING"),
        (None, "terms.txt", "terms.txt"),
    ],
)  # fmt: skip
def test_files_are_those_of_the_choice(
    license_: str | None, present: str, taken: str, notices: ModuleType, tmp_path: Path
) -> None:
    planted = crate(tmp_path / "planted", license_, *present.split(), file=None if license_ else "terms.txt")
    assert [path.name for path in notices.files(planted)] == taken.split()
    assert notices.terms(planted) == "\n\n".join(taken.split()) + "\n"


def test_the_same_terms_stand_there_once_and_without_versions(notices: ModuleType, tmp_path: Path) -> None:
    crates = [crate(tmp_path / name, "MIT", "LICENSE") for name in ("one", "two", "two")]
    text = notices.notices(crates)
    assert text.count("\nLICENSE\n") == 1
    assert "one (MIT)\ntwo (MIT)\n\nLICENSE" in text
    assert "1.0.0" not in text


@pytest.mark.parametrize("license_", ["MIT", None])
def test_a_crate_without_a_text_is_named_and_can_be_given_one(
    license_: str | None, notices: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = crate(tmp_path / "planted", license_)
    monkeypatch.setattr(notices, "ROOT", tmp_path)
    monkeypatch.setattr(notices, "SUPPLIED", tmp_path / "tools" / "licenses")
    with pytest.raises(SystemExit) as stopped:
        notices.terms(planted)
    assert str(stopped.value) == (
        f"planted 1.0.0 comes without the text of its licence ({license_ or 'none is named'}). "
        "Get it from https://git.example.org/planted, and put it into tools/licenses/planted.txt."
    )
    (tmp_path / "tools" / "licenses").mkdir(parents=True)
    (tmp_path / "tools" / "licenses" / "planted.txt").write_text("Given\n")
    assert notices.terms(planted) == "Given\n"


# ---- In a project.


@pytest.fixture(scope="module")
def shared(source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give one project for all, with its lock and the file."""
    project = new_project(source, tmp_path_factory.mktemp("notices") / "quickstats", {}, target)
    project.run("nox", "--session", "notices")
    project.commit("Lock")
    return project


def linked(project: Project) -> set[str]:
    """Name the crates that stand in the file, each on a line of its own with its licence."""
    parts = project.read(NOTICES).split("\n" + "-" * 80 + "\n\n")[1:]
    return {line.partition(" ")[0] for part in parts for line in part.partition("\n\n")[0].splitlines()}


@slow
@pytest.mark.parametrize(
    ("layout", "extras", "crates"),
    [
        ("mixed", [], {"libc", "once_cell", "portable-atomic", "pyo3", "pyo3-ffi"}),
        ("workspace", ["numpy", "rayon"], {"libc", "ndarray", "numpy", "pyo3", "rayon", "rayon-core"}),
    ],
)
def test_what_is_linked_stands_there_and_nothing_else(
    layout: str, extras: list[str], crates: set[str], source: Path, target: Path, tmp_path: Path
) -> None:
    project = new_project(source, tmp_path / "quickstats", {"layout": layout, "extras": extras}, target)
    assert not (project.folder / "Cargo.lock").exists()
    project.run("nox", "--session", "notices")
    assert (project.folder / "Cargo.lock").exists()
    named = linked(project)
    assert crates <= named
    # Its own crates, those that only build it and those of the benches are not linked.
    assert not named & {"quickstats", "quickstats-py", "syn", "pyo3-macros", "pyo3-build-config", "criterion"}
    assert "\r" not in project.read(NOTICES)
    project.run("nox", "--session", "notices", "--", "--check", CARGO_NET_OFFLINE="true")
    assert len(lzma.compress((project.folder / NOTICES).read_bytes())) < 3000


@slow
def test_lint_turns_red_on_a_stale_file(project: Project) -> None:
    lint = ("nox", "--reuse-venv=yes", "--session", "lint")
    project.run("cargo", "add", "--quiet", "either")
    before = project.read(NOTICES)
    done = project.run(*lint, check=False)
    assert done.returncode != 0
    assert "LICENSE-THIRD-PARTY does not say what is linked. `just lock` writes it" in done.stdout
    assert project.read(NOTICES) == before
    (project.folder / NOTICES).unlink()
    done = project.run(*lint, check=False)
    assert done.returncode != 0
    assert "LICENSE-THIRD-PARTY is missing. `just lock` writes it" in done.stdout
    assert not (project.folder / NOTICES).exists()
    project.run("nox", "--session", "notices")
    assert "either" in linked(project)
    project.run(*lint)


@slow
def test_before_the_first_build_there_is_nothing_to_compare(project: Project) -> None:
    project.run("git", "rm", "--quiet", "Cargo.lock", NOTICES)
    done = project.run("nox", "--session", "notices", "--", "--check")
    assert "There is no Cargo.lock yet" in done.stdout
    assert not (project.folder / NOTICES).exists()


@slow
def test_a_lock_that_is_behind_is_said_to_be(project: Project) -> None:
    path = project.folder / "Cargo.toml"
    path.write_text(
        project.read("Cargo.toml").replace(
            "[dependencies.pyo3]", '[dependencies.either]\nversion = "1"\n\n[dependencies.pyo3]'
        )
    )
    done = project.run("nox", "--session", "notices", "--", "--check", check=False)
    assert done.returncode != 0
    assert "`just lock` brings Cargo.lock up to the manifests" in done.stdout


@slow
def test_an_install_from_git_and_the_sdist_carry_it(project: Project, tmp_path: Path) -> None:
    project.run("uv", "build", "--quiet", "--sdist", "--out-dir", tmp_path)
    (sdist,) = tmp_path.glob("*.tar.gz")
    assert f"quickstats-0.1.0/{NOTICES}\n" in project.run("tar", "--list", "--file", sdist).stdout
    project.run("uv", "venv", "--quiet", "--seed", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    requirement = f"quickstats @ git+{project.folder.as_uri()}"
    project.run(python, "-m", "pip", "install", "--quiet", requirement, MATURIN_PEP517_ARGS="--profile dev")
    code = f"""if True:
        from importlib.metadata import files
        (path,) = (path for path in files("quickstats") if path.name == "{NOTICES}")
        assert path.parent.name == "licenses"
        print(path.read_text(), end="")"""
    assert project.run(python, "-c", code).stdout == project.read(NOTICES)
