"""Does docs/cost.md count the jobs that the workflows have, and is every session there with its time?"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from checks import find_tool, plant
from template import ROOT, run
from workflows import workflows

sys.path.insert(0, str(ROOT / "tools"))

import cost
from cost import EVENTS, NOT_MEASURED, PAGE, Event, Job, Timed

TEXT = PAGE.read_text("utf-8")
RELEASE, PUSH = EVENTS["a release"], EVENTS["a push to `main`"]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a project with GitHub's workflows."""
    find_tool("jq")
    return cost.prepare(tmp_path_factory.mktemp("cost"), "github")


@pytest.fixture
def project(begun: Path, tmp_path: Path) -> Path:
    """Give a clone, to plant a job in."""
    run("git", "clone", "--quiet", begun, tmp_path / "project", cwd=tmp_path)
    return tmp_path / "project"


def commit(project: Path) -> None:
    """Commit all that changed."""
    run("git", *cost.IDENTITY, "commit", "--quiet", "--all", "--message", "Plant", cwd=project)


# ---- What the workflows have.


def test_a_push_has_as_many_jobs_as_the_matrices_say(project: Path) -> None:
    pythons = len(cost.supported(project))
    jobs = cost.github(project, PUSH)
    assert len(jobs) == 1 + 5 + 3 * pythons + 1
    assert Counter(job.system for job in jobs) == {"Linux": 7 + pythons, "macOS": pythons, "Windows": pythons}
    assert Counter(work for job in jobs for work in job.work)["test, the lowest Python"] == 3


def test_documents_alone_are_linted_and_no_more(project: Path) -> None:
    jobs = cost.github(project, EVENTS["a pull request of documents"])
    assert jobs == [Job("Linux", ("the list of sessions",)), Job("Linux", ("lint",)), Job("Linux")]


def test_only_what_decides_how_wheels_are_built_builds_them(project: Path) -> None:
    python, rust, build = (
        cost.github(project, Event("pull_request", changes=path))
        for path in ("python/quickstats/__init__.py", "src/lib.rs", "pyproject.toml")
    )
    assert Counter(python) == Counter(rust)
    assert Counter(build) - Counter(python) == Counter(cost.github(project, RELEASE)[1:-2])
    assert not any("wheel" in job.work for job in python)


def test_a_release_builds_and_tests_each_platform(project: Path) -> None:
    jobs = cost.github(project, RELEASE)
    built = Counter(job.system for job in jobs if job.work == ("wheel", "verify"))
    assert built == {name: 2 for name in cost.SYSTEMS}
    assert {job.work for job in jobs} == {("release, the gate",), ("wheel", "verify"), ("release",), ("complete",), ()}


@pytest.mark.parametrize(
    ("name", "old", "new", "event", "more"),
    [
        ("ci", "[ubuntu-24.04, macos-15,", "[ubuntu-24.04-arm, ubuntu-24.04, macos-15,", PUSH, {"Linux Arm": 7}),
        ("ci", '"highest", "coverage"]', '"highest", "coverage", "bench"]', PUSH, {"Linux": 1}),
        (
            "ci",
            "all='[]' #",
            "all='[\"test-3.11\"]' #",
            EVENTS["a pull request of documents"],
            {"macOS": 1, "Windows": 1, "Linux": 1},
        ),
        ("release", "if: needs.gate.outputs.crates && ", "if: ", RELEASE, {"Linux": 1}),
        ("wheels", "    if: vars.RARE_TARGETS\n", "    if: vars.RARE_TARGETS == ''\n", RELEASE, None),
        (
            "wheels",
            "      - tools/**\n",
            "      - tools/**\n      - src/**\n",
            Event("pull_request", "src/lib.rs"),
            {"Linux": 4, "Linux Arm": 2, "macOS": 2, "Windows": 2},
        ),
        ("nightly", "[beta, nightly]", "[stable, beta, nightly]", EVENTS["a night"], {"Linux": 1}),
    ],
)
def test_a_planted_job_is_counted(
    project: Path, name: str, old: str, new: str, event: Event, more: dict[str, int] | None
) -> None:
    before = Counter(job.system for job in cost.github(project, event))
    plant(project, f".github/workflows/{name}.yml", old, new)
    commit(project)
    if more is None:  # the list of targets is a variable of the repository, which nobody has set
        with pytest.raises(KeyError):
            cost.github(project, event)
    else:
        assert Counter(job.system for job in cost.github(project, event)) - before == more


