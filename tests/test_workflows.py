"""Are the workflows of a rendered project correct, frugal with rights, and complete?"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from checks import Table, plant
from template import ROOT, Project, questions
from variants import VARIANTS
from workflows import (
    ACTIONS,
    CONFIGURATION,
    RETIRED,
    RULES,
    RUNNERS,
    before,
    broken_rules,
    lint_with_actionlint,
    lint_with_zizmor,
    needs,
    retired,
    touched,
    unpinned,
    workflows,
    wrong_inputs,
)

WORKFLOWS = ["audit", "bench", "ci", "nightly", "rare", "release", "template", "wheels"]
SERVED = {"github": [".github"], "cibuildwheel": [".github"], "gitlab": [".gitlab", ".gitlab-ci.yml"], "none": []}
CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"


@pytest.fixture(scope="session")
def cache(pytestconfig: pytest.Config) -> Path:
    """Give a folder that outlives a run, for a tool that has to be built."""
    return pytestconfig.cache.mkdir("tools")


def answered(name: str) -> str:
    """Give what a variant answers to the question of continuous integration."""
    return str(VARIANTS[name].get("ci", questions()["ci"]["default"]))


# The variants that have workflows; GitLab's file has tests of its own.
with_workflows = pytest.mark.parametrize(
    "variant", [name for name in VARIANTS if ".github" in SERVED[answered(name)]], indirect=True, scope="session"
)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Give a folder with the workflows and the sessions, which are the same in every project, to plant a fault in."""
    shutil.copytree(ROOT / "template" / ".github", tmp_path / ".github")
    shutil.copy(ROOT / "template" / "noxfile.py", tmp_path)
    return tmp_path


def plant_in(folder: Path, workflow: str, old: str, new: str) -> Path:
    """Plant a fault in a workflow."""
    return plant(folder, f".github/workflows/{workflow}.yml", old, new)


@with_workflows
def test_the_workflows_are_those_and_no_others(variant: Project) -> None:
    assert list(workflows(variant.folder)) == WORKFLOWS


def test_a_project_has_the_files_of_its_service_and_of_no_other(variant: Project) -> None:
    there = sorted(path.name for path in variant.folder.glob(".git[hl]*"))
    assert there == SERVED[variant.answer("ci")]


# ---- Rules.


@with_workflows
def test_no_rule_is_broken(variant: Project) -> None:
    assert broken_rules(variant.folder) == {}


