"""With `version: git`, does every build have the version of the newest tag, and does it leave the checkout alone?"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import new_project
from packaging.version import Version

from template import ROOT, Project, clean_environment, import_file, render, run

BACKEND = ROOT / "template" / "backend" / "version_from_git.py"
SETTINGS = ROOT / "template" / "_partials" / "version" / "git.toml"
CALL = "import sys; sys.path.insert(0, 'backend'); import version_from_git as b; getattr(b, sys.argv[1])(sys.argv[2])"
DEV: dict[str, Any] = {"MATURIN_PEP517_ARGS": "--profile dev"}

# ---- A project that is compiled in no time: a program, in place of a module. The backend knows neither.

FILES = {
    "pyproject.toml": SETTINGS.read_text("utf-8")
    + '\n[project]\nname = "sample"\ndynamic = ["version"] # from git\n\n[tool.maturin]\nbindings = "bin"\n',
    "Cargo.toml": '[package]\nname = "sample"\nversion = "0.0.0"\nedition = "2024"\n',
    "src/main.rs": "fn main() {}\n",
    ".gitignore": "/target\n/dist\n__pycache__\n",
}


@pytest.fixture
def sample(tmp_path: Path) -> Project:
    """Give a small project with the tag v1.2.3."""
    project = Project(tmp_path / "sample", {})
    for name, text in FILES.items():
        (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / name).write_text(text, "utf-8")
    (project.folder / "backend").mkdir()
    shutil.copy(BACKEND, project.folder / "backend")
    project.run("cargo", "generate-lockfile", "--offline")
    project.run("git", "init", "--quiet", "--initial-branch=main")
    project.commit()
    project.run("git", "tag", "--annotate", "v1.2.3", "--message", "1.2.3")
    return project


def call(project: Project, hook: str, out: Path, **variables: Any) -> str:
    """Call a hook of the backend, as pip does; give the name of the result, or what was printed if there is none."""
    out.mkdir(exist_ok=True)
    done = project.run(sys.executable, "-c", CALL, hook, out, check=False, **DEV, **variables)
    names = [path.name for path in out.iterdir()]
    assert bool(names) == (done.returncode == 0), done.stdout
    return names[0] if names else " ".join(done.stdout.split())


def metadata(project: Project, **variables: str) -> str:
    """Give the version in the metadata, or what was printed if there is none."""
    out = project.folder.parent / "metadata"
    shutil.rmtree(out, ignore_errors=True)
    name = call(project, "prepare_metadata_for_build_wheel", out, **variables)
    if not name.endswith(".dist-info"):
        return name
    (version,) = re.findall(r"(?m)^Version: (.+)$", (out / name / "METADATA").read_text("utf-8"))
    assert name == f"sample-{version}.dist-info"
    return str(version)


# ---- The version.


def test_tag_is_the_version(sample: Project) -> None:
    assert metadata(sample) == "1.2.3"


@pytest.mark.parametrize("tag", ["v1.3.0-alpha.1", "v1.3.0a1"])
def test_tag_is_spelled_as_cargo_or_python(tag: str, sample: Project) -> None:
    sample.commit()
    sample.run("git", "tag", tag)
    assert metadata(sample) == "1.3.0a1"


def test_commits_after_a_tag_are_counted(sample: Project) -> None:
    sample.commit()
    sample.commit()
    commit = sample.run("git", "rev-parse", "--short", "HEAD").stdout.strip()
    assert metadata(sample) == f"1.2.4.dev2+g{commit}"


def test_changed_tree_is_no_release(sample: Project) -> None:
    (sample.folder / "src" / "main.rs").write_text("fn main() { }\n")
    assert re.fullmatch(r"1\.2\.4\.dev0\+g[0-9a-f]+\.d\d{8}", metadata(sample))


@pytest.mark.parametrize("tag", ["docs-5", "backup-2024-01", "v2-notes", "5.0.0", "release/v5.0.0"])
def test_other_tags_are_ignored(tag: str, sample: Project) -> None:
    sample.commit()
    sample.run("git", "tag", tag)
    assert metadata(sample).startswith("1.2.4.dev1+g")


def test_tag_that_is_no_version_is_named(sample: Project) -> None:
    sample.commit()
    sample.run("git", "tag", "v2.0.0-notes")
    assert "no version from git, whose newest tag is v2.0.0-notes" in metadata(sample)


def test_without_tags_it_is_a_development_version(sample: Project) -> None:
    sample.run("git", "tag", "--delete", "v1.2.3")
    assert re.fullmatch(r"0\.1\.dev1\+g[0-9a-f]+", metadata(sample))


def test_project_may_be_in_a_subfolder(sample: Project) -> None:
    (sample.folder / "sub").mkdir()
    sample.run("git", "mv", "pyproject.toml", "Cargo.toml", "Cargo.lock", "src", "backend", "sub")
    sample.commit()
    sample.run("git", "tag", "v2.0.0")
    assert metadata(Project(sample.folder / "sub", {})) == "2.0.0"


@pytest.mark.parametrize("tagged", [False, True])
def test_shallow_clone_is_right_or_refused(tagged: bool, sample: Project, tmp_path: Path) -> None:
    if not tagged:
        sample.commit()
    run("git", "clone", "--quiet", "--depth=1", f"file://{sample.folder}", "clone", cwd=tmp_path)
    run("git", "worktree", "add", "--quiet", "../tree", "HEAD", cwd=tmp_path / "clone")
    for name in ("clone", "tree"):
        answer = metadata(Project(tmp_path / name, {}))
        assert answer == "1.2.3" if tagged else "git fetch --unshallow --tags" in answer


def test_archive_needs_a_version_from_outside(sample: Project, tmp_path: Path) -> None:
    sample.run("git", "archive", "--output", tmp_path / "a.tar", "HEAD")
    (tmp_path / "archive").mkdir()
    run("tar", "xf", "../a.tar", cwd=tmp_path / "archive")
    archive = Project(tmp_path / "archive", {})
    assert "set VCS_VERSIONING_PRETEND_VERSION" in metadata(archive)
    assert metadata(archive, VCS_VERSIONING_PRETEND_VERSION="3.4.5") == "3.4.5"


FAULTS = {
    "a version in Cargo.toml": ("Cargo.toml", '"0.0.0"', '"0.1.0"', 'Cargo.toml must state version = "0.0.0"'),
    "a list of dynamic fields": (
        "pyproject.toml",
        '["version"]',
        '["version", "readme"]',
        "pyproject.toml must have one line that matches dynamic",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_sdist_is_refused_for(fault: str, sample: Project, tmp_path: Path) -> None:
    path, old, new, message = FAULTS[fault]
    (sample.folder / path).write_text(sample.read(path).replace(old, new, 1), "utf-8")
    assert message in call(sample, "build_sdist", tmp_path / "out")


# ---- What is built.


@pytest.fixture(scope="module")
def backend() -> ModuleType:
    """Import the backend."""
    return import_file(BACKEND)


def test_only_the_version_changes_in_a_wheel(backend: ModuleType, tmp_path: Path) -> None:
    before, after = tmp_path / "before.whl", tmp_path / "after.whl"
    with zipfile.ZipFile(before, "w") as archive:
        for name, text in {
            "tiny/0,0.txt": "Version: 0.0.0\n",
            "tiny-0.0.0.data/scripts/tiny": "#!python\n",
            "tiny-0.0.0.dist-info/METADATA": "Name: tiny\nVersion: 0.0.0\n\nVersion: 0.0.0\n",
            "tiny-0.0.0.dist-info/RECORD": "",
        }.items():
            entry = zipfile.ZipInfo(name, (1996, 2, 29, 1, 2, 4))
            entry.external_attr, entry.compress_type = 0o100755 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, text)
    backend.copy_wheel(before, after, "1.2+g3")
    assert unrecorded(after) == []
    with zipfile.ZipFile(after) as archive:
        entries = archive.infolist()
        assert [entry.filename for entry in entries] == [
            "tiny/0,0.txt",
            "tiny-1.2+g3.data/scripts/tiny",
            "tiny-1.2+g3.dist-info/METADATA",
            "tiny-1.2+g3.dist-info/RECORD",
        ]
        assert {(entry.date_time, entry.external_attr >> 16, entry.compress_type) for entry in entries} == {
            ((1996, 2, 29, 1, 2, 4), 0o100755, zipfile.ZIP_DEFLATED)
        }
        assert archive.read("tiny/0,0.txt") == b"Version: 0.0.0\n"
        assert archive.read(entries[2]) == b"Name: tiny\nVersion: 1.2+g3\n\nVersion: 0.0.0\n"


def unrecorded(wheel: Path) -> list[str]:
    """Name the files of a wheel whose hash or size is not as RECORD says; pip does not look."""
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    (record,) = (name for name in files if name.endswith(".dist-info/RECORD"))
    rows = {name: row for name, *row in csv.reader(files.pop(record).decode().splitlines())}
    assert rows.pop(record) == ["", ""]
    assert rows.keys() == files.keys()
    hashes = {name: base64.urlsafe_b64encode(hashlib.sha256(data).digest()) for name, data in files.items()}
    return [
        name
        for name, data in files.items()
        if rows[name] != [f"sha256={hashes[name].rstrip(b'=').decode()}", str(len(data))]
    ]


def unpack(sdist: Path, folder: Path) -> Project:
    """Unpack an sdist."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return Project(folder / sdist.name.removesuffix(".tar.gz"), {})


