"""Copy one artifact, or all that a pattern matches: each into a folder of its name, unless they are to be merged."""

import os
import shutil
import sys
from fnmatch import fnmatchcase
from pathlib import Path


def main() -> None:
    """Download."""
    artifacts = Path(os.environ["SANDBOX_RUN"], "artifacts")
    there = sorted(artifacts.iterdir()) if artifacts.is_dir() else []
    pattern = os.environ["PATTERN"] or "*"
    name, folder = os.environ["NAME"], Path(os.environ["FOLDER"]).expanduser()
    chosen = [each for each in there if (each.name == name if name else fnmatchcase(each.name, pattern))]
    if name and not chosen:
        sys.exit(f"::error::Unable to download artifact(s): Artifact not found for name: {name}")
    for artifact in chosen:
        flat = name or os.environ["MERGE"] == "true"
        shutil.copytree(artifact, folder if flat else folder / artifact.name, dirs_exist_ok=True)
    print(f"Total of {len(chosen)} artifact(s) downloaded")


main()
