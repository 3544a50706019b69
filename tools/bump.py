"""Raise every version in copier.yml to the newest in the registries.

pyo3 and numpy stay where they are until both have the new minor: one links against the other.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
COPIER = ROOT / "copier.yml"


def newest_crate(name: str) -> str:
    """Ask cargo, away from any workspace whose lock would answer instead."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["cargo", "info", "--quiet", name], cwd=folder, capture_output=True, text=True, check=True
        )
    found = re.search(r"^version: (\S+)(?: \(latest (\S+)\))?", done.stdout, re.MULTILINE)
    assert found, f"cargo info {name} names no version"
    return found[2] or found[1]


def newest_tools(names: list[str], python: str) -> dict[str, str]:
    """Ask uv for the newest release of each that runs on a Python; none is held back by another."""
    compile = ["uv", "pip", "compile", "--quiet", "--no-deps", "--no-header", "--no-annotate", "--upgrade"]
    done = subprocess.run(
        [*compile, "--python-version", python, "-"],
        input="\n".join(names),
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split("==") for line in done.stdout.splitlines())


def minor(version: str) -> list[str]:
    """Give what two crates that fit each other share."""
    return version.split(".")[:2]


def raise_versions(text: str, newest: dict[str, str]) -> tuple[str, list[str]]:
    """Rewrite the versions in copier.yml, keep every comment, and list the changes."""
    changes = []
    for name, version in newest.items():
        # `name: "1.2.3"`, or `crates: { name: "1.2.3" }`.
        pattern = re.compile(rf'((?:^ +|\{{ ){re.escape(name)}: ")(\d[^"]*)"', re.MULTILINE)
        found = pattern.search(text)
        if not found:
            raise ValueError(f"copier.yml has no version of {name}")
        if found[2] != version:
            changes.append(f"{name} {found[2]} -> {version}")
            text = pattern.sub(rf'\g<1>{version}"', text)
    return text, changes


def main() -> None:
    """Look everything up, then write once."""
    text = COPIER.read_text("utf-8")
    keys = yaml.safe_load(text)
    facts, extras = keys["facts"]["default"], keys["options"]["default"]["extras"]
    crates = [*facts["crates"], *(crate for row in extras.values() for crate in row["crates"])]
    newest = {name: newest_crate(name) for name in crates}
    if minor(newest["pyo3"]) != minor(newest["numpy"]):
        print(f"pyo3 {newest['pyo3']} and numpy {newest['numpy']} do not fit: both stay", file=sys.stderr)
        del newest["pyo3"], newest["numpy"]
    newest |= newest_tools(sorted(facts["tools"]), facts["pythons"][0])
    raised, changes = raise_versions(text, newest)
    COPIER.write_text(raised, "utf-8")
    print("\n".join(changes) or "Every version is the newest.")


if __name__ == "__main__":
    main()
