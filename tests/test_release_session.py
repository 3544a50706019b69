"""Does `nox -s release` take a project from its version to a tested install, and stop at each known accident?"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import new_project

from planting import replace
from servers import folder_server
from template import Project, clean_environment, run
from variants import VARIANTS

pytestmark = pytest.mark.slow

# Each layout, and either source of the version; a rehearsal takes minutes. The workflows rehearse the default once more.
REHEARSED = {
    f"{name}, version from {version}": {**VARIANTS[name], "version": version}
    for name, version in (("default", "cargo"), ("pure-numpy-rayon", "git"), ("workspace", "cargo"))
}
PLATFORM = "manylinux2014_x86_64.manylinux_2_17_x86_64"


def begin(source: Path, folder: Path, answers: dict[str, Any], target: Path) -> Project:
    """Render a project, with its lock and the licences of its crates committed."""
    project = new_project(source, folder, answers, target)
    project.run("nox", "--session", "notices")
    project.commit()
    return project


@pytest.fixture(scope="module", params=REHEARSED)
def rehearsed(
    request: pytest.FixtureRequest, source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, str]:
    """Give a project that has been through its release session, and what that said."""
    answers = REHEARSED[request.param]
    project = begin(source, tmp_path_factory.mktemp("release") / "project", answers, target)
    version = ("--version", "0.1.0") if answers["version"] == "git" else ()
    # The default project is installed on every Python that is here; for the others the lowest has to do.
    path = clean_environment()["PATH"] if request.param.startswith("default, version from cargo") else only(project)
    return project, project.run("nox", "--session", "release", "--", *version, PATH=path).stdout


def only(project: Project) -> str:
    """Give a path on which the lowest Python of a project is the only one that it supports."""
    lowest = int(project.answer("python").partition(".")[2])
    others = [f"python3.{minor}" for minor in range(lowest + 1, 16)]
    folders = clean_environment()["PATH"].split(os.pathsep)
    return os.pathsep.join(each for each in folders if not any(Path(each, other).exists() for other in others))


@pytest.fixture(scope="module")
def built(source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a default project with an sdist and a wheel of each family in dist/; tests change copies of them."""
    project = begin(source, tmp_path_factory.mktemp("built") / "project", {}, target)
    project.run("nox", "--session", "wheel")
    project.run("maturin", "sdist", "--out", "dist")
    return project


# ---- The whole.


def test_release_is_an_sdist_and_a_wheel_for_each_family(rehearsed: tuple[Project, str]) -> None:
    project, _ = rehearsed
    names = sorted(path.name for path in (project.folder / "dist").iterdir())
    stem = f"{project.answer('package')}-0.1.0"
    number = project.answer("python").replace(".", "")
    assert names == sorted(
        [
            f"{stem}-cp{number}-abi3-{PLATFORM}.whl",
            f"{stem}-cp314-cp314t-{PLATFORM}.whl",
            f"{stem}-cp315-abi3.abi3t-{PLATFORM}.whl",
            f"{stem}.tar.gz",
        ]
    )


def test_release_is_reported_artifact_by_artifact(rehearsed: tuple[Project, str]) -> None:
    project, said = rehearsed
    table = project.read("target/release.md")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert [row[0] for row in rows] == sorted(path.name for path in (project.folder / "dist").iterdir())
    lowest = project.answer("python").replace(".", "")
    assert [row[1] for row in rows] == [f"cp{lowest}-abi3", "cp314-cp314t", "cp315-abi3.abi3t", "sdist"]
    assert all(re.fullmatch(r"[0-9a-f]{64}", row[4]) and row[5] == "good" for row in rows)
    assert {row[3] for row in rows} <= {"none", "-"}, "a release that was never published has a size"
    assert table in said


def test_release_is_built_again_uploaded_and_installed_on_every_python(rehearsed: tuple[Project, str]) -> None:
    project, said = rehearsed
    lowest = project.answer("python").replace(".", "")
    assert f"-cp{lowest}-abi3-{PLATFORM}.whl comes out the same when it is built again" in said
    assert "uploads by twine and uv, interrupted and twice: the set is whole" in said
    assert "the sdist without Rust: says what to install" in said
    wheels, sdists = (re.findall(rf"the {kind} on Python (\S+): \d+ passed", said) for kind in ("wheel", "sdist"))
    assert wheels == sdists
    assert project.answer("python") in wheels
    if project.answers == REHEARSED["default, version from cargo"]:
        assert {"3.11", "3.12", "3.13"} & pythons_here() <= set(wheels)


