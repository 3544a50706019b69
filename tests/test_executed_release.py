"""Does a release run from the tag to an install, and stop at each fault before it is too late? In the sandbox."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import new_project

from planting import Plant, append, replace
from sandbox import Outcome, Sandbox, Sandboxes, lock
from servers import SECRET, USER, Index, breaking, private_index
from template import Project, run

pytestmark = pytest.mark.slow

TAG = "v0.2.0"
HERE = "x86_64-unknown-linux-gnu"
UPLOADS = "https://upload.pypi.org/legacy/"
FAMILIES = ("cp311-abi3", "cp314-cp314t", "cp315-abi3.abi3t")
# What cannot run here, the platform in the names of the files that stand for its wheels, and why.
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
ABOUT = "Metadata-Version: 2.1\nName: quickstats\nVersion: 0.2.0\nDescription-Content-Type: text/plain\n\nStands in.\n"
WHEEL = f"wheels / wheels for {HERE}"
COMPLETE = "wheels / all that a release has"
BUILD = {"gate", WHEEL, "wheels / sdist", COMPLETE}
ALL = BUILD | {"publish", "release page"}
# Sessions that take what was built before, for faults that are in the workflow and not in what it builds.
QUICK = """

@nox.session(venv_backend="none")
def wheel(session: nox.Session) -> None:
    shutil.copytree(os.environ["BUILT"] + "/dist-x86_64-unknown-linux-gnu", DIST)


@nox.session(venv_backend="none")
def release(session: nox.Session) -> None:
    if "--gate" not in session.posargs:
        shutil.copytree(os.environ["BUILT"] + "/dist-sdist", DIST)
        shutil.copytree(os.environ["BUILT"] + "/report", ROOT / "target")
"""


@pytest.fixture(scope="module")
def sandbox(sandboxes: Sandboxes) -> Sandbox:
    """Give one sandbox to all tests, with the lowest Python."""
    return sandboxes.new(pythons=("3.11",))


@pytest.fixture(scope="module")
def begun(source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a project whose release 0.2.0 is tagged."""
    project = lock(new_project(source, tmp_path_factory.mktemp("release") / "quickstats", {}, target))
    project.run("nox", "--session", "bump", "--", "minor")
    return project


