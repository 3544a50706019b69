"""Stub of cibuildwheel: does on this machine, for the Pythons that are here, what the configuration says.

cibuildwheel itself reads the options. What prepares an image (`before-all`) is left out, as this machine has Rust.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path
from typing import Any

from cibuildwheel.options import CommandLineArguments, compute_options


def call(*command: str | Path, cwd: Path | None = None) -> None:
    """Run a command, and stop if it fails."""
    print("+", *command, flush=True)
    status = subprocess.run(command, cwd=cwd, check=False).returncode
    if status:
        sys.exit(f"cibuildwheel: error: {command[0]} ended with {status}")


def build(python: str, options: Any, out: Path) -> None:
    """Build, repair, audit and test one wheel."""
    with tempfile.TemporaryDirectory() as folder:
        built, repaired, env = (Path(folder, name) for name in ("built", "repaired", "env"))
        assert options.build_frontend.name == "build[uv]"
        call("uv", "build", "--quiet", "--wheel", f"--python={python}", f"--out-dir={built}")
        (wheel,) = built.glob("*.whl")
        call(*shlex.split(options.repair_command.format(wheel=wheel, dest_dir=repaired)))
        (wheel,) = repaired.iterdir()
        for audit in options.audit_command:
            call(*shlex.split(audit.format(abi3_wheel=wheel)))
        call("uv", "venv", "--quiet", "--python", python, env)
        call("uv", "pip", "install", "--quiet", "--python", env, wheel, *options.test_requires)
        os.environ["PATH"] = os.pathsep.join([str(env / "bin"), os.environ["PATH"]])
        call(*shlex.split(options.test_command.format(project=Path.cwd())), cwd=Path(folder))
        out.mkdir(exist_ok=True)
        shutil.move(wheel, out)


def main() -> None:
    """Build for each identifier that the configuration chooses."""
    parser = ArgumentParser()
    parser.add_argument("--config-file", required=True)
    parser.add_argument("--output-dir", type=Path, required=True)
    arguments = parser.parse_args()
    options = compute_options(
        "linux", replace(CommandLineArguments.defaults(), config_file=arguments.config_file), dict(os.environ)
    )
    command = [sys.executable, "-m", "cibuildwheel", "--config-file", arguments.config_file, "--platform", "linux"]
    listed = subprocess.run([*command, "--print-build-identifiers"], check=True, capture_output=True, text=True)
    for identifier in listed.stdout.split():
        tag, _, platform = identifier.partition("-")
        python = f"python3.{tag.removeprefix('cp3')}"
        if shutil.which(python) and platform == "manylinux_x86_64":
            build(python, options.build_options(identifier), arguments.output_dir)
        else:
            print(f"{identifier} cannot be built on this machine", flush=True)


main()