def pythons_here() -> set[str]:
    """Name the Pythons that pyenv has."""
    folders = clean_environment()["PATH"].split(os.pathsep)
    return {match[1] for each in folders if (match := re.search(r"versions/(3\.\d+)\.\d+/bin$", each))}


def test_release_leaves_the_project_as_it_was(rehearsed: tuple[Project, str]) -> None:
    project, _ = rehearsed
    assert project.run("git", "status", "--porcelain").stdout == ""


def test_sdist_holds_the_sources_the_lock_the_licences_and_the_tests(rehearsed: tuple[Project, str]) -> None:
    project, _ = rehearsed
    (path,) = (project.folder / "dist").glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"Cargo.toml", "Cargo.lock", "pyproject.toml", "README.md", "PKG-INFO", "tests/test_package.py"}
    wanted |= {path.name for path in project.folder.glob("LICENSE*")}
    wanted |= {name for name in project.run("git", "ls-files", "*.rs", "*.pyi").stdout.split() if "benches" not in name}
    assert wanted <= names
    assert not {name for name in names if name.startswith((".github", "channels", "target", "dist"))}


def test_sdist_builds_with_its_own_lock_by_maturin_alone(rehearsed: tuple[Project, str], tmp_path: Path) -> None:
    project, _ = rehearsed
    (path,) = (project.folder / "dist").glob("*.tar.gz")
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    (folder / "target").symlink_to(project.folder / "target", target_is_directory=True)
    for file in folder.rglob("*.rs"):
        file.touch()  # dated 2006 in the sdist: cargo would take another project's build for newer
    python = ("--interpreter", f"python{project.answer('python')}")
    run("maturin", "build", "--profile", "dev", "--locked", "--out", tmp_path / "out", *python, cwd=folder)
    (wheel,) = (tmp_path / "out").glob("*.whl")
    assert wheel.name.startswith(f"{project.answer('package')}-0.1.0-")


# ---- Accidents that the gate stops before anything is built.


def tag_and_go_on(project: Project) -> None:
    """Tag a release, and commit something after it."""
    project.run("git", "tag", "v0.1.0")
    project.commit()


def spell_ambiguously(project: Project) -> None:
    """Take a version that is a pre-release to Cargo and a post-release to Python."""
    replace("Cargo.toml", 'version = "0.1.0"', 'version = "0.1.0-0"')(project)
    project.run("cargo", "update", "--workspace")


def leave(project: Project) -> None:
    """Change nothing."""


GATE: dict[str, tuple[dict[str, Any], Callable[[Project], None], tuple[str, ...], str]] = {
    "a tag of another version": (
        *({}, leave, ("--tag", "v0.2.0")),
        "the tag is v0.2.0, but the sources are of version 0.1.0: tag the commit that `just bump` made",
    ),
    "a tag that only looks like the version": (*({}, leave, ("--tag", "v0.1")), "the tag is v0.1, but the sources"),
    "a version in a second place": (
        *({}, replace("pyproject.toml", 'dynamic = ["version"]', 'version = "0.3.0"'), ()),
        "Cargo.toml says 0.1.0, but the metadata 0.3.0",
    ),
    "a version that means another to Python": (
        *({}, spell_ambiguously, ()),
        "'0.1.0-0' is ambiguous: for Python's 0.1.0.post0 Cargo has 0.1.0-post.0",
    ),
    "a lock that was not renewed": (
        *({}, replace("Cargo.toml", 'version = "0.1.0"', 'version = "0.1.1"'), ()),
        "run `just lock`, and commit Cargo.lock",
    ),
    "a changelog without the release": (
        *({}, leave, ("--tag", "v0.1.0")),
        "CHANGELOG.md has no section 0.1.0: `just bump` writes it",
    ),
    "a version that was released": (*({}, tag_and_go_on, ()), "the tag v0.1.0 is on another commit"),
    "a commit without a tag": (*({"version": "git"}, leave, ()), "no index takes 0.1.dev"),
    "a tag on another commit than the sources": (
        *({"version": "git"}, tag_and_go_on, ("--tag", "v0.1.0")),
        "no index takes 0.1.1.dev1+g",
    ),
    "a version for a project that holds one": (
        *({}, leave, ("--version", "2.0.0")),
        "Cargo.toml holds the version: `just bump` changes it",
    ),
}