def test_a_pipeline_of_gitlab_has_the_jobs_that_its_rules_choose(tmp_path: Path) -> None:
    project = cost.prepare(tmp_path, "gitlab")
    pipelines = {name: cost.gitlab(project, event) for name, event in EVENTS.items()}
    assert pipelines["a pull request of documents"] == [Job("Linux", ("lint",))]
    assert {name: len(jobs) for name, jobs in pipelines.items()} == {
        "a pull request of documents": 1,
        "a pull request of Python alone": 6,
        "a pull request of the build": 6 + 6 + 2,
        "a push to `main`": 6,
        "a release": 6 + 6 + 2 + 2,
        "a night": 6,
    }
    plant(project, ".gitlab-ci.yml", "[beta, nightly]", "[beta, nightly, stable]")
    plant(project, ".gitlab/wheels.yml", "TARGETS: x86", "TARGETS: aarch64-apple-darwin x86")
    assert len(cost.gitlab(project, EVENTS["a night"])) == 7
    assert Counter(job.system for job in cost.gitlab(project, RELEASE))["macOS"] == 1


# ---- Times.


def test_every_session_of_a_workflow_has_a_time_or_is_left_out_by_name(project: Path) -> None:
    scripts = [command for one in workflows(project).values() for command in one.commands]
    named = {name for command in scripts for _, name, _ in cost.CALL.findall(command) if name.isidentifier()}
    listed = {name for command in scripts for text in re.findall(r"='(\[.*?\])'", command) for name in json.loads(text)}
    assert named | listed >= {"lint", "wheel", "verify", "audit", "template", "compare"}
    assert (named | listed) - {"test"} <= cost.read_times(TEXT).keys() | NOT_MEASURED.keys()
    for choice in NOT_MEASURED:
        assert f"`{choice}`" in TEXT or f"`{choice}.yml`" in TEXT


def test_what_has_no_time_is_not_passed_over() -> None:
    with pytest.raises(KeyError):
        Job("Linux", ("lint", "a session that nobody measured")).minutes({"lint": 45})


def test_minutes_are_the_times_and_the_start_of_each_job() -> None:
    assert Job("Linux").minutes({}) == 0.5
    assert Job("Linux", ("lint", "lint")).minutes({"lint": 45}) == 2


def test_a_python_that_is_missing_counts_as_another() -> None:
    times = {name: Timed("", 1) for name in ("test, another Python", "wheel")}
    times |= {"verify": Timed("", 10), "test, all Pythons": Timed("nox --session test-3.11 test-3.12", 20)}
    known = cost.prices(times, pythons=3)
    assert (known["test, all Pythons"], known["verify"], known["the tests of a wheel"]) == (21, 15, 5)


def test_conditions_are_read_as_the_service_reads_them() -> None:
    known = {"github.event_name": "push", "github.ref": "refs/tags/v1"}
    for condition in (
        "${{ !failure() && !cancelled() }}",
        "github.event_name != 'schedule' || !github.event.repository.fork",
        "${{ startsWith(github.ref, 'refs/tags/') || github.event_name == 'workflow_dispatch' }}",
        "!matrix.image",
        "always()",
    ):
        assert cost.holds(condition, known), condition
    for condition in ("vars.RARE_TARGETS", "github.ref_type == 'tag'", "failure()", "'a && b' == 'a and b'"):
        assert not cost.holds(condition, known), condition


# ---- The page.


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write the page anew, from the times that it has."""
    find_tool("jq")
    return cost.count(TEXT, tmp_path_factory.mktemp("cost"))


def test_tables_are_those_of_the_workflows(counted: str) -> None:
    assert counted == TEXT, "`nox -s cost -- --count` writes them anew"


def test_a_table_that_has_drifted_is_written_anew() -> None:
    page = "# Page\n\n<!-- summary -->\n\n| old |\n\n<!-- end -->\n\nMore.\n\n<!-- times -->\n\n| 1 |\n\n<!-- end -->\n"
    renewed = cost.renew(page, "summary", ["| new |", ""])
    assert renewed == page.replace("old", "new")
    with pytest.raises(SystemExit):
        cost.renew(page, "systems", [])


def test_lines_that_the_page_quotes_are_in_the_workflows(project: Path) -> None:
    texts = "".join(one.text for one in workflows(project).values())
    quoted = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert quoted
    assert [lines for lines in quoted if lines not in texts] == []
    assert all(part in texts for part in ("map(.session)", "23 3 * * *", "RARE_TARGETS"))


def test_matrices_of_the_peer_are_those_of_the_generated_file(tmp_path: Path) -> None:
    find_tool("maturin")
    peer = cost.generated(tmp_path)
    text = (peer / ".github" / "workflows" / "CI.yml").read_text("utf-8")
    for event, more in ((PUSH, 1), (RELEASE, 2)):
        assert len(cost.github(peer, event)) == text.count("- runner: ") + more
