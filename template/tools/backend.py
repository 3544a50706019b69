"""The build backend: maturin, with the version that git's tags say.

maturin knows no version but that of Cargo.toml, which says 0.0.0. So maturin builds that, into a
temporary folder, and what it has built gets its version on the way out. The checkout is never
written to: a build that is killed leaves nothing to undo. Rust reads its version from the
environment. An sdist holds its version, and maturin alone builds from it, without git.
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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

if sys.platform != "win32":
    import fcntl

import maturin  # type: ignore[import-untyped]

Settings = Mapping[str, Any] | None
BUILT = "0.0.0"  # what Cargo.toml says
DYNAMIC = re.compile(r'^dynamic = \["version"\].*$', re.MULTILINE)
CONFIGURATION = ".cargo/config.toml"

os.environ["MATURIN_NO_MISSING_BUILD_BACKEND_WARNING"] = "1"  # this is one


def in_sdist() -> bool:
    """Tell whether this is an unpacked sdist, whose pyproject.toml has a version."""
    return Path("PKG-INFO").exists()


# ---- The hooks. https://peps.python.org/pep-0517/


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """Ask for what knows git's tags, but from an sdist."""
    needed = [] if in_sdist() else ["vcs-versioning>=2.6,<3"]
    return [*maturin.get_requires_for_build_wheel(config_settings), *needed]


get_requires_for_build_editable = get_requires_for_build_sdist = get_requires_for_build_wheel


def prepare_metadata_for_build_wheel(
    metadata_directory: str, config_settings: Settings = None
) -> str:
    """Write the metadata."""
    if in_sdist():
        return str(maturin.prepare_metadata_for_build_wheel(metadata_directory, config_settings))
    with build() as (version, folder):
        built = folder / maturin.prepare_metadata_for_build_wheel(str(folder), config_settings)
        metadata = built / "METADATA"
        metadata.write_bytes(with_version(metadata.read_bytes(), version))
        name = renamed(built.name, version)
        shutil.copytree(built, Path(metadata_directory, name))
    return name


prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel


