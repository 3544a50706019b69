"""Render the default project into a temporary folder, build it, import it and run its example on real input."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from copier import run_copy

ROOT = Path(__file__).resolve().parent.parent

EXAMPLE = """\
from functools import reduce
from pathlib import Path
from quickstats import Summary, summarize

folders = {path for path in Path().iterdir() if path.is_dir() and path.name not in (".venv", "target")}
summaries = []
for folder in sorted(folders):
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    summary = summarize(sizes)
    summaries.append(summary)
    print(f"{folder.name:<8} {summary.count:>3} files, {summary.mean:>9,.1f} bytes each on average")
total = reduce(Summary.merge, summaries)
print(f"{'together':<8} {total.count:>3} files, from {total.minimum:,.0f} to {total.maximum:,.0f} bytes")
"""

times: dict[str, float] = {}


@contextmanager
def step(name: str) -> Iterator[None]:
    """Announce a step, and remember how long it took."""
    print(f"\n==> {name}", flush=True)
    start = time.perf_counter()
    yield
    times[name] = time.perf_counter() - start


def main() -> None:
    """Go through the steps, then report."""
    folder = Path(tempfile.mkdtemp(prefix="quickstats-"))
    python = folder / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def run(*command: str | Path) -> None:
        subprocess.run(command, cwd=folder, env={**os.environ, "VIRTUAL_ENV": str(folder / ".venv")}, check=True)

    with step("Render the default project"):
        run_copy(str(ROOT), folder, defaults=True, overwrite=True, quiet=True, vcs_ref="HEAD")
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            print(f"    {path.relative_to(folder)}")
    with step("Make an environment for it"):
        run("uv", "venv", "--quiet", "--python", sys.executable, folder / ".venv")
    with step("Build the Rust code into the environment"):
        run("maturin", "develop", "--uv")
    with step("Import the package for the first time"):
        run(python, "-c", "import quickstats; print('   ', quickstats.__name__, quickstats.__version__)")
    with step("Summarize the sizes of its own files"):
        run(python, "-c", EXAMPLE)

    print()
    for name, seconds in times.items():
        print(f"{seconds:6.1f} s  {name}")
    print(f"{sum(times.values()):6.1f} s  together\n\nThe project lies in {folder}")


if __name__ == "__main__":
    main()
