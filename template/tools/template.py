"""Bring the newest release of the template to this project, and the locks after it.

At a desk the update is left in the tree as `copier update` leaves it: uncommitted, its conflicts
marked. CI commits it in a job without a token (`--commit`), as an update may bring code that runs
here, and hands the commit to a job that has one and runs none of that code (`--propose`).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "target" / "template"
REQUEST = OUT / "request.json"
BUNDLE = OUT / "update.bundle"
BRANCH = "template-update"
BASE = "main"
NAME, EMAIL = "github-actions[bot]", "41898282+github-actions[bot]@users.noreply.github.com"
MARKER = re.compile(rb"^(<<<<<<<|>>>>>>>) ", re.MULTILINE)
LOCKS = {  # what `just lock` does
    "Cargo.lock": ("cargo", "update", "--workspace"),
    "uv.lock": ("uv", "lock"),
    "LICENSE-THIRD-PARTY": (sys.executable, str(ROOT / "tools" / "notices.py")),
}


def run(*command: str | Path, check: bool = True, **variables: str) -> str:
    """Run a command and give what it prints, or nothing where it may fail and does."""
    words = [str(part) for part in command]
    environment = {**os.environ, **variables}
    done = subprocess.run(
        words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, encoding="utf-8", check=False
    )
    if done.returncode and check:
        sys.exit(f"{done.stdout}error: `{' '.join(words)}` exited with {done.returncode}")
    return "" if done.returncode else done.stdout.strip()


def succeeds(*command: str) -> bool:
    """Run a command in full view, and tell whether it succeeds."""
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


# ---- The update.


def update() -> dict[str, Any] | None:
    """Update the tree, and give what there is to say of it; nothing where nothing is new."""
    shutil.rmtree(OUT, ignore_errors=True)
    state = json.loads(run("copier", "check-update", "--output-format", "json"))
    old, new = state["current_version"], state["latest_version"]
    if not state["update_available"]:
        print(f"Nothing to update: {old} is the newest release of the template.")
        return None
    if not succeeds("copier", "update", "--defaults", "--quiet"):
        sys.exit(f"error: the update from {old} to {new} failed, and has to be made at a desk")
    stale = [name for name, command in LOCKS.items() if not succeeds(*command)]
    marked = conflicts()
    if stale and not marked:
        sys.exit(f"error: there is no conflict, and yet {' and '.join(stale)} cannot be written")
    print(f"The template goes from {old} to {new}.", *marked, sep="\n  in conflict: ")
    title = f"Update the template to {new}"
    return {"title": title, "body": describe(old, new, marked, stale), "draft": bool(marked)}


def conflicts() -> list[str]:
    """Name the files with a marked conflict."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    files = {name: ROOT / name for name in sorted(listed) if (ROOT / name).is_file()}
    return [name for name, path in files.items() if MARKER.search(path.read_bytes())]


def describe(old: str, new: str, marked: list[str], stale: list[str]) -> str:
    """Write the text of the pull request."""
    lines = [f"`copier update` brings the template from {old} to {new}, and the locks follow."]
    if marked:
        lines += [
            "",
            "The template and this project changed the same lines of:",
            "",
            *(f"- `{name}`" for name in marked),
            "",
            f"Check `{BRANCH}` out, keep what you want of what is between the markers, run `just lock`",
            "and `just test`, push, and mark this pull request as ready. Lint is red as long as there",
            "is a marker. With a commit of yours the branch is yours: it is not refreshed any more.",
        ]
    if stale:
        lines += ["", f"For the conflicts, {' and '.join(stale)} could not be written."]
    return "\n".join(lines) + "\n"


def commit(title: str) -> None:
    """Commit the update to its branch, and pack the commit for another job."""
    # With the date of what it is based on, the same update is the same commit, and pushes nothing.
    date = run("git", "log", "-1", "--format=%cI")
    run("git", "switch", "--quiet", "--force-create", BRANCH)
    run("git", "add", "--all")
    run(
        *("git", "commit", "--quiet", "--no-verify", "--message", title),
        GIT_AUTHOR_DATE=date,
        GIT_AUTHOR_EMAIL=EMAIL,
        GIT_AUTHOR_NAME=NAME,
        GIT_COMMITTER_DATE=date,
        GIT_COMMITTER_EMAIL=EMAIL,
        GIT_COMMITTER_NAME=NAME,
    )
    run("git", "bundle", "create", "--quiet", BUNDLE, f"{BRANCH}~1..{BRANCH}")


# ---- The pull request.


def propose(title: str, body: str, draft: bool) -> None:
    """Push the commit to its branch, unless others work there, and open or refresh the request."""
    run("git", "fetch", "--quiet", BUNDLE, BRANCH)
    new = run("git", "rev-parse", "FETCH_HEAD")
    run("git", "fetch", "--quiet", "--prune", "origin", "+refs/heads/*:refs/remotes/origin/*")
    held = run("git", "rev-parse", "--quiet", "--verify", f"origin/{BRANCH}", check=False)
    if held and (others := committers(held) - {EMAIL}):
        print(f"::notice::{BRANCH} has commits of {', '.join(sorted(others))}, and stays as it is.")
        return
    lease = f"--force-with-lease={BRANCH}:{held}"
    run("git", "push", "--quiet", lease, "origin", f"{new}:refs/heads/{BRANCH}")
    listed = run(
        *("gh", "pr", "list", "--head", BRANCH, "--state", "open"),
        *("--json", "number,isCrossRepository,isDraft"),
    )
    own = [each for each in json.loads(listed) if not each["isCrossRepository"]]
    if own:
        number = str(own[0]["number"])
        run("gh", "pr", "edit", number, "--title", title, "--body", body)
        if own[0]["isDraft"] != draft:
            run("gh", "pr", "ready", number, *(["--undo"] if draft else []), check=False)
        print(f"Pull request {number} is refreshed: {title}")
    else:
        branches = ("--base", BASE, "--head", BRANCH)
        create = ("gh", "pr", "create", *branches, "--title", title, "--body", body)
        # Not every plan of GitHub has drafts in private repositories.
        opened = (draft and run(*create, "--draft", check=False)) or run(*create)
        print(f"{opened} is opened: {title}")


def committers(tip: str) -> set[str]:
    """Give the addresses of those who committed to the branch what the base has not."""
    return set(run("git", "log", "--format=%ce", f"origin/{BASE}..{tip}").splitlines())


def main() -> None:
    """Do what is asked for."""
    parser = argparse.ArgumentParser(prog="nox --session template --", description=__doc__)
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--check", action="store_true", help="look for what is left of a conflict")
    asked.add_argument("--commit", action="store_true", help="commit it, for --propose")
    asked.add_argument("--propose", action="store_true", help="push it and open a pull request")
    arguments = parser.parse_args()
    if arguments.check:
        if marked := conflicts():
            sys.exit(f"error: there is a conflict marker in {', '.join(marked)}")
    elif arguments.propose:
        propose(**json.loads(REQUEST.read_text("utf-8")))
    elif (request := update()) and arguments.commit:
        OUT.mkdir(parents=True)
        commit(request["title"])
        REQUEST.write_text(json.dumps(request), "utf-8")


if __name__ == "__main__":
    main()
