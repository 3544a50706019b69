"""Are the workflows of a rendered project correct, frugal with rights, and complete?"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from checks import plant
from template import ROOT, Project, questions
from variants import VARIANTS
from workflows import CONFIGURATION, broken_rules, lint_with_actionlint, lint_with_zizmor, needs, workflows

WORKFLOWS = ["ci", "release", "wheels"]


@pytest.fixture(scope="session")
def cache(pytestconfig: pytest.Config) -> Path:
    """Give a folder that outlives a run, for a tool that has to be built."""
    return pytestconfig.cache.mkdir("tools")


def having(choice: str) -> pytest.MarkDecorator:
    """Take the variants that have it or have it not."""
    names = [name for name, answers in VARIANTS.items() if answers.get("ci", questions()["ci"]["default"]) == choice]
    return pytest.mark.parametrize("variant", names, indirect=True, scope="session")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Give a folder with the workflows alone, which are the same in every project, to plant a fault in."""
    shutil.copytree(ROOT / "template" / ".github", tmp_path / ".github")
    return tmp_path


def plant_in(folder: Path, workflow: str, old: str, new: str) -> Path:
    """Plant a fault in a workflow."""
    return plant(folder, f".github/workflows/{workflow}.yml", old, new)


@having("github")
def test_the_workflows_are_those_and_no_others(variant: Project) -> None:
    assert list(workflows(variant.folder)) == WORKFLOWS


@having("none")
def test_without_continuous_integration_there_is_no_trace_of_it(variant: Project) -> None:
    assert not (variant.folder / ".github").exists()


# ---- Rules.


@having("github")
def test_no_rule_is_broken(variant: Project) -> None:
    assert broken_rules(variant.folder) == {}


@pytest.mark.parametrize(
    ("rule", "name", "old", "new"),
    [
        ("rights_are_given_to_jobs", "ci", "permissions: {}\n\nenv", "env"),
        ("rights_are_given_to_jobs", "wheels", "permissions:\n      contents: read", "env:\n      a: read"),
        ("rights_are_given_to_jobs", "release", "permissions: {}", "permissions: write-all"),
        ("actions_are_pinned", "ci", "@20cfd1bf945f4377ade1205e4dbc17946fc9a30d # v10.0.1", "@v10.0.1"),
        ("actions_are_pinned", "ci", " # v7.0.1", ""),
        ("credentials_do_not_stay", "wheels", "persist-credentials: false", "persist-credentials: true"),
        ("credentials_do_not_stay", "ci", "with:\n          persist-credentials: false", "name: check out"),
        ("every_job_ends", "release", "    timeout-minutes: 15\n", ""),
        ("every_job_ends", "ci", "timeout-minutes: 15", "timeout-minutes: 360"),
        ("runs_do_not_pile_up", "ci", "concurrency:\n", "defaults:\n"),
        ("runs_do_not_pile_up", "wheels", "group: wheels-", "group: ${{ github.workflow }}-"),
        ("runners_are_current", "ci", "runs-on: ubuntu-24.04", "runs-on: ubuntu-20.04"),
        ("runners_are_current", "wheels", "macos-15", "macos-13"),
        (
            "no_secret_is_needed",
            "release",
            "environment: ${{ inputs.index || 'pypi' }}",
            "env: { A: '${{ secrets.PYPI }}' }",
        ),
        ("the_identity_is_for_publishing", "wheels", "contents: read", "id-token: write"),
        ("the_identity_is_for_publishing", "release", "    environment: ${{ inputs.index || 'pypi' }}\n", ""),
        ("the_identity_is_for_publishing", "release", "    needs: wheels\n", ""),
        ("the_identity_is_for_publishing", "release", "    steps:\n", "    steps:\n      - run: make\n"),
        ("check_waits_for_all", "ci", "needs: [sessions, lint, test]", "needs: [sessions, lint]"),
        ("check_waits_for_all", "ci", "if: always()", "if: success()"),
        ("check_waits_for_all", "ci", "'skipped'", "'success'"),
    ],
)
def test_a_broken_rule_is_noticed(copied: Path, rule: str, name: str, old: str, new: str) -> None:
    assert f"{rule} in {name}.yml" in broken_rules(plant_in(copied, name, old, new))


# ---- What the three are for.


@having("github")
def test_a_branch_can_be_protected_by_one_job(variant: Project) -> None:
    ci = workflows(variant.folder)["ci"]
    assert {"push", "pull_request"} <= ci.tree["on"].keys()
    assert needs(ci.jobs["check"])


@having("github")
def test_a_release_is_made_from_a_tag_and_by_hand_for_a_trial(variant: Project) -> None:
    release = workflows(variant.folder)["release"]
    assert release.tree["on"].keys() == {"push", "workflow_dispatch"}
    assert release.tree["on"]["push"] == {"tags": ["v*"]}
    assert release.jobs["publish"]["if"] == "github.ref_type == 'tag'"


@having("github")
def test_one_setting_chooses_between_pypi_and_testpypi(variant: Project) -> None:
    release = workflows(variant.folder)["release"]
    assert release.tree["on"]["workflow_dispatch"]["inputs"]["index"]["options"] == ["pypi", "testpypi"]
    publish = release.jobs["publish"]
    (step,) = (step for step in publish["steps"] if "pypi-publish" in step["uses"])
    assert publish["environment"] == "${{ inputs.index || 'pypi' }}"
    assert step["with"] == {
        "repository-url": "https://${{ inputs.index == 'testpypi' && 'test' || 'upload' }}.pypi.org/legacy/",
        "skip-existing": "true",
    }


