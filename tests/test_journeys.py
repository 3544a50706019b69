"""Does a newcomer who follows the README meet what it promises? Through just, uv and pip, on real projects."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from template import Project, render

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Desk(Project):
    """A project at a desk whose Python is a relocated one."""

    variables: dict[str, str]

    def run(self, *command: str | Path, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the project, with the desk's Python."""
        return super().run(*command, check=check, **{**self.variables, **variables})


@pytest.fixture(scope="module")
def ready(source: Path, target: Path, relocated: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Give a project that `just setup` made ready from a bare render, with a relocated Python."""
    folder = render(source, tmp_path_factory.mktemp("journey") / "quickstats")
    (folder / "target").symlink_to(target, target_is_directory=True)
    project = Desk(folder, {}, relocated)
    project.run("just", "setup")
    return project


def test_setup_prepares_a_new_project(ready: Project) -> None:
    made = {"Cargo.lock", "uv.lock", ".venv/bin/python", ".git/hooks/pre-commit"}
    assert {path for path in made if (ready.folder / path).exists()} == made
    base = ready.run(".venv/bin/python", "-c", "import quickstats, sys; print(sys.base_prefix)").stdout
    assert "relocated" in base


def test_setup_twice_changes_nothing(ready: Project) -> None:
    before = ready.run("git", "status", "--porcelain", "--untracked-files=all").stdout
    ready.run("just", "setup")
    assert ready.run("git", "status", "--porcelain", "--untracked-files=all").stdout == before


def test_recipes_and_sessions_work_with_relocated_python(ready: Project) -> None:
    ready.commit("Begin")
    ready.run("just", "test")
    ready.run("just", "lint")
    ready.run("just", "fmt")
    ready.run("nox", "-s", "test-3.11")
    assert ready.run("git", "status", "--porcelain").stdout == ""


def test_relocated_python_needs_its_home(ready: Project) -> None:
    path = ready.folder / "build.rs"
    text = path.read_text("utf-8")
    assert "PYTHONHOME" in text
    try:
        path.write_text(text.replace("PYTHONHOME", "NO_HOME"), "utf-8")
        done = ready.run("cargo", "test", "--lib", check=False)
    finally:
        path.write_text(text, "utf-8")
    assert done.returncode
    assert "No module named 'encodings'" in done.stdout


def test_edit_is_effective_at_next_run(ready: Project) -> None:
    path = ready.folder / "src" / "py_summary.rs"
    text = path.read_text("utf-8")
    assert '" { ", "("' in text
    try:
        path.write_text(text.replace('" { ", "("', '" { ", "Edited("'), "utf-8")
        shown = ready.run("uv", "run", "python", "-c", "import quickstats; print(quickstats.summarize([1.0]))")
        assert "Edited(" in shown.stdout
    finally:
        path.write_text(text, "utf-8")
    ready.run("just", "dev")
    shown = ready.run(".venv/bin/python", "-c", "import quickstats; print(quickstats.summarize([1.0]))")
    assert "Summary(" in shown.stdout


def test_second_round_compiles_no_pyo3_crate(ready: Project) -> None:
    activated = str(ready.folder / ".venv")

    def rounds() -> str:
        develop = ready.run(".venv/bin/maturin", "develop", "--skip-install", "--verbose", VIRTUAL_ENV=activated)
        output = [ready.run("cargo", command, "--workspace", "--verbose").stdout for command in ("test", "check")]
        return "".join([develop.stdout, *output])

    rounds()
    stale = [line for line in rounds().splitlines() if "pyo3" in line and line.split()[0] in ("Compiling", "Checking")]
    assert stale == []


def test_bench_measures_python_and_rust(ready: Project) -> None:
    ready.run("nox", "-s", "bench", "--", "--benchmark-max-time=0.1", "--benchmark-min-rounds=1")
    assert (ready.folder / "target" / "bench" / "benchmark.png").stat().st_size > 10_000
    assert [*(ready.folder / "target" / "nox" / "cargo" / "criterion").glob("**/new/estimates.json")]


def test_setup_keeps_a_surrounding_repository(source: Path, target: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    folder = render(source, tmp_path / "packages" / "quickstats")
    (folder / "target").symlink_to(target, target_is_directory=True)
    Project(folder, {}).run("just", "setup")
    assert not (folder / ".git").exists()
    assert not (tmp_path / ".git" / "hooks" / "pre-commit").exists()


def test_pip_alone_builds_and_tests(source: Path, target: Path, tmp_path: Path) -> None:
    """The README's commands, in an environment that has the newest pip and no uv."""
    folder = render(source, tmp_path / "quickstats")
    (folder / "target").symlink_to(target, target_is_directory=True)
    sentence = next(line for line in (folder / "README.md").read_text("utf-8").splitlines() if "With pip" in line)
    install, test = re.findall("`(.+?)`", sentence)
    path = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if not shutil.which("uv", path=part))
    prepare = f"{sys.executable} -m venv .venv; . .venv/bin/activate; python -m pip install --upgrade pip"
    Project(folder, {}).run("bash", "-euc", f"{prepare}; {install}; {test}", PATH=path)
