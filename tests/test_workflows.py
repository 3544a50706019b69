"""Are the workflows of a rendered project correct, minimal in their permissions, and few?"""

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
from template import ROOT, questions, render
from variants import VARIANTS
from workflows import (
    ACTIONS,
    RULES,
    before,
    broken_rules,
    lint_with_actionlint,
    lint_with_zizmor,
    needs,
    touched,
    unpinned,
    workflows,
    wrong_inputs,
)

DEFAULT = ["ci", "release", "wheels"]
OPTIONAL = ["audit", "bench", "coverage", "crates", "nightly", "notices", "template"]  # one for each value
LINES = 250  # of the three, together
SERVED = {"github": [".github"], "cibuildwheel": [".github"], "gitlab": [".gitlab", ".gitlab-ci.yml"], "none": []}
CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
CACHE = "Swatinem/rust-cache@6323deb102c322ba6fcbdcafc7e3dddab59af2b6 # v2.9.2"


@pytest.fixture(scope="module")
def rendered(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Render every variant, without a repository."""
    folder = tmp_path_factory.mktemp("rendered")
    return {name: render(source, folder / name, answers) for name, answers in VARIANTS.items()}


@pytest.fixture(scope="module")
def cache(pytestconfig: pytest.Config) -> Path:
    """Give a folder that outlives a run, for a tool that has to be built."""
    return pytestconfig.cache.mkdir("tools")


@pytest.fixture
def everything(rendered: dict[str, Path], tmp_path: Path) -> Path:
    """Give the variant with every workflow, to plant a fault in."""
    return Path(shutil.copytree(rendered["workspace"], tmp_path / "project"))


with_workflows = pytest.mark.parametrize(
    "name", [name for name in VARIANTS if VARIANTS[name].get("ci", "github") in ("github", "cibuildwheel")]
)


def plant_in(folder: Path, workflow: str, old: str, new: str) -> Path:
    """Plant a fault in a workflow."""
    return plant(folder, f".github/workflows/{workflow}.yml", old, new)


# ---- Which files there are.


def test_default_has_three_short_workflows(rendered: dict[str, Path]) -> None:
    files = workflows(rendered["default"])
    assert list(files) == DEFAULT == list(workflows(rendered["cibuildwheel"]))
    assert sum(len(one.text.splitlines()) for one in files.values()) <= LINES


def test_each_value_has_its_workflow(rendered: dict[str, Path]) -> None:
    assert list(workflows(rendered["workspace"])) == sorted([*DEFAULT, *OPTIONAL])


@pytest.mark.parametrize("name", VARIANTS)
def test_files_are_those_of_the_service(name: str, rendered: dict[str, Path]) -> None:
    chosen = VARIANTS[name].get("ci", questions()["ci"]["default"])
    assert sorted(path.name for path in rendered[name].glob(".git[hl]*")) == SERVED[chosen]


# ---- Rules.


@with_workflows
def test_no_rule_is_broken(name: str, rendered: dict[str, Path]) -> None:
    assert broken_rules(rendered[name]) == {}


BROKEN = [
    ("check_events", "ci", "  pull_request:\n", "  pull_request_target:\n"),
    ("check_events", "ci", "  pull_request:\n", "  pull_request:\n    paths: [src/**]\n"),
    ("check_events", "ci", "[main] }", "[main], paths-ignore: [docs/**] }"),
    ("check_forks", "nightly", "    if: github.event_name != 'schedule'", "    if: true"),
    ("check_forks", "audit", "    if: github.event_name", "    if: always() && github.event_name"),
    ("check_forks", "nightly", "    if: (!cancelled()) &&", "    if: (!cancelled()) ||"),
    ("check_concurrency", "ci", "concurrency: {", "x: {"),
    ("check_concurrency", "ci", "-${{ github.ref }}", ""),
    ("check_concurrency", "wheels", '"wheels-', '"${{ github.workflow }}-'),
    ("check_concurrency", "release", "cancel-in-progress: false", "cancel-in-progress: true"),
    ("check_concurrency", "crates", "cancel-in-progress: false", "cancel-in-progress: true"),
    ("check_jobs", "release", "    timeout-minutes: 15\n", ""),
    ("check_jobs", "notices", "    timeout-minutes: 10\n", ""),
    ("check_jobs", "ci", "timeout-minutes: 30", "timeout-minutes: 360"),
    ("check_jobs", "ci", "runs-on: ubuntu-24.04", "runs-on: ubuntu-latest"),
    ("check_jobs", "wheels", "system: macos-15-intel }", "system: macos-13 }"),
    ("check_jobs", "wheels", "${{ matrix.system }}", "${{ matrix.nothing }}"),
    ("check_jobs", "ci", "jobs:\n", "jobs:\n" + "\n" * 100),
    ("check_permissions", "ci", "permissions: {}\n", ""),
    ("check_permissions", "wheels", "permissions: { contents: read }", "env: { a: read }"),
    ("check_permissions", "release", "permissions: {}", "permissions: write-all"),
    ("check_permissions", "ci", "contents: read } # to check the sources out", "contents: read }"),
    ("check_permissions", "ci", "contents: read", "contents: write"),
    ("check_permissions", "release", "attestations: write", "packages: write"),
    ("check_permissions", "wheels", "${{ matrix.image }}", "${{ github.token }}"),
    ("check_permissions", "template", "contents: read", "contents: write"),
    ("check_secrets", "coverage", "github.ref ==", "secrets.TOKEN =="),
    ("check_secrets", "release", "    permissions:\n", "    secrets: inherit\n    permissions:\n"),
    ("check_secrets", "release", "skip-existing: true", "password: ${{ vars.PYPI }}"),
    ("check_publishing", "wheels", "contents: read", "id-token: write"),
    ("check_publishing", "release", "    environment: ${{ inputs.index || 'pypi' }}\n", ""),
    (
        "check_publishing",
        "release",
        "      - uses: actions/attest@",
        "      - run: make\n      - uses: actions/attest@",
    ),
    ("check_publishing", "release", "    needs: wheels\n", ""),
    ("check_publishing", "release", "if: github.ref_type == 'tag'", "if: always() && github.ref_type == 'tag'"),
    ("check_publishing", "crates", " --no-verify #", " #"),
    ("check_publishing", "crates", "    environment: crates #", "    env: {} #"),
    ("check_publishing", "crates", "    needs: check\n", ""),
    ("check_publishing", "release", "    needs: publish\n", "    needs: wheels\n"),
    ("check_actions", "ci", CHECKOUT, "actions/checkout@v7.0.1"),
    ("check_actions", "ci", CHECKOUT, CHECKOUT.replace("v7.0.1", "v7.0.0")),
    ("check_actions", "ci", "Swatinem/rust-cache@", "somebody/rust-cache@"),
    ("check_actions", "release", "merge-multiple: true", "merge-many: true"),
    ("check_actions", "wheels", ", path: dist/*.whl", ""),
    ("check_caches", "ci", "${{ github.ref == 'refs/heads/main' }}", "true"),
    ("check_caches", "coverage", "${{ github.ref == 'refs/heads/main' }}", "true"),
    ("check_caches", "wheels", "enable-cache: false", "enable-cache: auto"),
    ("check_caches", "wheels", "      - run: uv", f"      - uses: {CACHE}\n      - run: uv"),
    ("check_artifacts", "release", "pattern: dist-*", "pattern: wheel-*"),
    ("check_artifacts", "release", "pattern: dist-*", "name: dist"),
    (
        "check_artifacts",
        "template",
        "          name: template\n          path: target/template\n      - id: app",
        "          name: patch\n      - id: app",
    ),
    ("check_artifacts", "wheels", "name: dist-sdist", "name: sdist"),
    ("check_artifacts", "wheels", "if-no-files-found: error", "if-no-files-found: warn"),
    ("check_artifacts", "wheels", "          - { target: x86_64-apple-darwin, system: macos-15-intel }\n", ""),
    ("check_sessions", "ci", "-s lint stubs", "-s lint stub"),
    ("check_sessions", "ci", "sessions: test }", "sessions: tests }"),
    *(
        ("check_sessions", name, f"-s {session}", f"-s {session}_")
        for name, session in {
            "audit": "audit",
            "bench": "compare",
            "notices": "notices",
            "template": "template",
        }.items()
    ),
    ("check_sessions", "coverage", "-s coverage", "-s cover"),
    ("check_sessions", "nightly", "session: lowest", "session: low"),
    ("check_sessions", "wheels", "-s wheel -- --target", "-s wheels -- --target"),
    ("check_check", "ci", "needs: [changes, lint, test]", "needs: [changes, lint]"),
    ("check_check", "ci", "if: always()", "if: success()"),
    ("check_check", "ci", "'cancelled'", "'success'"),
]


@pytest.mark.parametrize(("rule", "name", "old", "new"), BROKEN)
def test_broken_rule_is_found(everything: Path, rule: str, name: str, old: str, new: str) -> None:
    found = broken_rules(plant_in(everything, name, old, new))
    assert any(key.startswith(f"{rule} in ") for key in found)


def test_every_rule_has_a_fault() -> None:
    assert {rule.__name__ for rule in RULES} == {rule for rule, *_ in BROKEN}


# ---- What they do.

STARTED = [
    *(("wheels", path, True) for path in ("pyproject.toml", "crates/a-py/Cargo.toml", "Cargo.lock", "sessions/a.py")),
    *(("wheels", path, False) for path in ("README.md", "docs/index.md", "python/a/__init__.py", "tests/test_a.py")),
    ("ci", "README.md", True),
]


def check_changes(folder: Path) -> None:
    """Check which files start which workflow, and that documents alone start no build."""
    files = workflows(folder)
    assert [(name, path, touched(files[name], path)) for name, path, _ in STARTED] == STARTED
    jobs = files["ci"].jobs
    assert {name for name, job in jobs.items() if job.get("if") == "needs.changes.outputs.ends"} == {"lint", "test"}
    assert "':!*.md' ':!docs'" in jobs["changes"]["steps"][2]["run"]
    assert needs(jobs["check"]) == jobs.keys() - {"check"}
    for file in files.values():
        paths = (file.tree["on"].get("pull_request") or {}).get("paths", [])
        assert not paths or f".github/workflows/{file.path.name}" in paths


def check_release(folder: Path) -> None:
    """Check that a tag is compared before anything is built, and what goes to which index."""
    files = workflows(folder)
    release, wheels = files["release"], files["wheels"]
    assert release.tree["on"]["push"] == {"tags": ["v*"]}
    assert release.tree["on"]["workflow_dispatch"]["inputs"]["index"]["options"] == ["pypi", "testpypi"]
    assert before(release, "page") == {"wheels", "publish"}
    assert before(wheels, "wheel") == {"sdist"}
    (step,) = (step for step in wheels.jobs["sdist"]["steps"] if "-s release" in step.get("run", ""))
    assert step["run"].endswith('-- ${TAG:+--tag "$TAG"}')
    assert step["env"] == {"TAG": "${{ github.ref_type == 'tag' && github.ref_name || '' }}"}
    publish = release.jobs["publish"]
    assert (publish["if"], publish["environment"]) == ("github.ref_type == 'tag'", "${{ inputs.index || 'pypi' }}")
    assert publish["steps"][-1]["with"] == {
        "repository-url": "https://${{ inputs.index == 'testpypi' && 'test' || 'upload' }}.pypi.org/legacy/",
        "skip-existing": "true",
    }
    assert release.jobs["page"]["if"] == "inputs.index != 'testpypi'"
    for file in (wheels, files["ci"]):
        for name in {"lint", "test", "sdist", "wheel"} & file.jobs.keys():
            assert file.jobs[name]["steps"][0]["with"]["fetch-depth"] == "0"  # where the version comes from tags


@with_workflows
def test_workflows_do_what_they_are_for(name: str, rendered: dict[str, Path]) -> None:
    check_changes(rendered[name])
    check_release(rendered[name])


@pytest.mark.parametrize(
    ("check", "name", "old", "new"),
    [
        (check_changes, "wheels", "- Cargo.lock", "- python/**"),
        (check_changes, "wheels", '"**/Cargo.toml"', '"*/Cargo.toml"'),
        (check_changes, "wheels", "- .github/workflows/wheels.yml", "- .github/**"),
        (check_changes, "ci", "    if: needs.changes.outputs.ends\n", ""),
        (check_release, "release", '["v*"]', '["*"]'),
        (check_release, "release", "'upload'", "'test'"),
        (check_release, "release", "inputs.index || 'pypi'", "'pypi'"),
        (check_release, "release", "    if: inputs.index != 'testpypi'\n", ""),
        (check_release, "wheels", ' -- ${TAG:+--tag "$TAG"}', ""),
        (check_release, "wheels", "fetch-depth: 0", "fetch-depth: 1"),
        (check_release, "wheels", "    needs: sdist # where a tag that is not the version stops\n", ""),
    ],
)
def test_lost_purpose_is_found(everything: Path, check: Callable[[Path], None], name: str, old: str, new: str) -> None:
    with pytest.raises((AssertionError, KeyError)):
        check(plant_in(everything, name, old, new))


# ---- Actions.


def check_table() -> None:
    """Check that the table of actions has what stubs and workflows need, and nothing else."""
    everywhere = [one.text for folder in (ROOT, ROOT / "template") for one in workflows(folder).values()]
    for action, known in ACTIONS.items():
        assert re.fullmatch(r"[0-9a-f]{40} v\d+\.\d+\.\d+", f"{known['commit']} {known['version']}"), action
        assert known["using"] in ("composite", "docker", "node24"), f"{action} needs an outdated Node"
        assert set(known["required"]) <= set(known["inputs"]), action
        assert f"uses: {action}@" in "".join([*everywhere, *pages().values()]), f"{action} is not used"
    for action, stub in stubs().items():
        inputs, deprecated = stub.get("inputs", {}), set(ACTIONS[action].get("deprecated", []))
        assert inputs.keys() <= {*ACTIONS[action]["inputs"], *deprecated}, action
        assert {name for name, given in inputs.items() if given.get("required")} >= {*ACTIONS[action]["required"]}


def stubs() -> dict[str, Table]:
    """Read the stubs that replace actions when workflows are executed."""
    paths = ROOT.glob("tests/act/actions/*/action.yml")
    return {path.parent.name.replace("__", "/"): yaml.safe_load(path.read_text("utf-8")) for path in paths}


def pages() -> dict[str, str]:
    """Read the YAML of the pages."""
    found = {}
    for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), ROOT / "template" / "README.md.jinja"]:
        tokens = MarkdownIt().parse(path.read_text("utf-8"))
        blocks = [token.content for token in tokens if token.type == "fence" and token.info.startswith("y")]
        found[path.name] = "---\n".join(blocks)
    return found


def stale(text: str) -> Iterator[str]:
    """Name what the YAML of a page does otherwise than the workflows."""
    yield from unpinned(text)
    for tree in yaml.safe_load_all(text):
        yield from wrong_inputs(tree)


def test_action_table_is_current_and_used() -> None:
    check_table()


@pytest.mark.parametrize(
    ("action", "change"),
    [
        ("actions/checkout", {"using": "node20"}),
        ("actions/checkout", {"commit": "3d3c42e"}),
        ("actions/checkout", {"inputs": []}),
        ("actions/checkout", {"required": ["ref"]}),
        ("actions/cache", {}),
    ],
)
def test_wrong_table_is_found(monkeypatch: pytest.MonkeyPatch, action: str, change: dict[str, Any]) -> None:
    monkeypatch.setitem(ACTIONS, action, {**ACTIONS["actions/checkout"], **change})
    with pytest.raises(AssertionError):
        check_table()


def test_pages_show_current_actions() -> None:
    assert {name: found for name, text in pages().items() if (found := list(stale(text)))} == {}


@pytest.mark.parametrize(
    "text", ["- uses: actions/checkout@v7\n", f"- uses: {CHECKOUT}\n  with: {{ persist: false }}\n"]
)
def test_stale_page_is_found(text: str) -> None:
    assert list(stale("a: b\n---\n" + text))


# ---- Linters.


@with_workflows
def test_linters_find_nothing(name: str, rendered: dict[str, Path], cache: Path) -> None:
    assert lint_with_actionlint(rendered[name], cache) == ""
    assert lint_with_zizmor(rendered[name]) == []
    assert suppressions(rendered[name]) == []


def suppressions(folder: Path) -> list[str]:
    """Name the exceptions from linters, but for the one whose reason is beside it."""
    text = "".join(one.text for one in workflows(folder).values())
    known = "zizmor: ignore[self-repository] actionlint does not know `$/` yet"
    found = re.findall(r"(?:zizmor:|shellcheck (?:disable|source)|actionlint:).*", text.replace(known, "", 1))
    return [*found, *(path.name for path in folder.glob(".github/*[ai][cz][tz]*.y*ml"))]


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("needs: changes", "needs: change", "change"),
        ("jq -r '\"ends", "cd $HOME; jq -r '\"ends", "SC2086"),
        ("${{ matrix.sessions }}", "${{ matrix.sesions }}", "sesions"),
        ("exit 1", 'echo "::set-output name=a::b"', "set-output"),
    ],
)
def test_actionlint_finds_faults(everything: Path, cache: Path, old: str, new: str, word: str) -> None:
    assert word in lint_with_actionlint(plant_in(everything, "ci", old, new), cache)


@pytest.mark.parametrize(
    ("old", "new", "audit"),
    [
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7", "unpinned-uses"),
        ("-s lint stubs", "-s ${{ github.event.pull_request.title }}", "template-injection"),
        ("persist-credentials: false, ", "", "artipacked"),
        ("permissions: {}\n", "", "excessive-permissions"),
    ],
)
def test_zizmor_finds_faults(everything: Path, old: str, new: str, audit: str) -> None:
    assert audit in lint_with_zizmor(plant_in(everything, "ci", old, new))


@pytest.mark.parametrize("comment", ["# zizmor: ignore[artipacked]", "# shellcheck disable=SC2086"])
def test_suppressed_finding_is_found(everything: Path, comment: str) -> None:
    assert suppressions(plant_in(everything, "ci", "jobs:\n", f"{comment}\njobs:\n")) == [comment[2:]]
