"""Bring the example project, which anybody may look at, to a release of the template: the way a user does it.

The first time it is copied, from then on updated; then it is locked, built, tested and committed. What does not build
or test is not committed. The push is the workflow's: this needs no credentials.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path


def run(*command: str | Path, cwd: Path) -> None:
    """Run a command, and stop with its status where it fails."""
    print("+", *command, flush=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("NOX_", "UV_PROJECT"))}
    environment.pop("VIRTUAL_ENV", None)
    if status := subprocess.run(command, cwd=cwd, env=environment, check=False).returncode:
        sys.exit(status)


def main() -> None:
    """Update, or begin."""
    parser = argparse.ArgumentParser(prog="nox -s example --", description=__doc__)
    parser.add_argument("folder", type=Path, help="a clone of the example's repository, or where to begin one")
    parser.add_argument("template", help="the address that the example takes the template from")
    parser.add_argument("tag", help="of the template's release")
    asked = parser.parse_args()
    folder = asked.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    copier = (sys.executable, "-m", "copier")
    if not (folder / ".git").exists():
        run("git", "init", "--quiet", "--initial-branch=main", cwd=folder)
    if (folder / ".copier-answers.yml").exists():
        run(*copier, "update", "--defaults", "--conflict=rej", "--vcs-ref", asked.tag, cwd=folder)
    else:
        run(*copier, "copy", "--defaults", "--vcs-ref", asked.tag, asked.template, folder, cwd=folder.parent)
    run("cargo", "update", "--workspace", cwd=folder)
    run("uv", "lock", cwd=folder)
    run("uv", "run", "pytest", cwd=folder)
    run("git", "add", "--all", cwd=folder)
    changed = subprocess.run(["git", "diff", "--cached", "--quiet"], cwd=folder, check=False).returncode
    if changed:
        run("git", "commit", "--quiet", "--message", f"Take release {asked.tag} of the template", cwd=folder)
    print(f"The example is at {asked.tag}." if changed else f"The example was at {asked.tag} already.")


if __name__ == "__main__":
    main()
