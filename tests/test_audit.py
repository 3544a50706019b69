"""Does the audit turn red on what must not be among the dependencies, and is what the pages say of them true?"""

from __future__ import annotations

import json
import re
import shutil
import textwrap
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import tomlkit
import yaml
from conftest import new_project

from checks import find_tool
from template import ROOT, Project, missing_tool, render, run

slow = pytest.mark.slow

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


class Service(BaseHTTPRequestHandler):
    """Stand in for OSV: humanize 4.9.0 has a fault."""

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
        """Say nothing."""


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """Serve it on loopback, and give its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


def repository(folder: Path, files: dict[str, str]) -> Path:
    """Make a git repository of some files."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    run("git", "init", "--quiet", "--initial-branch=main", cwd=folder)
    Project(folder, {}).commit()
    return folder


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a database of advisories as RustSec's is laid out: smallvec before 1.13.2 has a fault."""
    folder = tmp_path_factory.mktemp("advisories")
    return repository(folder, {"crates/smallvec/RUSTSEC-2026-9001.md": ADVISORY})


def lock(project: Project) -> None:
    """Bring both locks up to the manifests."""
    project.run("cargo", "update", "--quiet", "--workspace")
    project.run("uv", "lock", "--quiet")


@pytest.fixture(scope="module")
def shared(source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give one project for all faults."""
    project = new_project(source, tmp_path_factory.mktemp("audit") / "quickstats", {}, target)
    lock(project)
    project.commit("Lock")
    return project


def merge(project: Project, path: str, key: str, value: Any) -> None:
    """Change a key of a TOML file."""
    document: Any = tomlkit.parse(project.read(path))
    *parents, last = key.split(".")
    table = document
    for parent in parents:
        table = table.setdefault(parent, tomlkit.table())
    table[last] = value
    (project.folder / path).write_text(tomlkit.dumps(document), "utf-8")


CRATE = '[package]\nname = "planted"\nversion = "1.0.0"\nedition = "2024"\nlicense = "{}"\n'


def plant_vulnerable_crate(project: Project) -> None:
    merge(project, "Cargo.toml", "dependencies.smallvec", "=1.13.1")


def plant_gpl_crate(project: Project) -> None:
    folder = project.folder / "vendored" / "planted"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "lib.rs").touch()
    (folder / "Cargo.toml").write_text(CRATE.format("GPL-3.0-only") + "publish = false\n")
    merge(
        project,
        "Cargo.toml",
        "dependencies.planted",
        {"path": "vendored/planted", "version": "1.0.0"},
    )


def plant_git_source(project: Project) -> None:
    folder = repository(project.folder / "dist", {"Cargo.toml": CRATE.format("MIT"), "src/lib.rs": ""})
    merge(project, "Cargo.toml", "dependencies.planted", {"git": folder.as_uri()})


def plant_wildcard(project: Project) -> None:
    merge(project, "Cargo.toml", "dependencies.smallvec", "*")


def plant_vulnerable_package(project: Project) -> None:
    merge(project, "pyproject.toml", "dependency-groups.test", ["humanize==4.9.0", "pytest"])


FAULTS: dict[str, tuple[Callable[[Project], None], tuple[str, ...]]] = {
    "a vulnerable crate": (
        plant_vulnerable_crate,
        ("RUSTSEC-2026-9001", "smallvec 1.13.1", "`cargo update`"),
    ),
    "a GPL crate": (plant_gpl_crate, ("GPL-3.0-only", "planted v1.0.0", "tools/deny.toml forbids")),
    "a git source": (
        plant_git_source,
        ("source-not-allowed", "planted 1.0.0", "tools/deny.toml forbids"),
    ),
    "a version that nobody named": (
        plant_wildcard,
        ("wildcard", "smallvec", "tools/deny.toml forbids"),
    ),
    "a vulnerable package": (
        plant_vulnerable_package,
        ("PYSEC-2026-9001", "humanize 4.9.0", "--upgrade-package"),
    ),
}


def audit(project: Project, *arguments: str | Path) -> tuple[int, str]:
    """Run the session."""
    done = project.run("nox", "--reuse-venv=yes", "--session", "audit", "--", *arguments, check=False)
    return done.returncode, done.stdout


@slow
@pytest.mark.parametrize("fault", FAULTS)
def test_audit_turns_red_on(fault: str, project: Project, database: Path, service: str) -> None:
    plant, culprits = FAULTS[fault]
    plant(project)
    lock(project)
    status, output = audit(project, "--database", database, "--service", service)
    assert status != 0
    assert [culprit for culprit in culprits if culprit not in output] == [], output
    assert sum(line.startswith(("crates: ", "packages: ")) for line in output.splitlines()) == 1, output


@slow
@pytest.mark.parametrize("layout", ["mixed", "workspace"])
def test_a_project_that_nobody_touched_is_clean(
    layout: str, source: Path, target: Path, database: Path, service: str, tmp_path: Path
) -> None:
    answers = {"layout": layout, "extras": ["numpy", "rayon"] if layout == "workspace" else []}
    project = new_project(source, tmp_path / "project", answers, target)
    lock(project)
    status, output = audit(project, "--database", database, "--service", service)
    assert "No advisory, licence or source that must not be there." in output
    assert status == 0
    assert "warning[" not in output


@slow
@pytest.mark.parametrize("missing", ["database", "service", "locks"])
def test_audit_is_red_and_says_what_to_do_without_its(
    missing: str, project: Project, database: Path, service: str, tmp_path: Path
) -> None:
    if missing == "locks":
        project.run("git", "rm", "--quiet", "Cargo.lock", "uv.lock")
    status, output = audit(
        project,
        *("--database", tmp_path if missing == "database" else database),
        *("--service", "http://127.0.0.1:9/v1/query" if missing == "service" else service),
    )
    assert status != 0
    said = {
        "database": f"crates: no advisories. {tmp_path} could not be had as a git repository; `--database FOLDER`",
        "service": "packages: no advisories. http://127.0.0.1:9/v1/query does not answer: ",
        "locks": "there is no Cargo.lock: `just lock` makes it\nthere is no uv.lock: `just lock` makes it",
    }
    assert said[missing] in output
    assert "Traceback" not in output


@slow
def test_an_advisory_can_be_ignored_for_a_reason(project: Project, database: Path, service: str) -> None:
    plant_vulnerable_crate(project)
    plant_vulnerable_package(project)
    lock(project)
    merge(project, "tools/deny.toml", "advisories.ignore", [{"id": "RUSTSEC-2026-9001", "reason": "planted"}])
    script = project.read("tools/audit.py")
    ignored = script.replace("IGNORED: dict[str, str] = {}", 'IGNORED = {"PYSEC-2026-9001": "planted"}')
    assert ignored != script
    (project.folder / "tools" / "audit.py").write_text(ignored, "utf-8")
    status, output = audit(project, "--database", database, "--service", service)
    assert (status, "PYSEC" in output) == (0, False), output


# ---- What raises.


def test_bots_are_told_what_exists(source: Path, tmp_path: Path) -> None:
    folder = render(source, tmp_path / "project") / ".github"
    for name, schema in {"dependabot.yml": "dependabot", "renovate.json": "renovate"}.items():
        run(find_tool("check-jsonschema"), "--builtin-schema", f"vendor.{schema}", folder / name, cwd=folder)
    fault = tmp_path / "dependabot.yml"
    fault.write_text((folder / "dependabot.yml").read_text("utf-8").replace("cooldown:", "cool-down:"), "utf-8")
    checker = (find_tool("check-jsonschema"), "--builtin-schema", "vendor.dependabot", fault)
    assert "cool-down" in run(*checker, cwd=folder, check=False).stdout


def test_one_bot_owns_the_pins_and_the_other_the_template(source: Path, tmp_path: Path) -> None:
    folder = render(source, tmp_path / "project") / ".github"
    updates = yaml.safe_load((folder / "dependabot.yml").read_text("utf-8"))["updates"]
    assert {update["package-ecosystem"] for update in updates} == {"cargo", "github-actions", "uv"}
    for update in updates:
        assert update["schedule"] == {"interval": "weekly"}
        assert update["cooldown"]["default-days"] >= 7
    settings = json.loads((folder / "renovate.json").read_text("utf-8"))
    assert settings.pop("$schema")
    assert settings == {"enabledManagers": ["copier"]}


def test_no_page_begins_a_project_from_a_short_address() -> None:
    # Renovate's manager takes no `gh:` as the address of a template.
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "template" / "README.md.jinja"]
    commands = [line for page in pages for line in page.read_text("utf-8").splitlines() if "copier copy" in line]
    assert commands
    assert [line for line in commands if "gh:" in line] == []


@slow
def test_update_raises_both_locks_and_says_what_changed(project: Project) -> None:
    project.run("cargo", "update", "--package", "libc", "--precise", "0.2.170")
    project.run("uv", "lock", "--upgrade-package", "pygments==2.19.1")
    assert 'name = "pygments"\nversion = "2.19.1"' in project.read("uv.lock")
    done = project.run("just", "update")
    assert re.search(r"Updating libc v0\.2\.170 -> v0\.2\.[1-9]", done.stdout)
    assert re.search(r"Updated pygments v2\.19\.1 -> v2\.[2-9]", done.stdout)
    assert 'version = "0.2.170"' not in project.read("Cargo.lock")
    assert 'version = "2.19.1"' not in project.read("uv.lock")
    assert "libc (MIT OR Apache-2.0)" in project.read("LICENSE-THIRD-PARTY")


# ---- What docs/how-to/manage-dependencies.md says.

PAGE = ROOT / "docs" / "how-to" / "manage-dependencies.md"


def bare(folder: Path, name: str = "planted", manifest: str = "", build: str = "fn main() {}\n") -> Project:
    """Make a crate that links no Python."""
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "lib.rs").touch()
    (folder / "build.rs").write_text(build, "utf-8")
    package = f'[package]\nname = "{name}"\nversion = "1.0.0"\nedition = "2024"\n'
    (folder / "Cargo.toml").write_text(package + manifest, "utf-8")
    return Project(folder, {})


def snippet(language: str, word: str) -> str:
    """Cut the snippet with a word in it out of the page."""
    text = PAGE.read_text("utf-8")
    (found,) = (part for part in re.findall(rf"(?s)```{language}\n(.*?)```", text) if word in part)
    return textwrap.dedent(found)


@slow
@pytest.mark.parametrize(
    ("crate", "requirement", "allowed", "refused"),
    [
        ("either", "1.9", "1.13.0", "1.8.1"),
        ("either", "^1.9", "1.13.0", "1.8.1"),
        ("cfg-if", "0.1.9", "0.1.10", "1.0.0"),
        ("either", "~1.9", "1.9.0", "1.13.0"),
        ("either", "=1.9.0", "1.9.0", "1.13.0"),
        ("either", ">=1.8, <1.10", "1.8.1", "1.13.0"),
        ("either", "1.8.*", "1.8.1", "1.9.0"),
    ],
)
def test_a_requirement_allows(crate: str, requirement: str, allowed: str, refused: str, tmp_path: Path) -> None:
    project = bare(tmp_path / "planted", manifest=f'[dependencies]\n{crate} = "{requirement}"\n')
    update = ("cargo", "update", "--package", crate, "--precise")
    project.run(*update, allowed)
    assert f"{crate} v{allowed}" in project.run("cargo", "tree").stdout
    done = project.run(*update, refused, check=False)
    assert done.returncode != 0
    assert "failed to select a version for the requirement" in done.stdout


@slow
def test_a_crate_comes_from_a_folder_or_a_repository(tmp_path: Path) -> None:
    bare(tmp_path / "other", "other")
    remote = bare(tmp_path / "remote", "remote")
    remote.run("git", "init", "--quiet")
    remote.commit()
    remote.run("git", "tag", "v1.2.0")
    manifest = f"""
[dependencies]
other = {{ path = "../other" }}
remote = {{ git = "{remote.folder.as_uri()}", tag = "v1.2.0" }}
"""
    tree = bare(tmp_path / "planted", manifest=manifest).run("cargo", "tree", "--quiet").stdout
    assert f"other v1.0.0 ({tmp_path / 'other'})" in tree
    assert re.search(r"remote v1\.0\.0 \(file://.*\?tag=v1\.2\.0#[0-9a-f]+\)", tree)


@slow
@pytest.mark.parametrize(
    ("python", "platform", "packages"),
    [("3.10", "linux", {"tomli"}), ("3.11", "linux", set()), ("3.11", "windows", {"pywin32"})],
)
def test_markers_choose_by_python_and_system(python: str, platform: str, packages: set[str], tmp_path: Path) -> None:
    requirements = tomlkit.parse(snippet("toml", "pywin32"))["dependencies"]
    assert isinstance(requirements, list)
    (tmp_path / "requirements.in").write_text("\n".join(requirements), "utf-8")
    compile_ = ("uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "requirements.in")
    pins = run(*compile_, "--python-version", python, "--python-platform", platform, cwd=tmp_path).stdout
    assert {pin.partition("==")[0] for pin in pins.splitlines()} == packages


C_FILE = "int planted(void) { return 42; }\n"
CALLER = 'unsafe extern "C" {\n    safe fn planted() -> i32;\n}\n\npub fn answer() -> i32 {\n    planted()\n}\n'


def caller_of_c(folder: Path, crate: str, build: str) -> Project:
    """Make a program that calls a C library."""
    project = bare(folder, manifest=f"[build-dependencies]\n{crate}\n", build=build)
    (folder / "c").mkdir()
    (folder / "c" / "planted.c").write_text(C_FILE)
    (folder / "src" / "lib.rs").write_text(CALLER)
    (folder / "src" / "main.rs").write_text('fn main() {\n    println!("{}", planted::answer());\n}\n')
    return project


@slow
def test_pkg_config_finds_a_library_of_the_system_or_names_what_is_missing(tmp_path: Path) -> None:
    if not shutil.which("pkg-config") or not shutil.which("cc"):
        missing_tool("pkg-config and a C compiler are needed")
    project = caller_of_c(tmp_path / "planted", 'pkg-config = "0.3"', snippet("rust", "pkg_config"))
    done = project.run("cargo", "build", check=False)
    assert done.returncode != 0
    assert "The system library `planted` required by crate `planted` was not found." in done.stdout
    system = tmp_path / "system"
    system.mkdir()
    run("cc", "-shared", "-o", system / "libplanted.so", project.folder / "c" / "planted.c", cwd=tmp_path)
    description = "Name: planted\nDescription: planted\nVersion: {}\nLibs: -L{} -lplanted\n"
    for version, works in {"1.1": False, "1.3": True}.items():
        (system / "planted.pc").write_text(description.format(version, system))
        variables = {"PKG_CONFIG_PATH": str(system), "LD_LIBRARY_PATH": str(system)}
        done = project.run("cargo", "run", "--quiet", check=False, **variables)
        assert (done.returncode == 0, done.stdout == "42\n") == (works, works), done.stdout
    assert "libplanted.so" in needed(project)


@slow
def test_a_c_library_that_is_built_along_is_needed_by_nobody(tmp_path: Path) -> None:
    if not shutil.which("cc"):
        missing_tool("a C compiler is needed")
    project = caller_of_c(tmp_path / "planted", 'cc = "1"', snippet("rust", "cc::Build"))
    assert project.run("cargo", "run", "--quiet").stdout == "42\n"
    assert "libc.so" in needed(project)
    assert "planted" not in needed(project)


def needed(project: Project) -> str:
    """Name the libraries that the program needs."""
    done = project.run("readelf", "--dynamic", "target/debug/planted")
    return "\n".join(line for line in done.stdout.splitlines() if "(NEEDED)" in line)


@slow
def test_pinned_requirements_have_hashes_and_a_stale_list_is_noticed(project: Project) -> None:
    (export,) = re.findall(r"\$ (uv export .* requirements\.txt)", PAGE.read_text("utf-8"))
    project.run(*export.split())
    pins = re.findall(r"(?m)^([\w-]+)==", project.read("requirements.txt"))
    assert {"pytest", "ruff"} <= set(pins)
    assert project.read("requirements.txt").count("--hash=sha256:") >= len(pins)
    project.run("git", "add", "requirements.txt")
    compare = ("git", "diff", "--exit-code", "requirements.txt")
    project.run(*export.split())
    project.run(*compare)
    project.run("uv", "lock", "--upgrade-package", "pygments==2.19.1")
    project.run(*export.split())
    done = project.run(*compare, check=False)
    assert done.returncode != 0
    assert "+pygments==2.19.1" in done.stdout