def without_git(folder: Path) -> str:
    """Give a path on which git fails."""
    (folder / "git").write_text("#!/bin/sh\nexit 99\n")
    (folder / "git").chmod(0o755)
    return os.pathsep.join([str(folder), clean_environment()["PATH"]])


@pytest.mark.parametrize("layout", ["mixed", "pure", "workspace"])
def test_sdist_needs_neither_git_nor_backend(layout: str, source: Path, tmp_path: Path) -> None:
    project = Project(render(source, tmp_path / "project", {"version": "git", "layout": layout}), {})
    project.run("git", "init", "--quiet")
    project.run("cargo", "generate-lockfile")
    project.commit()
    project.run("git", "tag", "v1.2.3-alpha.1")
    assert call(project, "build_sdist", tmp_path / "out") == "quickstats-1.2.3a1.tar.gz"
    sdist = unpack(tmp_path / "out" / "quickstats-1.2.3a1.tar.gz", tmp_path)
    settings = tomllib.loads(sdist.read("pyproject.toml"))
    assert settings["project"]["version"] == "1.2.3a1"
    assert "dynamic" not in settings["project"]
    assert settings["build-system"] == {"requires": ["maturin>=1.14,<2"], "build-backend": "maturin"}
    assert sdist.read("Cargo.lock") == project.read("Cargo.lock")
    shutil.rmtree(sdist.folder / "backend", ignore_errors=True)
    command = ("maturin", "pep517", "write-dist-info", "--metadata-directory", tmp_path / "metadata")
    sdist.run(*command, PATH=without_git(tmp_path))
    assert [path.name for path in (tmp_path / "metadata").iterdir()] == ["quickstats-1.2.3a1.dist-info"]