BROKEN = [
    ("only_known_events_start_it", "ci", "  pull_request:\n", "  pull_request_target:\n"),
    ("only_known_events_start_it", "audit", "  workflow_dispatch:\n", "  workflow_run:\n    workflows: [ci]\n"),
    ("a_check_that_is_required_reports", "ci", "  pull_request:\n", "  pull_request:\n    paths: [src/**]\n"),
    ("a_check_that_is_required_reports", "ci", "  pull_request:\n", "  pull_request:\n    branches: [main]\n"),
    ("a_check_that_is_required_reports", "ci", "[main]\n", "[main]\n    paths-ignore: [docs/**]\n"),
    ("nothing_starts_by_itself_in_a_fork", "audit", "|| !github", "|| github"),
    ("nothing_starts_by_itself_in_a_fork", "nightly", "    if: github.event_name != 'schedule'", "    if: true"),
    ("nothing_starts_by_itself_in_a_fork", "nightly", "    if: (!cancelled()) &&", "    if: (!cancelled()) ||"),
    ("nothing_starts_by_itself_in_a_fork", "template", "if: needs.update", "if: always() && needs.update"),
    ("runs_do_not_pile_up", "ci", "concurrency:\n", "defaults:\n"),
    ("runs_do_not_pile_up", "ci", "-${{ github.ref }}", ""),
    ("runs_do_not_pile_up", "wheels", "group: wheels-", "group: ${{ github.workflow }}-"),
    ("runs_do_not_pile_up", "rare", "group: rare-", "group: ${{ github.workflow }}-"),
    ("runs_do_not_pile_up", "release", "cancel-in-progress: false", "cancel-in-progress: true"),
    ("runs_do_not_pile_up", "nightly", "cancel-in-progress: false", "cancel-in-progress: true"),
    ("runs_do_not_pile_up", "template", "cancel-in-progress: false", "cancel-in-progress: true"),
    ("runs_do_not_pile_up", "bench", "cancel-in-progress: true", "cancel-in-progress: false"),
    ("every_job_ends", "release", "    timeout-minutes: 15\n", ""),
    ("every_job_ends", "ci", "timeout-minutes: 30", "timeout-minutes: 360"),
    ("runners_are_current", "ci", "runs-on: ubuntu-24.04", "runs-on: ubuntu-latest"),
    ("runners_are_current", "ci", "windows-2025]", "windows-2022]"),
    ("runners_are_current", "wheels", "system: macos-15 }", "system: macos-12 }"),
    ("runners_are_current", "wheels", "${{ matrix.system }}", "${{ matrix.image }}"),
    ("runners_are_current", "wheels", "${{ matrix.system }}", "${{ matrix.nothing }}"),
    ("nothing_is_retired", "wheels", "macos-15-intel", "macos-13"),
    ("nothing_is_retired", "ci", "runs-on: ubuntu-24.04", "runs-on: ubuntu-20.04"),
    (
        "nothing_is_retired",
        "bench",
        "# v7.0.1\n        with:\n          name",
        "# v3.2.1\n        with:\n          name",
    ),
    ("nothing_is_retired", "template", 'echo "found=true" >> "$GITHUB_OUTPUT"', "echo ::set-output name=found::true"),
    ("rights_are_given_to_jobs", "ci", "permissions: {}\n\nenv", "env"),
    ("rights_are_given_to_jobs", "wheels", "permissions:\n      contents: read", "env:\n      a: read"),
    ("rights_are_given_to_jobs", "release", "permissions: {}", "permissions: write-all"),
    ("rights_have_a_reason", "nightly", "issues: write # to", "issues: write\n      # to"),
    ("rights_have_a_reason", "ci", "contents: read # to check the sources out", "contents: read"),
    ("few_jobs_write", "ci", "contents: read", "contents: write"),
    ("few_jobs_write", "wheels", "contents: read", "id-token: write"),
    ("few_jobs_write", "rare", "contents: read", "packages: write"),
    ("few_jobs_write", "release", "      attestations: write", "      contents: write"),
    ("few_jobs_write", "nightly", "actions: read", "actions: write"),
    ("no_secret_is_needed", "release", "CARGO_REGISTRY_TOKEN: ${{ steps.auth.outputs.token }}", "A: ${{ secrets.A }}"),
    ("no_secret_is_needed", "release", "    permissions:\n", "    secrets: inherit\n    permissions:\n"),
    ("no_secret_is_needed", "release", "skip-existing: true", "password: ${{ vars.PYPI }}"),
    ("no_secret_is_needed", "nightly", "github.token", "secrets.TEMPLATE_TOKEN"),
    ("no_secret_is_needed", "template", "secrets.TEMPLATE_APP_KEY", "secrets['APP_KEY']"),
    ("the_token_is_for_a_right", "nightly", "      issues: write # to", "      contents: read # to"),
    ("the_token_is_for_a_right", "audit", "${{ vars.OSV_URL }}", "${{ github.token }}"),
    ("credentials_do_not_stay", "wheels", "persist-credentials: false", "persist-credentials: true"),
    ("credentials_do_not_stay", "rare", "          persist-credentials: false\n", ""),
    ("the_identity_is_for_publishing", "wheels", "contents: read", "id-token: write"),
    ("the_identity_is_for_publishing", "release", "    environment: ${{ inputs.index || 'pypi' }}\n", ""),
    ("the_identity_is_for_publishing", "release", "    environment: crates\n", ""),
    ("the_identity_is_for_publishing", "release", "    name: gate\n", "    name: gate\n    environment: pypi\n"),
    ("the_identity_is_for_publishing", "release", "python3 channels/crates/publish.py", "cargo publish"),
    (
        "the_identity_is_for_publishing",
        "release",
        "      - uses: actions/attest@",
        "      - run: make\n      - uses: actions/attest@",
    ),
    ("publishing_comes_last", "release", "    needs: [gate, wheels]\n", "    needs: gate\n"),
    ("publishing_comes_last", "release", "    needs: [gate, wheels]\n", ""),
    ("publishing_comes_last", "release", "    needs: [gate, wheels, publish]\n", "    needs: [gate, wheels]\n"),
    ("publishing_comes_last", "release", "if: github.ref_type == 'tag'", "if: always() && github.ref_type == 'tag'"),
    ("publishing_comes_last", "release", "    if: inputs.index != 'testpypi'\n", "    if: ${{ !cancelled() }}\n"),
    ("actions_are_pinned", "ci", CHECKOUT, "actions/checkout@v7.0.1"),
    ("actions_are_pinned", "ci", CHECKOUT, CHECKOUT.partition(" #")[0]),
    ("actions_are_pinned", "ci", CHECKOUT, CHECKOUT.replace("v7.0.1", "v7.0.0")),
    ("actions_are_pinned", "ci", CHECKOUT, CHECKOUT.replace("@3", "@4")),
    ("actions_are_pinned", "ci", "Swatinem/rust-cache@", "somebody/rust-cache@"),
    ("inputs_are_real", "release", "merge-multiple: true", "merge-many: true"),
    ("inputs_are_real", "bench", "          path: target/compare/comparison.*\n", ""),
    ("inputs_are_real", "template", "client-id:", "app-id:"),
    ("caches_cannot_be_poisoned", "ci", "${{ github.ref == 'refs/heads/main' }}", "true"),
    ("caches_cannot_be_poisoned", "wheels", "enable-cache: false", "enable-cache: auto"),
    ("caches_cannot_be_poisoned", "rare", "enable-cache: false", "version: latest"),
    ("caches_cannot_be_poisoned", "release", "enable-cache: false", "enable-cache: true"),
    (
        "caches_cannot_be_poisoned",
        "audit",
        "      - run: uvx",
        "      - uses: Swatinem/rust-cache@6323deb102c322ba6fcbdcafc7e3dddab59af2b6 # v2.9.2\n      - run: uvx",
    ),
    ("jobs_of_a_matrix_have_caches_of_their_own", "ci", "key: ${{ matrix.session }}", "key: compiled"),
    ("what_is_downloaded_was_uploaded", "wheels", "pattern: dist-*", "pattern: wheel-*"),
    ("what_is_downloaded_was_uploaded", "release", "pattern: dist-*", "name: dist"),
    ("what_is_downloaded_was_uploaded", "template", "          name: template\n", "          name: templates\n"),
    ("what_is_downloaded_was_uploaded", "template", "    needs: update\n", ""),
    ("sessions_exist", "ci", '"stubs"', '"stub"'),
    ("sessions_exist", "nightly", "[lowest, highest]", "[lowest, newest]"),
    ("sessions_exist", "audit", "--session audit", "--session audits"),
    ("sessions_exist", "audit", "--session audit", "-s audit"),
    ("sessions_exist", "rare", 'wheel -- --target "$TARGET"', 'wheel --target "$TARGET"'),
    ("check_waits_for_all", "ci", "needs: [sessions, session, test]", "needs: [sessions, session]"),
    ("check_waits_for_all", "ci", "if: always()", "if: success()"),
    ("check_waits_for_all", "ci", "'cancelled'", "'success'"),
]


