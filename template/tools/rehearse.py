"""Rehearse a release on this machine, from the version to a tested install.

What names the version is compared before anything is built. The sdist and the wheels are built
into dist/, checked, uploaded to an index on loopback, installed from there and tested.
"""

from __future__ import annotations

import argparse
import email
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import build
from artifacts import binding, check, tags_of
from build.env import DefaultIsolatedEnv
from index import Index, serve, sha256
from pyproject_hooks import quiet_subprocess_runner
from verify import FailedError, call, present, try_on
from versions import to_cargo, to_python
from wheels import ROOT, settings

DIST = ROOT / "dist"
REPORT = ROOT / "target" / "release.md"
NOTES = ROOT / "target" / "notes.md"
TAGS_ARE_THE_SOURCE = (ROOT / "tools" / "backend.py").exists()
NO_RUST = r"rustup\.rs|cargo in your PATH"  # what an sdist must say to those who have no Rust


def gate(tag: str | None) -> str:
    """Compare all that names the version, and give it as Python spells it."""
    demand_that_the_lock_is_current()  # first: whatever asks cargo next may renew it
    version = prepared_version()
    cargo = to_cargo(version)
    if "+" in version:
        raise FailedError(f"no index takes {version}: tag the commit, or say --version X.")
    if tag is not None and tag not in (f"v{version}", f"v{cargo}"):
        raise FailedError(
            f"the tag is {tag}, but the sources are of version {version}: tag the commit that "
            f"`just bump` made, or delete the tag."
        )
    if not TAGS_ARE_THE_SOURCE and to_python(binding()["version"]) != version:
        raise FailedError(f"Cargo.toml says {binding()['version']}, but the metadata {version}.")
    demand_that_the_tag_is_here(f"v{version}")
    NOTES.parent.mkdir(exist_ok=True)
    NOTES.write_text(section_of_the_changelog({version, cargo}, tagged=tag is not None), "utf-8")
    return version


def prepared_version() -> str:
    """Ask the build backend for the metadata, as pip does before it builds, and give the version."""
    with tempfile.TemporaryDirectory() as folder, DefaultIsolatedEnv(installer="uv") as environment:
        builder = build.ProjectBuilder.from_isolated_env(
            environment, ROOT, runner=quiet_subprocess_runner
        )
        try:
            environment.install(builder.build_system_requires)
            environment.install(builder.get_requires_for_build("wheel"))
            path = Path(builder.metadata_path(folder), "METADATA")
            return str(email.message_from_string(path.read_text("utf-8"))["Version"])
        except (build.BuildException, subprocess.CalledProcessError) as error:
            raise FailedError(f"the project cannot tell its version: {said_by(error)}") from error


def said_by(error: Exception) -> str:
    """Give what a build backend said when it failed."""
    inner = getattr(error, "exception", error)
    output = getattr(inner, "output", b"")
    return output.decode() if output else str(error)


def demand_that_the_tag_is_here(tag: str) -> None:
    """Refuse a version whose tag stands on another commit."""
    asked = ["git", "rev-parse", "--quiet", "--verify"]
    commits = [
        subprocess.run([*asked, name + "^{commit}"], cwd=ROOT, capture_output=True, check=False)
        for name in (f"refs/tags/{tag}", "HEAD")
    ]
    if not commits[0].returncode and commits[0].stdout != commits[1].stdout:
        raise FailedError(f"the tag {tag} is on another commit: this version was released already.")


def demand_that_the_lock_is_current() -> None:
    """Refuse a lock that cargo would change: the sdist carries it."""
    try:
        call("cargo", "metadata", "--quiet", "--locked", "--format-version", "1")
    except FailedError as error:
        raise FailedError(f"run `just lock`, and commit Cargo.lock. {error}") from error


def section_of_the_changelog(spellings: set[str], *, tagged: bool) -> str:
    """Give what the changelog says of the release; before there is a tag, of what is unreleased."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    wanted = spellings if tagged else {*spellings, "Unreleased"}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        if heading.partition("]")[0].lstrip("[") in wanted:
            links = r"^\[.+?\]: .*$"  # of the headings, at the end of the file
            return re.sub(links, "", body, flags=re.MULTILINE).strip() + "\n"
    raise FailedError(
        f"CHANGELOG.md has no section {' or '.join(sorted(spellings))}: `just bump` writes it."
    )


def published_size(name: str, path: Path) -> str:
    """Give the size of the same wheel of the last release that is on pip's index."""
    if path.suffix != ".whl":
        return "-"
    python, abi, platform = tags_of(path)
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder),
            *("--only-binary", ":all:", "--implementation", "cp", "--python-version"),
            *(python.removeprefix("cp"), "--abi", abi.rpartition(".")[2]),
            *("--platform", platform.rpartition(".")[2], name),
        ]
        subprocess.run(command, capture_output=True, check=False)
        sizes = [file.stat().st_size for file in Path(folder).glob(f"*-{python}-{abi}-*")]
        return f"{sizes[0]:,}" if sizes else "none"


