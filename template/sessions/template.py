"""Update the project to the newest release of its template: `uv run noxfile.py -s template`."""

import json
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parents[1]
MESSAGE = ROOT / "target" / "template" / "message.md"  # of the commit and the pull request


@nox.session
def template(session: nox.Session) -> None:
    """Update files and lock files, and commit nothing; options go to `copier update`."""
    MESSAGE.unlink(missing_ok=True)
    session.install("--group=template")
    check = ("copier", "check-update", "--output-format=json")
    state = json.loads(str(session.run(*check, silent=True, stderr=None)))
    old, new = state["current_version"], state["latest_version"]
    if not state["update_available"]:
        session.log(f"{old} is the newest release of the template.")
        return
    session.run("copier", "update", "--defaults", "--quiet", *session.posargs)
    conflicts = list_files(session, "grep", "--untracked", "-lE", "^(<<<<<<<|>>>>>>>) ")
    deleted = list_files(session, "ls-files", "--deleted")
    if not conflicts:  # with conflicts, the manifests may be unreadable
        session.run("cargo", "update", "--quiet", "--workspace", external=True)
        session.run("uv", "lock", "--quiet")
    MESSAGE.parent.mkdir(parents=True, exist_ok=True)
    MESSAGE.write_text(describe(old, new, conflicts, deleted), "utf-8")
    print(MESSAGE.read_text("utf-8"))


def list_files(session: nox.Session, *command: str) -> list[str]:
    """List the files that a command of git finds; `git grep` exits with 1 if it finds none."""
    output = session.run("git", *command, silent=True, success_codes=[0, 1], external=True)
    return str(output).splitlines()


def describe(old: str, new: str, conflicts: list[str], deleted: list[str]) -> str:
    """Describe the update; what somebody has to do by hand comes as lists of files."""
    lines = [f"Update the template to {new}", "", f"`copier update` from {old} to {new}."]
    for reason, files in {
        "Conflicts. Edit what is between the markers, then run `cargo update --workspace` and"
        " `uv lock`. The template and this project changed the same lines of": conflicts,
        "Deletions. Restore what you still need. The template no longer has": deleted,
    }.items():
        if files:
            lines += ["", f"{reason}:", "", *(f"- `{file}`" for file in files)]
    return "\n".join(lines) + "\n"