@having("github")
def test_a_release_is_rehearsed_with_its_tag_from_the_whole_history(variant: Project) -> None:
    wheels = workflows(variant.folder)["wheels"]
    steps = [step for job in wheels.jobs.values() for step in job["steps"]]
    (rehearsal,) = (step for step in steps if "--session release" in step.get("run", ""))
    assert rehearsal["run"].endswith('-- ${TAG:+"--tag=$TAG"}')
    assert rehearsal["env"] == {"TAG": "${{ github.ref_type == 'tag' && github.ref_name || '' }}"}
    checkouts = [step["with"] for step in steps if "checkout@" in step.get("uses", "")]
    assert [checkout["fetch-depth"] for checkout in checkouts] == ["0"] * len(wheels.jobs)


@having("github")
def test_only_publishing_proves_who_it_is_and_it_waits_for_all_that_builds(variant: Project) -> None:
    release = workflows(variant.folder)["release"]
    publish = release.jobs["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert needs(publish) == release.jobs.keys() - {"publish"}
    assert "./.github/workflows/wheels.yml" in [job.get("uses") for job in release.jobs.values()]


@having("github")
def test_what_is_published_is_all_that_was_built_and_nothing_is_cached(variant: Project) -> None:
    wheels = workflows(variant.folder)["wheels"]
    steps = [step for job in wheels.jobs.values() for step in job["steps"]]
    uploads = [step["with"] for step in steps if "upload-artifact" in step.get("uses", "")]
    assert [upload["if-no-files-found"] for upload in uploads] == ["error"] * len(wheels.jobs)
    assert len({upload["name"] for upload in uploads}) == len(uploads)
    assert {step["with"]["enable-cache"] for step in steps if "setup-uv" in step.get("uses", "")} == {"false"}


@pytest.mark.parametrize(
    ("gate", "name", "old", "new"),
    [
        (test_a_branch_can_be_protected_by_one_job, "ci", "  pull_request:\n", ""),
        (test_a_branch_can_be_protected_by_one_job, "ci", "    needs: [sessions, lint, test]\n", ""),
        (test_a_release_is_made_from_a_tag_and_by_hand_for_a_trial, "release", '["v*"]', '["*"]'),
        (test_a_release_is_made_from_a_tag_and_by_hand_for_a_trial, "release", "  workflow_dispatch:\n", ""),
        (test_one_setting_chooses_between_pypi_and_testpypi, "release", "'upload'", "'test'"),
        (test_one_setting_chooses_between_pypi_and_testpypi, "release", "inputs.index || 'pypi'", "'pypi'"),
        (test_a_release_is_rehearsed_with_its_tag_from_the_whole_history, "wheels", ' -- ${TAG:+"--tag=$TAG"}', ""),
        (test_a_release_is_rehearsed_with_its_tag_from_the_whole_history, "wheels", "fetch-depth: 0", "fetch-depth: 1"),
        (
            test_only_publishing_proves_who_it_is_and_it_waits_for_all_that_builds,
            "release",
            "needs: wheels",
            "needs: []",
        ),
        (test_what_is_published_is_all_that_was_built_and_nothing_is_cached, "wheels", "error", "warn"),
        (test_what_is_published_is_all_that_was_built_and_nothing_is_cached, "wheels", "enable-cache: false", "a: b"),
    ],
)
def test_a_workflow_that_misses_its_purpose_is_noticed(
    copied: Path, gate: Callable[[Project], None], name: str, old: str, new: str
) -> None:
    project = Project(plant_in(copied, name, old, new), {})
    with pytest.raises((AssertionError, KeyError)):
        gate(project)


# ---- Linters.


@having("github")
def test_actionlint_has_nothing_to_say(variant: Project, cache: Path) -> None:
    assert lint_with_actionlint(variant.folder, cache) == ""


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("runs-on: ubuntu-24.04", "runs-on: ubunto-24.04", "ubunto"),
        ("needs: sessions", "needs: session", "session"),
        ('uvx nox --session "$SESSION"', "uvx nox --session $SESSION", "SC2086"),
        ("${{ matrix.session }}", "${{ matrix.sesion }}", "sesion"),
    ],
)
def test_a_fault_that_actionlint_knows_is_noticed(copied: Path, cache: Path, old: str, new: str, word: str) -> None:
    assert word in lint_with_actionlint(plant_in(copied, "ci", old, new), cache)


@having("github")
def test_zizmor_finds_nothing(variant: Project) -> None:
    assert lint_with_zizmor(variant.folder) == []


@having("github")
def test_zizmor_is_told_to_leave_out_one_audit_and_nothing_else(variant: Project) -> None:
    assert yaml.safe_load(CONFIGURATION.read_text("utf-8")) == {"rules": {"self-repository": {"disable": True}}}
    assert not [name for name, workflow in workflows(variant.folder).items() if "zizmor:" in workflow.text]


@pytest.mark.parametrize(
    ("old", "new", "audit"),
    [
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7", "unpinned-uses"),
        ('--session "$SESSION"', "--session ${{ github.event.pull_request.title }}", "template-injection"),
        ("  pull_request:\n", "  pull_request_target:\n", "dangerous-triggers"),
        ("          persist-credentials: false\n", "          fetch-depth: 1\n", "artipacked"),
        ("permissions: {}\n\nenv", "env", "excessive-permissions"),
    ],
)
def test_a_fault_that_zizmor_knows_is_noticed(copied: Path, old: str, new: str, audit: str) -> None:
    assert audit in lint_with_zizmor(plant_in(copied, "ci", old, new))