def report(name: str, found: dict[Path, str]) -> None:
    """Print the table of artifacts, and keep it for who wants to show it."""
    lines = [
        "| artifact | tag | bytes | last release | SHA-256 | result |",
        "| --- | --- | ---: | ---: | --- | --- |",
    ]
    for path, wrong in found.items():
        tag = "-".join(tags_of(path)[:2]) if path.suffix == ".whl" else "sdist"
        size = f"{path.stat().st_size:,}"
        last, result = published_size(name, path), "bad" if wrong else "good"
        lines.append(f"| {path.name} | {tag} | {size} | {last} | {sha256(path)} | {result} |")
    text = "\n".join(lines) + "\n"
    REPORT.write_text(text, encoding="utf-8")
    print(text, flush=True)


def upload(index: Index, artifacts: list[Path]) -> None:
    """Upload as a release does, also interrupted and twice."""
    whole = {path.name: sha256(path) for path in artifacts}
    expect(index.twine(*artifacts, password="wrong"), fails=True, files=index.files(), wanted={})
    first = {artifacts[0].name: whole[artifacts[0].name]}
    expect(index.twine(artifacts[0]), files=index.files(), wanted=first)
    # What was interrupted is finished by running it again, and once more changes nothing.
    for run in (index.uv, index.uv):
        expect(run(*artifacts), files=index.files(), wanted=whole)
    expect(index.twine(*artifacts), fails=True, files=index.files(), wanted=whole)


def expect(
    done: subprocess.CompletedProcess[str],
    *,
    files: dict[str, str],
    wanted: dict[str, str],
    fails: bool = False,
) -> None:
    """Compare how an upload went, and what is on the index after it, with what should be."""
    if bool(done.returncode) != fails or files != wanted:
        raise FailedError(
            f"{done.args[0]} ended with {done.returncode} and the index has {sorted(files)}, "
            f"which should be {sorted(wanted)}.\n{done.stdout}"
        )


def install(index: Index, name: str, version: str, pythons: list[str]) -> None:
    """Install wheel and sdist on every Python that is here, test them, and do without Rust."""
    module = settings()["tool"]["maturin"]["module-name"].partition(".")[0]
    target = shlex.quote(str(ROOT / "target" / "sdist"))
    source = {"MATURIN_PEP517_ARGS": f"--target-dir {target}"}
    for python, path in present(pythons).items():
        for kind, variables in (("--only-binary", {}), ("--no-binary", source)):
            options = ("--index", f"{index.url}/simple/", kind, name)
            said = try_on(path, name, version, *options, module=module, **variables)
            what = "wheel" if kind == "--only-binary" else "sdist"
            print(f"the {what} on Python {python}: {said}", flush=True)
    without = os.pathsep.join(
        folder
        for folder in os.environ["PATH"].split(os.pathsep)
        if not any(Path(folder, command).exists() for command in ("cargo", "cargo.exe"))
    )
    hidden = {"PATH": without, "MATURIN_NO_INSTALL_RUST": "1"}
    try:
        try_on(path, name, version, *options, module=module, **hidden)
    except FailedError as error:
        if not re.search(NO_RUST, str(error)):
            raise
        print("the sdist without Rust: says what to install", flush=True)
    else:
        raise FailedError("the sdist was built although Rust was hidden.")


def main() -> None:
    """Rehearse, and stop where something is wrong."""
    parser = argparse.ArgumentParser(prog="nox --session release --", description=__doc__)
    parser.add_argument("--tag", help="the release's; without it, the one to be is rehearsed")
    parser.add_argument("--version", help="the version to be, where git's tags are its source")
    parser.add_argument("--gate", action="store_true", help="compare what names it; build nothing")
    parser.add_argument("--python", action="append", default=[], help=argparse.SUPPRESS)
    parser.add_argument("wheels", nargs="*", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.version and not TAGS_ARE_THE_SOURCE:
        parser.error("Cargo.toml holds the version: `just bump` changes it.")
    if asked.version:
        os.environ["VCS_VERSIONING_PRETEND_VERSION"] = asked.version
    name = settings()["project"]["name"]
    try:
        version = gate(asked.tag)
        print(f"{name} {version}: tag, Cargo, metadata, lock and changelog agree", flush=True)
        if asked.gate:
            return
        options = [str(DIST), "--sdist", "--twice", *asked.wheels]
        command = [sys.executable, str(ROOT / "tools" / "wheels.py"), *options]
        if subprocess.run(command, check=False).returncode:
            raise FailedError("the build failed.")
        found = {}
        for path in sorted(DIST.iterdir()):
            found[path] = check(path, version)
            print(f"checked {path.name}", flush=True)
        report(name, found)
        if any(found.values()):
            raise FailedError("\n\n".join(wrong for wrong in found.values() if wrong))
        for channel in sorted(ROOT.glob("channels/*/check.py")):
            print(call(sys.executable, channel), end="", flush=True)
        with serve() as index:
            upload(index, list(found))
            print("uploads by twine and uv, interrupted and twice: the set is whole", flush=True)
            install(index, name, version, asked.python)
    except (FailedError, ValueError) as error:  # ValueError: a version that has no other spelling
        sys.exit(f"The release stops here: {error}")
    print(f"{name} {version} is ready. The table is in {REPORT.relative_to(ROOT)}.")


if __name__ == "__main__":
    main()