@pytest.mark.parametrize(("rule", "name", "old", "new"), BROKEN)
def test_a_broken_rule_is_noticed(copied: Path, rule: str, name: str, old: str, new: str) -> None:
    assert f"{rule} in {name}.yml" in broken_rules(plant_in(copied, name, old, new))


def test_no_rule_is_broken_before_a_fault_is_planted_and_each_is_proven(copied: Path) -> None:
    assert broken_rules(copied) == {}
    assert {rule.__name__ for rule in RULES} == {rule for rule, *_ in BROKEN}


RETIREES = [
    *("runs-on: ubuntu-20.04", "runs-on: windows-2019", "runs-on: macos-13", "os: [macos-14]"),
    *("uses: actions/download-artifact@a # v3.0.2", "uses: actions/cache@a # v3.5.0"),
    *("echo ::set-output name=a::b", "uses: actions-rs/toolchain@v1"),
]


def test_everything_that_is_retired_is_noticed() -> None:
    found = [retired(text) for text in RETIREES]
    assert [len(reasons) for reasons in found] == [1] * len(RETIREES) == [1] * len(RETIRED)
    assert {reason for reasons in found for reason in reasons} == set(RETIRED.values())
    assert not any(retired(f"runs-on: {runner}") for runner in RUNNERS)


