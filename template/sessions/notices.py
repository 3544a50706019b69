"""Collect the licences of the linked crates: `uv run noxfile.py -s notices [-- --check]`."""

import json
import re
from pathlib import Path
from typing import Any

import nox

ROOT = Path(__file__).resolve().parents[1]
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
NOTICES = ROOT / "LICENSE-THIRD-PARTY"  # license-files in pyproject.toml packs it
SUPPLIED = ROOT / "sessions" / "licenses"  # NAME.txt, for a crate that is published without a text
# The platforms of the wheels. What is linked on others only does not matter.
SYSTEMS = ("unknown-linux-gnu", "unknown-linux-musl", "apple-darwin", "pc-windows-msvc")
TARGETS = [f"{machine}-{system}" for machine in ("x86_64", "aarch64") for system in SYSTEMS]
TEXTS = re.compile(r"(?i)(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE)([-_. ].*)?$")
NOTICE = re.compile(r"(?i)NOTICE|COPYRIGHT")
HEAD = "The extension module contains code of these crates. The terms of each follow.\n"
RULE = f"\n{'-' * 80}\n\n"


@nox.session(venv_backend="none")
def notices(session: nox.Session) -> None:
    """Write LICENSE-THIRD-PARTY; with `-- --check`, fail if it is not up to date."""
    check = session.posargs == ["--check"]
    holders: dict[str, list[str]] = {}
    missing = []
    for crate in find_crates(session, *(["--locked"] if check else [])):
        terms = "\n\n".join(read(path) for path in find_texts(crate))
        name = f"{crate['name']} ({crate['license'] or 'see the text'})"
        if not terms:
            missing.append(f"sessions/licenses/{crate['name']}.txt: {crate['repository']}, {name}")
        elif name not in holders.setdefault(terms, []):  # without versions, which often change
            holders[terms].append(name)
    if missing:
        text = "\n  ".join(missing)
        session.error(f"these crates contain no licence text. Copy each from its origin:\n  {text}")
    parts = ["\n".join(names) + f"\n\n{terms}\n" for terms, names in holders.items()]
    content = RULE.join([HEAD, *parts]).encode()
    if not check:
        NOTICES.write_bytes(content)
    elif not NOTICES.exists() or NOTICES.read_bytes() != content:
        session.error(f"{NOTICES.name} is not up to date. Run: uv run noxfile.py -s notices")


def find_crates(session: nox.Session, *options: str) -> list[dict[str, Any]]:
    """List the crates that are linked on any of the platforms, as `cargo metadata` shows them."""
    # Tree knows what is linked, metadata knows the folders.
    manifest = PROJECT["tool"]["maturin"].get("manifest-path", "Cargo.toml")
    edges = ("--edges=normal,no-proc-macro", "--prefix=none", "--no-dedupe", "--format={p}")
    targets = [f"--target={target}" for target in TARGETS]
    tree = ("tree", f"--manifest-path={manifest}", "--all-features", *targets, *edges, *options)
    quiet: dict[str, Any] = {"external": True, "silent": True, "stderr": None, "log": False}
    lines = str(session.run("cargo", *tree, **quiet)).splitlines()
    linked = {line.partition(" (")[0] for line in lines}
    metadata = json.loads(str(session.run("cargo", "metadata", "--format-version=1", **quiet)))
    own = metadata["workspace_members"]
    crates = [crate for crate in metadata["packages"] if crate["id"] not in own]
    crates = [each for each in crates if f"{each['name']} v{each['version']}" in linked]
    return sorted(crates, key=lambda crate: (crate["name"], crate["version"]))


def find_texts(crate: dict[str, Any]) -> list[Path]:
    """Find the files with a crate's terms: of `MIT OR Apache-2.0` one, and every notice."""
    if (supplied := SUPPLIED / f"{crate['name']}.txt").exists():
        return [supplied]
    folder, licence = Path(crate["manifest_path"]).parent, crate["license"] or ""
    files = {path for path in folder.iterdir() if path.is_file() and TEXTS.match(path.name)}
    files |= {folder / crate["license_file"]} if crate["license_file"] else set()
    choices = [] if " AND " in licence else re.split(r"\s+OR\s+|/", licence)
    for choice in sorted(choices, key=lambda choice: choice != "MIT"):  # the shortest first
        word = re.split(r"[-+ .]", choice)[0].upper()  # LICENSE-APACHE contains Apache-2.0
        if chosen := {path for path in files if word and word in path.name.upper()}:
            files = chosen | {path for path in files if NOTICE.match(path.name)}
            break
    return sorted(files)


def read(path: Path) -> str:
    """Read a text, without spaces at the ends of lines."""
    lines = path.read_text("utf-8", errors="replace").splitlines()
    return "\n".join(line.rstrip() for line in lines).strip()
