"""Write LICENSE-THIRD-PARTY: the terms of every crate that is linked into the extension.

It belongs into the repository: whatever is built from it, by `pip install git+…` too, carries it.
No version stands in it, so that a refreshed lock changes it only where a licence or a crate does;
the versions are in the wheel's SBOM.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NOTICES = ROOT / "LICENSE-THIRD-PARTY"
SUPPLIED = ROOT / "tools" / "licenses"  # for crates that come without a text: NAME.txt
SHORT = ("MIT", "ISC", "Zlib", "BSD-2-Clause", "BSD-3-Clause")  # which of several is taken first
TEXTS = re.compile(r"(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE)([-_. ].*)?", re.IGNORECASE)
RULE = "-" * 80

HEAD = """\
The extension module holds code of these crates besides its own. The terms of each follow below.
tools/notices.py writes this file from Cargo.lock: `just lock` brings it up to date.
"""


def cargo(*arguments: str) -> str:
    """Ask cargo; its own words say what is wrong."""
    command = ("cargo", *arguments)
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8", check=False)
    if done.returncode:
        sys.exit(
            f"`{' '.join(command)}` failed. `just lock` brings Cargo.lock up to the manifests; "
            "without a network, every crate has to be here already: `cargo fetch` gets them."
        )
    return done.stdout


def manifest() -> str:
    """Find the manifest of the crate that Python imports."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    named = re.search(r'^manifest-path = "(.+)"', text, re.MULTILINE)
    return named[1] if named else "Cargo.toml"


def linked(*options: str) -> list[dict[str, Any]]:
    """List the crates that are linked, on any platform and with any feature."""
    # Tree knows what is linked and no folder; metadata knows every folder and not what is linked.
    tree = cargo(
        *("tree", "--manifest-path", manifest(), "--all-features", "--target", "all", *options),
        *("--edges", "normal,no-proc-macro", "--prefix", "none", "--no-dedupe", "--format", "{p}"),
    )
    metadata = json.loads(cargo("metadata", "--format-version", "1", *options))
    wanted = {tuple(line.split()[:2]) for line in tree.splitlines() if line}
    own = set(metadata["workspace_members"])
    crates = [
        crate
        for crate in metadata["packages"]
        if (crate["name"], f"v{crate['version']}") in wanted and crate["id"] not in own
    ]
    return sorted(crates, key=lambda crate: (crate["name"], crate["version"]))


def choices(expression: str) -> list[list[str]]:
    """Give the sets of licences of which each satisfies an SPDX expression."""
    # `/` is what `OR` was before 2020; an exception belongs to the licence before it.
    text = re.sub(r"\s+WITH\s+", "+WITH+", expression.replace("/", " OR "))
    tokens = re.findall(r"[()]|[^\s()]+", text)

    def disjunction() -> list[list[str]]:
        found = conjunction()
        while tokens[:1] == ["OR"]:
            del tokens[0]
            found = found + conjunction()
        return found

    def conjunction() -> list[list[str]]:
        found = operand()
        while tokens[:1] == ["AND"]:
            del tokens[0]
            found = [one + other for one, other in itertools.product(found, operand())]
        return found

    def operand() -> list[list[str]]:
        token = tokens.pop(0)
        if token != "(":
            return [[token.replace("+WITH+", " WITH ")]]
        found = disjunction()
        del tokens[0]
        return found

    return sorted(disjunction(), key=lambda names: sum(name not in SHORT for name in names))


def files(crate: dict[str, Any]) -> Iterator[Path]:
    """Find the files of a crate that hold its terms."""
    supplied = SUPPLIED / f"{crate['name']}.txt"
    if supplied.exists():
        yield supplied
        return
    folder = Path(crate["manifest_path"]).parent
    present = sorted(path for path in folder.iterdir() if TEXTS.fullmatch(path.name))
    if crate["license_file"]:
        present = sorted({*present, folder / crate["license_file"]})
    notices = [path for path in present if path.name.upper().startswith(("NOTICE", "COPYRIGHT"))]
    for names in choices(crate["license"]) if crate["license"] else ():
        # LICENSE-APACHE holds Apache-2.0, and LICENSE-BSD either of BSD's.
        words = [re.split(r"[-+ .]", name)[0].upper() for name in names]
        found = [[path for path in present if word in path.name.upper()] for word in words]
        if all(found):
            yield from sorted({*itertools.chain(*found), *notices})
            return
    yield from present


def terms(crate: dict[str, Any]) -> str:
    """Read the terms of a crate."""
    texts = [path.read_text("utf-8", errors="replace") for path in files(crate)]
    if not texts:
        where = (SUPPLIED / f"{crate['name']}.txt").relative_to(ROOT).as_posix()
        sys.exit(
            f"{crate['name']} {crate['version']} comes without the text of its licence "
            f"({crate['license'] or 'none is named'}). Get it from "
            f"{crate['repository'] or 'its authors'}, and put it into {where}."
        )
    stripped = ("\n".join(line.rstrip() for line in text.splitlines()).strip() for text in texts)
    return "\n\n".join(stripped) + "\n"


def notices(crates: list[dict[str, Any]]) -> str:
    """Write all terms down, the same ones once."""
    holders: dict[str, list[str]] = {}
    for crate in crates:
        name = f"{crate['name']} ({crate['license'] or 'see the text'})"
        held = holders.setdefault(terms(crate), [])
        if name not in held:
            held.append(name)
    parts = ["\n".join(names) + "\n\n" + text for text, names in holders.items()]
    return f"\n{RULE}\n\n".join([HEAD, *parts])


def main() -> None:
    """Write the file, or with --check say whether it is what would be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it differs")
    check = parser.parse_args().check
    locked = (ROOT / "Cargo.lock").exists()
    if check and not locked:
        print("There is no Cargo.lock yet, and so nothing to compare LICENSE-THIRD-PARTY with.")
        return
    content = notices(linked(*(["--locked"] if locked else []))).encode()
    if not check:
        NOTICES.write_bytes(content)
    elif not NOTICES.exists() or NOTICES.read_bytes() != content:
        state = "does not say what is linked" if NOTICES.exists() else "is missing"
        sys.exit(f"LICENSE-THIRD-PARTY {state}. `just lock` writes it; commit it.")


if __name__ == "__main__":
    main()
