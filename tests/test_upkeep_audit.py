"""Does `upkeep: audit` refuse advisories, licences and sources, and does its workflow run?"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from conftest import new_project

from checks import plant
from sandbox import Sandboxes
from template import ROOT, Project, clean_environment, run

pytestmark = pytest.mark.slow

ADVISORY = """\
```toml
[advisory]
id = "RUSTSEC-2026-9001"
package = "smallvec"
date = "2026-11-01"
cvss = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"

[versions]
patched = [">= 1.13.2"]
```

# A planted fault

Nothing is wrong with it.
"""
VULNERABILITY = {
    "id": "PYSEC-2026-9001",
    "summary": "A planted fault",
    "modified": "2026-11-01T00:00:00Z",
    "affected": [
        {
            "package": {"name": "humanize", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "4.9.1"}]}],
        }
    ],
}
DATABASE = "https://github.com/RustSec/advisory-db"
CRATE = '[package]\nname = "{}"\nversion = "1.0.0"\nedition = "2024"\nlicense = "{}"\npublish = false\n'


class Service(BaseHTTPRequestHandler):
    """Answer as OSV does: humanize 4.9.0 has an advisory."""

    def do_POST(self) -> None:
        """Answer for one package."""
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = query["package"]["name"] == "humanize" and query["version"] == "4.9.0"
        body = json.dumps({"vulns": [VULNERABILITY]} if known else {}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@dataclass(frozen=True)
class Auditor:
    """What an audit needs: cargo-deny, and a database and a service with one advisory each."""

    cargo_deny: Path
    database: Path
    service: str

    @property
    def variables(self) -> dict[str, str]:
        """Give the variables that replace the database and the service by those of the tests."""
        return {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{self.database.as_uri()}.insteadOf",
            "GIT_CONFIG_VALUE_0": DATABASE,
            "PIP_AUDIT_OSV_URL": self.service,
            "PIP_AUDIT_VULNERABILITY_SERVICE": "osv",
        }

    def run(self, project: Project, **variables: str) -> tuple[int, str]:
        """Run the session."""
        path = os.pathsep.join([str(self.cargo_deny.parent), clean_environment()["PATH"]])
        command = ("nox", "--reuse-venv=yes", "--session", "audit")
        done = project.run(*command, check=False, **{"PATH": path, **self.variables, **variables})
        return done.returncode, done.stdout


@pytest.fixture(scope="module")
def auditor(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Auditor]:
    """Give an auditor; cargo-deny is built once, into pytest's cache, if it is not installed."""
    tools = pytestconfig.cache.mkdir("tools")
    found = shutil.which("cargo-deny") or tools / "bin" / "cargo-deny"
    if not Path(found).exists():
        install = ("cargo", "install", "--quiet", "--locked", "--debug", f"--root={tools}", "cargo-deny")
        run(*install, cwd=tools, CARGO_PROFILE_DEV_DEBUG="0")
    database = tmp_path_factory.mktemp("advisories")
    repository(database, {"crates/smallvec/RUSTSEC-2026-9001.md": ADVISORY})
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Auditor(Path(found), database, f"http://127.0.0.1:{server.server_port}/v1/query")
        server.shutdown()


def repository(folder: Path, files: dict[str, str]) -> Path:
    """Make a git repository of some files."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    run("git", "init", "--quiet", "--initial-branch=main", cwd=folder)
    Project(folder, {}).commit()
    return folder


def lock(project: Project) -> None:
    """Bring both lock files up to the manifests."""
    project.run("cargo", "update", "--quiet", "--workspace")
    project.run("uv", "lock", "--quiet")


def merge(project: Project, path: str, key: str, value: Any) -> None:
    """Change a key of a TOML file."""
    document: Any = tomlkit.parse(project.read(path))
    *parents, last = key.split(".")
    table = document
    for parent in parents:
        table = table.setdefault(parent, tomlkit.table())
    table[last] = value
    (project.folder / path).write_text(tomlkit.dumps(document), "utf-8")


def prepare(project: Project, folder: Path) -> Project:
    """Keep cargo-deny's clones of databases out of the user's cache, lock, and commit."""
    merge(project, "deny.toml", "advisories.db-path", str(folder))
    lock(project)
    project.commit("Lock")
    return project


@pytest.fixture(scope="module")
def shared(source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give one project to all tests of this file: a workspace with every extra."""
    answers = {"upkeep": ["audit"], "layout": "workspace", "extras": ["numpy", "rayon"]}
    project = new_project(source, tmp_path_factory.mktemp("audit") / "quickstats", answers, target)
    return prepare(project, tmp_path_factory.mktemp("databases"))


