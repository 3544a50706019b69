"""Lint the Dockerfile with hadolint, and look for what hadolint lets pass."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

DOCKERFILE = Path(__file__).resolve().with_name("Dockerfile")


def faults(text: str) -> Iterator[str]:
    """Name what is wrong with the Dockerfile."""
    if "hadolint ignore" in text:
        yield "a rule of hadolint is switched off: mend the line in place of it"
    final = text[text.rindex("\nFROM ") :] if "\nFROM " in text else text
    users = re.findall(r"(?m)^USER\s+([^\s:]+)", final)
    if not users or not users[-1].isdecimal() or int(users[-1]) == 0:
        yield "the last stage runs as root, or as a name: end it with `USER 10001:10001`"
    if re.search(r"rustup|cargo|rustc", re.sub(r"(?m)^#.*$", "", text)):
        yield "an image has Rust in it, which a wheel does not need: install the wheel from dist/"


def check() -> None:
    """Name everything that is wrong."""
    found = list(faults(DOCKERFILE.read_text("utf-8")))
    linted = subprocess.run(["hadolint", "--no-color", str(DOCKERFILE)], check=False)
    if linted.returncode:
        found.append("hadolint has something to say, above: mend the lines that it names")
    if found:
        sys.exit("\n".join(f"{DOCKERFILE.name}: {fault}" for fault in found))
    print("container: hadolint has nothing to say, and the image runs as a user without rights")


if __name__ == "__main__":
    check()