# ---- What they are for.


@with_workflows
def test_a_branch_can_be_protected_by_one_job(variant: Project) -> None:
    ci = workflows(variant.folder)["ci"]
    assert {"push", "pull_request"} <= ci.tree["on"].keys()
    assert needs(ci.jobs["check"])


@with_workflows
def test_the_first_job_tells_the_others_what_to_run(variant: Project) -> None:
    ci = workflows(variant.folder)["ci"]
    (listing,) = (step["run"] for step in ci.jobs["sessions"]["steps"] if step.get("id") == "list")
    assert "git diff --quiet HEAD^" in listing and "nox --list-sessions --json" in listing
    for job, output in (("session", "one"), ("test", "all")):
        assert ci.jobs[job]["strategy"]["matrix"]["session"] == f"${{{{ fromJSON(needs.sessions.outputs.{output}) }}}}"
        assert ci.jobs["sessions"]["outputs"][output] == f"${{{{ steps.list.outputs.{output} }}}}"


STARTED = [
    ("wheels", "pyproject.toml", True),
    ("wheels", "Cargo.toml", True),
    ("wheels", "crates/quickstats-py/Cargo.toml", True),
    ("wheels", "Cargo.lock", True),
    ("wheels", "tools/wheels.py", True),
    ("wheels", ".github/workflows/wheels.yml", True),
    ("wheels", "README.md", False),
    ("wheels", "docs/index.md", False),
    ("wheels", "python/quickstats/__init__.py", False),
    ("wheels", "tests/test_summary.py", False),
    ("bench", "src/summary.rs", True),
    ("bench", "crates/quickstats/src/summary.rs", True),
    ("bench", "python/quickstats/__init__.py", True),
    ("bench", "README.md", False),
    ("bench", "tests/test_summary.py", False),
    ("audit", "Cargo.lock", True),
    ("audit", "uv.lock", True),
    ("audit", "src/summary.rs", False),
    ("ci", "README.md", True),
]


@with_workflows
def test_a_pull_request_starts_what_it_concerns(variant: Project) -> None:
    files = workflows(variant.folder)
    assert [(name, path, touched(files[name], path)) for name, path, _ in STARTED] == STARTED


@with_workflows
def test_a_filter_names_files_that_are_there(variant: Project) -> None:
    locks = {"Cargo.lock", "uv.lock"}  # they come with the first build
    for workflow in workflows(variant.folder).values():
        paths = (workflow.tree["on"].get("pull_request") or {}).get("paths", [])
        named = {path for path in paths if "*" not in path} - locks
        assert {path for path in named if not (variant.folder / path).is_file()} == set(), workflow.path.name
        assert not paths or f".github/workflows/{workflow.path.name}" in paths


@with_workflows
def test_a_release_is_made_from_a_tag_and_by_hand_for_a_trial(variant: Project) -> None:
    release = workflows(variant.folder)["release"]
    assert release.tree["on"].keys() == {"push", "workflow_dispatch"}
    assert release.tree["on"]["push"] == {"tags": ["v*"]}
    assert release.jobs["publish"]["if"] == "github.ref_type == 'tag'"


