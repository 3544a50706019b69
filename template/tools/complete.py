"""Compare a folder with what a release consists of: an sdist, and each wheel for each platform.

A release without one of its wheels is found by those who wait for it, minutes for a compiler or in
vain; one with a wheel too many says that it supports what nobody tested.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable
from itertools import product
from pathlib import Path


def pattern(start: str, platform: str) -> str:
    """Give a pattern for a wheel's name; the version of a system is for the builder to choose."""
    system, _, machine = platform.partition("_")
    one = rf"{system}[0-9_]*_{machine}"
    return rf"{re.escape(start)}-{one}(\.{one})*\.whl"


def faults(names: Iterable[str], tags: list[str], platforms: list[str]) -> list[str]:
    """Say what is missing among the names of files, and what is too much."""
    left = sorted(names)
    sdists = [name for name in left if name.endswith(".tar.gz")]
    if len(sdists) != 1:
        return [f"one sdist is needed: {', '.join(sdists) or 'there is none'}"]
    left.remove(sdists[0])
    found = []
    for tag, platform in product(tags, platforms):
        start = f"{sdists[0].removesuffix('.tar.gz')}-{tag}"
        matching = [name for name in left if re.fullmatch(pattern(start, platform), name)]
        if len(matching) != 1:
            found.append(f"{', '.join(matching) or 'nothing'} is there for {start}-{platform}")
        left = [name for name in left if name not in matching]
    return [*found, *(f"{name} belongs to no platform of this release" for name in left)]


def main() -> None:
    """Compare, and stop with everything that differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tag", action="append", default=[], help="cp311-abi3; several times")
    parser.add_argument("--platform", action="append", default=[], help="manylinux_x86_64")
    asked = parser.parse_args()
    names = [path.name for path in asked.folder.glob("*")]
    if wrong := faults(names, asked.tag, asked.platform):
        sys.exit("The release is not complete:\n" + "\n".join(wrong))
    print(f"The release is complete: {len(names)} files.")


if __name__ == "__main__":
    main()
