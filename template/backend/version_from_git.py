"""Build backend: maturin, with the version of the newest tag.

maturin reads a version from files only. So it builds version 0.0.0, as in Cargo.toml, into a
temporary folder, and the result is copied out with the version from git. The checkout is never
written to. An sdist states its version in pyproject.toml, and maturin alone builds from it.
"""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

if sys.platform != "win32":
    import fcntl

import maturin  # type: ignore[import-untyped]

# Lines of pyproject.toml, and what an sdist has in their place.
STATIC = {
    r'dynamic = \["version"\].*': 'version = "{}"',
    r'build-backend = "version_from_git".*': 'build-backend = "maturin"',
    r"backend-path = .*\n": "",
}
os.environ["MATURIN_NO_MISSING_BUILD_BACKEND_WARNING"] = "1"  # this is the backend


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """Require the library that reads versions from tags."""
    return [*maturin.get_requires_for_build_wheel(config_settings), "vcs-versioning>=2.6,<3"]


def hook(name: str) -> Callable[..., str]:
    """Wrap a hook of maturin, as https://peps.python.org/pep-0517/ defines them."""

    def build(out: str, config_settings: Any = None, metadata_directory: Any = None) -> str:
        version = read_version()
        with TemporaryDirectory() as folder, Path(__file__).open() as lock:
            if sys.platform != "win32":  # two builds would move the same library in target/
                fcntl.flock(lock, fcntl.LOCK_EX)
            built = Path(folder, getattr(maturin, name)(folder, config_settings))
            result = Path(folder, with_version(built.name, version))
            if result == built:
                raise SystemExit('error: Cargo.toml must state version = "0.0.0"')
            if built.suffix == ".whl":
                copy_wheel(built, result, version)
            elif built.suffix == ".gz":
                copy_sdist(built, result, version)
            else:
                shutil.copytree(built, result)
                metadata = (built / "METADATA").read_bytes()
                (result / "METADATA").write_bytes(with_version_line(metadata, version))
            shutil.move(result, Path(out, result.name))
        return result.name

    return build


get_requires_for_build_editable = get_requires_for_build_sdist = get_requires_for_build_wheel
prepare_metadata_for_build_wheel = hook("prepare_metadata_for_build_wheel")
prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel
build_sdist, build_wheel = hook("build_sdist"), hook("build_wheel")
build_editable = hook("build_editable")


def read_version() -> str:
    """Read the version from the tags, as [tool.vcs-versioning] of pyproject.toml says."""
    shallow = run("git", "rev-parse", "--is-shallow-repository") == "true"
    if shallow and not run("git", "tag", "--points-at=HEAD", "--list", "v[0-9]*"):
        raise SystemExit("error: a shallow clone lacks tags. Run: git fetch --unshallow --tags")
    if version := run(sys.executable, "-m", "vcs_versioning"):
        return version.split()[-1]
    tag = run("git", "describe", "--tags", "--abbrev=0") or "missing"
    advice = "build in a clone with tags, from an sdist, or set VCS_VERSIONING_PRETEND_VERSION"
    raise SystemExit(f"error: no version from git, whose newest tag is {tag}: {advice}")


def run(*command: str) -> str:
    """Run a command; the output is empty if it fails or is not installed."""
    if not shutil.which(command[0]):
        return ""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    return "" if done.returncode else done.stdout.strip()


def make_static(pyproject: str, version: str) -> str:
    """Write the version into the text of pyproject.toml."""
    for line, replacement in STATIC.items():
        pyproject, count = re.subn(f"(?m)^{line}", replacement.format(version), pyproject)
        if count != 1:
            raise SystemExit(f"error: pyproject.toml must have one line that matches {line}")
    return pyproject


def with_version(path: str, version: str) -> str:
    """Replace the version in the name of an artifact, or of the folder at its root."""
    return re.sub(r"^([A-Za-z0-9_.]+)-0\.0\.0(?=[-./])", rf"\1-{version}", path)


def with_version_line(metadata: bytes, version: str) -> bytes:
    """Replace the version in METADATA or PKG-INFO."""
    return metadata.replace(b"\nVersion: 0.0.0\n", f"\nVersion: {version}\n".encode(), 1)


def copy_wheel(built: Path, result: Path, version: str) -> None:
    """Copy a wheel with another version, and with a new RECORD."""
    record = io.StringIO(newline="")
    rows = csv.writer(record, lineterminator="\n")
    with zipfile.ZipFile(built) as source, zipfile.ZipFile(result, "w") as out:
        for entry in source.infolist():  # RECORD is the last
            data, entry.filename = source.read(entry), with_version(entry.filename, version)
            if entry.filename.endswith(".dist-info/METADATA"):
                data = with_version_line(data, version)
            if entry.filename.endswith(".dist-info/RECORD"):
                rows.writerow((entry.filename, "", ""))
                data = record.getvalue().encode()
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
            rows.writerow((entry.filename, f"sha256={digest.decode()}", len(data)))
            out.writestr(entry, data)


def copy_sdist(built: Path, result: Path, version: str) -> None:
    """Copy an sdist with another version."""
    with (
        tarfile.open(built) as source,
        gzip.GzipFile(result, "wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as out,
    ):
        for entry in source:
            data = file.read() if (file := source.extractfile(entry)) else b""
            name = entry.name.partition("/")[2]
            if name == "PKG-INFO":
                data = with_version_line(data, version)
            elif name == "pyproject.toml":
                data = make_static(data.decode(), version).encode()
            entry.name, entry.size = with_version(entry.name, version), len(data)
            out.addfile(entry, io.BytesIO(data))
