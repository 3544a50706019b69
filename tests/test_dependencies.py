"""Is what the page on dependencies states true, and are the settings of Dependabot valid?"""

from __future__ import annotations

import re
import shutil
import textwrap
from pathlib import Path

import pytest
import tomlkit
import yaml

from checks import find_tool, plant
from template import ROOT, Project, missing_tool, run

slow = pytest.mark.slow


def test_dependabot_settings_are_valid(tmp_path: Path) -> None:
    file = ROOT / "template" / ".github" / "dependabot.yml"
    command = (find_tool("check-jsonschema"), "--builtin-schema", "vendor.dependabot")
    run(*command, file, cwd=ROOT)
    shutil.copy(file, tmp_path)
    plant(tmp_path, "dependabot.yml", "cooldown:", "cool-down:")
    assert "cool-down" in run(*command, tmp_path / "dependabot.yml", cwd=ROOT, check=False).stdout


def test_dependabot_waits_a_week() -> None:
    settings = yaml.safe_load((ROOT / "template" / ".github" / "dependabot.yml").read_text("utf-8"))
    assert {update["package-ecosystem"] for update in settings["updates"]} == {"cargo", "github-actions", "uv"}
    for update in settings["updates"]:
        assert update["schedule"] == {"interval": "weekly"}
        assert update["cooldown"]["default-days"] >= 7


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
def test_requirement_allows(crate: str, requirement: str, allowed: str, refused: str, tmp_path: Path) -> None:
    project = bare(tmp_path / "planted", manifest=f'[dependencies]\n{crate} = "{requirement}"\n')
    update = ("cargo", "update", "--package", crate, "--precise")
    project.run(*update, allowed)
    assert f"{crate} v{allowed}" in project.run("cargo", "tree").stdout
    done = project.run(*update, refused, check=False)
    assert done.returncode != 0
    assert "failed to select a version for the requirement" in done.stdout


@slow
def test_crate_comes_from_folder_or_repository(tmp_path: Path) -> None:
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
    [("3.13", "linux", {"backports-zstd"}), ("3.14", "linux", set()), ("3.14", "windows", {"pywin32"})],
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
def test_pkg_config_finds_library_or_names_it(tmp_path: Path) -> None:
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
def test_bundled_c_library_is_linked_statically(tmp_path: Path) -> None:
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
def test_requirements_have_hashes_and_stale_list_fails(project: Project) -> None:
    project.run("uv", "lock", "--quiet")
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
