"""Does `nox -s release` build and check what a release needs, in every layout?"""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from conftest import new_project

from template import Project, run
from variants import VARIANTS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["default", "pure-numpy-rayon", "workspace"])
def released(
    request: pytest.FixtureRequest, source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """Give a project of each layout that has been through its release session."""
    folder = tmp_path_factory.mktemp("release") / "project"
    project = new_project(source, folder, VARIANTS[request.param], target)
    project.run("cargo", "generate-lockfile")
    project.run("nox", "--session", "release")
    return project


def test_release_is_an_sdist_and_a_wheel_for_each_family(released: Project) -> None:
    names = sorted(path.name for path in (released.folder / "dist").iterdir())
    stem = f"{released.answer('package')}-0.1.0"
    number = released.answer("python").replace(".", "")
    platform = "manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
    assert names == sorted(
        [
            f"{stem}-cp{number}-abi3-{platform}",
            f"{stem}-cp314-cp314t-{platform}",
            f"{stem}-cp315-abi3.abi3t-{platform}",
            f"{stem}.tar.gz",
        ]
    )


def test_sdist_holds_the_sources_the_lock_the_licence_and_the_tests(released: Project) -> None:
    (path,) = (released.folder / "dist").glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"Cargo.toml", "Cargo.lock", "pyproject.toml", "README.md", "PKG-INFO", "tests/test_package.py"}
    wanted |= {path.name for path in released.folder.glob("LICENSE*")}
    wanted |= {
        name for name in released.run("git", "ls-files", "*.rs", "*.pyi").stdout.split() if "benches" not in name
    }
    assert wanted <= names
    assert not {name for name in names if name.startswith((".github", "target", "dist"))}


def test_sdist_builds_with_its_own_lock(released: Project, tmp_path: Path) -> None:
    (path,) = (released.folder / "dist").glob("*.tar.gz")
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    (folder / "target").symlink_to(released.folder / "target", target_is_directory=True)
    for file in folder.rglob("*.rs"):
        file.touch()  # dated 2006 in the sdist: cargo would take another project's build for newer
    run("maturin", "build", "--locked", "--out", tmp_path / "out", cwd=folder)
