"""Does `ci: cibuildwheel` build three wheels for each platform, and test them?"""

from __future__ import annotations

import importlib.util
import json
import sys
import tomllib
import zipfile
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import pytest
from conftest import new_project

from checks import find_tool
from planting import append
from sandbox import lock
from template import ROOT, Project, run
from workflows import matrix, workflows

CONFIG = "sessions/cibuildwheel.toml"
PLATFORMS = {"linux-gnu": "linux", "linux-musl": "linux", "apple-darwin": "macos", "windows-msvc": "windows"}


@pytest.fixture(scope="module")
def begun(source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a project whose version is in git: cibuildwheel builds with the project's own build backend."""
    answers = {"ci": "cibuildwheel", "version": "git"}
    project = lock(new_project(source, tmp_path_factory.mktemp("cibuildwheel") / "quickstats", answers, target))
    project.run("git", "tag", "v0.3.0")
    return project


@pytest.fixture(scope="module")
def session(begun: Project) -> ModuleType:
    """Give the module of the session."""
    spec = importlib.util.spec_from_file_location("session", begun.folder / "sessions" / "cibuildwheel.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def identifiers(project: Project, platform: str, **variables: str) -> list[str]:
    """List the builds that the configuration chooses."""
    command = ("--config-file", CONFIG, "--print-build-identifiers", "--platform", platform)
    return run(find_tool("cibuildwheel"), *command, cwd=project.folder, check=True, **variables).stdout.split()


def test_each_target_has_three_wheels(begun: Project, session: ModuleType) -> None:
    targets = matrix(workflows(begun.folder)["wheels"].jobs["wheel"], "target")
    assert session.PLATFORMS.keys() == targets
    for target, platform in session.PLATFORMS.items():
        system = next(name for end, name in PLATFORMS.items() if target.endswith(end))
        chosen = " ".join(build.replace("*", platform) for build in session.BUILDS)
        found = identifiers(begun, system, CIBW_ARCHS="all", CIBW_BUILD=chosen)
        assert found == [f"{tag}-{platform}" for tag in ("cp311", "cp314t", "cp315t")]


@pytest.mark.parametrize("platform", sorted(set(PLATFORMS.values())))
def test_nothing_is_built_for_32_bits(platform: str, begun: Project) -> None:
    found = identifiers(begun, platform)
    assert found and not [name for name in found if name.endswith(("win32", "i686", "armv7l"))]


def test_configuration_fits_the_schema(begun: Project, tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text(json.dumps(tomllib.loads(begun.read(CONFIG))["tool"]["cibuildwheel"]))
    schema = files("cibuildwheel") / "resources" / "cibuildwheel.schema.json"
    run(find_tool("check-jsonschema"), "--schemafile", str(schema), "table.json", cwd=tmp_path)


def test_image_is_prepared_by_clean_shell(begun: Project, tmp_path: Path) -> None:
    table = tomllib.loads(begun.read(CONFIG))["tool"]["cibuildwheel"]
    (tmp_path / "prepare.sh").write_text(f"#!/bin/sh\n{table['linux']['before-all']}\n", "utf-8")
    run(find_tool("shellcheck"), tmp_path / "prepare.sh", cwd=tmp_path)


@pytest.mark.parametrize(
    ("manager", "output"),
    [
        ("dnf", "dnf install --assumeyes xz-devel"),
        ("apk", "apk add xz-dev"),
        ("apt-get", "apt-get update\napt-get install --yes liblzma-dev"),
    ],
)
def test_documented_script_knows_every_image(manager: str, output: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "build-wheels-in-ci.md").read_text("utf-8")
    script = page.partition("```sh\n")[2].partition("```")[0]
    (tmp_path / "script.sh").write_text(f"#!/bin/sh\nset -e\n{script}", "utf-8")
    run(find_tool("shellcheck"), tmp_path / "script.sh", cwd=tmp_path)
    (tmp_path / manager).write_text('#!/bin/sh\necho "${0##*/} $*"\n', "utf-8")
    (tmp_path / manager).chmod(0o755)
    done = run("/bin/sh", tmp_path / "script.sh", cwd=tmp_path, PATH=str(tmp_path))
    assert done.stdout.removeprefix(f"{tmp_path / manager}\n").strip() == output


# ---- The session, with a stub of cibuildwheel.


def test_unknown_target_is_refused(begun: Project) -> None:
    done = begun.run("nox", "--session", "wheel", "--", "--target", "wasm32-wasip2", check=False)
    assert done.returncode
    assert "expected `-- --target TRIPLE`, TRIPLE one of x86_64-unknown-linux-gnu" in done.stdout


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a package that replaces cibuildwheel, as its version is higher."""
    folder = tmp_path_factory.mktemp("stub")
    command = [sys.executable, str(ROOT / "tests" / "act" / "builder.py")]
    content = {
        "stub.py": f"import os, sys\n\ndef main():\n    os.execv({command[0]!r}, [*{command!r}, *sys.argv[1:]])\n",
        "cibuildwheel-999.dist-info/METADATA": "Metadata-Version: 2.1\nName: cibuildwheel\nVersion: 999\n",
        "cibuildwheel-999.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "cibuildwheel-999.dist-info/entry_points.txt": "[console_scripts]\ncibuildwheel = stub:main\n",
        "cibuildwheel-999.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(folder / "cibuildwheel-999-py3-none-any.whl", "w") as wheel:
        for name, text in content.items():
            wheel.writestr(name, text)
    return folder


def build(project: Project, stub: Path, *, check: bool = True) -> str:
    """Run the session for this platform, and give what it prints."""
    command = ("nox", "--session", "wheel", "--", "--target", "x86_64-unknown-linux-gnu")
    return project.run(*command, check=check, UV_FIND_LINKS=str(stub)).stdout


@pytest.mark.slow
def test_wheels_are_built_audited_and_tested(begun: Project, stub: Path) -> None:
    output = build(begun, stub)
    (wheel,) = (begun.folder / "dist").iterdir()
    assert wheel.name.startswith("quickstats-0.3.0-cp311-abi3-manylinux_")
    assert "abi3audit --strict" in output
    assert "cp314t-manylinux_x86_64 cannot be built on this machine" in output
    assert "cp315t-manylinux_x86_64 cannot be built on this machine" in output


@pytest.mark.slow
def test_failing_test_fails_the_session(begun: Project, stub: Path, tmp_path: Path) -> None:
    project = begun.clone(tmp_path / "quickstats")
    (project.folder / "target").symlink_to((begun.folder / "target").resolve())
    append("tests/test_summary.py", "\n\ndef test_planted() -> None:\n    assert False\n")(project)
    assert "1 failed" in build(project, stub, check=False)
    assert not (project.folder / "dist").exists()
