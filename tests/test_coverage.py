"""Does the report count every line that tests reach, and do the lowest and the highest versions find a bound that lies?"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import new_project

from planting import append, replace
from template import Project, missing_tool

slow = pytest.mark.slow

FIND = "import sys; sys.path.insert(0, 'tools'); import coverage_report; print(coverage_report.llvm_tool('llvm-cov'))"


def nox(project: Project, session: str, *arguments: str, check: bool = True) -> str:
    """Run a session, with the environment that it has had before if there is one."""
    command = ("nox", "--reuse-venv=yes", "--session", session, "--", *arguments)
    done = project.run(*command, check=False)
    assert (done.returncode == 0) == check, done.stdout
    return done.stdout


# ---- Coverage.


def coverage(project: Project, *arguments: str, check: bool = True) -> str:
    """Run the session, where the tools of LLVM are here."""
    if project.run(sys.executable, "-c", FIND, check=False).returncode:
        missing_tool("llvm-cov and llvm-profdata of rustc's LLVM are not on this machine", "NO_LLVM_TOOLS")
    return nox(project, "coverage", *arguments, check=check)


def rows(text: str) -> dict[str, tuple[int, int]]:
    """Read the lines and the covered lines of each file from the table."""
    found = re.findall(r"(?m)^\| (\S+) +\| +(\d+) \| +(\d+) \| +[\d.]+ \|$", text)
    return {file: (int(lines), int(covered)) for file, lines, covered in found}


def hits(project: Project) -> dict[str, dict[int, int]]:
    """Read the hits of each line from the report for machines."""
    records = (project.folder / "target" / "coverage" / "lcov.info").read_text("utf-8").split("end_of_record\n")[:-1]
    return {
        record.splitlines()[0].removeprefix("SF:"): {
            int(line): int(count) for line, count in re.findall(r"(?m)^DA:(\d+),(\d+)$", record)
        }
        for record in records
    }


def line_of(project: Project, file: str, text: str) -> int:
    """Find the one line that holds a text."""
    (number,) = (number for number, line in enumerate(project.read(file).splitlines(), 1) if text in line)
    return number


METHODS = """\
impl PySummary {
    fn pytest_reaches(&self) -> bool {
        self.0.count() == 110
    }

