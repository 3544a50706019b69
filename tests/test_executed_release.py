"""Does release.yml publish a tag, complete an interrupted upload, and stop at faults? In the sandbox."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from conftest import new_project

from planting import append, replace
from sandbox import Outcome, Sandbox, Sandboxes, lock, only_pythons
from servers import SECRET, USER, breaking, private_index
from template import Project, run

pytestmark = pytest.mark.slow

TAG = "v0.1.0"
HERE = "x86_64-unknown-linux-gnu"
UPLOADS = "https://upload.pypi.org/legacy/"
FAMILIES = ("cp311-abi3", "cp314-cp314t", "cp315-abi3.abi3t")
# What cannot run here, the platform in the names of the files that replace its wheels, and why.
ELSEWHERE = {
    "x86_64-unknown-linux-musl": ("musllinux_1_2_x86_64", "needs the standard library of Rust for musl"),
    "aarch64-unknown-linux-gnu": ("manylinux_2_17_aarch64.manylinux2014_aarch64", "needs an Arm machine"),
    "aarch64-unknown-linux-musl": ("musllinux_1_2_aarch64", "needs an Arm machine"),
    "x86_64-apple-darwin": ("macosx_10_12_x86_64", "needs macOS"),
    "aarch64-apple-darwin": ("macosx_11_0_arm64", "needs macOS"),
    "x86_64-pc-windows-msvc": ("win_amd64", "needs Windows"),
    "aarch64-pc-windows-msvc": ("win_arm64", "needs Windows"),
}
NOT_HERE = {target: reason for target, (_, reason) in ELSEWHERE.items()}
FILES = len(FAMILIES) * (1 + len(ELSEWHERE)) + 1
SDIST, WHEEL = "wheels / sdist", f"wheels / wheels for {HERE}"
BUILT = dict.fromkeys([SDIST, WHEEL], "success")
RELEASED = {**BUILT, "publish": "success", "release page": "success"}
# Sessions that build nothing, for faults of the workflow and not of what it builds.
QUICK = """

@nox.session(venv_backend="none")
def wheel(session: nox.Session) -> None:
    shutil.copytree(ROOT / "built" / "dist-x86_64-unknown-linux-gnu", DIST)


@nox.session(venv_backend="none")
def release(session: nox.Session) -> None:
    DIST.mkdir()
    shutil.copy(next(ROOT.glob("built/*.tar.gz")), DIST)


@nox.session(venv_backend="none")
def test(session: nox.Session) -> None:
    assert os.environ["WHEELS"]
"""


@pytest.fixture(scope="module")
def sandbox(sandboxes: Sandboxes) -> Sandbox:
    """Give one sandbox to all tests, with the lowest Python."""
    return sandboxes.new(pythons=("3.11",))


@pytest.fixture(scope="module")
def begun(sandbox: Sandbox, source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a project whose first release is tagged."""
    project = new_project(source, tmp_path_factory.mktemp("release") / "quickstats", {}, target)
    only_pythons(project, *sandbox.pythons)
    lock(project)
    replace("CHANGELOG.md", "## [Unreleased]\n", "## [0.1.0] - 2026-12-01\n")(project)
    project.commit("Release")
    project.run("git", "tag", TAG)
    return project


def write_wheels(folder: Path, target: str, platform: str) -> None:
    """Write an artifact with wheels that contain nothing but a name."""
    (folder / f"dist-{target}").mkdir(parents=True)
    for family in FAMILIES:
        path = folder / f"dist-{target}" / f"quickstats-0.1.0-{family}-{platform}.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr("quickstats-0.1.0.dist-info/METADATA", "Name: quickstats\nVersion: 0.1.0\n")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Make the artifacts of the jobs that run on other systems."""
    for target, (platform, _) in ELSEWHERE.items():
        write_wheels(tmp_path / "elsewhere", target, platform)
    return tmp_path / "elsewhere"


@pytest.fixture
def quick(begun: Project, tmp_path: Path) -> Project:
    """Give a clone whose sessions take files that are in the repository."""
    project = begun.clone(tmp_path / "quickstats")
    write_wheels(project.folder / "built", HERE, "manylinux_2_17_x86_64.manylinux2014_x86_64")
    (project.folder / "built" / "quickstats-0.1.0.tar.gz").touch()
    append("noxfile.py", QUICK)(project)
    retag(project)
    return project


