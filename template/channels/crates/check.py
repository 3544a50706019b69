"""Rehearse `cargo publish` of the workspace's plain crates: package, build what was packaged, do not upload."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

CARRIED = {"README.md": "a readme", "LICENSE": "its licence"}  # what begins so is in the crate

Crate = dict[str, Any]


def cargo(*arguments: str) -> str:
    """Ask cargo; what it has to complain of goes to the screen."""
    done = subprocess.run(
        ["cargo", *arguments], check=False, stdout=subprocess.PIPE, encoding="utf-8"
    )
    if done.returncode:
        sys.exit(f"`cargo {' '.join(arguments)}` failed: mend what it says above")
    return done.stdout


def faults(crates: list[Crate]) -> Iterator[str]:
    """Name what cargo itself would let pass, or would say too late or too darkly."""
    for crate in crates:
        binds = any(one["name"] == "pyo3" for one in crate["dependencies"])
        if binds and crate["publish"] != []:
            yield f"{crate['name']} is made for Python: write `publish = false` into its [package]"
        if binds or crate["publish"] == []:
            continue
        # Cargo has no post-releases: to it, 1.0.0-post.1 and 1.0.0-1 come before 1.0.0.
        if re.search(r"-(post|dev|\d)", crate["version"]):
            yield f"{crate['version']} is no version for a crate: take the next patch or an -alpha, -beta or -rc"
        for one in crate["dependencies"]:
            if one.get("path") and one["kind"] != "dev" and one["req"] == "*":
                yield f"{crate['name']} depends on {one['name']} by path alone: add a `version` to it"
        packed = cargo(
            "package", "--list", "--allow-dirty", "--package", crate["name"]
        ).splitlines()
        for begin, what in CARRIED.items():
            if not any(name.startswith(begin) for name in packed):
                yield f"{crate['name']} carries no {begin}: put {what} beside its Cargo.toml"


def check() -> None:
    """Look at every crate of the workspace, and rehearse the upload of those that are published."""
    crates = json.loads(cargo("metadata", "--no-deps", "--format-version", "1"))["packages"]
    published = [crate["name"] for crate in crates if crate["publish"] != []]
    found = list(faults(crates))
    if not published:
        found.append("no crate is to be published: take `publish = false` from the plain one")
    if found:
        sys.exit("\n".join(found))
    print(
        f"crates: {', '.join(published)}; cargo asks the crate registry, so this needs the network"
    )
    packages = [word for name in published for word in ("--package", name)]
    cargo("publish", "--dry-run", *packages)


if __name__ == "__main__":
    check()
