"""Build an sdist, and wheels from what it holds.

The sdist is unpacked at the same path on every machine, and the paths that rustc would write into
the library are replaced: what comes out says nothing of who built it, and twice is the same.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tomlkit
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "target" / "wheels"  # apart from the desk's builds, whose paths are not replaced
EPOCH = "1153704088"  # the date of all that is in an sdist of maturin


def settings() -> dict[str, Any]:
    """Read pyproject.toml."""
    return tomlkit.parse((ROOT / "pyproject.toml").read_text("utf-8")).unwrap()


def run(*command: str | Path, cwd: Path = ROOT, **variables: str) -> None:
    """Run a command, and stop with its exit status if it fails."""
    sys.stdout.flush()
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **variables}, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def build_sdist(out: Path) -> Path:
    """Build the sdist as pip does, by the backend that pyproject.toml names."""
    with tempfile.TemporaryDirectory(dir=out) as folder:
        run(sys.executable, "-m", "build", "--installer", "uv", "--sdist", "--outdir", folder)
        (sdist,) = Path(folder).iterdir()
        return sdist.replace(out / sdist.name)


@contextmanager
def unpacked(sdist: Path) -> Iterator[Path]:
    """Unpack an sdist where every machine has the same path, and hold others off meanwhile."""
    place = Path(os.path.abspath("/tmp"), f"{sdist.name.rpartition('-')[0]}-wheels")
    place.parent.mkdir(exist_ok=True)
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        if place.is_symlink() or place.stat().st_uid != getattr(os, "getuid", int)():
            raise PermissionError(f"{place} is not a folder of this user")
        lock = FileLock(place.with_suffix(".lock"))
        lock.acquire()
    except (FileExistsError, PermissionError) as error:
        sys.exit(f"Wheels are built in {place}, which is in the way; remove it. {error}")
    try:
        unpack(sdist, place)
        yield place
    finally:
        lock.release()


def unpack(sdist: Path, place: Path) -> None:
    """Make a folder hold what an sdist holds; a file that is the same keeps its date for cargo."""
    with tarfile.open(sdist) as archive:
        wanted = {}
        for member in archive.getmembers():
            if file := archive.extractfile(member):
                wanted[place / member.name.partition("/")[2]] = file.read()
    for path in list(place.rglob("*")):
        if path.is_file() and path not in wanted:
            path.unlink()
    for path, content in wanted.items():
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def cargo_home() -> Path:
    """Find where cargo keeps the sources of crates."""
    return Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo").resolve()


def neutral_paths(crates: Iterable[Path]) -> str:
    """Give cargo's setting that replaces the builder's folders; where several fit, the last wins."""
    folders = {Path.home(): "/home", ROOT: "/source", cargo_home(): "/cargo"}
    folders |= dict.fromkeys(crates, "/crates")
    flags = [f"'--remap-path-prefix={folder}={name}'" for folder, name in folders.items()]
    return f"target.'cfg(all())'.rustflags=[{', '.join(flags)}]"


def host() -> str:
    """Give the target that rustc builds for unless told otherwise."""
    told = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    return next(line.partition(": ")[2] for line in told.splitlines() if line.startswith("host:"))


def is_offered(python: str) -> bool:
    """Tell whether uv has a Python for this platform: there is no 3.10 for Windows on Arm."""
    command = ["uv", "python", "list", "--only-downloads", python]
    return bool(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.strip())


def interpreter(version: str) -> str:
    """Name a Python to maturin, which on Linux needs none: elsewhere it is asked, and uv has it."""
    if sys.platform == "linux":
        return f"python{version}"
    if not is_offered(version):
        return sys.executable  # whichever builds for the stable ABI builds the same
    run("uv", "python", "install", "--quiet", version)
    told = subprocess.run(["uv", "python", "find", version], capture_output=True, check=True)
    return told.stdout.decode().strip()


def build_wheel(source: Path, out: Path, *options: str, target_dir: Path = TARGET) -> Path:
    """Build one wheel from an unpacked sdist into an empty folder of its own, and move it out."""
    if not any(option.partition("=")[0] == "--target" for option in options):
        options = ("--target", host(), *options)  # else the SBOM lists what other targets need
    with tempfile.TemporaryDirectory(dir=out) as folder:
        epoch = os.environ.get("SOURCE_DATE_EPOCH", EPOCH)
        command = ("maturin", "build", "--out", folder, "--target-dir", str(target_dir))
        run(*command, *options, cwd=source, SOURCE_DATE_EPOCH=epoch)
        (wheel,) = Path(folder).iterdir()
        return wheel.replace(out / wheel.name)


def build_again(source: Path, wheel: Path, *options: str) -> None:
    """Build a wheel once more, offline, with vendored crates and an empty cargo home; compare."""
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as folder:
        home, crates, out = (Path(folder) / name for name in ("home", "crates", "out"))
        vendor = ["cargo", "vendor", "--locked", "--versioned-dirs", str(crates)]
        done = subprocess.run(vendor, cwd=source, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        home.mkdir()
        (home / "config.toml").write_text(done.stdout, encoding="utf-8")  # what to use in place
        out.mkdir()
        options = ("--offline", "--config", neutral_paths([crates]), *options)
        os.environ["CARGO_HOME"] = str(home)
        again = build_wheel(source, out, *options, target_dir=Path(folder, "target"))
        if (again.name, again.read_bytes()) != (wheel.name, wheel.read_bytes()):
            kept = again.replace(ROOT / "target" / f"again-{again.name}")
            sys.exit(
                f"{wheel} and {kept} were built from the same sdist with the same options, and "
                "differ. Look for a time, a path or an order that a build script or macro takes in."
            )
    print(f"{wheel.name} comes out the same when it is built again, offline")


def main() -> None:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the folder, which is emptied")
    parser.add_argument("--sdist", action="store_true", help="leave the sdist there too")
    parser.add_argument(
        "--family",
        action="append",
        default=[],
        help="PYTHON=TAG: a wheel for this Python, which must have this tag; several times",
    )
    parser.add_argument("--twice", action="store_true", help="build the first again, and compare")
    parser.add_argument("--profile", default="release", help="of Cargo.toml")
    asked, options = parser.parse_known_args()
    asked.out = asked.out.resolve()
    shutil.rmtree(asked.out, ignore_errors=True)
    asked.out.mkdir(parents=True)
    sdist = build_sdist(asked.out)
    options = ["--profile", asked.profile, *options]
    # One run for each Python: a single run for all silently loses the stable ABI.
    families = [each.partition("=") for each in asked.family]
    runs = [["--interpreter", interpreter(python), *options] for python, _, _ in families]
    remapped = ("--config", neutral_paths(cargo_home().glob("registry/src/*")))
    with unpacked(sdist) as source:
        wheels = [build_wheel(source, asked.out, *remapped, *each) for each in runs or [options]]
        for wheel, (python, _, tag) in zip(wheels, families, strict=False):
            if f"-{tag}-" not in wheel.name:
                sys.exit(f"the wheel for Python {python} should have the tag {tag}: {wheel.name}")
        if asked.twice:
            build_again(source, wheels[0], *(runs or [options])[0])
    if not asked.sdist:
        sdist.unlink()


if __name__ == "__main__":
    main()
