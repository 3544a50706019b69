"""Is a release that lacks a wheel, or has one too many, stopped before anybody gets it?"""

from __future__ import annotations

import json
import os
import re
import sys
from itertools import product
from pathlib import Path

import pytest

from template import ROOT, Project, render, run
from workflows import workflows

SCRIPT = ROOT / "template" / "tools" / "complete.py"
TAGS = ["cp311-abi3", "cp314-cp314t", "cp315-abi3.abi3t"]
PLATFORMS = {
    "manylinux_x86_64": "manylinux_2_17_x86_64.manylinux2014_x86_64",
    "musllinux_aarch64": "musllinux_1_2_aarch64",
    "macosx_arm64": "macosx_11_0_arm64",
    "win_amd64": "win_amd64",
}
NAMES = [f"quickstats-0.2.0-{tag}-{platform}.whl" for tag, platform in product(TAGS, PLATFORMS.values())]
WHOLE = ["quickstats-0.2.0.tar.gz", *NAMES]


def complete(folder: Path, names: list[str]) -> tuple[int, str]:
    """Compare a folder with files of these names to a release for four platforms."""
    for name in names:
        (folder / name).touch()
    options = [*(f"--tag={tag}" for tag in TAGS), *(f"--platform={platform}" for platform in PLATFORMS)]
    done = run(sys.executable, SCRIPT, folder, *options, cwd=folder, check=False)
    return done.returncode, done.stdout


def test_a_whole_release_is_complete(tmp_path: Path) -> None:
    assert complete(tmp_path, WHOLE) == (0, "The release is complete: 13 files.\n")


@pytest.mark.parametrize("missing", WHOLE)
def test_a_missing_file_is_named(missing: str, tmp_path: Path) -> None:
    status, said = complete(tmp_path, [name for name in WHOLE if name != missing])
    what = re.sub(r"-(\w+?)_[0-9_]+_(\w+?)(\..*)?\.whl", r"-\1_\2", missing).removesuffix(".whl")
    assert status == 1
    assert (f"nothing is there for {what}" if missing in NAMES else "one sdist is needed: there is none") in said


@pytest.mark.parametrize(
    "stranger",
    [
        "quickstats-0.2.0-cp311-abi3-linux_x86_64.whl",
        "quickstats-0.2.0-cp311-abi3-win_arm64.whl",
        "quickstats-0.2.0-cp312-cp312-win_amd64.whl",
        "quickstats-0.1.0-cp311-abi3-win_amd64.whl",
        "release.md",
    ],
)
def test_a_file_too_many_is_named(stranger: str, tmp_path: Path) -> None:
    status, said = complete(tmp_path, [*WHOLE, stranger])
    assert status == 1
    assert f"{stranger} belongs to no platform of this release" in said


def test_two_files_for_one_platform_are_named(tmp_path: Path) -> None:
    status, said = complete(tmp_path, [*WHOLE, "quickstats-0.2.0-cp311-abi3-manylinux_2_28_x86_64.whl"])
    assert status == 1
    assert "cp311-abi3-manylinux_2_28_x86_64.whl" in said


def test_the_matrix_builds_what_a_release_has(default: Project) -> None:
    matrix = workflows(default.folder)["wheels"].jobs["wheel"]["strategy"]["matrix"]["include"]
    code = "import json, noxfile; print(json.dumps([list(noxfile.PLATFORMS), list(noxfile.RARE)]))"
    common, rare = json.loads(default.run(sys.executable, "-B", "-c", code).stdout)
    assert [row["target"] for row in matrix] == common
    assert {*common, *rare} <= set(default.run("rustc", "--print", "target-list").stdout.split())


@pytest.mark.parametrize("lowest", ["3.10", "3.11"])
def test_uv_has_every_python_for_every_platform(lowest: str, source: Path, tmp_path: Path) -> None:
    """What `verify -- --fetch` asks for on each runner: one that is not to be had would stop the release there."""
    project = Project(render(source, tmp_path / "quickstats", {"python": lowest}), {})
    listed = project.run(
        "uv", "python", "list", "--all-platforms", "--all-arches", "--only-downloads", "--output-format=json"
    )
    had = {
        (f"{major}.{minor}{'t' * (row['variant'] == 'freethreaded')}", row["os"], row["arch"], row["libc"])
        for row in json.loads(listed.stdout)
        for major, minor in [row["version"].split(".")[:2]]
        if row["implementation"] == "cpython"
    }
    code = "import json, noxfile; print(json.dumps([list(noxfile.PLATFORMS), noxfile.PYTHONS]))"
    targets, pythons = json.loads(project.run(sys.executable, "-B", "-c", code).stdout)
    wanted = {(python, *platform(target)) for target, python in product(targets, pythons)}
    assert wanted - had == ({("3.10", "windows", "aarch64", "none")} if lowest == "3.10" else set())


def platform(target: str) -> tuple[str, str, str]:
    """Say of a target what uv says of a Python."""
    arch, _, system = target.partition("-")
    if "linux" in system:
        return "linux", arch, system.rpartition("-")[2]
    return "macos" if "darwin" in system else "windows", arch, "none"


def test_a_python_that_uv_has_not_is_left_out(default: Project, tmp_path: Path) -> None:
    """As on Windows for Arm: what stands for uv has no 3.11 there, and the wheel for it is built by another."""
    uv = tmp_path / "uv"
    uv.write_text(
        '#!/bin/sh\ncase "$*" in *list*3.11) ;; *list*) echo one ;; *) echo "$*" >> "$0.log"; echo /folder ;; esac\n',
        "utf-8",
    )
    uv.chmod(0o755)
    code = (
        "import sys; sys.path.insert(0, 'tools'); import verify, wheels\n"
        "sys.platform = 'win32'; verify.fetch(['3.11', '3.12'])\n"
        "print([wheels.interpreter('3.11') == sys.executable, wheels.interpreter('3.14t')])\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    done = default.run(sys.executable, "-B", "-c", code, PATH=path)
    assert done.stdout.splitlines()[-1] == "[True, '/folder']"
    asked = (tmp_path / "uv.log").read_text("utf-8").splitlines()
    assert asked == [
        *("python install --quiet 3.12", "python dir --bin"),
        *("python install --quiet 3.14t", "python find 3.14t"),
    ]
