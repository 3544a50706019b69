"""Stands in for cibuildwheel: does on this machine, for the Pythons that are here, what the configuration says.

The options are read by cibuildwheel itself. In place of the images' Pythons there are those on the path; what an image
would be prepared with (`before-all`) is left out, as this machine has Rust. What cannot be built here is named.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from cibuildwheel.options import CommandLineArguments, compute_options


def call(*command: str | Path, cwd: Path | None = None) -> None:
    """Run a command, and stop where it fails."""
    print("+", *command, flush=True)
    status = subprocess.run(command, cwd=cwd, check=False).returncode
    if status:
        sys.exit(f"cibuildwheel: error: {command[0]} ended with {status}")


def build(python: str, options: Any, project: Path, out: Path) -> None:
    """Build, repair, audit and test one wheel."""
    with tempfile.TemporaryDirectory() as folder:
        built, repaired, env = (Path(folder, name) for name in ("built", "repaired", "env"))
        assert options.build_frontend.name == "build[uv]"
        uv = ("uv", "tool", "run", "--python", python, "--from", "build[uv]")
        call(*uv, "pyproject-build", "--installer=uv", "--wheel", "--outdir", built, project)
        (wheel,) = built.iterdir()
        repair = options.repair_command.format(wheel=wheel, dest_dir=repaired)
        call(*shlex.split(repair))
        (wheel,) = repaired.iterdir()
        for audit in options.audit_command if "-abi3" in wheel.name else ():
            call(*shlex.split(audit.format(abi3_wheel=wheel)))
        call("uv", "venv", "--quiet", "--python", python, env)
        call("uv", "pip", "install", "--quiet", "--python", env, wheel, *options.test_requires)
        os.environ["PATH"] = os.pathsep.join([str(env / "bin"), os.environ["PATH"]])
        call(*shlex.split(options.test_command.format(project=project, package=project)), cwd=Path(folder))
        out.mkdir(exist_ok=True)
        shutil.move(wheel, out)


def main() -> None:
    """Build for each identifier that the configuration chooses."""
    _, _, out = sys.argv
    options = compute_options("linux", CommandLineArguments.defaults(), dict(os.environ))
    listed = [sys.executable, "-m", "cibuildwheel", "--platform", "linux", "--print-build-identifiers"]
    for identifier in subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split():
        tag, _, platform = identifier.partition("-")
        python = f"python3.{tag.removeprefix('cp3')}"
        if shutil.which(python) and platform == "manylinux_x86_64":
            build(python, options.build_options(identifier), Path.cwd(), Path(out))
        else:
            print(f"{identifier} cannot be built on this machine", flush=True)


main()
