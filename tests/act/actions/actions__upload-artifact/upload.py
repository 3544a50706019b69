"""Copy what the patterns match; a line with an exclamation mark takes out, and hidden files stay unless asked for."""

import glob
import os
import shutil
import sys
from pathlib import Path


def matched(pattern: str) -> set[Path]:
    """Give the files that a pattern matches, or that lie in the folders that it matches."""
    found = [Path(path) for path in glob.glob(os.path.abspath(pattern), recursive=True, include_hidden=True)]
    return {file for path in found for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()}


def start_of_names(patterns: list[str]) -> Path:
    """Give the folder that the names in the artifact begin at: what the fixed parts of the patterns share."""
    fixed = []
    for pattern in patterns:
        part = Path(os.path.abspath(pattern))
        while any(mark in str(part) for mark in "*?["):
            part = part.parent
        fixed.append(part)
    shared = Path(os.path.commonpath(fixed))
    return shared.parent if shared.is_file() else shared


def main() -> None:
    """Upload."""
    target = Path(os.environ["SANDBOX_RUN"], "artifacts", os.environ["NAME"])
    patterns = [line.strip() for line in os.environ["PATTERNS"].splitlines() if line.strip()]
    taken = [pattern for pattern in patterns if not pattern.startswith("!")]
    files = set().union(*map(matched, taken)) - set().union(*(matched(each[1:]) for each in patterns if each[0] == "!"))
    if os.environ["HIDDEN"] != "true":
        here = Path.cwd()
        files = {file for file in files if not any(part[0] == "." for part in file.parts[len(here.parts) :])}
    if not files:
        message = f"No files were found with the provided path: {' '.join(patterns)}. No artifacts will be uploaded."
        level = {"error": "error", "warn": "warning", "ignore": "debug"}[os.environ["EMPTY"]]
        print(f"::{level}::{message}")
        sys.exit(level == "error")
    if os.environ["OVERWRITE"] == "true":
        shutil.rmtree(target, ignore_errors=True)
    if target.exists():
        sys.exit(
            "::error::Failed to CreateArtifact: Received non-retryable error: "
            f"(409) Conflict: an artifact with this name already exists on the workflow run: {target.name}"
        )
    start = start_of_names(taken)
    for file in sorted(files):
        place = target / file.relative_to(start)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, place)
    print(f"Artifact {target.name} has been successfully uploaded! {len(files)} files")
    with open(os.environ["GITHUB_OUTPUT"], "a", encoding="utf-8") as output:
        output.write(f"artifact-id={len(list(target.parent.iterdir()))}\n")


main()