@with_workflows
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
    for job in ("crates", "page"):
        assert "inputs.index != 'testpypi'" in release.jobs[job]["if"]


@with_workflows
def test_a_release_is_rehearsed_with_its_tag_from_the_whole_history(variant: Project) -> None:
    files = workflows(variant.folder)
    tagged = [step for name in ("release", "wheels") for step in files[name].steps if "--tag=" in step.get("run", "")]
    assert [step["run"].partition(" -- ")[0] for step in tagged] == ["uvx nox --session release"] * 2
    for step in tagged:
        assert step["run"].endswith('${TAG:+"--tag=$TAG"}')
        assert step["env"] == {"TAG": "${{ github.ref_type == 'tag' && github.ref_name || '' }}"}
    for name, job in (("release", "gate"), ("wheels", "wheel"), ("wheels", "sdist"), ("rare", "wheel")):
        (given,) = (step["with"] for step in files[name].jobs[job]["steps"] if "checkout@" in step.get("uses", ""))
        assert given["fetch-depth"] == "0", f"{job} in {name}"


@with_workflows
def test_only_publishing_proves_who_it_is_and_it_waits_for_all_that_builds(variant: Project) -> None:
    release = workflows(variant.folder)["release"]
    assert {name for name, job in release.jobs.items() if "id-token" in job["permissions"]} == {"publish", "crates"}
    assert before(release, "publish") == {"gate", "wheels"}
    assert before(release, "crates") == {"gate", "wheels", "publish"}
    assert release.jobs["wheels"]["uses"] == "./.github/workflows/wheels.yml"
    called = workflows(variant.folder)["wheels"]
    assert before(called, "complete") == called.jobs.keys() - {"complete"}


@with_workflows
def test_what_is_published_is_all_that_was_built_and_nothing_is_cached(variant: Project) -> None:
    files = workflows(variant.folder)
    steps = [step for name in ("wheels", "rare", "release") for step in files[name].steps]
    uploads = [step["with"] for step in steps if "upload-artifact" in step.get("uses", "")]
    assert {upload["if-no-files-found"] for upload in uploads} == {"error"}
    assert [upload["name"] for upload in uploads] == [
        *("dist-${{ matrix.target }}", "dist-sdist", "report", "dist-${{ matrix.target }}")
    ]
    assert {step["with"]["enable-cache"] for step in steps if "setup-uv" in step.get("uses", "")} == {"false"}