def retag(project: Project) -> None:
    """Commit all changes, and move the tag to them."""
    project.commit("Plant")
    project.run("git", "tag", "--force", TAG)


def release(sandbox: Sandbox, project: Project, artifacts: Path, upload: str = "", tag: str = TAG) -> Outcome:
    """Run the workflow as the push of a tag does, or without a tag as a start by hand."""
    return sandbox.act(
        project,
        "release",
        "push" if tag else "workflow_dispatch",
        tag=tag or None,
        matrix={"target": HERE},
        artifacts=artifacts,
        indexes={UPLOADS: upload},
        environment={"TWINE_USERNAME": USER, "TWINE_PASSWORD": SECRET},
    )


def test_tag_is_released_and_installed(sandbox: Sandbox, begun: Project, elsewhere: Path, tmp_path: Path) -> None:
    with private_index(tmp_path) as index:
        outcome = release(sandbox, begun, elsewhere, index.url)
        assert outcome.results == RELEASED, outcome.log
        assert len(index.files()) == FILES
        assert outcome.attested == index.files()
        page = sandbox.github / "releases" / TAG
        assert sorted(path.name for path in page.iterdir()) == index.files()
        (record,) = json.loads((sandbox.github / "releases.json").read_text("utf-8"))
        assert (record["tagName"], record["isDraft"]) == (TAG, False)
        assert record["body"].strip().startswith("### Added")
        address = f"{index.url}/simple/".replace("http://", f"http://{USER}:{SECRET}@")
        run("uv", "venv", "--quiet", "--python=3.11", "env", cwd=tmp_path)
        pip = ("uv", "pip", "install", "--python=env", "--no-cache", "--only-binary=:all:")
        run(*pip, "--default-index", address, "quickstats==0.1.0", cwd=tmp_path)
    code = "import quickstats; print(quickstats.__version__, quickstats.summarize([1.0, 2.0]).mean)"
    assert run(tmp_path / "env" / "bin" / "python", "-c", code, cwd=tmp_path).stdout == "0.1.0 1.5\n"


def test_interrupted_upload_is_completed(sandboxes: Sandboxes, quick: Project, elsewhere: Path, tmp_path: Path) -> None:
    sandbox = sandboxes.new(pythons=("3.11",))
    with private_index(tmp_path) as index:
        with breaking(index.url, after=5) as url:
            first = release(sandbox, quick, elsewhere, url)
        assert first.results == {**BUILT, "publish": "failure"}, first.log
        assert len(index.files()) == 5, "the upload was not interrupted"
        assert not (sandbox.github / "releases").exists()
        again = release(sandbox, quick, elsewhere, index.url)
        assert again.results == RELEASED, again.log
        assert len(index.files()) == FILES


def test_wrong_tag_builds_no_wheel(sandbox: Sandbox, begun: Project, elsewhere: Path, tmp_path: Path) -> None:
    project = begun.clone(tmp_path / "quickstats")
    project.run("git", "tag", "v0.3.0")
    outcome = release(sandbox, project, elsewhere, tag="v0.3.0")
    assert outcome.results == {SDIST: "failure"}
    assert "v0.3.0 is not v0.1.0" in outcome.log


def test_missing_wheel_stops_the_release(sandbox: Sandbox, quick: Project, elsewhere: Path) -> None:
    next(elsewhere.glob("dist-aarch64-apple-darwin/*.whl")).unlink()
    outcome = release(sandbox, quick, elsewhere)
    assert outcome.results == {**BUILT, "publish": "failure"}, outcome.log
    assert outcome.attested == []


def test_failing_test_stops_the_release(sandbox: Sandbox, quick: Project, elsewhere: Path) -> None:
    replace("noxfile.py", 'assert os.environ["WHEELS"]', 'session.error("planted")')(quick)
    retag(quick)
    outcome = release(sandbox, quick, elsewhere)
    assert outcome.results == {SDIST: "success", WHEEL: "failure"}, outcome.log


def test_nothing_is_published_without_a_tag(sandbox: Sandbox, quick: Project, elsewhere: Path) -> None:
    outcome = release(sandbox, quick, elsewhere, tag="")
    assert outcome.results == BUILT, outcome.log