@pytest.mark.parametrize("accident", GATE)
def test_gate_stops_before_anything_is_built(source: Path, target: Path, tmp_path: Path, accident: str) -> None:
    answers, plant, arguments, message = GATE[accident]
    project = begin(source, tmp_path / "project", answers, target)
    plant(project)
    done = project.run(sys.executable, "tools/rehearse.py", *arguments, check=False)
    assert done.returncode
    assert message in " ".join(done.stdout.split())
    assert not (project.folder / "dist").exists()


# ---- Accidents of the build.

IN_THE_MODULE = "    // What Python can import: one `use` each, below a `#[pymodule_export]`.\n"
BUILD: dict[str, tuple[Callable[[Project], None], str]] = {
    "a wheel of another family": (
        replace("Cargo.toml", 'features = ["abi3-py311", "abi3t-py315"]', "features = []"),
        "the wheel for Python 3.11 should have the tag cp311-abi3",
    ),
    "an sdist that does not build": (
        replace("pyproject.toml", "exclude = [", 'exclude = [{ path = "src/errors.rs", format = "sdist" }, '),
        "src/errors.rs",
    ),
    "a build that takes the time in": (
        lambda project: (
            replace(
                "build.rs",
                "fn main() {\n",
                "fn main() {\n"
                '    println!("cargo:rustc-env=BUILT={:?}", std::time::SystemTime::now());\n'
                '    println!("cargo:rerun-if-changed=no-such-file");\n',
            )(project),
            replace(
                "src/lib.rs",
                IN_THE_MODULE,
                f'{IN_THE_MODULE}    #[pymodule_export]\n    const BUILT: &str = env!("BUILT");\n',
            )(project),
        )[0],
        "differ. Look for a time, a path or an order that a build script or macro takes in.",
    ),
}


@pytest.mark.parametrize("accident", BUILD)
def test_build_stops(source: Path, target: Path, tmp_path: Path, accident: str) -> None:
    plant, message = BUILD[accident]
    project = begin(source, tmp_path / "project", {}, target)
    plant(project)
    project.commit()
    command = ("tools/wheels.py", "dist", "--profile", "dev", "--twice", "--family", "3.11=cp311-abi3")
    done = project.run(sys.executable, *command, check=False)
    assert done.returncode
    assert message in " ".join(done.stdout.split())


def test_wheel_is_the_same_from_another_checkout_by_another_user(built: Project, tmp_path: Path) -> None:
    (wheel,) = (built.folder / "dist").glob("*-abi3-*.whl")
    home, checkout = tmp_path / "home", tmp_path / "elsewhere" / "checkout"
    home.mkdir()
    run("git", "clone", "--quiet", built.folder, checkout, cwd=tmp_path)
    rustup = Path(os.environ.get("RUSTUP_HOME", Path.home() / ".rustup"))
    options = ("--family", "3.11=cp311-abi3", "--locked", "--zig", "--compatibility", "manylinux2014")
    nox = built.folder / ".nox" / "wheel" / "bin"
    run(
        *(nox / "python", "tools/wheels.py", "dist", *options),
        cwd=checkout,
        HOME=str(home),
        CARGO_HOME=str(home / "cargo"),
        RUSTUP_HOME=str(rustup),
        PATH=os.pathsep.join([str(nox), clean_environment()["PATH"]]),
    )
    assert (checkout / "dist" / wheel.name).read_bytes() == wheel.read_bytes()


def test_two_builds_at_once_wait_for_each_other(built: Project, tmp_path: Path) -> None:
    command = [sys.executable, "tools/wheels.py", "--profile", "dev", "--family", "3.11=cp311-abi3"]
    running = [
        subprocess.Popen([*command, str(tmp_path / name)], cwd=built.folder, stdout=subprocess.DEVNULL)
        for name in ("one", "two")
    ]
    assert [process.wait() for process in running] == [0, 0]
    one, two = ([*(tmp_path / name).iterdir()] for name in ("one", "two"))
    assert [path.name for path in one] == [path.name for path in two]
    assert one[0].read_bytes() == two[0].read_bytes()


