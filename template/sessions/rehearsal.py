"""A release, rehearsed on this machine: built twice, checked, uploaded to an index, installed."""

from __future__ import annotations

import argparse
import email
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
REPORT = ROOT / "target" / "release.md"
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
NAME = PROJECT["project"]["name"]
USER = "rehearsal"

# An index for one user, on loopback, at a port that the system chooses. The first line of its
# input is the password. It ends when its input ends, so it never outlives this process.
SERVER = """
import pathlib, sys, threading
from wsgiref.simple_server import make_server

import pypiserver

user, password = sys.argv[2], sys.stdin.readline().strip()
app = pypiserver.app(
    roots=[pathlib.Path(sys.argv[1])],
    authenticate=["update"],
    auther=lambda *given: given == (user, password),
    disable_fallback=True,
)
server = make_server("127.0.0.1", 0, app)
print(server.server_port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
"""


@nox.session
def rehearsal(session: nox.Session) -> None:
    """Rehearse a whole release and publish nothing; `-- --tag vVERSION` compares the versions."""
    run_session(session, "release", *session.posargs)
    session.install("--group=rehearsal")
    for wheel in sorted(DIST.glob("*.whl")):
        files = read_wheel(wheel)
        if problems := [*find_problems(files), *compare_crates(session, files)]:
            session.error("\n".join(f"error: {wheel.name}: {problem}" for problem in problems))
    check_rebuild(session)
    (sdist,) = DIST.glob("*.tar.gz")
    version = sdist.name.removesuffix(".tar.gz").rpartition("-")[2]
    with serve(session) as index:
        upload(session, index)
        results = ROOT / "target" / "verify.json"
        options = ("--index", f"{index.url}/simple/")
        run_session(session, "verify", version, *options, report=results)
    write_report(session, results)


@nox.session(python=nox.project.python_versions(PROJECT))
def verify(session: nox.Session) -> None:
    """Install a published release with uv and pip, and test it: `-- [VERSION] [--index URL]`."""
    parser = argparse.ArgumentParser(prog="nox --session verify --", description=verify.__doc__)
    parser.add_argument("version", nargs="?", help="as on the index: 0.2.0a1; default: the newest")
    parser.add_argument("--index", help="address of the index; default: that of uv and pip")
    given = parser.parse_args(session.posargs)
    requirement = f"{NAME}=={given.version}" if given.version else NAME
    # uv takes a name from the first index that has it. pip would take it from any index.
    uv, pip = (("--index", given.index), ("--index-url", given.index)) if given.index else ((), ())
    session.install("pip", "--group=test")
    session.chdir(session.create_tmp())  # where no source can be imported by mistake
    session.install(f"--refresh-package={NAME}", f"--only-binary={NAME}", *uv, requirement)
    test(session)
    session.run("python", "-m", "pip", "uninstall", "--quiet", "--yes", NAME)
    options = ("--no-cache-dir", "--no-deps", "--only-binary", NAME, *pip, requirement)
    session.run("python", "-m", "pip", "install", "--quiet", *options)
    test(session)


def test(session: nox.Session) -> None:
    """Test what is installed, and that nothing that it requires is missing."""
    session.run("python", "-m", "pip", "check")
    session.run("pytest", "--quiet", "-p", "no:cacheprovider", str(ROOT / "tests"))


def run_session(
    session: nox.Session, name: str, *arguments: str, report: Path | None = None
) -> None:
    """Run another session; it may write a report of its results."""
    options = ("--report", str(report)) if report else ()
    command = (sys.executable, "-m", "nox", "--noxfile", str(ROOT / "noxfile.py"), *options)
    session.run(*command, "--session", name, "--", *arguments, external=True)


