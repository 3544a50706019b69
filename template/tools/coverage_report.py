"""Count the lines that the tests reach, Rust's and Python's in one report.

The extension and the Rust tests are built with counters in them, so that a line of Rust counts
whether `cargo test` or pytest reaches it. What is inside `#[cfg(test)] mod … { }` is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from wheels import ROOT, host, run, settings

BUILT = ROOT / "target" / "nox" / "coverage"  # apart from the builds without counters
OUT = ROOT / "target" / "coverage"
MATURIN = settings()["tool"]["maturin"]
PACKAGE = MATURIN["module-name"].partition(".")[0]
INSTALLED = Path(sysconfig.get_path("platlib"), PACKAGE)
NOT_COUNTED = {"bench", "custom-build", "example", "test"}  # kinds of cargo's targets
RUST_TESTS = re.compile(r"^#\[cfg\(test\)\]\nmod \w+ \{\n.*?^\}$", re.MULTILINE | re.DOTALL)

Hits = dict[int, int]  # how often each line that has code was reached


def told(*command: str | Path, **variables: str) -> str:
    """Give what a command prints, and stop with what it complains of if it fails."""
    environment = {**os.environ, **variables}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=False
    )
    if done.returncode:
        sys.exit(done.stderr or done.stdout)
    return done.stdout


def llvm_version(text: str) -> int:
    """Read which LLVM a program names as its own."""
    found = re.search(r"LLVM version:? (\d+)", text)
    return int(found[1]) if found else 0


def is_new_enough(program: str, needed: int) -> bool:
    """Tell whether a tool is of this LLVM or a newer one; some old ones fail when they are asked."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return llvm_version(done.stdout) >= needed


def llvm_tool(name: str) -> str:
    """Find a tool of LLVM that can read what rustc's own LLVM writes."""
    needed = llvm_version(told("rustc", "-vV"))
    toolchain = Path(told("rustc", "--print", "sysroot").strip(), "lib", "rustlib", host(), "bin")
    for program in (
        shutil.which(name, path=toolchain),
        shutil.which(f"{name}-{needed}"),
        shutil.which(name),
    ):
        if program and is_new_enough(program, needed):
            return program
    sys.exit(
        f"{name} of LLVM {needed} or newer, which this rustc needs, is neither in the toolchain "
        f"nor on PATH. Run `rustup component add llvm-tools`, or install LLVM {needed}."
    )


def install_with_counters() -> None:
    """Build the wheel, and install it into this environment."""
    wheels = BUILT / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    options = ("--profile", "dev", "--target", host(), "--target-dir", BUILT / "maturin")
    run("maturin", "build", *options, "--out", wheels)
    uv = (sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable)
    run(*uv, *wheels.iterdir())


def run_pytest(*arguments: str) -> str:
    """Run pytest where the sources cannot be imported, and give what it reached as lcov."""
    coverage = (sys.executable, "-m", "coverage")
    configuration = f"--rcfile={ROOT / 'pyproject.toml'}"
    count = (*coverage, "run", configuration, "--parallel-mode", f"--source={PACKAGE}")
    report = OUT / "python.info"
    os.environ["COVERAGE_FILE"] = str(OUT / "python")
    with tempfile.TemporaryDirectory() as elsewhere:
        run(*count, "-m", "pytest", ROOT / "tests", *arguments, cwd=Path(elsewhere))
    told(*coverage, "combine", configuration)
    told(*coverage, "lcov", configuration, "-o", report)
    return report.read_text("utf-8")


def run_rust_tests() -> list[str]:
    """Run the Rust tests, and give the programs that they are."""
    cargo = ("cargo", "test", "--workspace", "--target", host(), "--target-dir", BUILT / "cargo")
    run(*cargo, PYO3_PYTHON=sys.executable)
    messages = told(*cargo, "--no-run", "--message-format=json", PYO3_PYTHON=sys.executable)
    programs = (json.loads(line).get("executable") for line in messages.splitlines())
    return [program for program in programs if program]


def reached_in_rust(profdata: str, cov: str, programs: list[str]) -> str:
    """Merge what all processes counted, and give it as lcov."""
    merged = OUT / "rust.profdata"
    told(profdata, "merge", *OUT.glob("*.profraw"), "-o", merged)
    suffixes = tuple(EXTENSION_SUFFIXES)
    extensions = [path for path in INSTALLED.rglob("*") if path.name.endswith(suffixes)]
    objects = [f"--object={program}" for program in (*extensions, *programs)]
    return told(cov, "export", "--format=lcov", f"--instr-profile={merged}", *objects)


