"""Raise the version: `uv run noxfile.py -s bump -- major|minor|patch|VERSION [--dry-run]`."""

import os
import re
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import nox
from packaging.version import InvalidVersion, Version  # nox needs it, so it is there

ROOT = Path(__file__).resolve().parents[1]
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
MANIFEST, CHANGELOG = ROOT / "Cargo.toml", ROOT / "CHANGELOG.md"
STATED = re.compile(r'(?ms)(^\[(?:workspace\.)?package\]$[^[]*?^version *= *")([^"]+)')
UNRELEASED = re.compile(r"(?ms)^## \[Unreleased\]\n(.*?)(?=^## |^\[.+\]: |\Z)")
HEADINGS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
PARTS = ("major", "minor", "patch")
WORDS = {"a": "alpha", "b": "beta", "rc": "rc", "post": "post", "dev": "dev"}  # Python's, Cargo's


@nox.session
def bump(session: nox.Session) -> None:
    """Write version and changelog, commit and tag, push nothing: `-- minor [--dry-run]`."""
    wanted, *options = session.posargs or [""]
    if not wanted or options not in ([], ["--dry-run"]):
        session.error("which version? uv run noxfile.py -s bump -- minor [--dry-run]")
    session.install("--group=bump")
    released = tags(session, "--merged=HEAD")
    last = released[max(released)] if released else ""
    manifest = MANIFEST.read_text("utf-8")
    stated = STATED.search(manifest) or session.error("Cargo.toml has no [package] with a version")
    in_git = stated[2] == "0.0.0"  # which states no version: that is the newest tag
    present = max(released, default=Version("0")) if in_git else Version(stated[2])
    version = choose(session, wanted, present)
    branch = check_tree(session)
    changelog, section = write_section(session, version, last)
    if options:
        return print(section)
    texts = {CHANGELOG: changelog}
    if not in_git:
        texts[MANIFEST] = STATED.sub(rf"\g<1>{in_cargo(version)}", manifest, 1)
    commit(session, version, texts)
    remote = run(session, "git", "config", f"branch.{branch}.remote", success_codes=[0, 1])
    session.log(f"Version {version} is committed and tagged. To see it: git show v{version}")
    session.log(f"To publish it: git push --atomic {remote or 'origin'} {branch} v{version}")


def check_tree(session: nox.Session) -> str:
    """Return the branch; the tree must be clean, so that an error can restore it."""
    if changes := run(session, "git", "status", "--porcelain"):
        session.error(f"the tree is not clean; commit or stash first:\n{changes}")
    branch = run(session, "git", "branch", "--show-current")
    return branch or session.error("HEAD is on no branch. Run: git switch main")


def commit(session: nox.Session, version: Version, texts: dict[Path, str]) -> None:
    """Write the files and the lock file, commit and tag; on any error, restore all."""
    workspace = run(session, "cargo", "locate-project", "--workspace", "--message-format=plain")
    lock = Path(workspace).with_name("Cargo.lock")
    head, tag = run(session, "git", "rev-parse", "HEAD"), f"v{version}"
    files = {path: path.read_bytes() for path in (*texts, lock) if path.exists()}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for path, text in texts.items():
            path.write_text(text, "utf-8")
        if MANIFEST in texts and lock in files:  # other crates in the lock file stay as they are
            run(session, "cargo", "metadata", "--format-version=1")
        run(session, "git", "commit", "--all", "--quiet", f"--message=Release {version}")
        run(session, "git", "tag", "--annotate", tag, f"--message=Release {version}")
    except BaseException:  # Ctrl-C too
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        run(session, "git", "update-ref", "-d", f"refs/tags/{tag}")
        run(session, "git", "reset", "--quiet", "--hard", head)
        for path, content in files.items():
            path.write_bytes(content)
        session.warn("nothing was changed")
        raise


def run(session: nox.Session, *command: str, **options: Any) -> str:
    """Run a command, and return what it prints."""
    options |= {"external": True, "silent": True, "stderr": None, "log": False}
    return str(session.run(*command, **options)).strip()


def tags(session: nox.Session, *options: str) -> dict[Version, str]:
    """List the tags that are versions; others, such as docs-5, are not."""
    found = {}
    for tag in run(session, "git", "tag", "--list", "v[0-9]*.[0-9]*.[0-9]*", *options).split():
        with suppress(InvalidVersion):
            found[Version(tag[1:])] = tag
    return found


def in_cargo(version: Version) -> str:
    """Spell a version as Cargo does: 0.2.0a1 is 0.2.0-alpha.1."""
    return re.sub(r"\.?([a-z]+)(\d+)$", lambda part: f"-{WORDS[part[1]]}.{part[2]}", str(version))


def choose(session: nox.Session, wanted: str, present: Version) -> Version:
    """Raise a part, or read a version; a pre-release is raised to what it precedes."""
    if wanted in PARTS:
        index, numbers = PARTS.index(wanted), [present.major, present.minor, present.micro]
        if not present.is_prerelease or any(numbers[index + 1 :]):
            numbers[index] += 1
        wanted = ".".join(map(str, numbers[: index + 1] + [0] * (2 - index)))
    with suppress(InvalidVersion):
        version, taken = Version(wanted), tags(session)
        if version in taken:
            session.error(f"{version} is released: the tag {taken[version]} exists")
        if version < present:
            session.error(f"{version} is not above the present version, {present}")
        shared = re.fullmatch(r"\d+\.\d+\.\d+(-[a-z]+\.\d+)?", in_cargo(version))
        if shared and wanted in (str(version), in_cargo(version)):
            return version
    session.error(f"{wanted!r} is no version: write 0.2.0, 0.2.0a1, b1, rc1, .post1 or .dev1")


def write_section(session: nox.Session, version: Version, last: str) -> tuple[str, str]:
    """Return the changelog with a section for the version, and the section."""
    text = CHANGELOG.read_text("utf-8")
    found = UNRELEASED.search(text) or session.error("CHANGELOG.md has no line: ## [Unreleased]")
    cliff = ("git-cliff", "--offline", "--config=cliff.toml", *([f"{last}..HEAD"] if last else []))
    lines: dict[str, list[str]] = {heading: [] for heading in ("", *HEADINGS)}
    for part in (found[1], run(session, *cliff)):  # by hand, then from commits
        introduction, *groups = re.split(r"(?m)^### (.+)\n", part)
        for heading, group in zip(["", *groups[::2]], [introduction, *groups[1::2]], strict=True):
            known = lines.setdefault(heading, [])
            new = group.strip("\n").splitlines()
            known += [line for line in new if line not in known or not line.startswith("- ")]
    blocks = ["\n".join([f"### {heading}\n", *known]) for heading, known in lines.items() if known]
    section = "\n\n".join(blocks).removeprefix("### \n\n")
    if not section:
        session.error(f"nothing to release since {last}: write a line below ## [Unreleased]")
    day = time.gmtime(float(os.environ.get("SOURCE_DATE_EPOCH") or time.time()))
    section = f"## [{version}] - {time.strftime('%Y-%m-%d', day)}\n\n{section}"
    text = f"{text[: found.start()]}## [Unreleased]\n\n{section}\n\n{text[found.end() :]}"
    base = PROJECT["project"]["urls"]["Repository"]
    address = f"{base}/compare/{last}...v{version}" if last else f"{base}/releases/tag/v{version}"
    links = f"[Unreleased]: {base}/compare/v{version}...HEAD\n[{version}]: {address}\n"
    text, count = re.subn(r"(?m)^\[Unreleased\]: .*\n?", lambda _: links, text, count=1)
    return text if count else f"{text.rstrip()}\n\n{links}", section
