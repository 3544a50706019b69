"""Does `nox -s rehearsal` take a release to a tested install, stop at faults, and leave nothing behind?"""

from __future__ import annotations

import importlib.util
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from urllib.error import URLError

import pytest
from conftest import new_project

from planting import replace
from servers import folder_server
from template import ROOT, Project, clean_environment

SCRIPT = ROOT / "template" / "sessions" / "rehearsal.py"
SECRET = "marked-secret-c81d"  # what must be in no output and in no file
WHEEL = "sample-0.1.0-py3-none-any.whl"
PYTHON = "{}.{}".format(*sys.version_info)

# ---- A project whose wheels are there at once: what is built does not matter to a rehearsal.

PYPROJECT = f"""
[project]
name = "sample"
dynamic = ["version"]
requires-python = ">={PYTHON}"
classifiers = ["Programming Language :: Python :: {PYTHON}"]

[dependency-groups]
test = ["pytest"]
rehearsal = ["pypiserver", "twine"]
"""

NOXFILE = f"""
import importlib, secrets, shutil, sys, time
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
secrets.token_urlsafe = lambda length: "{SECRET}"
ROOT = Path(__file__).parent


@nox.session(venv_backend="none")
def wheel(session):
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    shutil.copytree(ROOT / "built", ROOT / "dist")
    if (ROOT / "unstable").exists():
        with (ROOT / "dist" / "{WHEEL}").open("ab") as file:
            file.write(str(time.time_ns()).encode())


@nox.session(venv_backend="none")
def release(session):
    assert session.posargs in ([], ["--tag", "v0.1.0"])
    wheel.func(session)


sys.path.insert(0, str(ROOT))
importlib.import_module("sessions.rehearsal")
"""

METADATA = "Metadata-Version: 2.1\nName: sample\nVersion: 0.1.0\nLicense: MIT\n\nA sample.\n"
INFO = "sample-0.1.0.dist-info"
FILES = {
    "sample.py": "ANSWER = 42\n",
    f"{INFO}/METADATA": METADATA,
    f"{INFO}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{INFO}/licenses/LICENSE": "MIT\n",
    f"{INFO}/sboms/sample.cyclonedx.json": '{"components": [{"name": "linked", "version": "2.0.0"}]}',
    f"{INFO}/RECORD": "sample.py,,\n",
}


def write_wheel(folder: Path, files: dict[str, str]) -> None:
    """Write a wheel of one module."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / WHEEL, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)


def write_sdist(folder: Path) -> None:
    """Write an sdist with metadata only."""
    with tarfile.open(folder / "sample-0.1.0.tar.gz", "w:gz") as archive:
        entry = tarfile.TarInfo("sample-0.1.0/PKG-INFO")
        entry.size = len(METADATA)
        archive.addfile(entry, io.BytesIO(METADATA.encode()))


def write_crate(folder: Path, name: str, version: str, rest: str = "") -> None:
    """Write a crate."""
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "lib.rs").touch()
    (folder / "Cargo.toml").write_text(f'[package]\nname = "{name}"\nversion = "{version}"\n{rest}')


@pytest.fixture
def sample(tmp_path: Path) -> Project:
    """Give a project that is built in no time, with a crate that links another."""
    project = Project(tmp_path / "sample", {})
    write_crate(tmp_path / "linked", "linked", "2.0.0")
    write_crate(project.folder, "sample", "0.1.0", '[dependencies]\nlinked = { path = "../linked" }\n')
    project.run("cargo", "generate-lockfile", "--offline")
    for name, text in {
        "pyproject.toml": PYPROJECT,
        "noxfile.py": NOXFILE,
        "LICENSE": "MIT\n",
        "tests/test_sample.py": "import sample\n\n\ndef test_answer():\n    assert sample.ANSWER == 42\n",
    }.items():
        (project.folder / name).parent.mkdir(exist_ok=True)
        (project.folder / name).write_text(text, "utf-8")
    (project.folder / "sessions").mkdir()
    (project.folder / "target").mkdir()
    shutil.copy(SCRIPT, project.folder / "sessions")
    write_wheel(project.folder / "built", FILES)
    write_sdist(project.folder / "built")
    return project


def nox(project: Project, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a session."""
    return project.run("nox", "--session", *arguments, check=False, **variables)


