"""Check a release: install it on every Python that is here, and test it there.

It comes from an index, or before anything is published, from the wheels in dist/.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from wheels import ROOT, is_offered, settings

DIST = ROOT / "dist"


class FailedError(Exception):
    """A release does not do what it must. The text says what happened and what to do."""


def present(pythons: list[str]) -> dict[str, str]:
    """Give the supported Pythons that are here and run; a shim may stand for one that is not."""
    found = {}
    for version in pythons:
        path = shutil.which(f"python{version}")
        if (
            path
            and not subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode
        ):
            found[version] = path
    if not found:
        raise FailedError(f"none of the supported Pythons is here: {', '.join(pythons)}")
    return found


def call(*command: str | Path, cwd: Path = ROOT, **variables: str) -> str:
    """Run a command, and fail with all that it said."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        raise FailedError(f"{' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


def fetch(pythons: list[str]) -> None:
    """Let uv install the Pythons, and put them on the path, unless it is told to download none."""
    if os.environ.get("UV_PYTHON_DOWNLOADS") == "never":
        print("UV_PYTHON_DOWNLOADS is never: no Python is fetched")
        return
    offered = [python for python in pythons if is_offered(python)]
    call("uv", "python", "install", "--quiet", *offered)
    folder = call("uv", "python", "dir", "--bin").strip()
    os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], folder])


def built() -> tuple[str, tuple[str, ...]]:
    """Give the version of the wheels in dist/, and what makes uv install it from nowhere else."""
    versions = {path.name.split("-")[1] for path in DIST.glob("*.whl")}
    if len(versions) != 1:
        raise FailedError(
            f"{DIST} is to hold the wheels of one version and holds "
            f"{', '.join(sorted(versions)) or 'none'}: run `just wheel`."
        )
    return versions.pop(), ("--find-links", str(DIST))


def install(python: str, folder: Path, requirement: str, *options: str, **variables: str) -> Path:
    """Install a requirement and what the tests need into a new environment, and give its Python."""
    call("uv", "venv", "--quiet", "--python", python, folder)
    inside = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = ("uv", "pip", "install", "--quiet", "--no-config", "--python", inside)
    call(*pip, "--group", f"{ROOT / 'pyproject.toml'}:test")
    if "--find-links" in options:  # what was built, though an index may have that version too
        call(*pip, "--no-index", "--no-deps", *options, requirement)
    # Not from the cache: another rehearsal's file may have had the same address.
    refresh = ("--refresh-package", requirement.partition("=")[0])
    call(*pip, *refresh, *options, requirement, cwd=ROOT, **variables)
    return inside


def try_on(
    python: str, name: str, version: str, *options: str, module: str, **variables: str
) -> str:
    """Install one version from an index and run the tests away from the sources; say how it went."""
    with tempfile.TemporaryDirectory() as folder:
        away = Path(folder).resolve()
        inside = install(python, away / "env", f"{name}=={version}", *options, **variables)
        where = call(inside, "-c", f"import {module}; print({module}.__file__)", cwd=away)
        if not Path(where.strip()).is_relative_to(away):
            raise FailedError(
                f"{module} was imported from {where.strip()}, not from what was installed"
            )
        call("uv", "pip", "check", "--quiet", "--python", inside)
        said = call(inside, "-m", "pytest", "-p", "no:cacheprovider", ROOT / "tests", cwd=away)
        return said.strip().splitlines()[-1].strip("= ")


def main() -> None:
    """Check the release that the command line names."""
    project = settings()
    parser = argparse.ArgumentParser(prog="nox --session verify --", description=__doc__)
    parser.add_argument("version", nargs="?", help="as on the index: 0.2.0a1; without it, dist/")
    parser.add_argument("--name", default=project["project"]["name"], help="of the distribution")
    parser.add_argument("--index", help="address that pip would take; without it, PyPI's")
    parser.add_argument("--source", action="store_true", help="build from the sdist")
    parser.add_argument("--fetch", action="store_true", help="have uv install all the Pythons")
    parser.add_argument("--python", action="append", default=[], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    module = project["tool"]["maturin"]["module-name"].partition(".")[0]
    options: tuple[str, ...] = ("--index", asked.index) if asked.index else ()
    kind = ("--no-binary" if asked.source else "--only-binary", asked.name)
    try:
        if asked.fetch:
            fetch(asked.python)
        if not asked.version:
            asked.version, options = built()
        here = present(asked.python)
        for version, path in here.items():
            said = try_on(path, asked.name, asked.version, *options, *kind, module=module)
            print(f"{asked.name} {asked.version} on Python {version}: {said}", flush=True)
        if missing := [version for version in asked.python if version not in here]:
            print(f"not here: Python {', '.join(missing)}; `-- --fetch` gets what there is")
    except FailedError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
