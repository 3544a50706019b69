"""Sessions of the template repository. `nox --list` names them; README.md gives the two that a newcomer needs."""

from __future__ import annotations

import os
from pathlib import Path

import nox

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "test"]

ROOT = Path(__file__).resolve().parent
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")


def install_groups(session: nox.Session, *names: str) -> None:
    """Install dependency groups of pyproject.toml."""
    session.install(*nox.project.dependency_groups(PROJECT, *names))


@nox.session
def demo(session: nox.Session) -> None:
    """Render the default project, build it, import it and run its example; say where it lies."""
    install_groups(session, "demo")
    session.run("python", "tools/demo.py", *session.posargs)


@nox.session
def example(session: nox.Session) -> None:
    """Bring the example project to a release: `-- FOLDER TEMPLATE TAG`; commits, does not push."""
    install_groups(session, "demo")
    session.run("python", "tools/example.py", *session.posargs)


@nox.session(tags=["ci"])
def test(session: nox.Session) -> None:
    """Test the template: what is quick, or under CI=true and with `-- --slow` everything."""
    install_groups(session, "test")
    arguments = [argument for argument in session.posargs if argument != "--slow"]
    everything = "CI" in os.environ or arguments != session.posargs
    marked = () if everything else ("-m", "not slow")
    # Two at a time, file by file; not more, since each builds pyo3 for itself. What is asked for by name runs alone.
    side_by_side = () if arguments else ("--numprocesses=2", "--dist=loadfile")
    session.run("pytest", *marked, *side_by_side, *arguments)


@nox.session(tags=["ci"])
def lint(session: nox.Session) -> None:
    """Check the formats, lints and types of the repository's own Python."""
    install_groups(session, "lint", "test")
    session.run("ruff", "format", "--check")
    session.run("ruff", "check")
    session.run("mypy")


@nox.session
def render(session: nox.Session) -> None:
    """Render a named variant to look at: `-- workspace FOLDER`; without a name, list them."""
    install_groups(session, "render")
    session.run("python", "tools/render.py", *session.posargs)


@nox.session
def diff(session: nox.Session) -> None:
    """Show what differs between two variants: `-- default numpy`."""
    install_groups(session, "render")
    session.run("python", "tools/diff.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure the template against its marks, as ratios of one run, and write docs/speed.md."""
    install_groups(session, "bench")
    session.run("python", "tools/bench.py", *session.posargs)


@nox.session
def cost(session: nox.Session) -> None:
    """Measure what CI calls, count its jobs, and write docs/cost.md; `-- --count` leaves the times as they are."""
    install_groups(session, "test")
    session.run("python", "tools/cost.py", *session.posargs)


@nox.session
def bump(session: nox.Session) -> None:
    """Raise every version in the facts of copier.yml, then prove that the variants still pass."""
    install_groups(session, "test")
    session.run("python", "tools/bump.py", *session.posargs)
    session.run("pytest", "-m", "slow or not slow")


@nox.session
def docs(session: nox.Session) -> None:
    """Run the commands of the pages, and check their links."""
    install_groups(session, "test")
    session.run("pytest", "tests/test_docs.py", *session.posargs)


@nox.session
def tag(session: nox.Session) -> None:
    """Recreate the tags of the releases from tests/releases.toml."""
    install_groups(session, "test")
    session.run("python", "tests/releases.py", *session.posargs)
