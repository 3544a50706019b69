#!/usr/bin/env python3
"""Stands in for GitHub's command: keeps releases, issues, pull requests and labels in a folder.

It knows what the workflows use and refuses everything else.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from act.outcomes import lines, results

FOLDER = Path(os.environ["SANDBOX_GITHUB"])
Record = dict[str, Any]


def refuse(reason: str) -> NoReturn:
    """Stop as the command does."""
    sys.exit(f"gh: {reason}")


def load(kind: str) -> list[Record]:
    """Read what is kept of a kind."""
    file = FOLDER / f"{kind}.json"
    return list(json.loads(file.read_text("utf-8"))) if file.exists() else []


def save(kind: str, records: list[Record]) -> None:
    """Keep what there is of a kind."""
    (FOLDER / f"{kind}.json").write_text(json.dumps(records, indent=1) + "\n", "utf-8")


def text_of(asked: argparse.Namespace, name: str = "body") -> str:
    """Give the text that is given in the command, in a file or on the standard input."""
    file = getattr(asked, f"{name}_file")
    if file:
        return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    return str(getattr(asked, name) or "")


def show(answer: Any, asked: argparse.Namespace, line: Callable[[Record], str]) -> None:
    """Print the fields that are asked for, through jq if there is an expression, or else a line for each."""
    if not asked.json:
        print("\n".join(map(line, answer if isinstance(answer, list) else [answer])))
        return
    names = asked.json.split(",")

    def fields(record: Record) -> Record:
        unknown = set(names) - record.keys()
        if unknown:
            refuse(f"Unknown JSON field: {', '.join(unknown)}")
        return {name: record[name] for name in names}

    chosen = [fields(record) for record in answer] if isinstance(answer, list) else fields(answer)
    if asked.jq:
        subprocess.run(["jq", "--raw-output", asked.jq], input=json.dumps(chosen), text=True, check=True)
    else:
        print(json.dumps(chosen))


# ---- Releases.


def release(asked: argparse.Namespace) -> None:
    """View, create, edit a release, or upload files to it."""
    releases = load("releases")
    found = next((each for each in releases if each["tagName"] == asked.tag), None)
    if asked.verb == "create":
        if found:
            refuse(f"a release with the same tag name already exists: {asked.tag}")
        repository = f"https://github.com/{os.environ['GH_REPO']}"
        listed = subprocess.run(["git", "ls-remote", "--tags", repository, asked.tag], capture_output=True, check=True)
        if asked.verify_tag and not listed.stdout:
            refuse(f"tag {asked.tag} doesn't exist in the repo, aborting due to --verify-tag flag")
        found = {"tagName": asked.tag, "name": "", "body": "", "assets": [], "isDraft": False, "isPrerelease": False}
        found |= {"url": f"{repository}/releases/tag/{asked.tag}", "isLatest": True}
        releases.append(found)
    if found is None:
        refuse("release not found")
    if asked.verb == "view":
        return show(found, asked, lambda each: f"{each['name']}\n{each['body']}")
    if asked.verb in ("create", "edit"):
        found |= {"name": asked.title} if asked.title is not None else {}
        found |= {"body": text_of(asked, "notes")} if asked.notes or asked.notes_file else {}
        for key, value in (("isDraft", asked.draft), ("isPrerelease", asked.prerelease), ("isLatest", asked.latest)):
            found |= {key: value} if value is not None else {}
    for file in map(Path, asked.files):
        if not file.is_file():
            refuse(f"stat {file}: no such file or directory")
        if file.name in found["assets"] and not asked.clobber:
            save("releases", releases)
            refuse(f"asset under the same name already exists: [{file.name}]")
        (FOLDER / "releases" / asked.tag).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, FOLDER / "releases" / asked.tag)
        found["assets"] = sorted({*found["assets"], file.name})
    save("releases", releases)
    print(found["url"])


# ---- Issues and pull requests.


def listed(asked: argparse.Namespace, kind: str) -> None:
    """List what fits the filters."""
    found = [
        each
        for each in load(kind)
        if asked.state in ("all", each["state"].lower())
        and set(asked.label) <= {label["name"] for label in each["labels"]}
        and (asked.head is None or each.get("headRefName") == asked.head)
        and (asked.base is None or each.get("baseRefName") == asked.base)
        and searched(each, asked.search)
    ]
    show(found[: asked.limit], asked, lambda each: f"{each['number']}\t{each['title']}")


def searched(record: Record, query: str) -> bool:
    """Tell whether the words of a query are in the title, or where `in:` says; other qualifiers are refused."""
    words = [word for word in query.replace('"', "").split() if ":" not in word]
    qualifiers = {word for word in query.split() if ":" in word} - {"in:title", "in:body", "is:open", "is:issue"}
    if qualifiers:
        refuse(f"this stand-in knows no qualifier {' '.join(qualifiers)}")
    text = record["body"] if "in:body" in query and "in:title" not in query else record["title"]
    return all(word.lower() in text.lower() for word in words)


def create(asked: argparse.Namespace, kind: str) -> None:
    """Open an issue or a pull request; a label has to be there, and a head may have one pull request."""
    records = load(kind)
    known = {label["name"] for label in load("labels")}
    if missing := set(asked.label) - known:
        refuse(f"could not add label: {', '.join(missing)} not found")
    if not asked.title:
        refuse("must provide `--title` and `--body` (or `--fill`) when not running interactively")
    number = 1 + len(load("issues")) + len(load("pulls"))
    path = "pull" if kind == "pulls" else "issues"
    record = {
        "number": number,
        "title": asked.title,
        "body": text_of(asked),
        "state": "OPEN",
        "labels": [{"name": name} for name in asked.label],
        "comments": [],
        "url": f"https://github.com/{os.environ['GH_REPO']}/{path}/{number}",
    }
    if kind == "pulls":
        base = asked.base or "main"
        if not asked.head:
            refuse("this stand-in wants --head")
        own = [each for each in records if not each["isCrossRepository"] and each["state"] == "OPEN"]
        if any(each["headRefName"] == asked.head for each in own):
            refuse(f'a pull request for branch "{asked.head}" into branch "{base}" already exists')
        url = f"https://github.com/{os.environ['GH_REPO']}"
        pushed = ["git", "ls-remote", "--exit-code", "--quiet", url, f"refs/heads/{asked.head}"]
        if subprocess.run(pushed, check=False).returncode:
            refuse(f"Head ref must be a branch: {asked.head} was not pushed")
        record |= {"headRefName": asked.head, "baseRefName": base, "isDraft": bool(asked.draft)}
        record |= {"isCrossRepository": False}
    save(kind, [*records, record])
    print(record["url"])


def change(asked: argparse.Namespace, kind: str) -> None:
    """View, edit, comment, close or reopen one."""
    records = load(kind)
    keys = {key: each for each in records for key in (str(each["number"]), each["url"])}
    keys |= {each["headRefName"]: each for each in records if "headRefName" in each}
    found = keys.get(asked.number.lstrip("#"))
    if found is None:
        refuse(f"no {kind} found for {asked.number}")
    if asked.verb == "view":
        return show(found, asked, lambda each: f"{each['title']}\n{each['body']}")
    if asked.verb == "edit":
        found |= {"title": asked.title} if asked.title is not None else {}
        found |= {"body": text_of(asked)} if asked.body is not None or asked.body_file else {}
        found["labels"] += [{"name": name} for name in asked.add_label]
    said = text_of(asked) if asked.verb == "comment" else asked.comment or ""
    if said:
        found["comments"].append({"body": said})
    if asked.verb == "ready":
        found["isDraft"] = asked.undo
    if asked.verb in ("close", "reopen"):
        found["state"] = {"close": "CLOSED", "reopen": "OPEN"}[asked.verb]
    save(kind, records)
    print(found["url"])


# ---- The rest.


def run(asked: argparse.Namespace) -> None:
    """View the jobs of the present run that have ended."""
    said = lines(Path(os.environ["SANDBOX_RUN"], "act.json").read_text("utf-8", "replace"))
    url = f"https://github.com/{os.environ['GH_REPO']}/actions/runs/{asked.id}"
    jobs = [
        {"name": name, "conclusion": result, "status": "completed", "url": f"{url}/job/{number}"}
        for number, (name, result) in enumerate(results(said, os.environ["SANDBOX_WORKFLOW"]).items(), 1)
    ]
    show({"jobs": jobs, "url": url}, asked, lambda each: "\n".join(f"{job['name']}" for job in each["jobs"]))


def label(asked: argparse.Namespace) -> None:
    """Make a label, or with --force keep the one that is there."""
    labels = load("labels")
    if any(each["name"] == asked.name for each in labels) and not asked.force:
        refuse(f'label with name "{asked.name}" already exists; use `--force` to update its color and description')
    save("labels", [*(each for each in labels if each["name"] != asked.name), {"name": asked.name}])


def auth(asked: argparse.Namespace) -> None:
    """Let git push with the token."""
    settings = ["git", "config", "--global", "--unset-all"]
    section = f"url.file://{FOLDER.parent}/no-credentials/.pushInsteadOf"
    subprocess.run([*settings, section], check=False)


def parser() -> argparse.ArgumentParser:
    """Describe the commands that are known."""
    whole = argparse.ArgumentParser(prog="gh", allow_abbrev=False)
    nouns = whole.add_subparsers(dest="noun", required=True)
    common = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    common.add_argument("-R", "--repo")
    answer = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    answer.add_argument("--json")
    answer.add_argument("-q", "--jq")

    def add(noun: Any, verb: str, do: Callable[[argparse.Namespace], None], *parents: argparse.ArgumentParser) -> Any:
        made = noun.add_parser(verb, parents=[common, *parents], allow_abbrev=False)
        made.set_defaults(do=do)
        return made

    def texts(of: Any, name: str) -> None:
        of.add_argument(f"-{name[0]}", f"--{name}")
        of.add_argument("-F", f"--{name}-file")

    verbs = nouns.add_parser("release").add_subparsers(dest="verb", required=True)
    for verb in ("view", "create", "edit", "upload"):
        of = add(verbs, verb, release, *([answer] if verb == "view" else []))
        of.add_argument("tag")
        of.set_defaults(files=[])
        if verb in ("create", "upload"):
            of.add_argument("files", nargs="*")
        of.add_argument("--clobber", action="store_true")
        of.add_argument("-t", "--title")
        texts(of, "notes")
        of.add_argument("--verify-tag", action="store_true")
        of.add_argument("--target")
        for flag in ("draft", "prerelease", "latest"):
            of.add_argument(f"--{flag}", nargs="?", const=True, type=lambda value: value != "false")
    for word, kind in (("issue", "issues"), ("pr", "pulls")):
        verbs = nouns.add_parser(word).add_subparsers(dest="verb", required=True)
        of = add(verbs, "list", lambda asked, kind=kind: listed(asked, kind), answer)  # type: ignore[misc]
        of.add_argument("-s", "--state", default="open")
        of.add_argument("-l", "--label", action="append", default=[])
        of.add_argument("-S", "--search", default="")
        of.add_argument("-L", "--limit", type=int, default=30)
        of.add_argument("-H", "--head")
        of.add_argument("-B", "--base")
        of = add(verbs, "create", lambda asked, kind=kind: create(asked, kind))  # type: ignore[misc]
        of.add_argument("-t", "--title")
        of.add_argument("-l", "--label", action="append", default=[])
        of.add_argument("-H", "--head")
        of.add_argument("-B", "--base")
        of.add_argument("-d", "--draft", action="store_true")
        texts(of, "body")
        for verb in ("view", "edit", "comment", "close", "reopen", *(["ready"] if kind == "pulls" else [])):
            of = add(verbs, verb, lambda asked, kind=kind: change(asked, kind), *([answer] if verb == "view" else []))  # type: ignore[misc]
            of.add_argument("number")
            of.add_argument("-t", "--title")
            of.add_argument("--add-label", action="append", default=[])
            of.add_argument("-c", "--comment")
            of.add_argument("-r", "--reason")
            if verb == "ready":
                of.add_argument("--undo", action="store_true")
            texts(of, "body")
    verbs = nouns.add_parser("run").add_subparsers(dest="verb", required=True)
    add(verbs, "view", run, answer).add_argument("id")
    verbs = nouns.add_parser("label").add_subparsers(dest="verb", required=True)
    of = add(verbs, "create", label)
    of.add_argument("name")
    of.add_argument("-c", "--color")
    of.add_argument("-d", "--description")
    of.add_argument("-f", "--force", action="store_true")
    verbs = nouns.add_parser("auth").add_subparsers(dest="verb", required=True)
    add(verbs, "setup-git", auth)
    return whole


def main() -> None:
    """Do what is asked, with a token, for the repository that is named or that the folder is a clone of."""
    asked, unknown = parser().parse_known_args()
    if unknown:
        refuse(f"this stand-in does not know: {' '.join(unknown)}")
    if not os.environ.get("GH_TOKEN"):
        refuse("To use GitHub CLI in a GitHub Actions workflow, set the GH_TOKEN environment variable.")
    if asked.repo:
        os.environ["GH_REPO"] = asked.repo
    if not os.environ.get("GH_REPO"):
        command = ["git", "config", "--get", "remote.origin.url"]
        told = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        if not told:
            refuse("failed to run git: fatal: not a git repository (or any of the parent directories): .git")
        os.environ["GH_REPO"] = told.removeprefix("https://github.com/").removesuffix(".git")
    asked.do(asked)


main()
