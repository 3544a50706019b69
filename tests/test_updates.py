"""Does `copier update` bring what is new, keep what the user did, and ask for no trust?"""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from copier.errors import UserMessageError
from packaging.version import Version
from test_example import delete_example

from releases import COMMITS, OLDER, PRESENT, RECORD, Releases, begin, tag, tree, unmerged, update, work
from template import Project, facts, render, run
from variants import VARIANTS

NEXT = "v1000.0.0"  # what a test of its own releases after the working tree


JOURNEYS = [  # from every release in every variant; at a desk in one or two
    pytest.param((release, variant), id=f"{release}-{variant}", marks=[pytest.mark.slow] if slow else [])
    for release in (*COMMITS, OLDER)
    for variant in VARIANTS
    for slow in [variant not in (("default", "workspace") if release == OLDER else ("default",))]
]


@pytest.fixture(scope="module", params=JOURNEYS)
def journey(request: pytest.FixtureRequest, releases: Releases) -> tuple[str, dict[str, object]]:
    """Give every release, and of every variant the answers that it knows."""
    release, variant = request.param
    return release, {key: answer for key, answer in VARIANTS[variant].items() if releases.knows(release, {key: answer})}


@pytest.fixture(scope="module")
def release(journey: tuple[str, dict[str, object]]) -> str:
    """Give the release that the journey begins at."""
    return journey[0]