def is_listening(url: str) -> bool:
    """Tell whether a server answers."""
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5).close()
    except (URLError, ConnectionError):
        return False
    return True


# ---- The whole.


def test_rehearsal_uploads_installs_and_reports(sample: Project) -> None:
    # A proxy that does not answer: loopback is never asked through one.
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy"), "http://127.0.0.1:9")
    done = nox(sample, "rehearsal", "--", "--tag", "v0.1.0", **proxies)
    assert done.returncode == 0, done.stdout
    report = sample.read("target/release.md")
    assert re.findall(r"^\| (sample\S+) \| [0-9,]+ \| [0-9a-f]{64} \|$", report, re.MULTILINE) == [
        WHEEL,
        "sample-0.1.0.tar.gz",
    ]
    assert f"Installed by uv and pip, and tested: Python {PYTHON}.\n" in report
    assert report in done.stdout
    uploads = re.findall(r"nox > (twine|uv) (?:upload|publish)", done.stdout)
    assert uploads == ["twine", "twine", "uv", "uv", "twine"]
    (url,) = set(re.findall(r"http://127\.0\.0\.1:\d+", done.stdout))
    assert not is_listening(url)
    assert SECRET not in done.stdout
    files = [path for path in sample.folder.rglob("*") if path.is_file() and path.name != "noxfile.py"]
    assert [path for path in files if SECRET.encode() in path.read_bytes() and "__pycache__" not in path.parts] == []


@pytest.mark.slow
def test_default_project_is_rehearsed(source: Path, target: Path, tmp_path: Path) -> None:
    project = new_project(source, tmp_path / "quickstats", {"upkeep": ["rehearsal"]}, target)
    replace("Cargo.toml", 'lto = "fat"', 'lto = "fat"\nopt-level = 0')(project)  # quicker to build
    project.run("cargo", "generate-lockfile")
    project.commit("Lock")
    project.run("uv", "run", "noxfile.py", "--session", "rehearsal")
    report = project.read("target/release.md")
    names = re.findall(r"^\| (quickstats\S+) ", report, re.MULTILINE)
    tags = ["cp311-abi3", "cp314-cp314t", "cp315-abi3.abi3t"]
    assert [name.partition("-0.1.0-")[2].rpartition("-")[0] for name in names[:3]] == tags
    assert names[3:] == ["quickstats-0.1.0.tar.gz"]
    assert "and tested: Python 3.11, " in report
    assert project.run("git", "status", "--porcelain").stdout == ""


# ---- Faults.


def break_sbom(project: Project, text: str) -> None:
    """Write a wheel with another SBOM."""
    write_wheel(project.folder / "built", {**FILES, f"{INFO}/sboms/sample.cyclonedx.json": text})