def test_a_folder_of_somebody_else_is_not_built_in(source: Path, target: Path, tmp_path: Path) -> None:
    project = begin(source, tmp_path / "project", {"package": "taken_place"}, target)
    place = Path("/tmp/taken_place-wheels")
    try:
        place.symlink_to(tmp_path, target_is_directory=True)
        done = project.run(sys.executable, "tools/wheels.py", "dist", "--profile", "dev", check=False)
    finally:
        place.unlink()
    assert done.returncode
    assert f"Wheels are built in {place}, which is in the way; remove it." in done.stdout


# ---- Accidents in what was built.

ASK = "import sys; sys.path.insert(0, 'tools'); import pathlib, artifacts; print(artifacts.check(pathlib.Path(sys.argv[1]), sys.argv[2]))"
Change = Callable[[dict[str, bytes]], None]


def found_in(project: Project, path: Path, version: str = "0.1.0") -> str:
    """Ask a project's tool what is wrong with an artifact."""
    return " ".join(project.run(sys.executable, "-c", ASK, path, version).stdout.split())


def changed(wheel: Path, folder: Path, change: Change, name: str = "") -> Path:
    """Write a wheel with other files in it."""
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    path = folder / (name or wheel.name)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in files.items():
            archive.writestr(member, content)
    return path


def in_metadata(old: bytes, new: bytes) -> Change:
    """Change what a wheel says of itself."""

    def change(files: dict[str, bytes]) -> None:
        (name,) = (name for name in files if name.endswith("/METADATA"))
        assert old in files[name]
        files[name] = files[name].replace(old, new, 1)

    return change


def without(ending: str) -> Change:
    """Take a file out."""

    def change(files: dict[str, bytes]) -> None:
        (name,) = (name for name in files if name.endswith(ending))
        del files[name]

    return change


def with_file(name: str, content: str) -> Change:
    """Put a file in, and into the record."""

    def change(files: dict[str, bytes]) -> None:
        (record,) = (each for each in files if each.endswith("/RECORD"))
        files[record] += f"{name},,\n".encode()
        files[name] = content.encode()

    return change


def without_a_component(files: dict[str, bytes]) -> None:
    """Forget a crate in the bill of materials."""
    (name,) = (name for name in files if name.endswith(".cyclonedx.json"))
    assert b'"name": "libc"' in files[name]
    files[name] = files[name].replace(b'"name": "libc"', b'"name": "musl"')


ARTIFACTS: dict[str, tuple[Change, str]] = {
    "nothing": (lambda files: None, ""),
    "no licence": (without("/LICENSE-MIT"), "the wheel lacks LICENSE-MIT: name the files under license-files"),
    "no licences of crates": (without("/LICENSE-THIRD-PARTY"), "the wheel lacks LICENSE-THIRD-PARTY"),
    "a direct reference": (
        in_metadata(b"Requires-Python", b"Requires-Dist: other @ https://example.org/other.whl\nRequires-Python"),
        "the dependency other @ https://example.org/other.whl names an address, which PyPI refuses",
    ),
    "a path of the builder": (
        with_file("quickstats/where.txt", f"{Path.home()}/project"),
        "quickstats/where.txt holds the path",
    ),
    "no bill of materials": (without(".cyclonedx.json"), "the wheel has no bill of materials"),
    "a bill of other materials": (without_a_component, "the bill of materials and `cargo tree` do not agree on libc"),
    "another version": (in_metadata(b"Version: 0.1.0", b"Version: 0.1.1"), "is not of the release 0.1.0"),
    "a description that does not render": (
        in_metadata(b"Description-Content-Type: text/markdown", b"Description-Content-Type: text/x-rst"),
        "has syntax errors in markup",
    ),
    "a file beside the package": (with_file("stray.py", ""), "W009"),
}


@pytest.mark.parametrize("accident", ARTIFACTS)
def test_artifact_is_judged(built: Project, tmp_path: Path, accident: str) -> None:
    change, message = ARTIFACTS[accident]
    (wheel,) = (built.folder / "dist").glob("*-abi3-*.whl")
    said = found_in(built, changed(wheel, tmp_path, change))
    assert message in said if message else said == ""


