"""Build wheels by cibuildwheel: this session replaces the `wheel` of noxfile.py."""

import shutil
from pathlib import Path

import nox
import nox.registry

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
CONFIG = ROOT / "sessions" / "cibuildwheel.toml"
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
BUILDS = nox.project.load_toml(CONFIG)["tool"]["cibuildwheel"]["build"]
PLATFORMS = {
    "x86_64-unknown-linux-gnu": "manylinux_x86_64",
    "aarch64-unknown-linux-gnu": "manylinux_aarch64",
    "x86_64-unknown-linux-musl": "musllinux_x86_64",
    "aarch64-unknown-linux-musl": "musllinux_aarch64",
    "x86_64-apple-darwin": "macosx_x86_64",
    "aarch64-apple-darwin": "macosx_arm64",
    "x86_64-pc-windows-msvc": "win_amd64",
    "aarch64-pc-windows-msvc": "win_arm64",
}
nox.registry._REGISTRY.pop("wheel", None)  # nox has no public way to replace a session


@nox.session
def wheel(session: nox.Session) -> None:
    """Build this machine's wheels into dist/, each tested in its image: `-- [--target TRIPLE]`."""
    chosen = {}
    if session.posargs:
        option, target = (*session.posargs, "")[:2]
        if option != "--target" or target not in PLATFORMS:
            session.error(f"expected `-- --target TRIPLE`, TRIPLE one of {', '.join(PLATFORMS)}")
        chosen["CIBW_BUILD"] = " ".join(build.replace("*", PLATFORMS[target]) for build in BUILDS)
    session.install(*nox.project.dependency_groups(PROJECT, "cibuildwheel"))
    shutil.rmtree(DIST, ignore_errors=True)
    session.run("cibuildwheel", f"--config-file={CONFIG}", f"--output-dir={DIST}", env=chosen)
