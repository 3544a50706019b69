"""Measure which lines of Rust and Python the tests reach, in one report."""

import argparse
import os
import re
import shutil
import subprocess
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parents[1]
BUILT = ROOT / "target" / "nox" / "coverage"  # apart from builds without counters
OUT = ROOT / "target" / "coverage"
MODULE = nox.project.load_toml(ROOT / "pyproject.toml")["tool"]["maturin"]["module-name"]
SETTINGS = f"--rcfile={ROOT / 'sessions' / 'coverage.toml'}"
IGNORED = {".nox", ".venv", "benches", "build.rs", "examples", "target", "tests"}
RUST_TESTS = re.compile(r"^#\[cfg\(test\)\]\nmod \w+ \{\n.*?^\}$", re.MULTILINE | re.DOTALL)


@nox.session
def coverage(session: nox.Session) -> None:
    """Report the covered lines in target/coverage/: `-- [--fail-under PERCENT] [PYTEST…]`."""
    parser = argparse.ArgumentParser(prog="nox -s coverage --", allow_abbrev=False)
    parser.add_argument("--fail-under", type=float, default=0, metavar="PERCENT")
    asked, arguments = parser.parse_known_args(session.posargs)
    profdata, cov = find_tool(session, "llvm-profdata"), find_tool(session, "llvm-cov")
    shutil.rmtree(OUT, ignore_errors=True)
    session.install("--group=coverage", "--group=test")
    # With a target named, cargo builds build scripts and procedural macros without counters.
    target = f"--target={find('host: (.+)', ask(session, 'rustc', '-vV'))}"
    session.env["RUSTFLAGS"] = f"{os.environ.get('RUSTFLAGS', '')} -Cinstrument-coverage".strip()
    session.env["LLVM_PROFILE_FILE"] = str(OUT / "%4m.profraw")  # four files for all processes
    python = run_pytest(session, target, *arguments)
    programs, merged = run_cargo(session, target), OUT / "rust.profdata"
    session.run(profdata, "merge", *OUT.glob("*.profraw"), "-o", merged, external=True)
    export = (cov, "export", "--format=lcov", f"--instr-profile={merged}")
    rust = ask(session, *export, *[f"--object={program}" for program in programs])
    if report(rust + python) < asked.fail_under:
        session.error(f"error: fewer than {asked.fail_under:g} % of the lines are covered")


def run_pytest(session: nox.Session, target: str, *arguments: str) -> str:
    """Test an installed wheel with counters, and return the lines of Python that were reached."""
    session.env["COVERAGE_FILE"] = str(OUT / "python")
    session.env["PYO3_PYTHON"] = str(shutil.which("python", path=session.bin))
    session.run("maturin", "build", target, f"--target-dir={BUILT}/maturin", "-o", OUT)
    session.install("--reinstall", *map(str, OUT.glob("*.whl")))
    with session.chdir(session.create_tmp()):  # where no source can be imported by mistake
        session.run("coverage", "run", SETTINGS, "-m", "pytest", ROOT / "tests", *arguments)
    session.run("coverage", "combine", "--quiet", SETTINGS)
    session.run("coverage", "lcov", "--quiet", SETTINGS, "-o", OUT / "python.info")
    return (OUT / "python.info").read_text("utf-8")


def run_cargo(session: nox.Session, target: str) -> list[str]:
    """Test the Rust code, and return what has counters: its test programs, the module."""
    test = ("cargo", "test", "--workspace", target, f"--target-dir={BUILT}/cargo")
    session.run(*test, external=True)
    messages = ask(session, *test, "--no-run", "--quiet", "--message-format=json")
    programs = re.findall(r'"executable":"([^"]+)"', messages.replace(r"\\", "\\"))
    package = Path(session.virtualenv.location).glob(f"**/{MODULE.partition('.')[0]}/*")
    return programs + [str(path) for path in package if path.suffix in (".pyd", ".so")]


def ask(session: nox.Session, *command: str) -> str:
    """Return what a command prints to its standard output."""
    return str(session.run(*command, external=True, log=False, silent=True, stderr=None))


def find(pattern: str, text: str) -> str:
    """Return the first group of a pattern, or 0."""
    return found[1] if (found := re.search(pattern, text)) else "0"


def find_tool(session: nox.Session, name: str) -> str:
    """Find a tool of rustc's LLVM, or of a newer one: in the toolchain, then on PATH."""
    needed = find(r"LLVM version: (\d+)", ask(session, "rustc", "-vV"))
    toolchain = Path(ask(session, "rustc", "--print=sysroot").strip(), "lib", "rustlib")
    places = (*map(str, toolchain.glob(f"*/bin/{name}*")), f"{name}-{needed}", name)
    for program in filter(None, map(shutil.which, places)):
        done = subprocess.run([program, "--version"], capture_output=True, check=False, text=True)
        if int(find(r"LLVM version (\d+)", done.stdout)) >= int(needed):
            return program
    advice = f"run `rustup component add llvm-tools`, or install the system's llvm-{needed}"
    session.error(f"error: {name} of LLVM {needed} or newer is missing: {advice}")


def report(lcov: str) -> float:
    """Write lcov.info and report.md, print the table, return the per cent of covered lines."""
    table, info, total, covered = ["| file | lines | covered | % |", "|---|--:|--:|--:|"], "", 0, 0
    for record in sorted(lcov.split("end_of_record\n")[:-1]):
        path = ROOT / find("SF:(.+)", record)
        if ROOT not in path.parents or IGNORED & {*path.relative_to(ROOT).parts}:
            continue
        text = RUST_TESTS.sub(lambda test: "\n" * test[0].count("\n"), path.read_text("utf-8"))
        found, code = re.findall(r"DA:(\d+),(\d+)", record), text.split("\n")
        hits = {int(line): int(count) for line, count in found if code[int(line) - 1]}
        if hits:
            file, reached = path.relative_to(ROOT).as_posix(), sum(map(bool, hits.values()))
            table += [f"| {file} | {len(hits)} | {reached} | {1000 * reached // len(hits) / 10} |"]
            data = "".join(f"DA:{line},{count}\n" for line, count in hits.items())
            info += f"SF:{file}\n{data}LF:{len(hits)}\nLH:{reached}\nend_of_record\n"
            total, covered = total + len(hits), covered + reached
    assert ".rs\n" in info, "no line of Rust was counted"
    table += [f"| total | {total} | {covered} | {1000 * covered // total / 10} |"]
    (OUT / "lcov.info").write_text(info, encoding="utf-8")
    (OUT / "report.md").write_text("\n".join(table) + "\n", encoding="utf-8")
    print(*table, sep="\n")
    return 100 * covered / total
