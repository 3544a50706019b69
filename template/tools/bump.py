"""Raise the version: `just bump major|minor|patch|VERSION`.

Write the version into Cargo.toml and Cargo.lock, unless git's tags hold it, and a section into the
changelog; commit, and tag. Nothing is pushed. Whatever goes wrong, all is as it was before.

The tag is `v` and the version as Cargo.toml and Semantic Versioning spell it: `v0.2.0-alpha.1`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import which
from subprocess import PIPE, Popen

import tomlkit
from packaging.version import Version
from versions import from_either, to_python

ROOT = Path(__file__).resolve().parent.parent
FILES = [ROOT / name for name in ("Cargo.toml", "Cargo.lock", "CHANGELOG.md")]
MANIFEST, LOCK, CHANGELOG = FILES
IN_GIT = (ROOT / "tools" / "backend.py").exists()  # whether tags hold the version, or Cargo.toml
PARTS = ("major", "minor", "patch")
HEADINGS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
UNRELEASED = re.compile(r"^## \[Unreleased\]\n(.*?)(?=^## |^\[.+\]: |\Z)", re.DOTALL | re.MULTILINE)


def run(*command: str, check: bool = True) -> str:
    """Run a command and give what it prints, or nothing where it may fail and does."""
    if not which(command[0]):
        raise SystemExit(f"error: {command[0]} is not installed")
    with Popen(command, cwd=ROOT, stdout=PIPE, stderr=PIPE, text=True) as process:
        try:
            printed, errors = process.communicate()
        except BaseException:
            process.terminate()  # git takes its locks away, which it cannot do when it is killed
            raise
    if process.returncode and check:
        raise SystemExit(f"{printed}{errors}error: {' '.join(command)} failed")
    return "" if process.returncode else printed.strip()


# ---- Which version.


def tags(*options: str) -> dict[Version, str]:
    """Give the tags that are versions."""
    found = {}
    for tag in run("git", "tag", "--list", "v[0-9]*", *options).splitlines():
        with suppress(ValueError):
            found[Version(to_python(from_either(tag[1:])))] = tag
    return found


def choose(wanted: str, present: Version) -> str:
    """Give the version to be, or refuse it."""
    try:
        version = raised(present, wanted) if wanted in PARTS else from_either(wanted)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None
    new, taken = Version(to_python(version)), tags()
    if new.local:
        raise SystemExit(f"error: no index takes a local part: leave out +{new.local}")
    if new in taken:
        raise SystemExit(f"error: {version} is released: the tag {taken[new]} exists")
    if new < present:
        raise SystemExit(f"error: {version} is not above the present version, {present}")
    return version


def raised(present: Version, part: str) -> str:
    """Raise a part of a version; a pre-release becomes what it comes before."""
    index = PARTS.index(part)
    numbers = [present.major, present.minor, present.micro]
    if not present.is_prerelease or any(numbers[index + 1 :]):
        numbers[index] += 1
    return ".".join(map(str, numbers[: index + 1] + [0] * (2 - index)))


def refuse_unready(last: str | None) -> None:
    """Stop where there is no branch, something that is not committed, or nothing to release."""
    if not run("git", "symbolic-ref", "--quiet", "HEAD", check=False):
        raise SystemExit("error: HEAD is on no branch. Run: git switch main")
    if changes := run("git", "status", "--porcelain"):
        raise SystemExit(f"error: the tree is not clean; commit or stash first:\n{changes}")
    if last and run("git", "rev-list", "--count", f"{last}..HEAD") == "0":
        raise SystemExit(f"error: there is nothing to release: no commit since {last}")


# ---- The changelog.


def from_commits(last: str | None) -> dict[str, list[str]]:
    """Let git-cliff put the commits since a tag under the headings."""
    configuration = str(ROOT / "tools" / "cliff.toml")
    command = ("git-cliff", "--offline", "--config", configuration, "--context")
    found: dict[str, list[str]] = {}
    for release in json.loads(run(*command, *([f"{last}..HEAD"] if last else []))):
        for commit in release["commits"]:
            heading = commit["group"] if commit["group"] in HEADINGS else "Changed"
            text = commit["message"].splitlines()[0]
            text = "**Breaking:** " * bool(commit.get("breaking")) + text[:1].upper() + text[1:]
            found.setdefault(heading, []).append(f"- {text}")
    return found


def section(by_hand: str, commits: dict[str, list[str]]) -> str:
    """Merge what was written by hand with what the commits say, under the same headings."""
    text, *parts = re.split(r"(?m)^### (.+)\n", by_hand)
    written = dict(zip(parts[::2], parts[1::2], strict=True))
    for heading in dict.fromkeys([*HEADINGS, *written]):
        lines = written.get(heading, "").strip("\n").splitlines()
        lines += [line for line in commits.get(heading, []) if line not in lines]
        if lines:
            text = "\n".join([text.rstrip("\n"), "", f"### {heading}", "", *lines])
    return text.strip("\n") or "Nothing that users see."


def with_section(changelog: str, version: str, last: str | None) -> str:
    """Give the changelog with a section for the version, and with its links."""
    found = UNRELEASED.search(changelog)
    if not found:
        raise SystemExit("error: CHANGELOG.md has no line: ## [Unreleased]")
    project = tomlkit.parse((ROOT / "pyproject.toml").read_text("utf-8")).unwrap()["project"]
    day = time.gmtime(float(os.environ.get("SOURCE_DATE_EPOCH") or time.time()))
    title = f"## [Unreleased]\n\n## [{version}] - {time.strftime('%Y-%m-%d', day)}"
    text = f"{title}\n\n{section(found[1], from_commits(last))}\n\n"
    text = changelog[: found.start()] + text + changelog[found.end() :]
    text = re.sub(r"(?m)^\[Unreleased\]: .*\n?", "", text)
    address = f"compare/{last}...v{version}" if last else f"releases/tag/v{version}"
    lines = {"Unreleased": f"compare/v{version}...HEAD", version: address}
    base = project["urls"]["Repository"]
    links = "".join(f"[{name}]: {base}/{path}\n" for name, path in lines.items())
    before, *after = re.split(r"(?m)(?=^\[.+\]: )", text, maxsplit=1)
    return before + links + "".join(after)


# ---- All of it, or nothing.


@contextmanager
def undone_on_failure(tag: str) -> Iterator[None]:
    """Bring all back to what it was if anything stops the work, Ctrl-C too."""
    head = run("git", "rev-parse", "HEAD")
    before = {path: path.read_bytes() for path in FILES if path.exists()}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("error: terminated"))
    try:
        yield
    except BaseException:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        run("git", "tag", "--delete", tag, check=False)
        run("git", "reset", "--quiet", "--hard", head)
        for path in FILES:
            path.write_bytes(before[path]) if path in before else path.unlink(missing_ok=True)
        print("error: nothing was changed", file=sys.stderr)
        raise


def main() -> None:
    """Check first, then write, commit and tag."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: bump.py major|minor|patch|VERSION")
    before = tags("--merged", "HEAD")
    last = before[max(before)] if before else None
    manifest = tomlkit.parse(MANIFEST.read_text("utf-8"))
    package = manifest.get("package") or manifest["workspace"]["package"]
    present = max(before, default=Version("0")) if IN_GIT else Version(package["version"])
    version = choose(sys.argv[1], present)
    refuse_unready(last)
    with undone_on_failure(f"v{version}"):
        text = with_section(CHANGELOG.read_text("utf-8"), version, last)
        CHANGELOG.write_text(text, "utf-8")
        if not IN_GIT:
            package["version"] = version
            MANIFEST.write_text(tomlkit.dumps(manifest), "utf-8")
            lock = ("cargo", "update", "--workspace")
            run(*lock, "--offline", check=False)
            locked = ("cargo", "metadata", "--locked", "--offline", "--format-version=1")
            if not run(*locked, check=False):
                run(*lock)
        run("git", "add", *(str(path) for path in FILES if path.exists()))
        run("git", "commit", "--quiet", "--message", f"Release {version}")
        run("git", "tag", "--annotate", f"v{version}", "--message", f"Release {version}")
    branch = run("git", "branch", "--show-current")
    remote = run("git", "config", f"branch.{branch}.remote", check=False) or "origin"
    print(f"Version {version} is committed and tagged. To see it: git show v{version}")
    print(f"To publish it: git push --atomic {remote} {branch} v{version}")


if __name__ == "__main__":
    main()