def build_wheel(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """Build a wheel."""
    return wheel("build_wheel", wheel_directory, config_settings, metadata_directory)


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """Build a wheel that leads to the sources."""
    return wheel("build_editable", wheel_directory, config_settings, metadata_directory)


def wheel(hook: str, out: str, settings: Settings, metadata_directory: str | None) -> str:
    """Build a wheel by a hook of maturin."""
    if in_sdist():
        return str(getattr(maturin, hook)(out, settings, metadata_directory))
    with build() as (version, folder):
        # A folder of its own: two builds at once would both write to target/wheels.
        arguments = [*maturin.get_maturin_pep517_args(settings), "--out", str(folder / "out")]
        built = folder / getattr(maturin, hook)(str(folder), {"build-args": arguments})
        with whole(Path(out, renamed(built.name, version))) as path:
            rewrite_wheel(built, path, version)
    return renamed(built.name, version)


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    """Build an sdist that holds its version, for Python and for Rust."""
    if in_sdist():
        return str(maturin.build_sdist(sdist_directory, config_settings))
    if len(DYNAMIC.findall(Path("pyproject.toml").read_text("utf-8"))) != 1:
        raise SystemExit('error: pyproject.toml needs one line that begins: dynamic = ["version"]')
    with build() as (version, folder):
        built = folder / maturin.build_sdist(str(folder), config_settings)
        with whole(Path(sdist_directory, renamed(built.name, version))) as path:
            rewrite_sdist(built, path, version)
    return renamed(built.name, version)


# ---- The version.


@contextmanager
def build() -> Iterator[tuple[str, Path]]:
    """Give the version and a folder to build into; Rust finds the version in the environment."""
    version = version_of_git()
    from versions import to_cargo  # not above: it needs packaging, which comes with vcs-versioning

    try:
        os.environ["CRATE_VERSION"] = to_cargo(version)
    except ValueError as error:
        raise SystemExit(f"error: the tag gives a version that cannot be: {error}") from None
    with TemporaryDirectory() as folder, Path(__file__).open() as lock:
        if sys.platform != "win32":
            # Two builds at once take the library under target/ from each other, and both may fail.
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield version, Path(folder)


def version_of_git() -> str:
    """Ask git's tags for the version."""
    shallow = git("rev-parse", "--is-shallow-repository") == "true"
    if shallow and not git("tag", "--points-at", "HEAD"):
        raise SystemExit("error: a shallow clone lacks the tags. Run: git fetch --unshallow --tags")
    command = [sys.executable, "-m", "vcs_versioning"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        raise SystemExit(
            f"{done.stderr}\nerror: git says no version here. Build from a clone with its tags or"
            " from an sdist, or give the version in VCS_VERSIONING_PRETEND_VERSION."
        )
    return done.stdout.split()[-1]


def git(*arguments: str) -> str:
    """Ask git; an empty answer where it has none, or is not there."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


# ---- What was built gets its version.


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a name to write to: what is written gets its own name when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def renamed(path: str, version: str) -> str:
    """Give a path with the version in it: a wheel, an sdist, the folder that one holds."""
    return re.sub(rf"^([A-Za-z0-9_.]+)-{re.escape(BUILT)}(?=[-./])", rf"\1-{version}", path)


def with_version(metadata: bytes, version: str) -> bytes:
    """Give METADATA or PKG-INFO with the version."""
    before = f"\nVersion: {BUILT}\n"
    if before not in (text := metadata.decode()):
        raise SystemExit(f'error: in this project Cargo.toml says version = "{BUILT}": git has it')
    return text.replace(before, f"\nVersion: {version}\n", 1).encode()


def rewrite_wheel(built: Path, path: Path, version: str) -> None:
    """Copy a wheel under another version; order, dates and modes stay."""
    changed: dict[str, bytes] = {}
    with zipfile.ZipFile(built) as source, zipfile.ZipFile(path, "w") as out:
        for entry in source.infolist():  # RECORD is the last
            data, name = source.read(entry), renamed(entry.filename, version)
            if name.endswith(".dist-info/METADATA"):
                data = changed[name] = with_version(data, version)
            elif name.endswith(".dist-info/RECORD"):
                data = record(data.decode(), version, changed)
            entry.filename = name
            out.writestr(entry, data)


def record(text: str, version: str, changed: Mapping[str, bytes]) -> bytes:
    """Give a RECORD under another version, with the hashes of the files that have changed."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    for name, digest, size in csv.reader(text.splitlines()):
        name = renamed(name, version)
        if name in changed:
            sha256 = hashlib.sha256(changed[name]).digest()
            digest = "sha256=" + base64.urlsafe_b64encode(sha256).rstrip(b"=").decode()
            size = str(len(changed[name]))
        writer.writerow((name, digest, size))
    return out.getvalue().encode()


def rewrite_sdist(built: Path, path: Path, version: str) -> None:
    """Copy an sdist under another version; order, dates and modes stay."""
    with (
        tarfile.open(built) as source,
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as out,
    ):
        configuration = b""
        for entry in source:
            data = file.read() if (file := source.extractfile(entry)) else b""
            top, _, name = entry.name.partition("/")
            top = renamed(f"{top}/", version)
            if name == CONFIGURATION:
                configuration = data
                continue
            if name == "PKG-INFO":
                data, example = with_version(data, version), entry
            elif name == "pyproject.toml":
                data = DYNAMIC.sub(f'version = "{version}"', data.decode()).encode()
            add(out, entry, top + name, data)
        add(out, example, top + CONFIGURATION, with_environment(configuration))


def with_environment(configuration: bytes) -> bytes:
    """Give cargo's settings with the version, so that whatever builds this tells Rust of it."""
    table, text = "[env]\n", configuration.decode()
    line = 'CRATE_VERSION = { value = "' + os.environ["CRATE_VERSION"] + '", force = true }\n'
    if table in text:
        return text.replace(table, table + line, 1).encode()
    return f"{text}\n{table}{line}".lstrip().encode()


def add(archive: tarfile.TarFile, entry: tarfile.TarInfo, name: str, data: bytes) -> None:
    """Add a file or folder, with the date and mode of an entry."""
    entry.name, entry.size = name, len(data)
    archive.addfile(entry, io.BytesIO(data))