@pytest.fixture
def project(begun: Project, tmp_path: Path) -> Project:
    """Give a clone, to plant faults in."""
    return begun.clone(tmp_path / "quickstats")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the artifacts of the jobs that run on other systems."""
    folder = tmp_path_factory.mktemp("artifacts")
    for target, (platform, _) in ELSEWHERE.items():
        (folder / f"dist-{target}").mkdir()
        for family in FAMILIES:
            name = f"quickstats-0.2.0-{family}-{platform}.whl"
            with zipfile.ZipFile(folder / f"dist-{target}" / name, "w") as wheel:
                wheel.writestr("quickstats-0.2.0.dist-info/METADATA", ABOUT)
                tags = "".join(f"Tag: {family}-{tag}\n" for tag in platform.split("."))
                wheel.writestr("quickstats-0.2.0.dist-info/WHEEL", f"Wheel-Version: 1.0\n{tags}")
                wheel.writestr("quickstats-0.2.0.dist-info/RECORD", "")
    return folder


def commit(project: Project, *plants: Plant) -> Project:
    """Plant faults, and let the tag stand on the commit that has them."""
    for plant in plants:
        plant(project)
    project.commit("Plant")
    project.run("git", "tag", "--force", TAG)
    return project


def release(
    sandbox: Sandbox,
    project: Project,
    artifacts: Path,
    upload: str = "",
    *,
    event: str = "push",
    tag: str | None = TAG,
    **variables: str,
) -> Outcome:
    """Run the release workflow as the push of the tag does."""
    return sandbox.act(
        project,
        "release",
        event,
        tag=tag,
        matrix={"target": HERE},
        artifacts=artifacts,
        indexes={UPLOADS: upload},
        environment={"TWINE_USERNAME": USER, "TWINE_PASSWORD": SECRET, **variables},
    )


# ---- Green, and interrupted in the middle of the upload.


@pytest.fixture(scope="module")
def published(
    sandbox: Sandbox, begun: Project, elsewhere: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Outcome, Index]]:
    """Release for real."""
    with private_index(tmp_path_factory.mktemp("index")) as index:
        yield release(sandbox, begun, elsewhere, index.url), index


def test_a_tag_comes_out_as_a_release(published: tuple[Outcome, Index], sandbox: Sandbox) -> None:
    outcome, index = published
    assert outcome.results == dict.fromkeys(ALL, "success"), outcome.log
    assert outcome.missing == {"crates"}
    assert len(index.files()) == len(FAMILIES) * (len(ELSEWHERE) + 1) + 1
    assert outcome.attested == index.files()
    page = sandbox.github / "releases" / TAG
    assert sorted(path.name for path in page.iterdir()) == index.files()
    (told,) = json.loads((sandbox.github / "releases.json").read_text("utf-8"))
    assert (told["tagName"], told["isDraft"]) == (TAG, False)
    assert told["body"].startswith("### Added")
    assert "| quickstats-0.2.0.tar.gz | sdist |" in outcome.summary


def test_what_was_released_is_installed_from_the_index(published: tuple[Outcome, Index], tmp_path: Path) -> None:
    _, index = published
    address = f"{index.url}/simple/".replace("http://", f"http://{USER}:{SECRET}@")
    run("uv", "venv", "--quiet", "--python=3.11", "env", cwd=tmp_path)
    pip = ("uv", "pip", "install", "--python=env", "--no-cache", "--only-binary=:all:")
    run(*pip, "--default-index", address, "quickstats==0.2.0", cwd=tmp_path)
    code = "import quickstats; print(quickstats.__version__, quickstats.summarize([1.0, 2.0]).mean)"
    assert run(tmp_path / "env" / "bin" / "python", "-c", code, cwd=tmp_path).stdout == "0.2.0 1.5\n"


def test_a_release_that_broke_off_is_finished_by_running_it_again(
    published: tuple[Outcome, Index], sandboxes: Sandboxes, project: Project, elsewhere: Path, tmp_path: Path
) -> None:
    built, _ = published
    sandbox = sandboxes.new(pythons=("3.11",))
    commit(project, append("noxfile.py", QUICK))
    with private_index(tmp_path) as index:
        with breaking(index.url, after=5) as url:
            first = quick(sandbox, project, elsewhere, built, url)
        assert first.results == {**dict.fromkeys(BUILD, "success"), "publish": "failure"}, first.log
        assert len(index.files()) == 5, "the upload did not break off in the middle"
        assert not (sandbox.github / "releases").exists()
        again = quick(sandbox, project, elsewhere, built, index.url)
        assert again.results == dict.fromkeys(ALL, "success"), again.log
        assert len(index.files()) == len(FAMILIES) * (len(ELSEWHERE) + 1) + 1
        once_more = quick(sandbox, project, elsewhere, built, index.url)
        assert once_more.results == dict.fromkeys(ALL, "success"), once_more.log


def quick(sandbox: Sandbox, project: Project, elsewhere: Path, built: Outcome, upload: str = "") -> Outcome:
    """Release what was built before."""
    return release(sandbox, project, elsewhere, upload, BUILT=str(built.artifacts))


# ---- Red.

FAULTS = {
    "a wrong name of an artifact": (
        replace(".github/workflows/wheels.yml", "name: dist-${{ matrix.target }}", "name: wheels-${{ matrix.target }}"),
        COMPLETE,
        "nothing is there for quickstats-0.2.0-cp311-abi3-manylinux_x86_64",
    ),
    "a wrong pattern of artifacts": (
        replace(".github/workflows/wheels.yml", "pattern: dist-*", "pattern: wheel-*"),
        COMPLETE,
        "one sdist is needed: there is none",
    ),
    "a wrong folder": (
        replace(".github/workflows/wheels.yml", "path: dist/*.whl", "path: wheelhouse/*.whl"),
        WHEEL,
        "No files were found with the provided path: wheelhouse/*.whl",
    ),
    "a missing sdist": (
        append("noxfile.py", '        next(DIST.glob("*.tar.gz")).rename(ROOT / "kept")\n        DIST.rmdir()\n'),
        "wheels / sdist",
        "No files were found with the provided path: dist/*.tar.gz",
    ),
    "a failing test": (
        append("tests/test_summary.py", "\n\ndef test_planted() -> None:\n    assert False\n"),
        WHEEL,
        "1 failed",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_published_after(
    fault: str, published: tuple[Outcome, Index], sandbox: Sandbox, project: Project, elsewhere: Path
) -> None:
    built, _ = published
    plant, failing, message = FAULTS[fault]
    outcome = quick(sandbox, commit(project, append("noxfile.py", QUICK), plant), elsewhere, built)
    assert {name for name, result in outcome.results.items() if result != "success"} == {failing}, outcome.log
    assert message in outcome.log
    assert outcome.results.keys() <= BUILD


def test_a_platform_without_its_wheels_stops_the_release(
    published: tuple[Outcome, Index], sandbox: Sandbox, project: Project, elsewhere: Path, tmp_path: Path
) -> None:
    built, _ = published
    fewer = tmp_path / "artifacts"
    shutil.copytree(elsewhere, fewer)
    (fewer / "dist-aarch64-apple-darwin" / "quickstats-0.2.0-cp311-abi3-macosx_11_0_arm64.whl").unlink()
    outcome = quick(sandbox, commit(project, append("noxfile.py", QUICK)), fewer, built)
    assert outcome.results == {**dict.fromkeys(BUILD, "success"), COMPLETE: "failure"}, outcome.log
    assert "nothing is there for quickstats-0.2.0-cp311-abi3-macosx_arm64" in outcome.log


def test_a_tag_that_disagrees_stops_before_anything_is_built(
    sandbox: Sandbox, project: Project, elsewhere: Path
) -> None:
    project.run("git", "tag", "v0.3.0")
    outcome = release(sandbox, project, elsewhere, tag="v0.3.0")
    assert outcome.results == {"gate": "failure"}
    assert "the tag is v0.3.0, but the sources are of version 0.2.0" in outcome.log


def test_without_a_tag_everything_is_built_and_nothing_published(
    published: tuple[Outcome, Index], sandbox: Sandbox, project: Project, elsewhere: Path
) -> None:
    built, _ = published
    commit(project, append("noxfile.py", QUICK))
    outcome = release(sandbox, project, elsewhere, tag=None, event="workflow_dispatch", BUILT=str(built.artifacts))
    assert outcome.results == dict.fromkeys(BUILD, "success"), outcome.log
