"""Does every build have the one version, in Cargo's spelling and in Python's, from Cargo.toml and from git's tags?"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import new_project
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from template import ROOT, Project, clean_environment, render, run

slow = pytest.mark.slow
TOOLS = ROOT / "template" / "tools"
sys.path.append(str(TOOLS))  # where the backend finds its neighbour


def load(name: str) -> ModuleType:
    """Import a script of the rendered project."""
    spec = importlib.util.spec_from_file_location(f"template_{name}", TOOLS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


versions = load("versions")
backend = load("backend")

# ---- Two spellings.

SPELLINGS = {
    "1.2.3": "1.2.3",
    "1.2.3-alpha.2": "1.2.3a2",
    "1.2.3-beta.0": "1.2.3b0",
    "1.2.3-rc.2": "1.2.3rc2",
    "1.2.3-post.1": "1.2.3.post1",
    "1.2.3-dev.4": "1.2.3.dev4",
    "1.2.3-post.1.dev.2": "1.2.3.post1.dev2",
    "1.2.3-alpha.2.dev.2": "1.2.3a2.dev2",
    "1.2.3-rc.1.post.2.dev.3": "1.2.3rc1.post2.dev3",
    "1.2.3+g12.d3": "1.2.3+g12.d3",
    "1.2.4-dev.2+gdcafc0e9f.d20261120": "1.2.4.dev2+gdcafc0e9f.d20261120",
}


@pytest.mark.parametrize(("of_cargo", "of_python"), SPELLINGS.items())
def test_a_version_has_two_spellings(of_cargo: str, of_python: str) -> None:
    assert versions.to_python(of_cargo) == of_python
    assert versions.to_cargo(of_python) == of_cargo
    assert versions.from_either(of_cargo) == versions.from_either(of_python) == of_cargo


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("1.2.3-0", "1.2.3-post.0"),
        ("1.2.3-alpha1", "1.2.3-alpha.1"),
        ("1.2.3-alpha", "1.2.3-alpha.0"),
        ("1.2.3a1", "1.2.3-alpha.1"),
        ("1.2.3-post1", "1.2.3-post.1"),
        ("1.2.3-pre.1", "1.2.3-rc.1"),
        ("1.2.3-dev", "1.2.3-dev.0"),
        ("1.2", "1.2.0"),
        ("v1.2.3", "1.2.3"),
        ("01.2.3", "1.2.3"),
        ("1.2.3+G-1", "1.2.3+g.1"),
        ("1.2.3-foo.1", "1.2.3-alpha.1, "),
        ("1.2.3-alpha.1.2", "1.2.3-alpha.1, "),
        ("", "1.2.3-alpha.1, "),
        ("1!1.2.3", "three numbers and no epoch"),
        ("1.2.3.4", "three numbers and no epoch"),
    ],
)
def test_any_other_spelling_of_cargo_is_refused_with_the_right_one(text: str, right: str) -> None:
    with pytest.raises(ValueError, match=re.escape(right)):
        versions.to_python(text)


@pytest.mark.parametrize("text", ["1!1.2.3", "1.2.3.4", "foo", "1.2.3-foo.1", "1.2.3-0", "1.2.3-alpha1"])
def test_a_version_that_cargo_does_not_have_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        versions.from_either(text)


number = st.integers(0, 2**64 - 1)
PYTHON = st.builds(
    "{}{}{}{}{}".format,
    st.lists(number, min_size=1, max_size=3).map(lambda numbers: ".".join(map(str, numbers))),
    st.just("") | st.builds("{}{}".format, st.sampled_from(["a", "b", "rc"]), number),
    st.just("") | st.builds(".post{}".format, number),
    st.just("") | st.builds(".dev{}".format, number),
    st.just("") | st.from_regex(r"\+[a-z0-9]+(\.[a-z0-9]+)*\Z", fullmatch=True),
)


@given(PYTHON)
def test_every_version_comes_back_from_the_other_spelling(text: str) -> None:
    of_cargo = versions.to_cargo(text)
    assert Version(versions.to_python(of_cargo)) == Version(text)
    assert versions.to_cargo(versions.to_python(of_cargo)) == of_cargo


@given(st.text("0123456789abcdeoprstuvz.-+", max_size=20).map("1.2.3".__add__) | PYTHON)
def test_a_spelling_is_taken_only_if_it_comes_back(text: str) -> None:
    try:
        of_python = versions.to_python(text)
    except ValueError:
        return
    assert versions.to_cargo(of_python) == text


@slow
def test_maturin_spells_versions_as_we_do(default: Project, tmp_path: Path) -> None:
    manifest = default.folder / "Cargo.toml"
    text = manifest.read_text("utf-8")
    for index, (of_cargo, of_python) in enumerate(SPELLINGS.items()):
        manifest.write_text(text.replace('version = "0.1.0"', f'version = "{of_cargo}"', 1), "utf-8")
        folder = tmp_path / str(index)
        default.run("maturin", "pep517", "write-dist-info", "--metadata-directory", folder)
        assert [path.name for path in folder.iterdir()] == [f"quickstats-{of_python}.dist-info"]


# ---- git's tags: the version, without a build.


@pytest.fixture(scope="module")
def shared(source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give one project whose version is git's, so that pyo3 is built once."""
    return locked(source, tmp_path_factory.mktemp("versions") / "quickstats", target, layout="mixed")


