"""Is the GitLab pipeline of a rendered project correct, and does it run, green and red? In the sandbox."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pathspec
import pytest
import yaml
from conftest import new_project
from test_gates import FAULTS

from checks import plant, tracked
from gitlab.index import IDENTITY, Trusting, trusting_index
from gitlab.pipelines import Outcome, Runner, install
from gitlab.rules import FILES, Pipeline, broken_rules, lint_with_schema, lint_with_shellcheck
from planting import Plant, append
from sandbox import Sandboxes, available, lock
from template import ROOT, Project, facts, missing_tool, render, run
from variants import VARIANTS

slow = pytest.mark.slow
MAIN, WHEELS = FILES


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Give a folder with what the rules read, which is the same in every project, to plant a fault in."""
    for name in (*FILES, "noxfile.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "template" / name, tmp_path / name)
    return tmp_path


# ---- Files.


@pytest.mark.parametrize("choice", ["github", "cibuildwheel", "gitlab", "none"])
def test_the_files_are_there_when_gitlab_is_chosen_and_only_then(choice: str, source: Path, tmp_path: Path) -> None:
    folder = render(source, tmp_path / "project", {"ci": choice})
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if ".gitlab" in path.as_posix()}
    assert there == ({*FILES, ".gitlab"} if choice == "gitlab" else set())
    assert choice != "gitlab" or not (folder / ".github").exists()


def test_no_rule_is_broken(copied: Path) -> None:
    assert broken_rules(copied) == {}


def test_gitlab_knows_every_keyword(copied: Path) -> None:
    assert lint_with_schema(copied) == ""


def test_shellcheck_has_nothing_to_say(copied: Path) -> None:
    assert lint_with_shellcheck(copied) == {}


def test_the_jobs_test_what_the_workflows_of_github_test(copied: Path) -> None:
    ci = (ROOT / "template" / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    one = re.findall(r'"(\w+)"', re.findall(r"one='(.*)'", ci)[0])
    pipeline = Pipeline(copied)
    assert {*one, "test", "audit", "nightly"} == {name for name, job in pipeline.jobs.items() if job["stage"] == "test"}


@pytest.mark.parametrize(
    ("rule", "name", "old", "new"),
    [
        ("every_session_is_there", MAIN, "stubs: {", "stub: {"),
        ("every_session_is_there", WHEELS, "--session release", "--session rehearse"),
        ("every_session_is_there", WHEELS, "xargs uvx nox --session complete --", "ls"),
        ("publishing_waits_for_all", MAIN, "  dependencies: [complete]\n", "  needs: [complete]\n"),
        ("publishing_waits_for_all", MAIN, "needs: [complete, publish]", "needs: [complete]"),
        ("publishing_waits_for_all", MAIN, "check, publish]", "publish, check]"),
        ("publishing_waits_for_all", MAIN, "  stage: test\n", "  stage: test\n  allow_failure: true\n"),
        ("publishing_waits_for_all", WHEELS, "stage: check", "stage: publish"),
        ("the_identity_is_for_publishing", MAIN, "  environment: $INDEX\n", ""),
        ("the_identity_is_for_publishing", MAIN, "    GIT_STRATEGY: none\n", ""),
        ("the_identity_is_for_publishing", MAIN, "aud: testpypi", "aud: pypi"),
        ("the_identity_is_for_publishing", MAIN, "script: uv publish", "script: make; uv publish"),
        (
            "the_identity_is_for_publishing",
            WHEELS,
            "  stage: check\n",
            "  stage: check\n  id_tokens: { A: { aud: a } }\n",
        ),
        ("only_protected_tags_are_published", MAIN, ' && $CI_COMMIT_REF_PROTECTED == "true"', ""),
        ("only_protected_tags_are_published", MAIN, "if: *pypi", "if: $CI_COMMIT_TAG"),
        ("no_secret_is_needed", MAIN, "    GIT_STRATEGY: none\n", "    GIT_STRATEGY: none\n    UV_PUBLISH_TOKEN: $A\n"),
        ("nothing_that_is_released_is_cached", MAIN, "default:\n", "default:\n  cache: { paths: [target] }\n"),
        ("nothing_that_is_released_is_cached", WHEELS, "sdist:\n", "sdist:\n  cache: { paths: [target] }\n"),
        ("each_target_has_its_job", WHEELS, "x86_64-unknown-linux-gnu:\n", "x86_64-unknown-linux-gnux32:\n"),
        ("each_target_has_its_job", WHEELS, "TARGETS: x86", "TARGETS: s390x-unknown-linux-gnu x86"),
        ("each_target_has_its_job", WHEELS, "$TARGETS =~ /aarch64-apple-darwin/", "$TARGETS =~ /darwin/"),
        ("each_target_has_its_job", WHEELS, "extends: .verified\n  tags: [$MACOS", "extends: .wheel\n  tags: [$MACOS"),
        ("each_target_has_its_job", WHEELS, ", tags: [$LINUX_ARM_RUNNER] }", " }"),
        ("every_job_ends", MAIN, "  timeout: 1h\n", ""),
        ("every_job_ends", MAIN, "  interruptible: false # never stop between two uploads\n", ""),
        ("every_job_ends", WHEELS, "[interruptible, timeout]", "false"),
        ("the_whole_history_is_there", MAIN, '"0" # a version', '"20" # a version'),
        ("images_have_tags", MAIN, "rust:1-bookworm", "rust"),
        ("files_are_short", MAIN, "include:", "\n" * 120 + "include:"),
    ],
)
def test_a_broken_rule_is_noticed(copied: Path, rule: str, name: str, old: str, new: str) -> None:
    assert rule in broken_rules(plant(copied, name, old, new))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (MAIN, "  interruptible: true\n", "  interruptable: true\n"),
        (MAIN, "interruptible: false", "interruptible: never"),
        (WHEELS, "artifacts: { paths: [dist, ", "artifacts: { path: [dist, "),
    ],
)
def test_a_keyword_that_gitlab_does_not_know_is_noticed(copied: Path, name: str, old: str, new: str) -> None:
    assert "Schema validation errors" in lint_with_schema(plant(copied, name, old, new))


