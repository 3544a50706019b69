"""Upload file by file; one that the index has is an error, unless it is to be skipped."""

import json
import os
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Publish."""
    indexes = json.loads(os.environ["SANDBOX_INDEXES"])
    address = os.environ["ADDRESS"]
    if address not in indexes:
        sys.exit(f"::error::no index on loopback stands for {address}")
    files = sorted(Path(os.environ["FOLDER"]).glob("*"))
    if not files:
        sys.exit(f"::error::there are no distributions in {os.environ['FOLDER']}")
    others = [file.name for file in files if not file.name.endswith((".whl", ".tar.gz"))]
    if others:
        sys.exit(f"::error::InvalidDistribution: Unknown distribution format: {others}")
    subprocess.run(["twine", "check", *files], check=True)
    place = f"{indexes[address].rstrip('/')}/"
    for file in files:
        # twine has an option to skip, which it refuses for any index but PyPI.
        command = ["twine", "upload", "--non-interactive", "--disable-progress-bar", "--verbose", "--repository-url"]
        done = subprocess.run([*command, place, file], capture_output=True, text=True, check=False)
        told = " ".join((done.stdout + done.stderr).split())
        if not done.returncode:
            print(f"uploaded {file.name}", flush=True)
        elif os.environ["SKIP"] == "true" and "already exists" in told:
            print(f"skipped {file.name}: it is there", flush=True)
        else:
            print(done.stdout, done.stderr, flush=True)
            sys.exit(f"::error::{file.name} was not uploaded")


main()