def locked(source: Path, folder: Path, target: Path, **answers: Any) -> Project:
    """Make a project whose version is git's, with its lock."""
    answers = {key: value for key, value in answers.items() if value != "mixed"}
    project = new_project(source, folder, {"version": "git", **answers}, target)
    project.run("cargo", "generate-lockfile")
    project.commit("Lock")
    return project


@pytest.fixture
def project(shared: Project) -> Iterator[Project]:
    """Give the project with a tag, and undo what a test does."""
    start = shared.run("git", "rev-parse", "HEAD").stdout.strip()
    shared.run("git", "tag", "--annotate", "v1.2.3", "--message", "1.2.3")
    yield shared
    shared.run("git", "reset", "--quiet", "--hard", start)
    shared.run("git", "clean", "--quiet", "--force", "-d")
    shared.run("rm", "-rf", "dist", ".venv", ".cargo", "out")
    shared.run("git", "tag", "--delete", *shared.run("git", "tag").stdout.split())


CALL = "import sys; sys.path.insert(0, 'tools'); import backend; print(getattr(backend, sys.argv[1])(sys.argv[2]))"


def call(project: Project, hook: str, out: str | Path, check: bool = True, **variables: str) -> Any:
    """Call a hook of the backend, as pip does, with the tests' own Python."""
    variables = {"MATURIN_PEP517_ARGS": "--profile dev", **variables}
    return project.run(sys.executable, "-c", CALL, hook, out, check=check, **variables)


def metadata(project: Project, out: Path, check: bool = True, **variables: str) -> Any:
    """Give the version that the metadata has, or what was printed instead."""
    done = call(project, "prepare_metadata_for_build_wheel", out, check=False, **variables)
    if done.returncode:
        assert not check, done.stdout
        assert not out.exists()
        return done.stdout
    (folder,) = out.iterdir()
    (version,) = re.findall(r"(?m)^Version: (.+)$", (folder / "METADATA").read_text("utf-8"))
    assert folder.name == f"quickstats-{version}.dist-info"
    return version


def change(project: Project) -> None:
    """Change a file that git tracks."""
    (project.folder / "README.md").write_text("changed\n", "utf-8")


def test_a_tag_is_the_version(project: Project, tmp_path: Path) -> None:
    assert metadata(project, tmp_path / "out") == "1.2.3"


@pytest.mark.parametrize("tag", ["v1.3.0-alpha.1", "v1.3.0a1", "1.3a1"])
def test_a_tag_may_have_either_spelling(tag: str, project: Project, tmp_path: Path) -> None:
    project.commit()
    project.run("git", "tag", tag)
    assert Version(metadata(project, tmp_path / "out")) == Version("1.3.0a1")


def test_commits_after_a_tag_are_counted(project: Project, tmp_path: Path) -> None:
    project.commit()
    project.commit()
    commit = project.run("git", "rev-parse", "--short=9", "HEAD").stdout.strip()
    assert metadata(project, tmp_path / "out") == f"1.2.4.dev2+g{commit}"