Plant = Callable[[Project], None]
FAULTS: dict[str, tuple[Plant, str]] = {
    "a crate that the SBOM lacks": (
        lambda project: break_sbom(project, '{"components": []}'),
        "the SBOM lacks the crate linked 2.0.0",
    ),
    "a crate that only the SBOM has": (
        lambda project: break_sbom(
            project, FILES[f"{INFO}/sboms/sample.cyclonedx.json"].replace("[", '[{"name": "x", "version": "1"},')
        ),
        "the SBOM lists the crate x 1, which `cargo tree` does not",
    ),
    "a build that takes the time in": (
        lambda project: (project.folder / "unstable").touch(),
        f"a second build gives another {WHEEL}: look for a time",
    ),
    "a wheel whose tests fail": (
        lambda project: write_wheel(project.folder / "built", {**FILES, "sample.py": "ANSWER = 41\n"}),
        "assert 41 == 42",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_rehearsal_stops_at(fault: str, sample: Project) -> None:
    plant, message = FAULTS[fault]
    plant(sample)
    done = nox(sample, "rehearsal")
    assert done.returncode
    assert message in " ".join(done.stdout.split())
    assert not (sample.folder / "target" / "release.md").exists()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_index_ends_with_the_rehearsal(end: signal.Signals, sample: Project) -> None:
    (sample.folder / "tests" / "test_wait.py").write_text("import time\n\n\ndef test_wait():\n    time.sleep(60)\n")
    log = sample.folder / "log"
    with log.open("w") as file:
        command = ["nox", "--session", "rehearsal"]
        running = subprocess.Popen(
            command, cwd=sample.folder, env=clean_environment(), stdout=file, stderr=file, start_new_session=True
        )
    try:
        wait_until(lambda: "pytest --quiet" in log.read_text("utf-8"))
        (url,) = set(re.findall(r"http://127\.0\.0\.1:\d+", log.read_text("utf-8")))
        assert is_listening(url)
        # Ctrl-C reaches the whole group, as in a terminal; the others end nox alone.
        os.killpg(running.pid, end) if end is signal.SIGINT else running.send_signal(end)
        running.wait(timeout=30)
        wait_until(lambda: not is_listening(url))
    finally:
        os.killpg(running.pid, signal.SIGKILL) if group_exists(running.pid) else None


def group_exists(group: int) -> bool:
    """Tell whether a group of processes has any left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a minute at most."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.05)


# ---- What the other tools do not look at.


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """Import the session's file, in a project with a licence."""
    folder = tmp_path_factory.mktemp("script")
    (folder / "sessions").mkdir()
    shutil.copy(SCRIPT, folder / "sessions")
    (folder / "pyproject.toml").write_text(PYPROJECT, "utf-8")
    (folder / "LICENSE").touch()
    spec = importlib.util.spec_from_file_location("rehearsal", folder / "sessions" / "rehearsal.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["rehearsal"] = module  # a dataclass looks its module up
    spec.loader.exec_module(module)
    return module


CONTENTS: dict[str, tuple[dict[str, str], list[str]]] = {
    "nothing": ({}, []),
    "a direct reference": (
        {f"{INFO}/METADATA": METADATA.replace("\n\n", "\nRequires-Dist: x @ https://example.org/x.whl\n\n")},
        ["PyPI refuses the direct reference 'x @ https://example.org/x.whl': require a published version"],
    ),
    "a requirement with an at sign in its marker": (
        {f"{INFO}/METADATA": METADATA.replace("\n\n", "\nRequires-Dist: x; python_version > '@'\n\n")},
        [],
    ),
    "a path of the builder": (
        {"_core.abi3.so": f"{Path.home()}/project"},
        [f"_core.abi3.so contains the path {Path.home()}: build with `nox -s wheel`"],
    ),
}


@pytest.mark.parametrize("fault", CONTENTS)
def test_wheel_is_searched_for(fault: str, script: ModuleType) -> None:
    changes, problems = CONTENTS[fault]
    files = {name: text.encode() for name, text in {**FILES, **changes}.items()}
    assert list(script.find_problems(files)) == problems


def test_missing_licence_is_found(script: ModuleType) -> None:
    files = {name: text.encode() for name, text in FILES.items() if "LICENSE" not in name}
    assert list(script.find_problems(files)) == ["LICENSE is missing: add it to license-files in pyproject.toml"]


# ---- What is published.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("0.1.0",), ""),
        ((), ""),
        (("7.7.7",), "sample==7.7.7"),
    ],
    ids=["a version", "the newest", "a version that is not there"],
)
def test_published_release_is_verified(arguments: tuple[str, ...], message: str, sample: Project) -> None:
    write_wheel(sample.folder / "simple" / "sample", FILES)
    with folder_server(sample.folder / "simple") as url:
        done = nox(sample, "verify", "--", *arguments, "--index", f"{url}/")
    assert bool(done.returncode) == bool(message), done.stdout
    assert message in done.stdout if message else done.stdout.count("1 passed") == 2


def test_broken_release_is_found(sample: Project) -> None:
    write_wheel(sample.folder / "simple" / "sample", {**FILES, "sample.py": "import missing\n"})
    with folder_server(sample.folder / "simple") as url:
        done = nox(sample, "verify", "--", "0.1.0", "--index", f"{url}/")
    assert done.returncode
    assert "No module named 'missing'" in done.stdout