@pytest.mark.parametrize(
    ("gate", "name", "old", "new"),
    [
        (test_a_branch_can_be_protected_by_one_job, "ci", "  pull_request:\n", ""),
        (test_a_branch_can_be_protected_by_one_job, "ci", "    needs: [sessions, session, test]\n", ""),
        (
            test_the_first_job_tells_the_others_what_to_run,
            "ci",
            "fromJSON(needs.sessions.outputs.all)",
            "fromJSON('[]')",
        ),
        (test_the_first_job_tells_the_others_what_to_run, "ci", "git diff --quiet HEAD^", "false"),
        (test_a_pull_request_starts_what_it_concerns, "wheels", "- Cargo.lock", "- python/**"),
        (test_a_pull_request_starts_what_it_concerns, "wheels", "- tools/**", '- tools/**\n      - "**/*.md"'),
        (test_a_pull_request_starts_what_it_concerns, "wheels", '"**/Cargo.toml"', '"*/Cargo.toml"'),
        (test_a_filter_names_files_that_are_there, "wheels", "- noxfile.py", "- nox.py"),
        (test_a_filter_names_files_that_are_there, "bench", "- .github/workflows/bench.yml", "- .github/**"),
        (test_a_release_is_made_from_a_tag_and_by_hand_for_a_trial, "release", '["v*"]', '["*"]'),
        (test_a_release_is_made_from_a_tag_and_by_hand_for_a_trial, "release", "  workflow_dispatch:\n", ""),
        (test_one_setting_chooses_between_pypi_and_testpypi, "release", "'upload'", "'test'"),
        (test_one_setting_chooses_between_pypi_and_testpypi, "release", "inputs.index || 'pypi'", "'pypi'"),
        (test_one_setting_chooses_between_pypi_and_testpypi, "release", " && inputs.index != 'testpypi'", ""),
        (test_a_release_is_rehearsed_with_its_tag_from_the_whole_history, "wheels", ' -- ${TAG:+"--tag=$TAG"}', ""),
        (test_a_release_is_rehearsed_with_its_tag_from_the_whole_history, "wheels", "fetch-depth: 0", "fetch-depth: 1"),
        (test_only_publishing_proves_who_it_is_and_it_waits_for_all_that_builds, "release", "[gate, wheels]", "[gate]"),
        (test_only_publishing_proves_who_it_is_and_it_waits_for_all_that_builds, "wheels", "[wheel, rare,", "[wheel,"),
        (test_what_is_published_is_all_that_was_built_and_nothing_is_cached, "wheels", ": error", ": warn"),
        (test_what_is_published_is_all_that_was_built_and_nothing_is_cached, "rare", ": error", ": warn"),
        (
            test_what_is_published_is_all_that_was_built_and_nothing_is_cached,
            "wheels",
            "name: dist-sdist",
            "name: dist",
        ),
        (test_what_is_published_is_all_that_was_built_and_nothing_is_cached, "wheels", "enable-cache: false", "a: b"),
    ],
)
def test_a_workflow_that_misses_its_purpose_is_noticed(
    copied: Path, gate: Callable[[Project], None], name: str, old: str, new: str
) -> None:
    project = Project(plant_in(copied, name, old, new), {})
    with pytest.raises((AssertionError, KeyError, ValueError)):
        gate(project)


# ---- Actions.


def test_every_action_of_the_table_is_a_release_of_today() -> None:
    for action, known in ACTIONS.items():
        assert re.fullmatch(r"[0-9a-f]{40} v\d+\.\d+\.\d+", f"{known['commit']} {known['version']}"), action
        assert known["using"] in ("composite", "docker", "node24"), f"{action} is of a Node that is gone"
        assert set(known["required"]) <= set(known["inputs"]), action


def test_every_action_of_the_table_is_used() -> None:
    texts = [workflow.text for folder in (ROOT, ROOT / "template") for workflow in workflows(folder).values()]
    everything = "".join([*texts, *pages().values()])
    assert [action for action in ACTIONS if f"uses: {action}@" not in everything] == []


def stand_ins() -> dict[str, Table]:
    """Read what stands for the actions when workflows are executed."""
    paths = ROOT.glob("tests/act/actions/*/action.yml")
    return {path.parent.name.replace("__", "/"): yaml.safe_load(path.read_text("utf-8")) for path in paths}


def test_a_stand_in_takes_nothing_that_the_action_does_not_and_requires_no_less() -> None:
    assert stand_ins().keys() <= ACTIONS.keys()
    for action, stand_in in stand_ins().items():
        known, inputs = ACTIONS[action], stand_in.get("inputs", {})
        assert inputs.keys() - known["inputs"] - set(known.get("deprecated", [])) == set(), action
        assert {name for name, given in inputs.items() if given.get("required")} >= set(known["required"]), action


def pages() -> dict[str, str]:
    """Read the pages that may show a workflow, each with the YAML that is in it."""
    found = {}
    for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), ROOT / "template" / "README.md.jinja"]:
        tokens = MarkdownIt().parse(path.read_text("utf-8"))
        blocks = [token.content for token in tokens if token.type == "fence" and token.info.startswith("y")]
        found[path.name] = "---\n".join(blocks)
    return found


def stale(text: str) -> Iterator[str]:
    """Name what in the YAML of a page is not as in the workflows."""
    yield from [*unpinned(text), *retired(text)]
    for tree in yaml.safe_load_all(text):
        yield from wrong_inputs(tree)


def test_a_page_shows_the_actions_that_the_workflows_use() -> None:
    assert {name: found for name, text in pages().items() if (found := list(stale(text)))} == {}