def test_every_artifact_that_is_built_is_good(built: Project) -> None:
    artifacts = sorted((built.folder / "dist").iterdir())
    assert len(artifacts) == 4
    assert [found_in(built, path) for path in artifacts] == [""] * 4


def test_a_tag_that_auditwheel_does_not_find_is_judged(built: Project, tmp_path: Path) -> None:
    (wheel,) = (built.folder / "dist").glob("*-abi3-*.whl")
    older = changed(wheel, tmp_path, lambda files: None, wheel.name.replace(PLATFORM, "manylinux_2_5_x86_64"))
    assert "claims what auditwheel does not find" in found_in(built, older)


def test_a_library_that_leaves_the_stable_abi_is_judged(built: Project, tmp_path: Path) -> None:
    dist = built.folder / "dist"
    (stable,), (threaded,) = dist.glob("*-abi3-*.whl"), dist.glob("*-cp314t-*.whl")
    with zipfile.ZipFile(threaded) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".so"))
        library = archive.read(name)

    def change(files: dict[str, bytes]) -> None:
        files["quickstats/_core.abi3.so"] = library

    assert "abi3audit" in found_in(built, changed(stable, tmp_path, change))


def test_an_sdist_of_another_release_or_without_its_lock_is_judged(built: Project, tmp_path: Path) -> None:
    (sdist,) = (built.folder / "dist").glob("*.tar.gz")
    assert "is not of the release 0.2.0" in found_in(built, sdist, "0.2.0")
    with tarfile.open(sdist) as old, tarfile.open(tmp_path / sdist.name, "w:gz") as new:
        for member in old.getmembers():
            if not member.name.endswith("/Cargo.lock"):
                new.addfile(member, old.extractfile(member))
    assert "the sdist lacks Cargo.lock" in found_in(built, tmp_path / sdist.name)


# ---- What is published already.

SIZE = "import sys; sys.path.insert(0, 'tools'); import pathlib, rehearse; print(rehearse.published_size('quickstats', pathlib.Path(sys.argv[1])))"


@pytest.fixture
def published(built: Project, tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Give the folder of an index that has the release, and its address."""
    folder = tmp_path / "simple" / "quickstats"
    shutil.copytree(built.folder / "dist", folder)
    with folder_server(folder.parent) as url:
        yield folder, f"{url}/"


def verify(project: Project, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Verify a release on an index."""
    return project.run(
        *("nox", "--reuse-venv=yes", "--session", "verify", "--", *arguments, "--index", url),
        check=False,
        PATH=only(project),
    )


def test_a_published_release_is_verified(built: Project, published: tuple[Path, str]) -> None:
    _, url = published
    for source in ((), ("--source",)):
        done = verify(built, url, "0.1.0", *source)
        assert done.returncode == 0, done.stdout
        assert re.search(r"quickstats 0\.1\.0 on Python 3\.11: \d+ passed", done.stdout)


def test_size_is_compared_with_the_same_wheel_of_the_last_release(
    built: Project, published: tuple[Path, str], tmp_path: Path
) -> None:
    folder, url = published
    empty = tmp_path / "empty"
    empty.mkdir()

    def size(wheel: Path, index: str) -> str:
        variables = {"PIP_INDEX_URL": index, "PIP_FIND_LINKS": str(empty)}
        return built.run(sys.executable, "-c", SIZE, wheel, check=True, **variables).stdout.strip()

    for wheel in folder.glob("*.whl"):
        assert size(wheel, url) == f"{wheel.stat().st_size:,}"
        assert size(wheel, f"{url}nothing/") == "none"


def test_a_published_release_that_does_not_work_is_found(built: Project, published: tuple[Path, str]) -> None:
    folder, url = published
    (wheel,) = folder.glob("*-abi3-*.whl")
    changed(wheel, folder.parent, without("quickstats/errors.py")).replace(wheel)
    done = verify(built, url, "0.1.0")
    assert done.returncode
    assert "No module named 'quickstats.errors'" in done.stdout


def test_a_release_that_is_not_published_is_named(built: Project, published: tuple[Path, str]) -> None:
    _, url = published
    done = verify(built, url, "7.7.7")
    assert done.returncode
    assert "quickstats==7.7.7" in done.stdout