    fn nothing_reaches(&self) -> bool {
        self.0.count() == 111
    }
"""


@slow
def test_report_counts_what_pytest_or_cargo_test_reaches_and_nothing_else(project: Project) -> None:
    replace("pyproject.toml", "\ntest = [", '\ntest = [\n    "pytest-xdist>=3.8",')(project)
    replace("src/py_summary.rs", "impl PySummary {\n", METHODS)(project)
    append("python/quickstats/errors.py", "\n\ndef nothing_reaches() -> int:\n    return 111\n")(project)
    append("tests/test_a.py", "import quickstats\n\ndef test_it():\n")(project)
    append("tests/test_a.py", "    assert not quickstats.Summary().pytest_reaches()\n")(project)
    # With workers, whose lines count too.
    printed = coverage(project, "--fail-under", "99.9", "--numprocesses", "2", check=False)
    assert "2 workers" in printed
    assert re.search(r"9\d\.\d per cent of the lines are reached: 99\.9 are asked for", printed)
    found = hits(project)
    assert list(found) == [
        *(f"python/quickstats/{name}.py" for name in ("__init__", "errors")),
        *(f"src/{name}.rs" for name in ("errors", "lib", "py_summary", "summary")),
    ]
    reached = {
        text: bool(found[file][line_of(project, file, text)])
        for file, text in (
            ("src/py_summary.rs", "== 110"),
            ("src/py_summary.rs", "== 111"),
            ("python/quickstats/errors.py", "class Error"),
            ("python/quickstats/errors.py", "return 111"),
        )
    }
    assert reached == {"== 110": True, "== 111": False, "class Error": True, "return 111": False}
    # The tests' own lines are no evidence, and the table says what the report for machines does.
    assert max(found["src/summary.rs"]) < line_of(project, "src/summary.rs", "#[cfg(test)]")
    counts = {file: (len(lines), sum(map(bool, lines.values()))) for file, lines in found.items()}
    total = tuple(map(sum, zip(*counts.values(), strict=True)))
    assert rows(printed) == {**counts, "total": total}
    assert rows(project.read("target/coverage/report.md")) == rows(printed)


LAYOUTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "pure": ({"layout": "pure", "version": "git"}, [f"src/{name}.rs" for name in ("errors", "lib", "py_summary")]),
    "workspace": (
        {"layout": "workspace"},
        [*(f"crates/quickstats-py/src/{name}.rs" for name in ("errors", "lib", "py_summary"))],
    ),
}


@slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_report_is_whole_in_the_layout(layout: str, source: Path, tmp_path: Path, target: Path) -> None:
    answers, binding = LAYOUTS[layout]
    project = new_project(source, tmp_path / "quickstats", answers, target)
    found = rows(coverage(project))
    core = "src/summary.rs" if layout == "pure" else "crates/quickstats/src/summary.rs"
    python = [] if layout == "pure" else [f"python/quickstats/{name}.py" for name in ("__init__", "errors")]
    assert found.keys() == {core, *binding, *python, "total"}
    lines, covered = found["total"]
    assert covered / lines > 0.95
    assert project.run("git", "status", "--porcelain").stdout in ("", "?? Cargo.lock\n")


# ---- The tools of LLVM.


def stub(folder: Path, name: str, text: str) -> None:
    """Write a program that only prints."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


TOOLS = {
    "the toolchain": ("sysroot/lib/rustlib/here/bin/llvm-cov", "22.1.2-rust-1.95.0-stable", True),
    "PATH": ("bin/llvm-cov", "23.1.0", True),
    "PATH, with its number": ("bin/llvm-cov-22", "22.1.8", True),
    "PATH, but too old": ("bin/llvm-cov", "14.0.6", False),
    "PATH, but too old to say so": ("bin/llvm-cov", "14.0.6'; exit 1; echo '", False),
    "nowhere": ("elsewhere/llvm-cov", "22.1.2", False),
}


@pytest.mark.parametrize("place", TOOLS)
def test_tool_of_llvm_is_looked_for_in(place: str, default: Project, tmp_path: Path) -> None:
    path, version, good = TOOLS[place]
    answer = f'case "$*" in -vV) echo "host: here"; echo "LLVM version: 22.1.2";; *) echo {tmp_path}/sysroot;; esac'
    stub(tmp_path / "bin", "rustc", answer)
    stub((tmp_path / path).parent, (tmp_path / path).name, f"echo 'Debian LLVM version {version}'")
    done = default.run(sys.executable, "-c", FIND, check=False, PATH=str(tmp_path / "bin"))
    if good:
        assert done.stdout == f"{tmp_path / path}\n"
    else:
        assert done.returncode
        assert "llvm-cov of LLVM 22 or newer" in done.stdout
        assert "rustup component add llvm-tools" in done.stdout


# ---- The lowest and the highest versions.

INDEXMAP = '[dependencies.indexmap]\nversion = "2.0"\n\n[build-dependencies]\n'
USES = {
    "lowest": "pub fn planted(map: &mut indexmap::IndexMap<u8, u8>) { map.insert_sorted(1, 2); }",
    "highest": "#[deny(deprecated)] pub fn planted(map: &mut indexmap::IndexMap<u8, u8>) { map.remove(&1); }",
}
FOUND = {"lowest": "no method named `insert_sorted`", "highest": "use of deprecated method"}


@slow
@pytest.mark.parametrize("session", USES)
def test_versions_of_crates_that_do_not_fit_are_found(session: str, project: Project) -> None:
    replace("Cargo.toml", "[build-dependencies]\n", INDEXMAP)(project)
    append("src/summary.rs", f"\n{USES[session]}\n")(project)
    project.run("cargo", "update", "--workspace")
    if session == "highest":
        project.run("cargo", "update", "--precise", "2.1.0", "indexmap")
    project.run("cargo", "check", "--locked")  # with the versions of the lock it fits
    lock = project.read("Cargo.lock")
    assert FOUND[session] in nox(project, session, check=False)
    assert project.read("Cargo.lock") == lock


@slow
def test_bound_of_a_python_package_that_is_too_low_is_found(project: Project) -> None:
    replace("pyproject.toml", "dependencies = []", 'dependencies = ["humanize>=4.0"]')(project)
    append("tests/test_planted.py", "def test_it():\n    from humanize import natural_list\n")(project)
    printed = nox(project, "lowest", check=False)
    assert "+ humanize==4.0.0" in printed
    assert "ImportError: cannot import name 'natural_list'" in printed


@slow
@pytest.mark.parametrize("session", ["lowest", "highest"])
def test_a_project_without_a_lock_stays_without(session: str, project: Project) -> None:
    project.run("git", "rm", "--quiet", "Cargo.lock")
    assert "was successful" in nox(project, session)
    assert project.run("git", "status", "--porcelain").stdout == "D  Cargo.lock\n"