def hashes(folder: Path) -> dict[str, str]:
    """Compute the SHA-256 of each artifact in a folder."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".gz", ".whl"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# ---- What is built.


def read_wheel(wheel: Path) -> dict[str, bytes]:
    """Read the files of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def find_problems(files: dict[str, bytes]) -> Iterator[str]:
    """Find what the tools of the session `release` do not look at."""
    (metadata,) = (data for name, data in files.items() if name.endswith(".dist-info/METADATA"))
    for requirement in email.message_from_bytes(metadata).get_all("Requires-Dist", []):
        if "@" in requirement.partition(";")[0]:
            yield f"PyPI refuses the direct reference {requirement!r}: require a published version"
    included = {name.rpartition("/")[2] for name in files if ".dist-info/licenses/" in name}
    for license in sorted({path.name for path in ROOT.glob("LICENSE*")} - included):
        yield f"{license} is missing: add it to license-files in pyproject.toml"
    folders = {Path.home(), ROOT, Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")}
    for name, data in files.items():
        for folder in sorted(folders) if name.endswith((".so", ".pyd")) else ():
            if str(folder).encode() in data:
                yield f"{name} contains the path {folder}: build with `nox -s wheel`"


def compare_crates(session: nox.Session, files: dict[str, bytes]) -> Iterator[str]:
    """Compare the SBOM with cargo: it lists all crates that are built, and none that is unknown."""
    boms = [name for name in files if name.endswith(".cyclonedx.json")]
    if not boms:
        yield "it has no SBOM: remove `rust = false` from [tool.maturin.sbom]"
    for name in boms:
        crate = ("--package", Path(name).name.partition(".")[0])
        listed = {(each["name"], each["version"]) for each in json.loads(files[name])["components"]}
        for each in sorted(list_crates(session, *crate) - listed):
            yield f"the SBOM lacks the crate {' '.join(each)}"
        known = list_crates(session, *crate, "--target=all", "--all-features", own=True)
        for each in sorted(listed - known):
            yield f"the SBOM lists the crate {' '.join(each)}, which `cargo tree` does not"


def list_crates(session: nox.Session, *options: str, own: bool = False) -> set[tuple[str, str]]:
    """Ask cargo which crates are built, with or without those of the project."""
    command = ("cargo", "tree", "--quiet", "--locked", "--edges=normal,build", "--prefix=none")
    output = session.run(*command, "--format={p}", *options, silent=True, external=True)
    lines = [line.split() for line in str(output).splitlines() if own or f"({ROOT}" not in line]
    return {(words[0], words[1].removeprefix("v")) for words in lines if words}


def check_rebuild(session: nox.Session) -> None:
    """Build everything again, and compare it byte by byte."""
    first = hashes(DIST)
    run_session(session, "wheel")
    if different := sorted(dict(first.items() ^ hashes(DIST).items())):
        session.error(
            f"error: a second build gives another {', '.join(different)}: look for a time, a path "
            "or an order that a build script or a macro takes in"
        )


# ---- The index.


@dataclass(frozen=True)
class Index:
    """A package index that runs."""

    url: str
    folder: Path
    password: str = field(repr=False)


@contextmanager
def serve(session: nox.Session) -> Iterator[Index]:
    """Run an empty index on loopback, which no proxy is asked for."""
    folder = Path(session.create_tmp(), "index")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in ("NO_PROXY", "no_proxy"):
        session.env[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1"]))
    password = secrets.token_urlsafe(16)
    python = str(shutil.which("python", path=session.bin))
    with (
        folder.with_suffix(".log").open("w+") as log,
        subprocess.Popen(
            [python, "-c", SERVER, str(folder), USER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as server,
    ):
        try:
            assert server.stdin and server.stdout
            print(password, file=server.stdin, flush=True)
            port = server.stdout.readline().strip()
            if not port:
                session.error(f"error: the index does not start: see {log.name}")
            yield Index(f"http://127.0.0.1:{port}", folder, password)
        finally:
            server.terminate()


def upload(session: nox.Session, index: Index) -> None:
    """Upload as a release does, also with a wrong password, interrupted and repeated."""
    artifacts = [str(DIST / name) for name in hashes(DIST)]
    run_twine(session, index, *artifacts, password="wrong", succeeds=False)
    check_index(session, index, {})
    run_twine(session, index, artifacts[0])  # as an upload that is interrupted leaves it
    for _ in range(2):
        run_uv(session, index, *artifacts)
        check_index(session, index, hashes(DIST))
    run_twine(session, index, *artifacts, succeeds=False)  # it skips files on PyPI only
    check_index(session, index, hashes(DIST))


def run_twine(
    session: nox.Session, index: Index, *files: str, password: str = "", succeeds: bool = True
) -> None:
    """Upload with twine. The password is in the environment: no log shows it."""
    secret = {"TWINE_USERNAME": USER, "TWINE_PASSWORD": password or index.password}
    options = ("--non-interactive", "--disable-progress-bar", "--repository-url", index.url)
    status = 0 if succeeds else 1
    command = ("twine", "upload", *options, *files)
    session.run(*command, env=secret, success_codes=[status], silent=not succeeds)


def run_uv(session: nox.Session, index: Index, *files: str) -> None:
    """Upload with uv, which skips what is on the index and is the same."""
    secret = {"UV_PUBLISH_USERNAME": USER, "UV_PUBLISH_PASSWORD": index.password}
    options = ("--check-url", f"{index.url}/simple/", "--trusted-publishing", "never")
    session.run("uv", "publish", "--publish-url", index.url, *options, *files, env=secret)


def check_index(session: nox.Session, index: Index, expected: dict[str, str]) -> None:
    """Compare the files on the index with what was uploaded."""
    if (found := hashes(index.folder)) != expected:
        session.error(f"error: the index has {sorted(found)}, not {sorted(expected)}")


# ---- The report.


def write_report(session: nox.Session, results: Path) -> None:
    """Write the table of artifacts, and the Pythons that they were tested with."""
    lines = ["| artifact | bytes | SHA-256 |", "|---|---:|---|"]
    for name, digest in hashes(DIST).items():
        lines.append(f"| {name} | {(DIST / name).stat().st_size:,} | {digest} |")
    pythons: dict[str, list[str]] = {"success": [], "skipped": []}
    for each in json.loads(results.read_text("utf-8"))["sessions"]:
        pythons[each["result"]].append(each["signatures"][0].removeprefix("verify-"))
    if not pythons["success"]:
        session.error(f"error: no supported Python is installed: {', '.join(pythons['skipped'])}")
    lines += ["", f"Installed by uv and pip, and tested: Python {', '.join(pythons['success'])}."]
    if pythons["skipped"]:
        lines.append(f"Not installed on this machine: Python {', '.join(pythons['skipped'])}.")
    REPORT.write_text("\n".join(lines) + "\n", "utf-8")
    session.log(f"{NAME} is ready to be released. {REPORT.relative_to(ROOT)}:")
    print(REPORT.read_text("utf-8"))
