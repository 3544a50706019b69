"""Does `nox -s coverage` count the lines of Rust and Python that tests reach, and enforce a threshold?"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import new_project

from planting import append, replace
from template import ROOT, Project, import_file, missing_tool

SCRIPT = ROOT / "template" / "sessions" / "coverage.py"


class Session:
    """Does what the script asks of a nox session: run a command, stop with an error."""

    def run(self, *command: str, **options: Any) -> str:
        """Return what a command prints."""
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def error(self, message: str) -> None:
        """Stop."""
        raise RuntimeError(message)


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """Import the session's file from a project that has nothing else."""
    project = tmp_path_factory.mktemp("project")
    (project / "sessions").mkdir(parents=True)
    (project / "target" / "coverage").mkdir(parents=True)
    (project / "pyproject.toml").write_text('[tool.maturin]\nmodule-name = "sample._core"\n')
    path = shutil.copy(SCRIPT, project / "sessions")
    return import_file(path)


# ---- The tools of LLVM.


def stub(path: Path, text: str) -> None:
    """Write a program that prints."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


TOOLS = {
    "toolchain": ("sysroot/lib/rustlib/here/bin/llvm-cov", "22.1.2-rust-1.95.0-stable", True),
    "path": ("bin/llvm-cov", "23.1.0", True),
    "numbered": ("bin/llvm-cov-22", "22.1.8", True),
    "old": ("bin/llvm-cov", "14.0.6'; exit 1; echo '", False),
    "nowhere": ("elsewhere/llvm-cov", "22.1.2", False),
}


@pytest.mark.parametrize("place", TOOLS)
def test_tool_matches_llvm_of_rustc(
    place: str, script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, version, found = TOOLS[place]
    stub(tmp_path / "bin/rustc", f'[ "$1" = -vV ] && echo "LLVM version: 22.1.2" || echo {tmp_path}/sysroot')
    stub(tmp_path / path, f"echo 'Debian LLVM version {version}'")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    if found:
        assert script.find_tool(Session(), "llvm-cov") == str(tmp_path / path)
    else:
        with pytest.raises(RuntimeError, match="llvm-cov of LLVM 22 or newer is missing: run `rustup component add"):
            script.find_tool(Session(), "llvm-cov")


# ---- The report.

LIB = """\
fn reached() {}
fn missed() {}

#[cfg(test)]
mod tests {
    fn test() {}
}
"""


def test_report_leaves_out_tests_and_dependencies(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    for file in ("src/lib.rs", "tests/rust.rs", "build.rs", "target/made.rs", ".nox/p/__init__.py"):
        (script.ROOT / file).parent.mkdir(parents=True, exist_ok=True)
        (script.ROOT / file).write_text(LIB)
    lines = "DA:1,2\nDA:2,0\nDA:3,0\nDA:6,5\nLF:4\nLH:2\n"
    files = ["/cargo/registry/dependency/src/lib.rs", *(script.ROOT / f"{name}.rs" for name in ("src/lib", "build"))]
    files += [script.ROOT / "tests/rust.rs", script.ROOT / "target/made.rs", ".nox/p/__init__.py"]
    share = script.report("".join(f"SF:{file}\n{lines}end_of_record\n" for file in files))
    assert share == 50  # of two lines: the third is empty, the sixth a test
    assert (script.OUT / "lcov.info").read_text() == "SF:src/lib.rs\nDA:1,2\nDA:2,0\nLF:2\nLH:1\nend_of_record\n"
    assert capsys.readouterr().out == (script.OUT / "report.md").read_text()


def test_report_without_rust_fails(script: ModuleType) -> None:
    with pytest.raises(AssertionError, match="no line of Rust was counted"):
        script.report("")


# ---- The session.

METHODS = """\
impl PySummary {
    fn called_by_pytest(&self) -> bool {
        self.0.count.get() == 110
    }

    fn never_called(&self) -> bool {
        self.0.count.get() == 111
    }
"""
TEST = """
import subprocess, sys
import quickstats

def test_planted():
    assert not quickstats.summarize([1.0]).called_by_pytest()
    subprocess.run([sys.executable, "-c", "import quickstats; quickstats.called_by_a_child()"], check=True)
"""
FUNCTIONS = """

def called_by_a_child():
    return 110


def never_called():
    return 111
"""
REACHED = {
    "crates/quickstats-py/src/py_summary.rs": {"== 110": True, "== 111": False},
    "python/quickstats/__init__.py": {"return 110": True, "return 111": False},
}


def coverage(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the session."""
    return project.run("nox", "--reuse-venv=yes", "--session", "coverage", "--", *arguments, check=False)


@pytest.mark.slow
def test_uncovered_line_fails_the_threshold(source: Path, target: Path, tmp_path: Path) -> None:
    project = new_project(source, tmp_path / "quickstats", {"layout": "workspace", "upkeep": ["coverage"]}, target)
    done = coverage(project, "--fail-under", "95")
    if "of LLVM" in done.stdout and "is missing: run `rustup component add llvm-tools`" in done.stdout:
        missing_tool("llvm-cov and llvm-profdata of rustc's LLVM are not on this machine", "NO_LLVM_TOOLS")
    assert done.returncode == 0, done.stdout
    files = {*re.findall(r"(?m)^\| (\S+) \| \d+ \| \d+ \| [\d.]+ \|$", done.stdout)}
    assert files >= {"crates/quickstats/src/summary.rs", *REACHED, "total"}
    replace("crates/quickstats-py/src/py_summary.rs", "impl PySummary {\n", METHODS)(project)
    append("python/quickstats/__init__.py", FUNCTIONS)(project)
    append("tests/test_planted.py", TEST)(project)
    done = coverage(project, "--fail-under", "99.9")
    assert done.returncode, done.stdout
    assert "error: fewer than 99.9 % of the lines are covered" in done.stdout
    info = project.read("target/coverage/lcov.info")
    for file, lines in REACHED.items():
        (record,) = re.findall(rf"SF:{file}\n(.*?)end_of_record", info, re.DOTALL)
        text = project.read(file).splitlines()
        for code, reached in lines.items():
            (number,) = (number for number, line in enumerate(text, 1) if code in line)
            assert (f"DA:{number},0\n" not in record) == reached, code
            assert f"DA:{number}," in record
    changed = {line[3:] for line in project.run("git", "status", "--porcelain").stdout.splitlines()}
    assert changed <= {*REACHED, "tests/test_planted.py", "Cargo.lock"}