def test_a_dirty_tree_is_no_release(project: Project, tmp_path: Path) -> None:
    change(project)
    assert re.fullmatch(r"1\.2\.4\.dev0\+g[0-9a-f]{9}\.d\d{8}", metadata(project, tmp_path / "out"))


def test_without_a_tag_the_version_is_one_of_development(project: Project, tmp_path: Path) -> None:
    project.run("git", "tag", "--delete", "v1.2.3")
    project.run("git", "tag", "other")  # that a user may have for something else
    assert re.fullmatch(r"0\.1\.dev\d\+g[0-9a-f]{9}", metadata(project, tmp_path / "out"))
    project.run("git", "tag", "v1.2.3")


@pytest.mark.parametrize("tagged", [False, True])
def test_a_shallow_clone_has_the_right_version_or_none(tagged: bool, project: Project, tmp_path: Path) -> None:
    if not tagged:
        project.commit()
    run("git", "clone", "--quiet", "--depth=1", f"file://{project.folder}", "clone", cwd=tmp_path)
    answer = metadata(Project(tmp_path / "clone", {}), tmp_path / "out", check=False)
    assert answer == "1.2.3" if tagged else "git fetch --unshallow" in answer


def test_a_worktree_of_a_shallow_clone_is_shallow(project: Project, tmp_path: Path) -> None:
    project.commit()
    run("git", "clone", "--quiet", "--depth=1", f"file://{project.folder}", "clone", cwd=tmp_path)
    run("git", "worktree", "add", "--quiet", "../tree", "HEAD", cwd=tmp_path / "clone")
    assert "git fetch --unshallow" in metadata(Project(tmp_path / "tree", {}), tmp_path / "out", check=False)


def test_sources_without_git_and_without_a_version_are_refused(project: Project, tmp_path: Path) -> None:
    project.run("git", "archive", "--output", tmp_path / "a.tar", "HEAD")
    (tmp_path / "archive").mkdir()
    run("tar", "xf", "../a.tar", cwd=tmp_path / "archive")
    archive = Project(tmp_path / "archive", {})
    assert "VCS_VERSIONING_PRETEND_VERSION" in metadata(archive, tmp_path / "out", check=False)
    assert metadata(archive, tmp_path / "out", VCS_VERSIONING_PRETEND_VERSION="3.4.5") == "3.4.5"


@pytest.mark.parametrize("tag", ["v1.2.3.4", "v1!2.0.0"])
def test_a_tag_that_cargo_cannot_spell_is_refused(tag: str, project: Project, tmp_path: Path) -> None:
    project.commit()
    project.run("git", "tag", tag)
    answer = metadata(project, tmp_path / "out", check=False)
    assert "three numbers and no epoch" in answer


def test_a_version_in_the_manifest_is_refused(project: Project, tmp_path: Path) -> None:
    manifest = project.read("Cargo.toml")
    (project.folder / "Cargo.toml").write_text(manifest.replace('"0.0.0"', '"0.1.0"', 1), "utf-8")
    assert 'Cargo.toml says version = "0.0.0"' in metadata(project, tmp_path / "out", check=False)


def test_a_version_in_pyproject_is_refused(project: Project, tmp_path: Path) -> None:
    text = project.read("pyproject.toml")
    (project.folder / "pyproject.toml").write_text(text.replace("dynamic = [", "dynamic=["), "utf-8")
    done = call(project, "build_sdist", tmp_path / "out", check=False)
    assert done.returncode
    assert 'dynamic = ["version"]' in done.stdout
    assert not (tmp_path / "out").exists()


def test_only_a_checkout_asks_for_what_knows_git(project: Project, tmp_path: Path) -> None:
    call_requires = "import sys; sys.path.insert(0, 'tools'); import backend; print(backend.{}())"
    for hook in ("wheel", "editable", "sdist"):
        code = call_requires.format(f"get_requires_for_build_{hook}")
        assert project.run(sys.executable, "-c", code).stdout == "['vcs-versioning>=2.6,<3']\n"
    (project.folder / "PKG-INFO").touch()
    assert project.run(sys.executable, "-c", code).stdout == "[]\n"


