#!/usr/bin/env python3
"""Stub of GitHub's command: stores releases, issues and pull requests in a folder.

It knows what the workflows use, and refuses everything else.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

FOLDER = Path(os.environ["SANDBOX_GITHUB"])
KINDS = {"issue": "issues", "pr": "pulls"}
Record = dict[str, Any]


def refuse(reason: str) -> NoReturn:
    """Stop as the command does."""
    sys.exit(f"gh: {reason}")


def load(kind: str) -> list[Record]:
    """Read the records of a kind."""
    file = FOLDER / f"{kind}.json"
    return list(json.loads(file.read_text("utf-8"))) if file.exists() else []


def save(kind: str, records: list[Record]) -> None:
    """Write the records of a kind."""
    (FOLDER / f"{kind}.json").write_text(json.dumps(records, indent=1) + "\n", "utf-8")


def read_text(text: str | None, file: str | None) -> str:
    """Give a text that is in the command, in a file or on the standard input."""
    if file:
        return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    return text or ""


def has_reference(kind: str, name: str) -> bool:
    """Tell whether the repository has a branch or a tag."""
    url = f"https://github.com/{os.environ['GH_REPO']}"
    command = ["git", "ls-remote", "--exit-code", "--quiet", url, f"refs/{kind}/{name}"]
    return not subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode


# ---- Releases.


def release(asked: argparse.Namespace) -> None:
    """View, create or edit a release, or upload files to it."""
    releases = load("releases")
    found = next((each for each in releases if each["tagName"] == asked.tag), None)
    if asked.verb == "create":
        if found:
            refuse(f"a release with the same tag name already exists: {asked.tag}")
        if asked.verify_tag and not has_reference("tags", asked.tag):
            refuse(f"tag {asked.tag} doesn't exist in the repo, aborting due to --verify-tag flag")
        body = read_text(asked.notes, asked.notes_file)
        found = {"tagName": asked.tag, "name": asked.title, "body": body, "isDraft": asked.draft}
        releases.append(found)
    if found is None:
        refuse("release not found")
    if asked.verb == "edit":
        found["isDraft"] = asked.draft
    folder = FOLDER / "releases" / asked.tag
    for file in asked.files if asked.verb == "upload" else ():
        if not file.is_file():
            refuse(f"stat {file}: no such file or directory")
        if (folder / file.name).exists() and not asked.clobber:
            refuse(f"asset under the same name already exists: [{file.name}]")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder)
    save("releases", releases)


# ---- Issues and pull requests.


def find(asked: argparse.Namespace) -> None:
    """Print what fits the filters, through jq."""
    names = asked.json.split(",")
    fitting = [
        record
        for record in load(KINDS[asked.noun])
        if asked.state in ("all", record["state"].lower()) and asked.head in ("", record.get("headRefName"))
    ]
    if unknown := {name for record in fitting for name in names if name not in record}:
        refuse(f"Unknown JSON field: {', '.join(unknown)}")
    chosen = [{name: record[name] for name in names} for record in fitting[: asked.limit]]
    subprocess.run(["jq", "--raw-output", asked.jq], input=json.dumps(chosen), text=True, check=True)


def create(asked: argparse.Namespace) -> None:
    """Open an issue, or a pull request for a branch that is pushed and has none."""
    records = load(KINDS[asked.noun])
    if asked.noun == "pr":
        if any((each["headRefName"], each["state"]) == (asked.head, "OPEN") for each in records):
            refuse(f'a pull request for branch "{asked.head}" into branch "main" already exists')
        if not has_reference("heads", asked.head):
            refuse(f"Head ref must be a branch: {asked.head} was not pushed")
    record = {"number": len(records) + 1, "title": asked.title, "state": "OPEN", "comments": []}
    record |= {"body": read_text(asked.body, asked.body_file)}
    record |= {"headRefName": asked.head, "baseRefName": "main"} if asked.noun == "pr" else {}
    save(KINDS[asked.noun], [*records, record])


def close(asked: argparse.Namespace) -> None:
    """Close an issue, with a comment."""
    records = load(KINDS[asked.noun])
    found = next((each for each in records if each["number"] == asked.number), None)
    if found is None:
        refuse(f"no issue found for {asked.number}")
    found["state"] = "CLOSED"
    found["comments"].append({"body": asked.comment})
    save(KINDS[asked.noun], records)


def authorize(asked: argparse.Namespace) -> None:
    """Let git push with the token."""
    section = f"url.file://{FOLDER.parent}/no-credentials/.pushInsteadOf"
    subprocess.run(["git", "config", "--global", "--unset-all", section], check=False)


def parse() -> argparse.Namespace:
    """Read the command."""
    parser = argparse.ArgumentParser(prog="gh", allow_abbrev=False)
    nouns = parser.add_subparsers(dest="noun", required=True)
    verbs = nouns.add_parser("release").add_subparsers(dest="verb", required=True)
    for verb in ("view", "create", "edit", "upload"):
        of = verbs.add_parser(verb, allow_abbrev=False)
        of.add_argument("tag")
        of.set_defaults(do=release)
        if verb == "upload":
            of.add_argument("files", nargs="+", type=Path)
            of.add_argument("--clobber", action="store_true")
        if verb in ("create", "edit"):
            of.add_argument("--draft", nargs="?", const=True, default=False, type=lambda value: value != "false")
        if verb == "create":
            of.add_argument("--verify-tag", action="store_true")
            for option in ("--title", "--notes", "--notes-file"):
                of.add_argument(option)
    for noun in ("issue", "pr"):
        verbs = nouns.add_parser(noun).add_subparsers(dest="verb", required=True)
        of = verbs.add_parser("list", allow_abbrev=False)
        of.add_argument("--json", required=True)
        of.add_argument("--jq", required=True)
        of.add_argument("--state", default="open")
        of.add_argument("--limit", type=int, default=30)
        of.add_argument("--head", default="")
        of.set_defaults(do=find)
        of = verbs.add_parser("create", allow_abbrev=False)
        of.add_argument("--title", required=True)
        of.add_argument("--body")
        of.add_argument("--body-file")
        of.set_defaults(do=create)
        if noun == "pr":
            of.add_argument("--head", required=True)
        else:
            of = verbs.add_parser("close", allow_abbrev=False)
            of.add_argument("number", type=int)
            of.add_argument("--comment")
            of.set_defaults(do=close)
    of = nouns.add_parser("auth").add_subparsers(dest="verb", required=True).add_parser("setup-git")
    of.set_defaults(do=authorize)
    return parser.parse_args()


def main() -> None:
    """Do what is asked, with a token, for the named repository or the one that the folder is a clone of."""
    asked = parse()
    if not os.environ.get("GH_TOKEN"):
        refuse("To use GitHub CLI in a GitHub Actions workflow, set the GH_TOKEN environment variable.")
    if not os.environ.get("GH_REPO"):
        command = ["git", "config", "--get", "remote.origin.url"]
        url = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        if not url:
            refuse("failed to run git: fatal: not a git repository (or any of the parent directories): .git")
        os.environ["GH_REPO"] = url.removeprefix("https://github.com/").removesuffix(".git")
    asked.do(asked)


main()
