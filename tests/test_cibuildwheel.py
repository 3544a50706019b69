"""Does `ci: cibuildwheel` build what it says, on every platform as far as can be told from here?"""

from __future__ import annotations

import json
import os
import sys
import tomllib
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest
from conftest import new_project
from jsonschema import validate

from checks import find_tool
from planting import Plant, append, replace
from sandbox import Outcome, Sandbox, Sandboxes, lock
from template import ROOT, Project, run

HERE = "x86_64-unknown-linux-gnu"
WHEEL = f"wheels for {HERE}"
PLATFORMS: dict[str, dict[str, tuple[str, ...]]] = {
    "linux": {
        "x86_64": ("manylinux_x86_64", "musllinux_x86_64"),
        "aarch64": ("manylinux_aarch64", "musllinux_aarch64"),
    },
    "macos": {"x86_64": ("macosx_x86_64",), "arm64": ("macosx_arm64",)},
    "windows": {"AMD64": ("win_amd64",), "ARM64": ("win_arm64",)},
}


@pytest.fixture(scope="module")
def begun(source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a project whose version is git's: what builds by PEP 517 knows it."""
    answers = {"ci": "cibuildwheel", "version": "git"}
    project = lock(new_project(source, tmp_path_factory.mktemp("cibuildwheel") / "quickstats", answers, target))
    project.run("git", "tag", "v0.3.0")
    return project


@pytest.mark.parametrize("platform", PLATFORMS)
def test_three_wheels_are_built_for_each_platform(platform: str, begun: Project) -> None:
    for machine, systems in PLATFORMS[platform].items():
        command = ("cibuildwheel", "--print-build-identifiers", "--platform", platform, "--archs", machine)
        named = run(find_tool("cibuildwheel"), *command[1:], cwd=begun.folder).stdout.split()
        assert named == [f"{tag}-{system}" for system in systems for tag in ("cp311", "cp314t", "cp315t")]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_nothing_of_32_bits_is_built(platform: str, begun: Project) -> None:
    command = ("--print-build-identifiers", "--platform", platform)
    named = run(find_tool("cibuildwheel"), *command, cwd=begun.folder).stdout.split()
    assert named and not [name for name in named if name.endswith(("win32", "i686", "armv7l"))]


def test_the_table_keeps_to_the_schema(begun: Project) -> None:
    table = tomllib.loads(begun.read("pyproject.toml"))["tool"]["cibuildwheel"]
    schema = json.loads((files("cibuildwheel") / "resources" / "cibuildwheel.schema.json").read_text("utf-8"))
    validate(table, schema)


def test_what_prepares_an_image_is_clean_to_shellcheck(begun: Project, tmp_path: Path) -> None:
    table = tomllib.loads(begun.read("pyproject.toml"))["tool"]["cibuildwheel"]
    (tmp_path / "prepare.sh").write_text(f"#!/bin/sh\n{table['linux']['before-all']}\n", "utf-8")
    run(find_tool("shellcheck"), tmp_path / "prepare.sh", cwd=tmp_path)


@pytest.mark.parametrize(
    ("manager", "said"),
    [
        ("dnf", "dnf install --assumeyes xz-devel"),
        ("apk", "apk add xz-dev"),
        ("apt-get", "apt-get update\napt-get install --yes liblzma-dev"),
    ],
)
def test_the_script_of_the_page_knows_every_image(manager: str, said: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "build-wheels-in-ci.md").read_text("utf-8")
    script = page.partition("```sh\n")[2].partition("```")[0]
    (tmp_path / "script.sh").write_text(f"#!/bin/sh\nset -e\n{script}", "utf-8")
    run(find_tool("shellcheck"), tmp_path / "script.sh", cwd=tmp_path)
    (tmp_path / manager).write_text('#!/bin/sh\necho "${0##*/} $*"\n', "utf-8")
    (tmp_path / manager).chmod(0o755)
    done = run("/bin/sh", tmp_path / "script.sh", cwd=tmp_path, PATH=str(tmp_path))
    assert done.stdout.removeprefix(f"{tmp_path / manager}\n").strip() == said


def test_session_takes_no_target_that_it_does_not_know(begun: Project) -> None:
    done = begun.run("nox", "--session", "wheel", "--", "--target", "wasm32-wasip2", check=False)
    assert done.returncode
    assert "cibuildwheel takes `-- --target T`, T one of x86_64-unknown-linux-gnu" in done.stdout


# ---- In the sandbox, with what stands for cibuildwheel.


@pytest.fixture(scope="module")
def sandbox(sandboxes: Sandboxes) -> Sandbox:
    """Give one sandbox to all tests, with the lowest Python."""
    return sandboxes.new(pythons=("3.11",))


@pytest.fixture(scope="module")
def stand_in(sandbox: Sandbox) -> Path:
    """Make a package that takes the place of cibuildwheel, being newer."""
    folder = sandbox.folder / "stand-in"
    folder.mkdir()
    command = [sys.executable, str(ROOT / "tests" / "act" / "builder.py")]
    content = {
        "stand_in.py": f"import os, sys\n\ndef main():\n    os.execv({command[0]!r}, [*{command!r}, *sys.argv[1:]])\n",
        "cibuildwheel-999.dist-info/METADATA": "Metadata-Version: 2.1\nName: cibuildwheel\nVersion: 999\n",
        "cibuildwheel-999.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "cibuildwheel-999.dist-info/entry_points.txt": "[console_scripts]\ncibuildwheel = stand_in:main\n",
        "cibuildwheel-999.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(folder / "cibuildwheel-999-py3-none-any.whl", "w") as wheel:
        for name, text in content.items():
            wheel.writestr(name, text)
    return folder


def build(sandbox: Sandbox, project: Project, stand_in: Path) -> Outcome:
    """Run the job of this platform's wheels; the tests' own commands are what an image would have."""
    beside = os.pathsep.join([str(sandbox.tools), str(Path(sys.executable).parent), "/usr/bin", "/bin"])
    return sandbox.act(
        project,
        "wheels",
        "workflow_dispatch",
        job="wheel",
        matrix={"target": HERE},
        environment={"UV_FIND_LINKS": str(stand_in), "PATH": beside},
    )


@pytest.mark.slow
def test_the_wheels_of_this_platform_are_built_audited_and_tested(
    sandbox: Sandbox, begun: Project, stand_in: Path
) -> None:
    outcome = build(sandbox, begun, stand_in)
    assert outcome.results == {WHEEL: "success"}, outcome.log
    (wheel,) = (outcome.artifacts / f"dist-{HERE}").iterdir()
    assert wheel.name.startswith("quickstats-0.3.0-cp311-abi3-manylinux_")
    assert "abi3audit --strict" in outcome.log
    assert "cp314t-manylinux_x86_64 cannot be built on this machine" in outcome.log
    assert "cp315t-manylinux_x86_64 cannot be built on this machine" in outcome.log


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (append("tests/test_summary.py", "\n\ndef test_planted() -> None:\n    assert False\n"), "1 failed"),
        (
            replace("pyproject.toml", "pytest {project}/tests", "pytest {project}/nothing"),
            "file or directory not found",
        ),
    ],
    ids=["a failing test", "a wrong test command"],
)
def test_job_is_red_after(
    plant: Plant, message: str, sandbox: Sandbox, begun: Project, stand_in: Path, tmp_path: Path
) -> None:
    project = begun.clone(tmp_path / "quickstats")
    plant(project)
    project.commit("Plant")
    outcome = build(sandbox, project, stand_in)
    assert outcome.results == {WHEEL: "failure"}, outcome.log
    assert message in outcome.log