def test_a_fault_that_shellcheck_knows_is_noticed(copied: Path) -> None:
    plant(copied, WHEELS, 'target add "$CI_JOB_NAME"', "target add $CI_JOB_NAME")
    assert 2086 in lint_with_shellcheck(copied)["x86_64-unknown-linux-gnu"]


# ---- Documents.


def spelled(pattern: str) -> Iterator[str]:
    """Spell a pattern without braces, which not every reader of patterns knows."""
    braces = re.search(r"\{(.*?)\}", pattern)
    for each in braces[1].split(",") if braces else []:
        yield from spelled(pattern[: braces.start()] + each + pattern[braces.end() :]) if braces else ()
    if not braces:
        yield pattern


@pytest.mark.parametrize("name", VARIANTS)
def test_every_file_but_a_document_is_tested_when_it_changes(name: str, source: Path, tmp_path: Path) -> None:
    folder = render(source, tmp_path / "project", {**VARIANTS[name], "ci": "gitlab"})
    rules = yaml.safe_load((folder / MAIN).read_text("utf-8"))["workflow"]["rules"]
    (patterns,) = (rule["changes"] for rule in rules if rule["variables"]["WORK"] == "lint test")
    spelling = pathspec.GitIgnoreSpec.from_lines([one for each in patterns for one in spelled(each)])
    run("git", "init", "--quiet", cwd=folder)
    run("git", "add", "--all", cwd=folder)
    documents = {each for each in tracked(folder) if not spelling.match_file(each)}
    assert documents == {each for each in tracked(folder) if re.search(r"\.md$|(^|/)LICENSE[A-Z-]*$", each)}


# ---- Which jobs a pipeline has.

PYTHON_LOWEST = "3.11"
HERE = "x86_64-unknown-linux-gnu"
ELSEWHERE = "aarch64-unknown-linux-gnu"
TAG = "v0.2.0"
SESSIONS = {"lint", "stubs", "test", "lowest", "highest", "coverage"}
MUSL = {f"{machine}-unknown-linux-musl" for machine in ("aarch64", "x86_64")}
LINUX = {HERE, ELSEWHERE, *MUSL, "verify-aarch64-musl", "verify-x86_64-musl"}
BUILD = {"sdist", "complete"}
PUBLISHED = {"publish", "page"}
RELEASE = {"CI_COMMIT_TAG": TAG, "CI_COMMIT_REF_PROTECTED": "true"}

