"""Audit the locked dependencies: `uv run noxfile.py -s audit`."""

import shutil
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parents[1]
# Advisories on Python packages that do not matter here, each with the reason. Crates: deny.toml.
IGNORED: tuple[str, ...] = ()


@nox.session
def audit(session: nox.Session) -> None:
    """Look for advisories, licences and sources that deny.toml refuses; options go to pip-audit."""
    if not shutil.which("cargo-deny"):
        session.error("cargo-deny is missing: `cargo install --locked cargo-deny` installs it")
    session.install("--group=audit")
    try:
        session.run("cargo", "deny", "--locked", "check", external=True)
    finally:  # crates that are refused do not hide packages that are vulnerable
        lock = Path(session.create_tmp(), "pylock.toml")
        export = ("uv", "export", "--quiet", "--locked", "--all-groups", "--no-emit-project")
        session.run(*export, f"--output-file={lock}")
        ignored = [f"--ignore-vuln={each}" for each in IGNORED]
        options = ("--strict", "--progress-spinner=off", *ignored, *session.posargs)
        session.run("pip-audit", "--locked", *options, str(lock.parent))