def read_lcov(text: str) -> Iterator[tuple[Path, Hits]]:
    """Give the files of an lcov report, and the hits of their lines."""
    for record in text.split("end_of_record"):
        file = re.search(r"^SF:(.+)$", record, re.MULTILINE)
        lines = re.findall(r"^DA:(\d+),(\d+)", record, re.MULTILINE)
        if file and lines:
            yield Path(file[1]), {int(number): int(hits) for number, hits in lines}


def rust_folders() -> set[Path]:
    """Find the sources of the workspace's crates, without tests, benches and build scripts."""
    metadata = json.loads(told("cargo", "metadata", "--no-deps", "--format-version=1"))
    return {
        Path(target["src_path"]).parent
        for package in metadata["packages"]
        for target in package["targets"]
        if not NOT_COUNTED & {*target["kind"]}
    }


def without_tests(path: Path, hits: Hits) -> Hits:
    """Leave out the lines of Rust that are a test themselves."""
    text = path.read_text("utf-8")
    for found in RUST_TESTS.finditer(text):
        first, last = (text.count("\n", 0, place) + 1 for place in found.span())
        hits = {line: count for line, count in hits.items() if not first <= line <= last}
    return hits


def counted(rust: str, python: str) -> dict[str, Hits]:
    """Give the hits of the project's own files, by their paths in the tree."""
    found, folders = {}, rust_folders()
    for path, hits in read_lcov(rust):
        if folders & {*path.parents} and (hits := without_tests(path, hits)):
            found[path.relative_to(ROOT).as_posix()] = hits
    if not found:
        sys.exit("no line of Rust was counted")
    sources = ROOT / MATURIN.get("python-source", "") / PACKAGE
    for path, hits in read_lcov(python):
        source = sources / (ROOT / path).relative_to(INSTALLED)
        if source.is_file():  # else maturin made it
            found[source.relative_to(ROOT).as_posix()] = hits
    return dict(sorted(found.items()))


def lcov(files: dict[str, Hits]) -> Iterator[str]:
    """Write a report for machines, as every tool reads it that knows coverage."""
    for file, hits in files.items():
        yield f"SF:{file}\n"
        yield from (f"DA:{line},{count}\n" for line, count in sorted(hits.items()))
        yield f"LF:{len(hits)}\nLH:{covered(hits)}\nend_of_record\n"


def covered(hits: Hits) -> int:
    """Count the lines that were reached."""
    return sum(map(bool, hits.values()))


def percent(lines: int, reached: int) -> float:
    """Give the share of the lines that were reached, rounded down: 100.0 is all of them."""
    return 1000 * reached // lines / 10


def table(counts: dict[str, tuple[int, int]]) -> Iterator[str]:
    """Write a table in Markdown."""
    width = max(map(len, counts))
    yield f"| {'file':<{width}} | lines | covered | per cent |\n"
    yield f"| {'-' * width} | ----: | ------: | -------: |\n"
    for file, (lines, reached) in counts.items():
        yield f"| {file:<{width}} | {lines:>5} | {reached:>7} | {percent(lines, reached):>8} |\n"


def main() -> None:
    """Build with counters, run all tests, report."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="The rest goes to pytest.")
    parser.add_argument("--fail-under", type=float, default=0, help="per cent of all lines")
    asked, arguments = parser.parse_known_args()
    profdata, cov = llvm_tool("llvm-profdata"), llvm_tool("llvm-cov")
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    # With a target named, cargo leaves build scripts and macros without counters.
    os.environ["RUSTFLAGS"] = f"{os.environ.get('RUSTFLAGS', '')} -Cinstrument-coverage".strip()
    # A few files, which all processes share.
    os.environ["LLVM_PROFILE_FILE"] = str(OUT / "%4m.profraw")
    install_with_counters()
    python = run_pytest(*arguments)
    rust = reached_in_rust(profdata, cov, run_rust_tests())
    files = counted(rust, python)
    counts = {file: (len(hits), covered(hits)) for file, hits in files.items()}
    lines, reached = map(sum, zip(*counts.values(), strict=True))
    report = "".join(table({**counts, "total": (lines, reached)}))
    (OUT / "lcov.info").write_text("".join(lcov(files)), encoding="utf-8")
    (OUT / "report.md").write_text(report, encoding="utf-8")
    print(report, end="")
    if 100 * reached < asked.fail_under * lines:
        share = percent(lines, reached)
        sys.exit(f"{share} per cent of the lines are reached: {asked.fail_under:g} are asked for")


if __name__ == "__main__":
    main()