@pytest.fixture(scope="module")
def begun(
    journey: tuple[str, dict[str, object]], releases: Releases, tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """Give a project of the release; tests work on copies."""
    release, answers = journey
    return releases.project(release, tmp_path_factory.mktemp("begun") / "project", answers)


@pytest.fixture(scope="module")
def fresh(journey: tuple[str, dict[str, object]], source: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a project of the working tree; tests work on copies."""
    return begin(render(source, tmp_path_factory.mktemp("fresh") / "project", journey[1]))


@pytest.fixture
def coming(releases: Releases, tmp_path: Path) -> Releases:
    """Give a clone in which a test makes the next release."""
    return releases.copy(tmp_path / "template")


def copied(project: Project, folder: Path) -> Project:
    """Copy a project that tests share."""
    return Project(shutil.copytree(project.folder, folder), {})


def test_untouched_project_equals_fresh_render(begun: Project, fresh: Project, tmp_path: Path) -> None:
    project = update(copied(begun, tmp_path / "project"))
    assert tree(project.folder) == tree(fresh.folder)


@pytest.mark.parametrize("change", [work, delete_example])
def test_edited_project_equals_edited_fresh_render(
    change: Callable[[Project], None], release: str, begun: Project, fresh: Project, tmp_path: Path
) -> None:
    project, expected = copied(begun, tmp_path / "project"), copied(fresh, tmp_path / "expected")
    change(project)
    change(expected)
    before = tree(project.folder)
    update(project)
    conflicts = unmerged(project)
    assert not conflicts or release != OLDER
    left, right = tree(project.folder), tree(expected.folder)
    assert {path: left[path] for path in left.keys() - conflicts} == {
        path: right[path] for path in right.keys() - conflicts
    }
    for path in conflicts:  # a real release may have changed a line next to one of these: nothing is lost
        own = set(before[path][0].splitlines()) - set(tree(begun.folder)[path][0].splitlines())
        assert own <= set(left[path][0].splitlines())


def test_line_changed_by_both_is_marked_conflict(releases: Releases, tmp_path: Path) -> None:
    project = releases.project(OLDER, tmp_path / "project")
    text = project.read("justfile").replace("# List all recipes", "# List my recipes")
    (project.folder / "justfile").write_text(text, "utf-8")
    project.commit()
    update(project)
    assert unmerged(project) == {"justfile"}
    assert {"# List my recipes", "# List the recipes"} < set(project.read("justfile").splitlines())


def test_second_update_changes_nothing(releases: Releases, tmp_path: Path) -> None:
    project = update(releases.project(OLDER, tmp_path / "project"))
    project.commit()
    assert project.run("copier", "update", "--defaults").returncode == 0
    assert not project.run("git", "status", "--porcelain").stdout


def test_deleted_file_stays_deleted(releases: Releases, tmp_path: Path) -> None:
    project = releases.project(OLDER, tmp_path / "project")
    (project.folder / "justfile").unlink()
    project.commit()
    update(project)
    assert not (project.folder / "justfile").exists()


@pytest.mark.parametrize("layout", ["mixed", "pure", "workspace"])
def test_version_from_git_and_back_restores_tree(layout: str, releases: Releases, tmp_path: Path) -> None:
    """As test_options.py does for each value that only adds."""
    project = releases.project(PRESENT, tmp_path / "project", {"layout": layout})
    before = tree(project.folder)
    update(project, data={"version": "git"})
    project.commit()
    assert tree(project.folder) == tree(render(releases.folder, tmp_path / "git", {"layout": layout, "version": "git"}))
    update(project, data={"version": "cargo"})
    assert tree(project.folder) == before


def test_update_works_from_any_folder(releases: Releases, tmp_path: Path) -> None:
    project = releases.project(OLDER, tmp_path / "project")
    moved = Project(Path(shutil.move(project.folder, tmp_path / "moved")), {})
    (tmp_path / "elsewhere").mkdir()
    run("copier", "update", "--defaults", moved.folder, cwd=tmp_path / "elsewhere")
    assert f"_commit: {PRESENT}" in moved.read(".copier-answers.yml")
    assert "# List the recipes" in moved.read("justfile")


def test_update_refuses_local_changes(releases: Releases, tmp_path: Path) -> None:
    project = releases.project(OLDER, tmp_path / "project")
    (project.folder / "README.md").write_text("mine\n", "utf-8")
    before = tree(project.folder)
    refused = project.run("copier", "update", "--defaults", check=False)
    assert refused.returncode == 1
    assert "Please commit or stash your local changes" in refused.stdout
    assert tree(project.folder) == before


def test_update_refuses_project_without_commit(releases: Releases, tmp_path: Path) -> None:
    project = Project(render(releases.folder, tmp_path / "project", vcs_ref=OLDER), {})
    with pytest.raises(UserMessageError, match="only supported in git-tracked"):
        update(project)
    project.run("git", "init", "--quiet")
    with pytest.raises(UserMessageError, match="commit or stash"):
        update(project)


def test_downgrade_is_refused(releases: Releases, tmp_path: Path) -> None:
    project = releases.project(PRESENT, tmp_path / "project")
    with pytest.raises(UserMessageError, match="Downgrades are not supported"):
        update(project, vcs_ref=OLDER)


def test_check_update_reports_by_exit_status(releases: Releases, tmp_path: Path) -> None:
    project = releases.project(OLDER, tmp_path / "project")
    assert project.run("copier", "check-update", "--quiet", check=False).returncode == 2
    assert (
        f'"latest_version": "{Version(PRESENT)}"'
        in project.run("copier", "check-update", "--output-format=json").stdout
    )
    update(project)
    assert project.run("copier", "check-update", "--quiet").returncode == 0


def test_new_question_changes_no_project(coming: Releases, tmp_path: Path) -> None:
    """An update renders the old release through the new `_exclude`, which therefore says what a missing answer means."""
    project = coming.project(PRESENT, tmp_path / "project")
    before = tree(project.folder)
    coming.edit(
        "copier.yml", "# ---- Facts.", "site:\n  help: A site?\n  type: bool\n  default: false\n\n# ---- Facts."
    )
    coming.edit(
        "copier.yml", "  - /_partials", "  - /_partials\n  - \"{{ '' if site | default(false) else '/site.md' }}\""
    )
    coming.append("template/site.md", "A site.\n")
    coming.release(NEXT)
    update(project)
    assert "site: false\n" in project.read(".copier-answers.yml")
    assert {path for path, content in tree(project.folder).items() if before.get(path) != content} == {
        ".copier-answers.yml"
    }


@pytest.mark.slow
def test_lock_files_move_only_what_must(coming: Releases, tmp_path: Path) -> None:
    present = {"criterion": facts()["crates"]["criterion"], "pytest": facts()["tools"]["pytest"]}
    coming.edit("copier.yml", f'criterion: "{present["criterion"]}"', 'criterion: "0.7.0"')
    coming.edit("copier.yml", f'pytest: "{present["pytest"]}"', 'pytest: "8.0.0"')
    coming.release(NEXT)
    project = coming.project(NEXT, tmp_path / "project")
    project.run("cargo", "generate-lockfile")
    project.run("cargo", "update", "--package", "libc", "--precise", "0.2.170")
    project.run("uv", "lock", "--upgrade-package", "pygments==2.19.1", "--upgrade-package", "pytest==8.4.2")
    project.commit()

    run("git", "checkout", "--quiet", PRESENT, "--", "copier.yml", cwd=coming.folder)
    coming.release("v1001.0.0")
    update(project)
    before = {name: locked(project, name) for name in ("Cargo.lock", "uv.lock")}
    stale = [["cargo", "build", "--locked"], ["uv", "lock", "--check"]]
    assert [project.run(*command, check=False).returncode > 0 for command in stale] == [True, True]
    project.run("cargo", "update", "--workspace")
    project.run("uv", "lock")
    for command in stale:
        project.run(*command)
    after = {name: locked(project, name) for name in before}
    moved = {
        name: {package for package, version in before[name].items() if after[name].get(package, version) != version}
        for name in before
    }
    assert moved == {"Cargo.lock": {"criterion", "criterion-plot"}, "uv.lock": {"pytest"}}


def locked(project: Project, name: str) -> dict[str, str]:
    """Read what a lock holds."""
    return {entry["name"]: entry.get("version", "") for entry in tomllib.loads(project.read(name))["package"]}


# ---- What a release may not do.


def series(version: str) -> tuple[int, ...]:
    """Give the part of a version that may change only with the paths: the major, before 1.0 also the minor."""
    parts = Version(version).release
    return parts[:1] if parts[0] else parts[:2]


def lost(release: str, older: Project, newer: Project, migrations: bool) -> set[str]:
    """Name the paths that went, where none may: in a series none, after it none without a migration."""
    same = release == OLDER or series(release) == series(RECORD["next"])
    return set() if migrations and not same else tree(older.folder).keys() - tree(newer.folder).keys()


def test_released_paths_stay_within_a_series(release: str, begun: Project, fresh: Project, releases: Releases) -> None:
    assert not lost(release, begun, fresh, "_migrations" in releases.configuration(PRESENT))


def test_path_dropped_by_a_release_is_found(coming: Releases, tmp_path: Path) -> None:
    older = coming.project(PRESENT, tmp_path / "older")
    (coming.folder / "template" / "justfile.jinja").unlink()
    coming.release(NEXT)
    newer = coming.project(NEXT, tmp_path / "newer")
    assert lost(OLDER, older, newer, migrations=True) == {"justfile"}
    assert lost("v0.0.1", older, newer, migrations=False) == {"justfile"}


@pytest.mark.parametrize("name", [*COMMITS, PRESENT])
def test_no_release_needs_trust(name: str, releases: Releases) -> None:
    assert not releases.configuration(name).keys() & {"_tasks", "_jinja_extensions", "_external_data"}


@pytest.mark.parametrize("name", COMMITS)
def test_released_answers_are_still_accepted(name: str, releases: Releases) -> None:
    """Copier replaces a recorded answer that is no longer valid by the default, silently: another package name."""
    for key, question in releases.configuration(name).items():
        if "help" in question and not key.startswith("_"):
            choices = question.get("choices", [])
            assert releases.knows(PRESENT, {key: list(choices.values() if isinstance(choices, dict) else choices)})
    old, new = (set(releases.show(ref, "template/_partials/reserved.txt").split()) for ref in (name, PRESENT))
    assert new <= old


# ---- The record of releases.


def test_missing_tags_are_created(releases: Releases, tmp_path: Path) -> None:
    run("git", "clone", "--quiet", "--no-tags", releases.folder, tmp_path / "bare", cwd=tmp_path)
    commit = run("git", "rev-parse", OLDER, cwd=releases.folder).stdout.strip()
    for _ in range(2):
        tag(tmp_path / "bare", {"v0.0.1": commit})
    assert run("git", "rev-parse", "v0.0.1", cwd=tmp_path / "bare").stdout.strip() == commit
    with pytest.raises(LookupError, match="stands at"):
        tag(tmp_path / "bare", {"v0.0.1": run("git", "rev-parse", PRESENT, cwd=releases.folder).stdout.strip()})


def test_missing_commit_names_the_fetch_command(releases: Releases, tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="Run `git fetch origin 0123"):
        tag(releases.folder, {"v0.0.1": "0123" * 10})
    shallow = ("git", "clone", "--quiet", "--depth=1", releases.folder.as_uri(), tmp_path / "shallow")
    run(*shallow, cwd=tmp_path)
    with pytest.raises(LookupError, match="Run `git fetch --unshallow"):
        tag(tmp_path / "shallow", {"v0.0.1": run("git", "rev-parse", OLDER, cwd=releases.folder).stdout.strip()})
