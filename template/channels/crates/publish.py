"""Publish the crates of the workspace that are not in the registry yet.

A release that stopped half-way is finished by running it again: cargo refuses a version that is
there, so what is there is left out.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any


def publishable() -> list[dict[str, Any]]:
    """Ask cargo for the crates that may be published."""
    told = subprocess.run(
        ["cargo", "metadata", "--no-deps", "--format-version", "1"],
        stdout=subprocess.PIPE,
        check=True,
    )
    return [crate for crate in json.loads(told.stdout)["packages"] if crate["publish"] != []]


def is_published(crate: dict[str, Any]) -> bool:
    """Look a crate's version up, away from the workspace, which would answer for itself."""
    spec = f"{crate['name']}@{crate['version']}"
    done = subprocess.run(
        ["cargo", "info", "--quiet", spec], cwd="/", capture_output=True, check=False
    )
    return not done.returncode


def main() -> None:
    """Publish what is missing, in one command, so that cargo finds the order."""
    missing = [crate["name"] for crate in publishable() if not is_published(crate)]
    if not missing:
        print("Every crate is in the registry.")
        return
    # The rehearsal has built them; where the token is, no build script is to run.
    command = ["cargo", "publish", "--locked", "--no-verify"]
    subprocess.run([*command, *(f"--package={name}" for name in missing)], check=True)


if __name__ == "__main__":
    main()