# What runs on the service alone, and why.
NOT_HERE = {
    ELSEWHERE: "needs an Arm machine",
    "aarch64-unknown-linux-musl": "needs an Arm machine",
    "x86_64-unknown-linux-musl": "needs the standard library of Rust for musl",
    "verify-aarch64-musl": "needs an Arm machine",
    "verify-x86_64-musl": "needs the image of Alpine",
    "aarch64-apple-darwin": "needs macOS",
    "x86_64-pc-windows-msvc": "needs Windows",
    "audit": "needs the advisories, which are on the network",
    "nightly: [beta]": "needs Rust's beta",
    "nightly: [nightly]": "needs Rust's nightly",
    "nightly: [3.16]": "needs Python's next release",
}


@pytest.fixture(scope="module")
def runner(sandboxes: Sandboxes, pytestconfig: pytest.Config) -> Runner:
    """Give one sandbox to all pipelines, with the lowest and the highest Python of this machine."""
    pythons = tuple(dict.fromkeys((PYTHON_LOWEST, available()[-1])))
    return Runner(sandboxes.new(pythons), install(pytestconfig.cache.mkdir("tools")))


@pytest.fixture(scope="module")
def begun(source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a project whose release 0.2.0 is tagged."""
    folder = tmp_path_factory.mktemp("gitlab") / "quickstats"
    project = lock(new_project(source, folder, {"ci": "gitlab"}, target))
    project.run("nox", "--session", "bump", "--", "minor")
    return project


@pytest.fixture
def project(begun: Project, tmp_path: Path) -> Project:
    """Give a clone, to plant a fault in."""
    return begun.clone(tmp_path / "quickstats")


PIPELINES: dict[str, tuple[str, dict[str, str], set[str]]] = {
    "documents are pushed": ("README.md", {}, {"lint"}),
    "code is pushed": ("src/lib.rs", {}, SESSIONS),
    "the build is pushed": ("pyproject.toml", {}, SESSIONS),
    "a branch is pushed": ("src/lib.rs", {"CI_COMMIT_BRANCH": "other"}, set()),
    "documents are proposed": ("README.md", {"CI_PIPELINE_SOURCE": "merge_request_event"}, {"lint"}),
    "code is proposed": ("src/lib.rs", {"CI_PIPELINE_SOURCE": "merge_request_event"}, SESSIONS),
    "the build is proposed": (
        "pyproject.toml",
        {"CI_PIPELINE_SOURCE": "merge_request_event"},
        SESSIONS | LINUX | BUILD,
    ),
    "a lock is proposed": (
        "Cargo.lock",
        {"CI_PIPELINE_SOURCE": "merge_request_event"},
        SESSIONS | LINUX | BUILD | {"audit"},
    ),
    "it is started by hand": ("README.md", {"CI_PIPELINE_SOURCE": "web"}, SESSIONS | LINUX | BUILD),
    "a protected tag is pushed": ("README.md", RELEASE, SESSIONS | LINUX | BUILD | PUBLISHED),
    "a tag of anybody is pushed": ("README.md", {"CI_COMMIT_TAG": TAG}, SESSIONS | LINUX | BUILD),
    "another tag is pushed": ("README.md", {"CI_COMMIT_TAG": "nice", "CI_COMMIT_BRANCH": ""}, set()),
    "TestPyPI is asked for": (
        "README.md",
        {**RELEASE, "CI_PIPELINE_SOURCE": "web", "INDEX": "testpypi"},
        SESSIONS | LINUX | BUILD | {"publish"},
    ),
    "other targets are asked for": (
        "README.md",
        {**RELEASE, "TARGETS": f"{HERE} aarch64-apple-darwin x86_64-pc-windows-msvc"},
        SESSIONS | {HERE, "aarch64-apple-darwin", "x86_64-pc-windows-msvc"} | BUILD | PUBLISHED,
    ),
    "it is night": (
        "README.md",
        {"CI_PIPELINE_SOURCE": "schedule"},
        {"audit", "lowest", "highest", "nightly: [beta]", "nightly: [nightly]", "nightly: [3.16]"},
    ),
    "a schedule asks for an audit": ("README.md", {"CI_PIPELINE_SOURCE": "schedule", "WORK": "audit"}, {"audit"}),
}


@slow
@pytest.mark.parametrize("event", PIPELINES)
def test_jobs_when(event: str, runner: Runner, project: Project) -> None:
    changed, variables, wanted = PIPELINES[event]
    append(changed, "\n")(project)
    project.commit("Change")
    assert runner.jobs(project, variables, since="HEAD^") == wanted


@slow
def test_what_cannot_run_here_is_known(runner: Runner, project: Project) -> None:
    everything = set().union(*(wanted for _, _, wanted in PIPELINES.values()))
    assert everything == SESSIONS | {HERE} | BUILD | PUBLISHED | NOT_HERE.keys()


# ---- Green.


@pytest.fixture(scope="module")
def pythons(runner: Runner) -> str:
    """Give the Pythons of the sandbox, as nox takes them in place of all that the project supports."""
    if "3.15" not in runner.sandbox.pythons and facts()["pythons"][-1] == "3.15":
        missing_tool("There is no Python 3.15 here.", "NO_NEWER_PYTHONS")
    return ",".join(runner.sandbox.pythons)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Trusting]:
    """Run an index that takes uploads from the job that proves to be the one it trusts."""
    with trusting_index(tmp_path) as running:
        yield running


def published(index: Trusting) -> dict[str, str]:
    """Give the variables with which a tag is published on an index of loopback."""
    return {
        **RELEASE,
        "GITLAB_CI": "true",
        "PYPI_ID_TOKEN": IDENTITY,
        "TARGETS": HERE,
        "UV_INSECURE_HOST": "127.0.0.1",
        "UV_PUBLISH_URL": f"{index.url}/legacy/",
        "UV_PUBLISH_CHECK_URL": f"{index.url}/simple/",
    }


@pytest.fixture(scope="module")
def released(
    runner: Runner, begun: Project, pythons: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Outcome, Trusting]]:
    """Run the pipeline of a tag, up to the index."""
    with trusting_index(tmp_path_factory.mktemp("index")) as index:
        yield runner.run(begun, variables={**published(index), "NOXPYTHON": pythons}), index


@slow
def test_a_tag_goes_through_every_job(released: tuple[Outcome, Trusting]) -> None:
    outcome, _ = released
    wanted = dict.fromkeys(SESSIONS | {HERE} | BUILD | PUBLISHED, "PASS")
    assert outcome.results == wanted, outcome.said
    assert outcome.status == 0


@slow
def test_what_is_published_is_what_was_found_complete(released: tuple[Outcome, Trusting]) -> None:
    outcome, index = released
    files = {name.removeprefix("dist/") for name in outcome.files("complete") if name.startswith("dist/")}
    assert set(index.files) == files
    assert {tuple(name.split("-")[2:4]) for name in files if name.endswith(".whl")} == {
        ("cp311", "abi3"),
        ("cp314", "cp314t"),
        ("cp315", "abi3.abi3t"),
    }
    assert len(files) == 4
    assert index.minted == 1
    assert outcome.log("page").startswith("### Added")  # the section of the changelog


@slow
def test_what_is_published_can_be_installed(released: tuple[Outcome, Trusting], runner: Runner) -> None:
    _, index = released
    place = runner.sandbox.folder / "installed"
    runner.sandbox.run("uv", "venv", "--quiet", f"--python={PYTHON_LOWEST}", place)
    pip = ("uv", "pip", "install", "--quiet", f"--python={place}", "--no-cache", "--only-binary=:all:")
    runner.sandbox.run(*pip, "--index", f"{index.url}/simple/", "quickstats==0.2.0", UV_INSECURE_HOST="127.0.0.1")
    done = runner.sandbox.run(
        place / "bin" / "python", "-c", "import quickstats; print(quickstats.summarize([1, 3]).mean)"
    )
    assert done.stdout == "2.0\n"


@slow
def test_a_change_of_code_goes_through_every_session(
    released: tuple[Outcome, Trusting], runner: Runner, project: Project
) -> None:
    append("src/lib.rs", "\n// A word.\n")(project)
    project.commit("Explain")
    outcome = runner.run(project, since="HEAD^", variables={"NOXPYTHON": PYTHON_LOWEST})
    assert outcome.results == dict.fromkeys(SESSIONS, "PASS"), outcome.said


# ---- Red.

PLANTED: dict[str, tuple[str, Plant, str]] = {
    **{name: FAULTS[name] for name in ("a clippy warning", "a stale stub", "a conflict marker")},
    "a failing Python test": ("test", *FAULTS["a failing Python test"][1:]),
}


@slow
@pytest.mark.parametrize("fault", PLANTED)
def test_a_session_turns_red_on(fault: str, runner: Runner, project: Project) -> None:
    session, plant_fault, message = PLANTED[fault]
    plant_fault(project)
    project.commit("Plant")
    outcome = runner.run(project, session, variables={"CI_PIPELINE_SOURCE": "web", "NOXPYTHON": PYTHON_LOWEST})
    assert outcome.results == {session: "FAIL"}
    assert outcome.status != 0
    assert message in outcome.log(session)


@slow
def test_a_tag_that_disagrees_stops_before_anything_is_built(runner: Runner, project: Project) -> None:
    outcome = runner.run(project, "sdist", variables={**RELEASE, "CI_COMMIT_TAG": "v9.9.9"})
    assert outcome.results == {"sdist": "FAIL"}
    assert "the tag is v9.9.9, but the sources are of version 0.2.0" in outcome.log("sdist")
    assert outcome.files("sdist") == set()


def seeded(outcome: Outcome) -> dict[str, list[str]]:
    """Let the jobs that build take what was built before, for faults that come after."""
    return {name: [f"cp -r {outcome.artifacts / name}/. ."] for name in ("sdist", HERE)}


@slow
def test_without_a_fault_what_was_built_before_is_published(
    released: tuple[Outcome, Trusting], runner: Runner, begun: Project, index: Trusting
) -> None:
    outcome = runner.run(begun, without=SESSIONS, scripts=seeded(released[0]), variables=published(index))
    assert outcome.results == dict.fromkeys({HERE} | BUILD | PUBLISHED, "PASS")
    assert index.files == released[1].files


@slow
def test_a_missing_wheel_is_not_published(
    released: tuple[Outcome, Trusting], runner: Runner, begun: Project, index: Trusting
) -> None:
    asked = {**published(index), "TARGETS": f"{HERE} {ELSEWHERE}"}
    left = {*SESSIONS, ELSEWHERE}  # as if that job had built nothing
    outcome = runner.run(begun, without=left, scripts=seeded(released[0]), variables=asked)
    assert outcome.results == {HERE: "PASS", "sdist": "PASS", "complete": "FAIL"}
    assert "nothing is there for quickstats-0.2.0-cp311-abi3-manylinux_aarch64" in outcome.log("complete")
    assert not index.files


@slow
def test_nothing_is_published_when_a_session_fails(
    released: tuple[Outcome, Trusting], runner: Runner, project: Project, index: Trusting
) -> None:
    FAULTS["a conflict marker"][1](project)
    project.commit("Plant")
    outcome = runner.run(project, without=SESSIONS - {"lint"}, scripts=seeded(released[0]), variables=published(index))
    assert outcome.results["lint"] == "FAIL"
    assert not outcome.results.keys() & {"complete", "publish", "page"}
    assert not index.files


@slow
def test_a_stranger_publishes_nothing(
    released: tuple[Outcome, Trusting], runner: Runner, begun: Project, index: Trusting
) -> None:
    asked = {**published(index), "PYPI_ID_TOKEN": "of-somebody-else"}
    outcome = runner.run(begun, without=SESSIONS, scripts=seeded(released[0]), variables=asked)
    assert outcome.results == {**dict.fromkeys({HERE} | BUILD, "PASS"), "publish": "FAIL"}
    assert "Failed to obtain token for trusted publishing" in outcome.log("publish")
    assert not index.files


@slow
def test_an_upload_that_breaks_off_is_finished_by_running_it_again(
    released: tuple[Outcome, Trusting], runner: Runner, begun: Project, index: Trusting
) -> None:
    index.broken_after = 2
    scripts = seeded(released[0])
    broken = runner.run(begun, without=SESSIONS, scripts=scripts, variables=published(index))
    assert broken.results == {**dict.fromkeys({HERE} | BUILD, "PASS"), "publish": "FAIL"}
    assert len(index.files) == 2
    index.broken_after = None
    again = runner.run(begun, without=SESSIONS, scripts=scripts, variables=published(index))
    assert again.results == dict.fromkeys({HERE} | BUILD | PUBLISHED, "PASS")
    assert index.files == released[1].files