def test_uv_builds_an_sdist_and_its_wheel(sample: Project, tmp_path: Path) -> None:
    before = sample.run("git", "status", "--short").stdout
    sample.run("uv", "build", "--quiet", **DEV)
    names = sorted(path.name for path in (sample.folder / "dist").iterdir() if path.suffix in (".gz", ".whl"))
    assert [name.partition("-py3")[0] for name in names] == ["sample-1.2.3", "sample-1.2.3.tar.gz"]
    assert "PASSED" in sample.run("twine", "check", *(f"dist/{name}" for name in names)).stdout
    assert unrecorded(sample.folder / "dist" / names[0]) == []
    assert sample.run("git", "status", "--short").stdout == before == ""


@pytest.mark.parametrize("what", [".", "--editable=."])
def test_install_from_the_checkout_has_the_version(what: str, sample: Project, tmp_path: Path) -> None:
    assert installed(sample, tmp_path, ("uv", "pip"), what) == "1.2.3"
    assert sample.run("git", "status", "--short").stdout == ""


@pytest.mark.parametrize("installer", [("uv", "pip"), ("uvx", "pip")], ids=["uv", "pip"])
def test_tag_is_installed_from_git(installer: tuple[str, str], sample: Project, tmp_path: Path) -> None:
    sample.commit()
    address = f"sample @ git+file://{sample.folder}@v1.2.3"
    assert installed(sample, tmp_path, installer, address, UV_CACHE_DIR=str(tmp_path / "cache")) == "1.2.3"
    (origin,) = (tmp_path / "environment").rglob("direct_url.json")
    commit = sample.run("git", "rev-parse", "v1.2.3^{commit}").stdout.strip()
    assert json.loads(origin.read_text("utf-8"))["vcs_info"]["commit_id"] == commit


