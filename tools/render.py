"""Render a variant of the tests, to look at."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from template import render, snapshot
from variants import VARIANTS


def main(arguments: list[str]) -> None:
    """Render one variant, or list all."""
    if not arguments or arguments[0] not in VARIANTS:
        raise SystemExit("usage: nox -s render -- VARIANT [FOLDER]\n" + "\n".join(f"  {name}" for name in VARIANTS))
    folder = Path(arguments[1]) if len(arguments) > 1 else Path(tempfile.mkdtemp(prefix=f"{arguments[0]}-"))
    with tempfile.TemporaryDirectory() as source:
        print(render(snapshot(Path(source)), folder, VARIANTS[arguments[0]]))


if __name__ == "__main__":
    main(sys.argv[1:])