@pytest.mark.parametrize("layout", ["mixed", "pure", "workspace"])
def test_the_manifest_holds_no_version_where_git_does(layout: str, source: Path, tmp_path: Path) -> None:
    folder = render(source, tmp_path / "project", {"version": "git", "layout": layout})
    manifest = tomllib.loads((folder / "Cargo.toml").read_text("utf-8"))
    assert manifest.get("package", manifest.get("workspace", {}).get("package"))["version"] == "0.0.0"
    assert (folder / "tools" / "backend.py").exists()
    assert not (render(source, tmp_path / "other", {"layout": layout}) / "tools" / "backend.py").exists()


# ---- What was built gets its version.


def digest(data: bytes) -> str:
    """Give the hash of a file as RECORD has it."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def tiny_wheel(folder: Path) -> Path:
    """Write a wheel with a folder of data, a script's mode and a date of its own."""
    path = folder / "tiny-0.0.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {
            "tiny/0.0.0.txt": "Version: 0.0.0\n",
            "tiny-0.0.0.data/scripts/tiny": "#!python\n",
            "tiny-0.0.0.dist-info/METADATA": "Name: tiny\nVersion: 0.0.0\n\nVersion: 0.0.0\n",
            "tiny-0.0.0.dist-info/RECORD": '"tiny/0,0.txt",sha256=x,1\n'
            "tiny-0.0.0.dist-info/METADATA,sha256=old,1\ntiny-0.0.0.dist-info/RECORD,,\n",
        }.items():
            entry = zipfile.ZipInfo(name, (1996, 2, 29, 1, 2, 4))
            entry.external_attr, entry.compress_type = 0o100755 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return path


def test_a_wheel_is_rewritten_and_nothing_else_in_it_changes(tmp_path: Path) -> None:
    before, after = tiny_wheel(tmp_path), tmp_path / "after.whl"
    backend.rewrite_wheel(before, after, "1.2+g3")
    with zipfile.ZipFile(after) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        assert list(entries) == [
            "tiny/0.0.0.txt",
            "tiny-1.2+g3.data/scripts/tiny",
            "tiny-1.2+g3.dist-info/METADATA",
            "tiny-1.2+g3.dist-info/RECORD",
        ]
        assert {(entry.date_time, entry.external_attr, entry.compress_type) for entry in entries.values()} == {
            ((1996, 2, 29, 1, 2, 4), 0o100755 << 16, zipfile.ZIP_DEFLATED)
        }
        assert archive.read("tiny/0.0.0.txt") == b"Version: 0.0.0\n"
        metadata = archive.read("tiny-1.2+g3.dist-info/METADATA")
        assert metadata == b"Name: tiny\nVersion: 1.2+g3\n\nVersion: 0.0.0\n"
        assert archive.read("tiny-1.2+g3.dist-info/RECORD").decode() == (
            '"tiny/0,0.txt",sha256=x,1\n'
            f"tiny-1.2+g3.dist-info/METADATA,{digest(metadata)},{len(metadata)}\n"
            "tiny-1.2+g3.dist-info/RECORD,,\n"
        )
    backend.rewrite_wheel(before, tmp_path / "again.whl", "1.2+g3")
    assert (tmp_path / "again.whl").read_bytes() == after.read_bytes()


def test_what_is_not_whole_gets_no_name(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), backend.whole(tmp_path / "a.whl") as path:
        path.write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("before", ["", "[env]\nA = '1'\n\n[build]\njobs = 1\n", "[build]\njobs = 1\n"])