@pytest.mark.parametrize(
    "text",
    [
        "steps:\n  - uses: actions/checkout@v7\n",
        f"- uses: {CHECKOUT}\n  with:\n    persist: false\n",
        "runs-on: macos-13\n",
        f"- uses: {CHECKOUT.replace('v7.0.1', 'v7.0.0')}\n",
    ],
)
def test_a_page_that_is_stale_is_noticed(text: str) -> None:
    assert list(stale("a: b\n---\n" + text))


@pytest.mark.parametrize(
    ("gate", "action", "change"),
    [
        (test_every_action_of_the_table_is_a_release_of_today, "actions/checkout", {"using": "node20"}),
        (test_every_action_of_the_table_is_a_release_of_today, "actions/checkout", {"commit": "3d3c42e"}),
        (test_every_action_of_the_table_is_a_release_of_today, "actions/checkout", {"required": ["a"]}),
        (test_every_action_of_the_table_is_used, "actions/cache", {}),
        (
            test_a_stand_in_takes_nothing_that_the_action_does_not_and_requires_no_less,
            "actions/checkout",
            {"inputs": []},
        ),
        (
            test_a_stand_in_takes_nothing_that_the_action_does_not_and_requires_no_less,
            "actions/checkout",
            {"required": ["ref"]},
        ),
    ],
)
def test_a_table_that_disagrees_is_noticed(
    monkeypatch: pytest.MonkeyPatch, gate: Callable[[], None], action: str, change: dict[str, Any]
) -> None:
    monkeypatch.setitem(ACTIONS, action, {**ACTIONS["actions/checkout"], **change})
    with pytest.raises(AssertionError):
        gate()


# ---- Linters.


@with_workflows
def test_actionlint_has_nothing_to_say(variant: Project, cache: Path) -> None:
    assert lint_with_actionlint(variant.folder, cache) == ""


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("runs-on: ubuntu-24.04", "runs-on: ubunto-24.04", "ubunto"),
        ("needs: sessions", "needs: session", "session"),
        ('--session "$SESSION"', "--session $SESSION", "SC2086"),
        ("${{ matrix.session }}", "${{ matrix.sesion }}", "sesion"),
    ],
)
def test_a_fault_that_actionlint_knows_is_noticed(copied: Path, cache: Path, old: str, new: str, word: str) -> None:
    assert word in lint_with_actionlint(plant_in(copied, "ci", old, new), cache)


@with_workflows
def test_zizmor_finds_nothing(variant: Project) -> None:
    assert lint_with_zizmor(variant.folder) == []


@with_workflows
def test_zizmor_is_told_to_leave_out_one_audit_and_nothing_else(variant: Project) -> None:
    assert yaml.safe_load(CONFIGURATION.read_text("utf-8")) == {"rules": {"self-repository": {"disable": True}}}
    assert (variant.folder / ".github" / "zizmor.yml").read_bytes() == CONFIGURATION.read_bytes()


@with_workflows
def test_no_linter_is_told_to_look_away(variant: Project) -> None:
    assert looking_away(variant.folder) == []


def test_no_linter_is_told_to_look_away_from_the_repository() -> None:
    assert looking_away(ROOT) == []
    assert not list(ROOT.glob(".github/zizmor*"))


def looking_away(folder: Path) -> list[str]:
    """Name the workflows with an exception in a comment, and the settings of actionlint."""
    texts = {one.path.name: one.text for one in workflows(folder).values()}
    told = [name for name, text in texts.items() if re.search("zizmor:|shellcheck (disable|source)|actionlint", text)]
    return [*told, *(path.name for path in folder.glob(".github/actionlint*"))]


@pytest.mark.parametrize("comment", ["# zizmor: ignore[artipacked]", "# shellcheck disable=SC2086"])
def test_a_linter_that_is_told_to_look_away_is_noticed(copied: Path, comment: str) -> None:
    assert looking_away(plant_in(copied, "ci", "jobs:\n", f"{comment}\njobs:\n")) == ["ci.yml"]


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
