"""Test with versions that no lock file names: `uv run noxfile.py -s lowest highest`."""

import shutil
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "target" / "nightly"
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
PYTHONS = [each for each in nox.project.python_versions(PROJECT) if not each.endswith("t")]


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Test with the lowest versions of direct dependencies that the manifests allow."""
    # Cargo reserves the option for nightly toolchains, unless the variable is set.
    update = ("cargo", "update", "-Z", "direct-minimal-versions")
    test_with(session, update, "--resolution=lowest-direct", RUSTC_BOOTSTRAP="1")


@nox.session(python=PYTHONS[-1])
def highest(session: nox.Session) -> None:
    """Test with the highest versions of all dependencies, for Python with pre-releases."""
    test_with(session, ("cargo", "update"), "--prerelease=allow")


def test_with(
    session: nox.Session, update: tuple[str, ...], *options: str, **variables: str
) -> None:
    """Test a copy of the tree, so that its lock file can be changed."""
    source, wheels, target = (WORK / name for name in ("source", "wheels", "target"))
    for folder in (source, wheels):
        shutil.rmtree(folder, ignore_errors=True)
    ignored = shutil.ignore_patterns(".git", ".nox", ".venv", "dist", "target")
    shutil.copytree(ROOT, source, ignore=ignored)
    session.install("--group=nightly")
    python = str(shutil.which("python", path=session.bin))
    build = ("maturin", "build", "--locked", "--profile=dev", f"--interpreter={python}")
    test = ("cargo", "test", "--locked", "--workspace", f"--target-dir={target / 'cargo'}")
    with session.chdir(source):
        session.run(*update, env=variables, external=True)
        session.run(*build, f"--target-dir={target / 'maturin'}", f"--out={wheels}")
        session.run(*test, env={"PYO3_PYTHON": python}, external=True)
    packages = (*PROJECT["project"]["dependencies"], *map(str, wheels.iterdir()))
    # Only wheels: the lowest version is the lowest that has one for this Python.
    options = ("--upgrade", "--only-binary=:all:", "--group=test", *options)
    session.install(*options, *packages, silent=False)
    session.chdir(session.create_tmp())  # where no source can be imported by mistake
    session.run("pytest", str(ROOT / "tests"), *session.posargs)