def plant_vulnerable(project: Project) -> None:
    """Require a crate and a package that have an advisory."""
    merge(project, "crates/quickstats/Cargo.toml", "dependencies.smallvec", "=1.13.1")
    merge(project, "pyproject.toml", "dependency-groups.test", ["humanize==4.9.0", "pytest"])


def plant_refused(project: Project) -> None:
    """Require crates that deny.toml refuses: by licence, by source, by version."""
    local = repository(
        project.folder / "dist" / "local", {"Cargo.toml": CRATE.format("gpl", "GPL-3.0-only"), "src/lib.rs": ""}
    )
    remote = repository(
        project.folder / "dist" / "remote", {"Cargo.toml": CRATE.format("remote", "MIT"), "src/lib.rs": ""}
    )
    manifest = "crates/quickstats-py/Cargo.toml"
    merge(project, manifest, "dependencies.gpl", {"path": str(local), "version": "1.0.0"})
    merge(project, manifest, "dependencies.remote", {"git": remote.as_uri()})
    merge(project, manifest, "dependencies.either", "*")


def test_fresh_project_passes(shared: Project, auditor: Auditor) -> None:
    status, output = auditor.run(shared)
    assert (status, "warning[" in output) == (0, False), output


@pytest.mark.parametrize(
    ("plant_fault", "expected"),
    [
        (plant_vulnerable, ["RUSTSEC-2026-9001", "smallvec 1.13.1", "PYSEC-2026-9001", "humanize 4.9.0"]),
        (plant_refused, ["GPL-3.0-only", "gpl v1.0.0", "source-not-allowed", "remote 1.0.0", "wildcard", "either"]),
    ],
)
def test_audit_names(
    plant_fault: Callable[[Project], None], expected: list[str], project: Project, auditor: Auditor
) -> None:
    plant_fault(project)
    lock(project)
    status, output = auditor.run(project)
    assert status != 0
    assert [culprit for culprit in expected if culprit not in output] == [], output


def test_advisories_can_be_ignored(project: Project, auditor: Auditor) -> None:
    plant_vulnerable(project)
    lock(project)
    merge(project, "deny.toml", "advisories.ignore", [{"id": "RUSTSEC-2026-9001", "reason": "planted"}])
    plant(project.folder, "sessions/audit.py", "tuple[str, ...] = ()", 'tuple[str, ...] = ("PYSEC-2026-9001",)')
    status, output = auditor.run(project)
    assert status == 0, output


def test_unreachable_database_fails(project: Project, auditor: Auditor, tmp_path: Path) -> None:
    merge(project, "deny.toml", "advisories.db-path", str(tmp_path))
    missing = f"url.{(tmp_path / 'missing').as_uri()}.insteadOf"
    status, output = auditor.run(project, GIT_CONFIG_KEY_0=missing)
    assert status != 0
    assert "failed to fetch advisory database" in output


def test_unreachable_service_fails(project: Project, auditor: Auditor) -> None:
    status, output = auditor.run(project, PIP_AUDIT_OSV_URL="http://127.0.0.1:9/v1/query")
    assert status != 0
    assert "Connection refused" in output


def test_missing_lock_fails(project: Project, auditor: Auditor) -> None:
    project.run("git", "rm", "--quiet", "Cargo.lock", "uv.lock")
    status, output = auditor.run(project)
    assert status != 0
    assert "Unable to find lockfile at `uv.lock`" in output


def test_missing_tool_says_how_to_install(project: Project, auditor: Auditor, tmp_path: Path) -> None:
    for name in ("git", "nox", "uv"):
        (tmp_path / name).symlink_to(shutil.which(name, path=clean_environment()["PATH"]) or name)
    status, output = auditor.run(project, PATH=f"{tmp_path}:/usr/bin:/bin")
    assert status != 0
    assert "`cargo install --locked cargo-deny` installs it" in output


def test_workflow_runs_the_session(
    source: Path, target: Path, sandboxes: Sandboxes, auditor: Auditor, tmp_path: Path
) -> None:
    sandbox = sandboxes.new(pythons=("3.11",))
    shutil.copy(auditor.cargo_deny, sandbox.tools / "cargo-deny")
    sandbox.serve(DATABASE, auditor.database)
    project = new_project(source, tmp_path / "quickstats", {"upkeep": ["audit"]}, target)
    lock(project)
    project.commit("Lock")
    service = {name: value for name, value in auditor.variables.items() if name.startswith("PIP_AUDIT")}
    outcome = sandbox.act(project, "audit", "schedule", environment=service)
    assert outcome.results == {"audit": "success"}, outcome.log
    assert "No known vulnerabilities found" in outcome.log


def test_ignored_list_is_empty() -> None:
    assert "IGNORED: tuple[str, ...] = ()" in (ROOT / "template" / "sessions" / "audit.py").read_text("utf-8")
