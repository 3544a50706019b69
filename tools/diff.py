"""Show what differs between two variants of the tests."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from template import render, snapshot
from variants import VARIANTS


def main(arguments: list[str]) -> None:
    """Render both and let git compare them."""
    if len(arguments) != 2 or not set(arguments) <= VARIANTS.keys():
        raise SystemExit("usage: nox -s diff -- VARIANT VARIANT\n" + "\n".join(f"  {name}" for name in VARIANTS))
    with tempfile.TemporaryDirectory() as folder:
        source = snapshot(Path(folder) / "source")
        for name in arguments:
            render(source, Path(folder) / name, VARIANTS[name])
        subprocess.run(["git", "diff", "--no-index", *arguments], cwd=folder, check=False)


if __name__ == "__main__":
    main(sys.argv[1:])
