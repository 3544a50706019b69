"""Does the index that a release is rehearsed against keep others off, and is an upload finished by running it again?"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from servers import breaking
from template import ROOT, run

MARKED = "marked-secret-c81d"


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    """Import the project's own tool, with the tests' commands on the path."""
    specification = importlib.util.spec_from_file_location("index", ROOT / "template" / "tools" / "index.py")
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules["index"] = module  # dataclasses look themselves up
    specification.loader.exec_module(module)
    before = os.environ["PATH"]
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), before])
    yield module
    os.environ["PATH"] = before
    del sys.modules["index"]


@pytest.fixture
def wheels(tmp_path: Path) -> list[Path]:
    """Make three wheels of one release."""
    made = []
    for tag in ("cp311-abi3-linux_x86_64", "cp314-cp314t-linux_x86_64", "py3-none-any"):
        path = tmp_path / f"sample-1.0-{tag}.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("sample.py", f"TAG = {tag!r}\n")
            archive.writestr("sample-1.0.dist-info/METADATA", "Metadata-Version: 2.4\nName: sample\nVersion: 1.0\n")
            archive.writestr("sample-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
            archive.writestr("sample-1.0.dist-info/RECORD", "")
        made.append(path)
    return made


def names(wheels: list[Path]) -> set[str]:
    """Name files without their folders."""
    return {path.name for path in wheels}


def test_upload_without_the_password_is_refused(tool: ModuleType, wheels: list[Path]) -> None:
    with tool.serve() as index:
        done = index.twine(*wheels, password="another")
        assert done.returncode
        assert "403" in done.stdout
        assert index.files() == {}


@pytest.mark.parametrize("by", ["uv", "twine"])
def test_upload_is_whole_and_refused_or_skipped_when_it_comes_again(
    tool: ModuleType, wheels: list[Path], by: str
) -> None:
    with tool.serve() as index:
        assert getattr(index, by)(*wheels).returncode == 0
        whole = index.files()
        assert whole == {path.name: tool.sha256(path) for path in wheels}
        again = getattr(index, by)(*wheels)
        assert (again.returncode == 0) == (by == "uv")
        assert "already exists" in " ".join(again.stdout.split())
        assert index.files() == whole


def test_another_file_under_the_name_of_a_published_one_is_refused(tool: ModuleType, wheels: list[Path]) -> None:
    with tool.serve() as index:
        assert index.uv(*wheels).returncode == 0
        whole = index.files()
        with zipfile.ZipFile(wheels[0], "a") as archive:
            archive.writestr("sample_more.py", "")
        done = index.uv(*wheels)
        assert done.returncode
        assert wheels[0].name in done.stdout
        assert index.files() == whole


@pytest.mark.parametrize("by", ["uv", "twine"])
def test_upload_that_breaks_off_is_finished_by_running_it_again(
    tool: ModuleType, wheels: list[Path], by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tool.serve() as index, breaking(index.url) as url:
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
        there = tool.Index(url, index.folder, index.user, index.password)
        done = getattr(there, by)(*wheels)
        assert done.returncode
        assert len(index.files()) == 1, "the upload did not break off in the middle"
        assert index.uv(*wheels).returncode == 0
        assert index.files().keys() == names(wheels)


@pytest.mark.parametrize("by", ["uv", "twine"])
def test_a_password_lands_in_no_output_and_no_file(
    tool: ModuleType, wheels: list[Path], by: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "UV_CACHE_DIR"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setattr(tool.secrets, "token_urlsafe", lambda length: MARKED)
    with tool.serve() as index:
        done = getattr(index, by)(*wheels)
        assert done.returncode == 0
        assert MARKED not in done.stdout + repr(index) + " ".join(map(str, done.args))
    holders = [path for path in tmp_path.rglob("*") if path.is_file() and MARKED.encode() in path.read_bytes()]
    assert holders == []


def test_twine_reads_a_password_file_that_is_there(tool: ModuleType, wheels: list[Path], tmp_path: Path) -> None:
    """What docs/how-to/publish-a-release.md advises against works; nothing in a project writes such a file."""
    with tool.serve() as index:
        file = tmp_path / "pypirc"
        lines = ["[distutils]", "index-servers = ours", "[ours]", f"repository = {index.url}"]
        file.write_text("\n".join([*lines, f"username = {index.user}", f"password = {index.password}", ""]))
        file.chmod(0o600)
        run("twine", "upload", "--config-file", file, "--repository", "ours", *wheels, cwd=tmp_path)
        assert index.files().keys() == names(wheels)


def test_a_server_that_does_not_start_is_named(tool: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    start = subprocess.Popen
    monkeypatch.setattr(tool.subprocess, "Popen", lambda *_, **__: start(["false"]))
    with pytest.raises(SystemExit, match="pypi-server does not answer"), tool.serve():
        pass


def test_the_server_ends_with_its_use(tool: ModuleType) -> None:
    with tool.serve() as index:
        address = index.url
    done = run(
        sys.executable, "-c", "import sys, urllib.request as u; u.urlopen(sys.argv[1])", address, cwd=ROOT, check=False
    )
    assert "Connection refused" in done.stdout
