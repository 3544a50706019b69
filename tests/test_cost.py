"""Does docs/cost.md count the jobs that the workflows have, within the budget, and has every session its time?"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from checks import find_tool, plant
from template import ROOT, render, run
from variants import EVERY_UPKEEP
from workflows import workflows

sys.path.insert(0, str(ROOT / "tools"))

import cost
from cost import EVENTS, NOT_MEASURED, PAGE, Job, Jobs

TEXT = PAGE.read_text("utf-8")
PYTHON, BUILD, PUSH, RELEASE = (
    EVENTS[name]
    for name in ("a pull request of Python alone", "a pull request of the build", "a push to `main`", "a release")
)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Jobs]:
    """Give the jobs of each `ci` value and of each peer."""
    return cost.all_jobs(tmp_path_factory.mktemp("cost"))


@pytest.fixture
def project(source: Path, tmp_path: Path) -> Path:
    """Render a project with every workflow of GitHub."""
    return render(source, tmp_path / "project", {"upkeep": EVERY_UPKEEP})


# ---- The jobs.


@pytest.mark.parametrize("choice", ["`github`", "`cibuildwheel`", "`gitlab`"])
def test_default_project_is_within_budget(choice: str, jobs: dict[str, Jobs]) -> None:
    known = cost.prices(cost.read_times(TEXT))
    counts = {name: len(some) for name, some in jobs[choice].items()}
    assert counts["a pull request of documents"] <= 2
    assert counts["a pull request of Python alone"] <= 7
    assert counts["a release"] <= 12
    assert cost.total(jobs[choice]["a pull request of Python alone"], known) <= 12


def test_push_tests_each_system(jobs: dict[str, Jobs]) -> None:
    work = ("the list of sessions", "lint stubs", "test, all Pythons", "test, two Pythons", "test, two Pythons")
    systems = ("Linux", "Linux", "Linux", "macOS", "Windows")
    expected = [*(Job(name, (one,)) for name, one in zip(systems, work, strict=True)), Job("Linux")]
    assert jobs["`github`"]["a push to `main`"] == expected


def test_release_builds_and_tests_each_platform(jobs: dict[str, Jobs]) -> None:
    release = jobs["`github`"]["a release"]
    built = Counter(job.system for job in release if job.work == ("wheel", "test, of wheels"))
    assert built == dict.fromkeys(cost.SYSTEMS, 2)
    assert [job.work for job in release if "wheel" not in job.work] == [("release",), (), ()]


def test_upkeep_adds_its_jobs(jobs: dict[str, Jobs]) -> None:
    def added(host: str, event: str) -> set[str]:
        more = Counter(jobs[f"{host}, `upkeep`"][event]) - Counter(jobs[host][event])
        return {work for job in more for work in job.work}

    for host in ("`github`", "`gitlab`"):
        assert added(host, "a pull request of Python alone") == {"compare", "coverage"}
        assert added(host, "a pull request of documents") == set()
        assert added(host, "a night") >= {"lowest", "highest", "test, another Python"}


@pytest.mark.parametrize(
    ("name", "old", "new", "event", "more"),
    [
        ("ci", "          - { system: macos-15,", "          - { system: ubuntu-24.04-arm,", PUSH, {"Linux Arm": 1}),
        ("ci", "    if: needs.changes.outputs.ends\n", "", EVENTS["a pull request of documents"], {"Linux": 1}),
        ("release", "    if: inputs.index == 'testpypi'\n", "", RELEASE, {"Linux": 1}),
        (
            "wheels",
            ", sessions/**]",
            ", python/**]",
            PYTHON,
            dict.fromkeys(cost.SYSTEMS, 2) | {"Linux": 3},
        ),
        ("nightly", 'python: "3.16" }', 'python: "3.16" }\n          - { name: a }', EVENTS["a night"], {"Linux": 1}),
    ],
)
def test_planted_job_is_counted(
    project: Path, name: str, old: str, new: str, event: cost.Event, more: dict[str, int]
) -> None:
    if name == "release":  # a job that starts for TestPyPI alone, and then always
        plant(project, ".github/workflows/release.yml", "    if: inputs.index != 'testpypi'\n", old)
    before = Counter(job.system for job in cost.github(project, event))
    plant(project, f".github/workflows/{name}.yml", old, new)
    assert Counter(job.system for job in cost.github(project, event)) - before == more


def test_conditions_are_read_as_github_reads_them() -> None:
    known = {"github.event_name": "push", "github.ref_type": "tag"}
    for condition in (
        "(!cancelled()) && (github.event_name != 'schedule' || !github.event.repository.fork)",
        "!matrix.image",
        "always()",
    ):
        assert cost.holds(condition, known), condition
    for condition in ("vars.ANY", "github.ref_type == 'branch'", "'a && b' == 'a and b'"):
        assert not cost.holds(condition, known), condition


def test_peer_counts_match_its_generated_file(source: Path, tmp_path: Path) -> None:
    find_tool("maturin")
    folder = render(source, tmp_path / "project", {"ci": "none"})
    run("maturin", "generate-ci", "github", "--output", "ci.yml", cwd=folder)
    runners = re.findall(r"- runner: (\S+)", (folder / "ci.yml").read_text("utf-8"))
    assert Counter(map(cost.system, runners)) + Counter(Linux=1) == Counter(job.system for job in cost.GENERATED)


# ---- The times.


def test_every_session_has_a_time(jobs: dict[str, Jobs]) -> None:
    known = cost.prices(cost.read_times(TEXT))
    called = {work for events in jobs.values() for some in events.values() for job in some for work in job.work}
    assert called <= known.keys()
    assert all(f"`{name}`" in TEXT or f"`{name}.yml`" in TEXT for name in NOT_MEASURED)


def test_work_without_a_time_is_an_error() -> None:
    assert Job("Linux").minutes({}) == 0.5
    assert Job("Linux", ("lint", "lint")).minutes({"lint": 45}) == 2
    with pytest.raises(KeyError):
        Job("Linux", ("lint", "unknown")).minutes({"lint": 45})


# ---- The page.


def test_tables_match_the_workflows(tmp_path: Path) -> None:
    assert cost.count(TEXT, tmp_path) == TEXT, "`nox -s cost -- --count` writes them anew"


def test_stale_table_is_renewed() -> None:
    page = "# Page\n\n<!-- summary -->\n\n| old |\n\n<!-- end -->\n\nMore.\n\n<!-- times -->\n\n| 1 |\n\n<!-- end -->\n"
    assert cost.renew(page, "summary", ["| new |", ""]) == page.replace("old", "new")
    with pytest.raises(SystemExit):
        cost.renew(page, "systems", [])


def test_quoted_lines_are_in_the_workflows(project: Path) -> None:
    texts = "".join(one.text for one in workflows(project).values())
    quoted = re.findall(r"```yaml\n *(.*?)\n *```", TEXT, re.DOTALL)
    assert quoted
    assert [lines for lines in [*quoted, "23 3 * * *"] if lines not in texts] == []
