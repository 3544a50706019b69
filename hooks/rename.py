"""Carry a user's edits over when a release renames a file: Copier alone deletes the edited file and says nothing.

Copier runs this as a migration, in the project, after an update (docs/decisions/0010-updates.md):

    _migrations:
      - version: v0.3.0
        command:
          - "{{ _copier_python }}"
          - "{{ _copier_conf.src_path }}/hooks/rename.py"
          - "{{ _copier_answers._src_path }}"
          - src/old.rs
          - src/new.rs

What the user has is the old path in HEAD, as an update demands a clean tree. What both sides began from is the old
path as the old release renders it with the old answers. What the template has is the new path, as Copier left it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path


def git(*arguments: str, text: str = "") -> subprocess.CompletedProcess[bytes]:
    """Run git in the project."""
    return subprocess.run(["git", *arguments], input=text.encode(), stdout=subprocess.PIPE, check=False)


def in_head(path: str) -> bytes | None:
    """Read a file as the user last committed it."""
    done = git("cat-file", "blob", f"HEAD:./{path}")
    return None if done.returncode else done.stdout


def rendered(source: str, release: str, path: str, folder: Path) -> bytes | None:
    """Render the project as the old release does with the old answers, and read a file of it."""
    answers = folder / "answers.yml"
    answers.write_bytes(in_head(".copier-answers.yml") or b"")
    copy = ("copy", "--quiet", "--defaults", "--vcs-ref", release, "--data-file", str(answers))
    subprocess.run([sys.executable, "-m", "copier", *copy, source, str(folder / "old")], check=True)
    file = folder / "old" / path
    return file.read_bytes() if file.is_file() else None


def rename(source: str, release: str, old: str, new: str, folder: Path) -> None:
    """Merge what the user and the template made of a file into its new path."""
    base, user, file = rendered(source, release, old, folder), in_head(old), Path(new)
    if base is None or (user is None and in_head(new) is not None):
        return  # these answers had no such file, or the user renamed it first
    if user is None:
        file.unlink(missing_ok=True)  # the user deleted it
        return
    if in_head(new) is not None or not file.exists():
        keep(old, user, f"{new} is yours already" if file.exists() else f"{new} is left out by your answers")
        return
    sides = [folder / "user", folder / "base", folder / "template"]
    for side, content in zip(sides, (user, base, file.read_bytes()), strict=True):
        side.write_bytes(content)
    labels = ("-L", "before updating", "-L", "last update", "-L", "after updating")
    merged = git("merge-file", "-p", *labels, *map(str, sides))
    if merged.returncode > 127:
        keep(old, user, "git cannot merge it")
        return
    file.write_bytes(merged.stdout)
    if merged.returncode:
        record_conflict(new, sides)


def keep(old: str, user: bytes, reason: str) -> None:
    """Put the user's file back to where it was."""
    Path(old).parent.mkdir(parents=True, exist_ok=True)
    Path(old).write_bytes(user)
    print(f"The template has renamed {old}. Yours stays, for you to merge: {reason}.", file=sys.stderr)


def record_conflict(path: str, sides: list[Path]) -> None:
    """Tell git that a file is unmerged, as Copier does."""
    user, base, template = (git("hash-object", "-w", str(side)).stdout.decode().strip() for side in sides)
    whole = git("rev-parse", "--show-prefix").stdout.decode().strip() + path
    stages = ((base, 1), (user, 2), (template, 3))
    git("update-index", "--index-info", text="".join(f"100644 {blob} {stage}\t{whole}\n" for blob, stage in stages))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        rename(sys.argv[1], os.environ["VERSION_FROM"], sys.argv[2], sys.argv[3], Path(scratch))