def test_settings_of_cargo_are_kept_beside_the_version(before: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRATE_VERSION", "1.2.3-rc.1")
    settings = tomllib.loads(backend.with_environment(before.encode()).decode())
    assert settings["env"].pop("CRATE_VERSION") == {"value": "1.2.3-rc.1", "force": True}
    assert {key: value for key, value in settings.items() if value} == tomllib.loads(before)


# ---- Builds.

SHOW = (
    "from importlib.metadata import version; import {0} as p, {0}.{1} as r; "
    "print(version('{2}'), p.__version__, r.__crate_version__)"
)


def show(python: Path, folder: Path, package: str = "quickstats", module: str = "_core") -> list[str]:
    """Give the version of the distribution, of the package and of Rust."""
    code = SHOW.format(package, module, package.replace("_", "-"))
    return run(python, "-c", code, cwd=folder).stdout.split()


def environment(folder: Path) -> Path:
    """Make a virtual environment, and give its Python."""
    run("uv", "venv", "--quiet", "--clear", "--python", sys.executable, folder / "environment", cwd=folder)
    return folder / "environment" / "bin" / "python"


def quick(project: Project) -> dict[str, Any]:
    """Build with the profile dev, into the folder that all projects share."""
    return {"MATURIN_PEP517_ARGS": f"--profile dev --target-dir {(project.folder / 'target').resolve() / 'maturin'}"}


def status(project: Project) -> tuple[str, str]:
    """Give what differs from the commit, and all references."""
    return project.run("git", "status", "--short").stdout, project.run("git", "show-ref").stdout


@slow
@pytest.mark.parametrize("layout", ["mixed", "pure", "workspace"])
def test_every_way_of_building_gives_the_version(layout: str, source: Path, target: Path, tmp_path: Path) -> None:
    project = locked(source, tmp_path / "river_gauge", target, layout=layout, package="river_gauge")
    project.run("git", "tag", "--annotate", "v1.2.3-alpha.1", "--message", "1")
    expected, shown = status(project), ["1.2.3a1", "1.2.3a1", "1.2.3-alpha.1"]
    options = {"package": "river_gauge", "module": "river_gauge" if layout == "pure" else "_core"}
    python = environment(tmp_path)
    install = ("uv", "pip", "install", "--quiet", "--no-deps", "--reinstall", "--python", python)

    # An sdist, and from it a wheel.
    project.run("uv", "build", "--quiet", **quick(project))
    (sdist,), (wheel,) = (list((project.folder / "dist").glob(f"*.{kind}")) for kind in ("tar.gz", "whl"))
    assert (sdist.name, wheel.name.partition("-cp")[0]) == ("river_gauge-1.2.3a1.tar.gz", "river_gauge-1.2.3a1")
    assert "PASSED" in project.run("twine", "check", "--strict", sdist, wheel).stdout
    run(*install, wheel, cwd=tmp_path)
    assert show(python, tmp_path, **options) == shown

    # A wheel from the checkout; pip verifies no RECORD, but this does.
    call(project, "build_wheel", tmp_path / "out", **quick(project))
    (wheel,) = (tmp_path / "out").iterdir()
    run("check-wheel-contents", wheel, cwd=tmp_path)
    assert unrecorded(wheel) == []
    run(*install, wheel, cwd=tmp_path)
    assert show(python, tmp_path, **options) == shown

    # What maturin alone builds in the unpacked sdist, where git fails.
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = Project(tmp_path / "river_gauge-1.2.3a1", {})
    (tmp_path / "git").write_text("#!/bin/sh\nexit 99\n")
    (tmp_path / "git").chmod(0o755)
    path: dict[str, Any] = {"PATH": f"{tmp_path}:{clean_environment()['PATH']}"}
    assert unpacked.run("git", check=False, **path).returncode == 99
    target_dir = ("--target-dir", target.resolve() / "maturin")
    unpacked.run("maturin", "build", "--locked", "--profile", "dev", "--out", "dist", *target_dir, **path)
    (wheel,) = (unpacked.folder / "dist").iterdir()
    run(*install, wheel, cwd=tmp_path)
    assert show(python, tmp_path, **options) == shown
    run(*install, unpacked.folder, cwd=tmp_path, **path, **quick(project))
    assert show(python, tmp_path, **options) == shown
    assert unpacked.read("Cargo.lock") == project.read("Cargo.lock")

    # An editable install, and the rendered test.
    project.run(*install, "--editable", ".")
    assert show(python, tmp_path, **options) == shown
    assert status(project) == expected


def unrecorded(wheel: Path) -> list[str]:
    """Name the files of a wheel whose hash or size is not as RECORD says."""
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    (record,) = (name for name in files if name.endswith(".dist-info/RECORD"))
    rows = {name: row for name, *row in csv.reader(files.pop(record).decode().splitlines())}
    assert rows.pop(record) == ["", ""]
    assert rows.keys() == files.keys()
    return [name for name, data in files.items() if rows[name] != [digest(data), str(len(data))]]


@slow
def test_an_editable_install_follows_the_tag(project: Project) -> None:
    project.run("uv", "sync", "--quiet")
    python = project.folder / ".venv" / "bin" / "python"
    assert show(python, project.folder) == ["1.2.3"] * 3
    project.commit("Lock")
    project.run("git", "tag", "v1.3.0-rc.1")
    project.run("uv", "sync", "--quiet")
    assert show(python, project.folder) == ["1.3.0rc1", "1.3.0rc1", "1.3.0-rc.1"]
    project.run("uv", "run", "pytest", "--quiet", "tests/test_package.py")
    assert status(project)[0] == ""


@slow
@pytest.mark.parametrize(
    "command",
    [
        ("uv", "pip", "install", "--quiet", "--python", "{python}", "{address}"),
        ("uvx", "pip", "--python", "{python}", "install", "--quiet", "{address}"),
    ],
    ids=["uv", "pip"],
)
def test_a_tag_can_be_installed_from_git(command: tuple[str, ...], project: Project, tmp_path: Path) -> None:
    project.commit()
    python = environment(tmp_path)
    address = f"quickstats @ git+file://{project.folder}@v1.2.3"
    words = [word.format(python=python, address=address) for word in command]
    run(*words, cwd=tmp_path, **quick(project), UV_CACHE_DIR=str(tmp_path / "cache"))
    assert show(python, tmp_path) == ["1.2.3"] * 3


@slow
def test_build_of_the_packaging_authority_gives_the_version(project: Project, tmp_path: Path) -> None:
    project.run(sys.executable, "-m", "build", "--installer=uv", "--outdir", tmp_path / "out", **quick(project))
    assert [path.name.split("-cp")[0] for path in sorted((tmp_path / "out").iterdir())] == [
        "quickstats-1.2.3",
        "quickstats-1.2.3.tar.gz",
    ]


@slow
def test_two_builds_at_once_give_the_same(project: Project, tmp_path: Path) -> None:
    variables = {**clean_environment(), **quick(project), "SOURCE_DATE_EPOCH": "1700000000"}
    builds = [
        subprocess.Popen(
            [sys.executable, "-c", CALL, "build_wheel", tmp_path / str(number)],
            cwd=project.folder,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for number in range(2)
    ]
    printed = [build.communicate()[0].decode() for build in builds]
    assert [build.returncode for build in builds] == [0, 0], printed
    one, two = (next((tmp_path / str(number)).iterdir()) for number in range(2))
    assert one.name == two.name == "quickstats-1.2.3-cp311-abi3-linux_x86_64.whl"
    assert one.read_bytes() == two.read_bytes()
    assert status(project)[0] == ""


def test_a_killed_build_leaves_nothing_behind(project: Project, tmp_path: Path) -> None:
    expected = status(project)
    begun = tmp_path / "begun"
    (tmp_path / "maturin").write_text(f"#!/bin/sh\ntouch {begun}\nexec sleep 60\n")
    (tmp_path / "maturin").chmod(0o755)
    for hook in ("build_wheel", "build_sdist", "build_editable"):
        build = subprocess.Popen(
            [sys.executable, "-c", CALL, hook, "out"],
            cwd=project.folder,
            env={**clean_environment(), "PATH": f"{tmp_path}:{clean_environment()['PATH']}"},
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 30
        while not begun.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(build.pid, signal.SIGKILL)
        assert build.wait() == -signal.SIGKILL
        begun.unlink()
        assert status(project) == expected
        assert not (project.folder / "out").exists()
    assert metadata(project, tmp_path / "metadata") == "1.2.3"


@slow
def test_a_checkout_that_is_read_only_builds_or_stays_as_it_is(project: Project, tmp_path: Path) -> None:
    expected = status(project)
    words = [sys.executable, "-c", CALL, "build_wheel", str(tmp_path / "out")]
    if os.geteuid():
        project.run("chmod", "-R", "a-w", ".")
    else:  # whom no mode stops
        script = 'mount --bind -o ro . . && cd "$PWD" && ! touch planted && exec "$@"'
        words = ["unshare", "--mount", "sh", "-c", script, "sh", *words]
    try:
        done = project.run(*words, check=False, **quick(project))
    finally:
        project.run("chmod", "-R", "u+w", ".")
    assert status(project) == expected
    assert done.returncode == 0, done.stdout
    (wheel,) = (tmp_path / "out").iterdir()
    assert wheel.name.startswith("quickstats-1.2.3-")


# ---- What bypasses the backend.


@slow
def test_maturin_alone_does_not_see_the_tag(project: Project, tmp_path: Path) -> None:
    project.run("maturin", "build", "--profile", "dev", "--out", tmp_path)
    assert [path.name.split("-cp")[0] for path in tmp_path.iterdir()] == ["quickstats-0.0.0"]


def plant_constant(project: Project, expression: str) -> None:
    """Let build.rs work out a constant of the module, at each build."""
    script = (
        f'    println!("cargo:rerun-if-changed=nothing");\n    println!("cargo:rustc-env=PLANTED={{}}", {expression});'
    )
    constant = '    #[pymodule_export]\n    const PLANTED: &str = env!("PLANTED");'
    for path, line, text in (("build.rs", "fn main() {", script), ("src/lib.rs", "mod _core {", constant)):
        before = project.read(path)
        assert f"{line}\n" in before
        (project.folder / path).write_text(before.replace(f"{line}\n", f"{line}\n{text}\n", 1), "utf-8")
    project.commit("Plant a constant")


@slow
def test_a_time_makes_every_build_another_one(default: Project, tmp_path: Path) -> None:
    build = ("maturin", "build", "--profile", "dev", "--out")
    wheels = []
    for plant in (False, True):
        if plant:
            time_now = 'format!("{:?}", std::time::SystemTime::now())'
            plant_constant(default, time_now)
        for name in ("one", "two"):
            default.run(*build, tmp_path / name, SOURCE_DATE_EPOCH="1700000000")
            wheels += [path.read_bytes() for path in (tmp_path / name).iterdir()]
    assert wheels[0] == wheels[1]
    assert wheels[2] != wheels[3]


@slow
def test_a_commit_that_the_build_asks_for_is_none_in_an_sdist(default: Project, tmp_path: Path) -> None:
    command = 'std::process::Command::new("git").args(["rev-parse", "HEAD"]).output().unwrap().stdout'
    plant_constant(default, f"String::from_utf8({command}).unwrap().trim()")
    commit, python = default.run("git", "rev-parse", "HEAD").stdout.strip(), environment(tmp_path)
    show = ("-c", "from quickstats import _core; print(_core.PLANTED)")
    for options, shown in (((), commit), (("--sdist",), "")):
        out = tmp_path / f"out{len(options)}"
        default.run("maturin", "build", "--profile", "dev", "--out", out, *options)
        (wheel,) = out.glob("*.whl")
        run("uv", "pip", "install", "--quiet", "--reinstall", "--python", python, wheel, cwd=tmp_path)
        assert run(python, *show, cwd=tmp_path).stdout.strip() == shown


# ---- At the desk.


@slow
def test_the_recipes_see_the_tag(source: Path, target: Path, tmp_path: Path) -> None:
    render(source, tmp_path / "quickstats", {"version": "git"})
    project = Project(tmp_path / "quickstats", {})
    (project.folder / "target").symlink_to(target, target_is_directory=True)
    project.run("nox", "--session", "setup")
    python = project.folder / ".venv" / "bin" / "python"
    first = show(python, project.folder)
    assert first[0].startswith("0.1.dev")  # before the first commit
    assert Version(first[2]) == Version(first[0])
    project.run("git", "tag", "v1.2.3")
    project.run("just", "dev")
    assert show(python, project.folder) == ["1.2.3"] * 3
    project.run("nox", "--session", "dev")
    assert show(python, project.folder) == ["1.2.3"] * 3