def installed(project: Project, folder: Path, installer: tuple[str, str], what: str, **variables: Any) -> str:
    """Install something into an environment of its own, and give the version that it has there."""
    python = folder / "environment" / "bin" / "python"
    project.run("uv", "venv", "--quiet", "--python", sys.executable, folder / "environment")
    where = (*installer, "--python", python) if installer[0] == "uvx" else installer
    options = ("install", "--quiet", *(() if installer[0] == "uvx" else ("--python", python)))
    project.run(*where, *options, what, **DEV, **variables)
    code = "from importlib.metadata import version; print(version('sample'))"
    return run(python, "-c", code, cwd=folder).stdout.strip()


# ---- The checkout.


def test_two_builds_at_once_are_the_same(sample: Project, tmp_path: Path) -> None:
    variables = {**clean_environment(), **DEV, "SOURCE_DATE_EPOCH": "1700000000"}
    builds = []
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        command = [sys.executable, "-c", CALL, "build_wheel", str(tmp_path / str(number))]
        builds.append(subprocess.Popen(command, cwd=sample.folder, env=variables, stdout=subprocess.PIPE))
    printed = [build.communicate()[0].decode() for build in builds]
    assert [build.returncode for build in builds] == [0, 0], printed
    one, two = (next((tmp_path / str(number)).iterdir()) for number in range(2))
    assert one.name == two.name
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("hook", ["build_wheel", "build_sdist", "build_editable"])
def test_killed_build_changes_nothing(hook: str, sample: Project, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    (tmp_path / "maturin").write_text(f"#!/bin/sh\ntouch {begun}\nexec sleep 60\n")
    (tmp_path / "maturin").chmod(0o755)
    (tmp_path / "out").mkdir()
    build = subprocess.Popen(
        [sys.executable, "-c", CALL, hook, tmp_path / "out"],
        cwd=sample.folder,
        env={**clean_environment(), "PATH": f"{tmp_path}:{clean_environment()['PATH']}"},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + 30
    while not begun.exists() and time.monotonic() < end:
        time.sleep(0.02)
    os.killpg(build.pid, signal.SIGKILL)
    assert build.wait() == -signal.SIGKILL
    assert sample.run("git", "status", "--short").stdout == ""
    assert list((tmp_path / "out").iterdir()) == []
    assert metadata(sample) == "1.2.3"


# ---- At the desk.


@pytest.mark.slow
def test_environment_follows_the_tag(source: Path, target: Path, tmp_path: Path) -> None:
    project = new_project(source, tmp_path / "quickstats", {"version": "git"}, target)
    python = project.folder / ".venv" / "bin" / "python"
    show = (python, "-c", "import quickstats; print(quickstats.__version__)")
    project.run("uv", "sync", "--quiet")
    assert Version(project.run(*show).stdout.strip()).is_devrelease
    project.commit("Lock")
    project.run("git", "tag", "v1.2.3-rc.1")
    project.run("uv", "sync", "--quiet")
    assert project.run(*show).stdout.strip() == "1.2.3rc1"
    project.run("uv", "run", "pytest", "--quiet", "tests/test_package.py")
    assert project.run("git", "status", "--short").stdout == ""
