"""Do the workflows that run by the clock do what they are for: nightly, audit and the template's pull request?"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import new_project
from test_audit import database, lock, plant_vulnerable_crate, plant_vulnerable_package, service

from checks import plant
from releases import OLDER, PRESENT, Releases
from sandbox import COMMANDS, Sandbox, Sandboxes
from template import ROOT, Project, facts, run
from workflows import Workflow, workflows

__all__ = ["database", "service"]  # fixtures

slow = pytest.mark.slow
FILES = workflows(ROOT / "template")
BRANCH = "template-update"


# ---- What the files say.


def test_nightly_tests_the_python_after_the_last_that_is_supported() -> None:
    last = facts()["pythons"][-1].partition(".")[2]
    assert FILES["nightly"].jobs["python"]["strategy"]["matrix"]["python"] == [f"3.{int(last) + 1}"]


@pytest.mark.parametrize("name", ["nightly", "audit", "template"])
def test_the_clock_strikes_at_no_round_minute(name: str) -> None:
    (clock,) = FILES[name].tree["on"]["schedule"]
    assert int(clock["cron"].split()[0]) % 5, "the service is busiest then, and drops what it cannot start"


def exposed(workflow: Workflow) -> set[str]:
    """Name the jobs that have a token and run what an update brings, be it as nox or in the tree that it left."""
    tokens = re.compile(r"GH_TOKEN|secrets\.\w+\b(?! != '')")
    return {
        key
        for key, job in workflow.jobs.items()
        if tokens.search(text := json.dumps(job)) and re.search(r"nox|git fetch|git switch|--commit", text)
    }


def test_no_token_is_where_the_code_of_an_update_runs() -> None:
    assert exposed(FILES["template"]) == set()
    assert FILES["template"].jobs["update"]["permissions"] == {"contents": "read"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("- run: uvx nox", "- env: { GH_TOKEN: a }\n        run: uvx nox"),
        ("secrets.TEMPLATE_TOKEN != ''", "secrets.TEMPLATE_TOKEN"),
        ("gh auth setup-git", "uvx nox --session template"),
    ],
)
def test_a_token_beside_the_code_of_an_update_is_noticed(old: str, new: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "template" / ".github", tmp_path / ".github")
    plant(tmp_path, ".github/workflows/template.yml", old, new)
    assert exposed(workflows(tmp_path)["template"])


# ---- Issues of the night.


class Service:
    """What stands for the service at a desk: its command, its state, and a bare repository at its address."""

    def __init__(self, folder: Path) -> None:
        """Make the folders."""
        self.state = folder / "github"
        for name in ("bin", "github", "run", "remotes/example"):
            (folder / name).mkdir(parents=True)
        (folder / "bin" / "gh").symlink_to(COMMANDS / "gh.py")
        (folder / "gitconfig").write_text(
            "[user]\n\tname = Test\n\temail = test@example.org\n"
            f'[url "file://{folder}/remotes/"]\n\tinsteadOf = https://github.com/\n'
        )
        self.folder = folder

    def fail_on(self, words: str) -> None:
        """Let the command fail where these words are among its own."""
        gh = self.folder / "bin" / "gh"
        gh.unlink()
        gh.write_text(f'#!/bin/sh\ncase "$*" in *{words}*) exit 1 ;; esac\nexec {COMMANDS}/gh.py "$@"\n')
        gh.chmod(0o755)

    def run(self, *command: str | Path, cwd: Path, **variables: str) -> str:
        """Run a command that finds the service, and give what it prints."""
        environment = {
            "GH_TOKEN": "a",
            "GIT_CONFIG_GLOBAL": str(self.folder / "gitconfig"),
            "SANDBOX_GITHUB": str(self.state),
            "SANDBOX_RUN": str(self.folder / "run"),
            **variables,
        }
        found = ("env", f"PATH={self.folder / 'bin'}:{ROOT}:/usr/bin:/bin")
        return run(*found, *command, cwd=cwd, check=True, **environment).stdout

    def keep(self, kind: str, records: list[dict[str, Any]]) -> None:
        """Put issues or pull requests there."""
        (self.state / f"{kind}.json").write_text(json.dumps(records))

    def kept(self, kind: str) -> list[dict[str, Any]]:
        """Give the issues or pull requests that are there."""
        return kept(self.state, kind)


def kept(state: Path, kind: str) -> list[dict[str, Any]]:
    """Read what the stand-in for the service's command keeps."""
    file = state / f"{kind}.json"
    return list(json.loads(file.read_text("utf-8"))) if file.exists() else []


def states(issues: list[dict[str, Any]]) -> dict[str, str]:
    """Give the state of each issue; no title is there twice."""
    found = {issue["title"]: issue["state"] for issue in issues}
    assert len(found) == len(issues)
    return found


def issue(title: str, number: int = 7, state: str = "OPEN") -> dict[str, Any]:
    """Make an issue."""
    return {"number": number, "title": title, "body": "", "state": state, "labels": [], "comments": [], "url": "a"}


@pytest.fixture
def desk(tmp_path: Path) -> Service:
    """Give a service to a test at the desk."""
    return Service(tmp_path / "service")


def report(desk: Service, results: dict[str, str]) -> None:
    """Run the step of nightly.yml that opens and closes issues, as if the jobs had ended so."""
    lines = [
        {
            "job": f"nightly/{name}",
            "jobID": name,
            "level": "error" if result == "failure" else "info",
            "jobResult": result,
        }
        for name, result in results.items()
    ]
    (desk.folder / "run" / "act.json").write_text("\n".join(map(json.dumps, lines)))
    (step,) = FILES["nightly"].jobs["report"]["steps"]
    told = {"GH_REPO": "example/quickstats", "RUN": "https://a", "GITHUB_RUN_ID": "1", "SANDBOX_WORKFLOW": "nightly"}
    assert told.keys() - step["env"].keys() == {"GITHUB_RUN_ID", "SANDBOX_WORKFLOW"}
    desk.run("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"], cwd=desk.folder, **told)


BETA = "nightly: Rust beta fails"


def test_a_failure_has_one_issue_until_the_job_passes_again(desk: Service) -> None:
    for result, expected in (
        ("success", {}),
        ("failure", {BETA: "OPEN"}),
        ("failure", {BETA: "OPEN"}),
        ("skipped", {BETA: "OPEN"}),
        ("success", {BETA: "CLOSED"}),
        ("success", {BETA: "CLOSED"}),
    ):
        report(desk, {"Rust beta": result, "report": "success"})
        assert states(desk.kept("issues")) == expected
    (closed,) = desk.kept("issues")
    assert closed["body"] == "https://a"
    assert closed["comments"] == [{"body": "It passes again: https://a"}]


def test_a_job_that_fails_anew_has_a_new_issue(desk: Service) -> None:
    desk.keep("issues", [issue(BETA, 1, "CLOSED")])
    report(desk, {"Rust beta": "failure"})
    assert [each["state"] for each in desk.kept("issues")] == ["CLOSED", "OPEN"]


def test_each_job_has_an_issue_of_its_own_and_the_others_are_left_alone(desk: Service) -> None:
    before = [issue("The Rust beta is slow", 1), issue("nightly: Rust nightly fails", 2)]
    desk.keep("issues", before)
    report(desk, {"Rust beta": "failure", "Rust nightly": "success", 'A "quoted" $job': "failure", "Slow": "cancelled"})
    assert states(desk.kept("issues")) == {
        "The Rust beta is slow": "OPEN",
        "nightly: Rust nightly fails": "CLOSED",
        BETA: "OPEN",
        'nightly: A "quoted" $job fails': "OPEN",
        "nightly: Slow fails": "OPEN",
    }


@pytest.mark.parametrize("words", ["run\\ view", "issue\\ list"])
def test_a_service_that_does_not_answer_opens_no_issue(words: str, desk: Service) -> None:
    desk.keep("issues", [issue(BETA)])
    desk.fail_on(words)
    with pytest.raises(AssertionError, match="exited with"):
        report(desk, {"Rust beta": "failure"})
    assert states(desk.kept("issues")) == {BETA: "OPEN"}


# ---- The pull request.


def load(path: Path) -> ModuleType:
    """Import a project's script, under a name that is not that of the tests' own."""
    spec = importlib.util.spec_from_file_location("template_of_a_project", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = ROOT / "template" / "tools" / "template.py"


def test_locks_are_brought_up_by_what_the_recipe_does() -> None:
    recipe = re.findall(r"^lock:\n((?:    .+\n)+)", (ROOT / "template" / "justfile").read_text("utf-8"), re.MULTILINE)
    cargo, uv, notices = (line.split() for line in recipe[0].splitlines())
    locks = load(SCRIPT).LOCKS
    assert [*locks["Cargo.lock"], *locks["uv.lock"]] == [*cargo, *uv]
    assert (notices[-1], Path(locks["LICENSE-THIRD-PARTY"][-1]).name) == ("notices", "notices.py")


def test_lint_and_the_hook_know_the_same_marker() -> None:
    hook = re.search(r'entry: "(\^.+?)"', (ROOT / "template" / ".pre-commit-config.yaml").read_text("utf-8"))
    assert hook
    assert load(SCRIPT).MARKER.pattern.decode() == hook[1]


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("README.md", "a\n<<<<<<< before updating\n", True),
        ("new file.txt", ">>>>>>> after updating\n", True),
        ("README.md", "a\n=======\n <<<<<<< it\n<<<<<<<<<\n", False),
        ("target/old.txt", "<<<<<<< before updating\n", False),
    ],
)
def test_a_marker_is_found_in_what_git_does_not_ignore(name: str, text: str, found: bool, upstream: Upstream) -> None:
    tree = upstream.clone("work")
    (tree / "target").mkdir()
    (tree / name).write_text(text)
    done = run("python3", "tools/template.py", "--check", cwd=tree, check=False)
    assert (done.returncode, done.stdout) == (
        (1, f"error: there is a conflict marker in {name}\n") if found else (0, "")
    )


def test_without_a_repository_nobody_says_that_there_is_no_marker(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    shutil.copy(SCRIPT, tmp_path / "tools")
    done = run("python3", "tools/template.py", "--check", cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "not a git repository" in done.stdout


class Upstream:
    """A repository on the service, and what the two jobs of the workflow do to it."""

    def __init__(self, desk: Service) -> None:
        """Push a first commit with the script."""
        self.desk = desk
        self.bare = desk.folder / "remotes" / "example" / "quickstats.git"
        desk.run("git", "init", "--quiet", "--bare", "--initial-branch=main", self.bare, cwd=desk.folder)
        tree = self.clone("first")
        (tree / "tools").mkdir()
        shutil.copy(SCRIPT, tree / "tools" / "template.py")
        (tree / ".gitignore").write_text("/target\n")
        self.commit(tree, "main")

    def clone(self, name: str) -> Path:
        """Clone it, as a checkout does."""
        tree = self.desk.folder / name
        shutil.rmtree(tree, ignore_errors=True)
        self.desk.run("git", "clone", "--quiet", "https://github.com/example/quickstats", tree, cwd=self.desk.folder)
        return tree

    def commit(self, tree: Path, branch: str) -> None:
        """Commit and push as somebody."""
        self.desk.run("git", "add", "--all", cwd=tree)
        self.desk.run("git", "commit", "--quiet", "--message", "Work", cwd=tree)
        self.desk.run("git", "push", "--quiet", "origin", f"HEAD:{branch}", cwd=tree)

    def propose(self, line: str, draft: bool = False, title: str = "Update the template to 2.0.0") -> str:
        """Update in one job, and propose it in the other."""
        tree = self.clone("update")
        (tree / "README.md").write_text(line)
        script = load(tree / "tools" / "template.py")
        script.OUT.mkdir(parents=True)
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("GIT_CONFIG_GLOBAL", str(self.desk.folder / "gitconfig"))
            script.commit(title)
        script.REQUEST.write_text(json.dumps({"title": title, "body": "Words.\n", "draft": draft}))
        shutil.copytree(script.OUT, self.clone("propose") / "target" / "template")
        return self.desk.run("python3", "tools/template.py", "--propose", cwd=self.desk.folder / "propose")

    def tip(self, branch: str = BRANCH) -> str:
        """Give the commit that a branch stands at."""
        return self.desk.run("git", "rev-parse", f"refs/heads/{branch}", cwd=self.bare).strip()

    def read(self, branch: str = BRANCH) -> str:
        """Read what the update writes."""
        return self.desk.run("git", "show", f"{branch}:README.md", cwd=self.bare)


@pytest.fixture
def upstream(desk: Service) -> Upstream:
    """Give a repository on the service."""
    return Upstream(desk)


def requests(state: Path) -> list[tuple[str, str, bool]]:
    """Give title, state and draft of each pull request."""
    return [(each["title"], each["state"], each["isDraft"]) for each in kept(state, "pulls")]


def test_an_update_is_proposed_once_and_then_refreshed(upstream: Upstream) -> None:
    assert "is opened: Update the template to 2.0.0" in upstream.propose("two\n")
    first, main = upstream.tip(), upstream.tip("main")
    assert "Pull request 1 is refreshed" in upstream.propose("two\n")
    assert upstream.tip() == first, "the same update is the same commit"
    upstream.propose("three\n", title="Update the template to 3.0.0")
    assert upstream.read() == "three\n"
    assert upstream.desk.run("git", "rev-parse", f"{BRANCH}~1", cwd=upstream.bare).strip() == main
    assert requests(upstream.desk.state) == [("Update the template to 3.0.0", "OPEN", False)]
    assert upstream.tip("main") == main


def test_an_update_begins_at_main_each_time(upstream: Upstream) -> None:
    upstream.propose("two\n")
    tree = upstream.clone("work")
    (tree / "own.txt").touch()
    upstream.commit(tree, "main")
    upstream.propose("two\n")
    listed = upstream.desk.run("git", "ls-tree", "--name-only", BRANCH, cwd=upstream.bare)
    assert {"own.txt", "README.md"} < set(listed.split())


@pytest.mark.parametrize("amended", [False, True])
def test_what_somebody_did_on_the_branch_is_never_lost(upstream: Upstream, amended: bool) -> None:
    upstream.propose("two\n")
    tree = upstream.clone("work")
    upstream.desk.run("git", "switch", "--quiet", BRANCH, cwd=tree)
    (tree / "README.md").write_text("settled\n")
    amend = ("--amend", "--no-edit") if amended else ("--message", "Settle")
    upstream.desk.run("git", "commit", "--quiet", "--all", *amend, cwd=tree)
    upstream.desk.run("git", "push", "--quiet", "--force", "origin", BRANCH, cwd=tree)
    before = upstream.tip()
    said = upstream.propose("three\n", title="Update the template to 3.0.0")
    assert "::notice::template-update has commits of test@example.org, and stays as it is." in said
    assert upstream.tip() == before
    assert requests(upstream.desk.state) == [("Update the template to 2.0.0", "OPEN", False)]


def test_a_request_is_a_draft_as_long_as_there_is_a_conflict(upstream: Upstream) -> None:
    for number, draft in enumerate((True, True, False, True)):
        upstream.propose(f"{number}\n", draft=draft)
        assert [request[2] for request in requests(upstream.desk.state)] == [draft]


def test_a_repository_without_drafts_has_a_plain_request(upstream: Upstream) -> None:
    upstream.desk.fail_on("--draft")
    upstream.propose("two\n", draft=True)
    assert requests(upstream.desk.state) == [("Update the template to 2.0.0", "OPEN", False)]


def test_a_request_that_comes_from_a_fork_is_not_taken_for_ours(upstream: Upstream) -> None:
    theirs = {**issue("Theirs"), "headRefName": BRANCH, "baseRefName": "main", "isDraft": False}
    upstream.desk.keep("pulls", [{**theirs, "isCrossRepository": True}])
    upstream.propose("two\n")
    assert requests(upstream.desk.state) == [("Theirs", "OPEN", False), ("Update the template to 2.0.0", "OPEN", False)]


def test_the_text_lists_what_is_in_conflict_and_what_could_not_be_written() -> None:
    describe = load(SCRIPT).describe
    text = describe("1.0.0", "2.0.0", ["justfile", "a b.toml"], ["uv.lock", "Cargo.lock"])
    assert text.startswith("`copier update` brings the template from 1.0.0 to 2.0.0")
    assert "- `justfile`\n- `a b.toml`\n" in text
    assert "uv.lock and Cargo.lock could not be written" in text
    assert "marker" not in describe("1.0.0", "2.0.0", [], [])


# ---- Executed: nightly.


@slow
def test_nightly_opens_an_issue_for_each_failure_and_none_twice(
    source: Path, target: Path, sandboxes: Sandboxes, tmp_path: Path
) -> None:
    sandbox = sandboxes.new(pythons=("3.11",))
    project = new_project(source, tmp_path / "quickstats", {}, target)
    lock(project)
    project.commit("Lock")
    solved = issue("nightly: Rust nightly fails")
    (sandbox.github / "issues.json").write_text(json.dumps([solved]))

    outcome = sandbox.act(project, "nightly", "schedule")
    assert outcome.results == {
        "Rust beta": "failure",  # this machine has none
        "Rust nightly": "success",
        "Python 3.16": "failure",  # nor this
        "lowest versions": "success",
        "highest versions": "success",
        "report": "success",
    }, outcome.log
    assert "the toolchain 'beta' is not here" in outcome.logs["Rust beta"]
    assert "3.16 not found" in outcome.logs["Python 3.16"]
    expected = {
        "nightly: Rust beta fails": "OPEN",
        "nightly: Rust nightly fails": "CLOSED",
        "nightly: Python 3.16 fails": "OPEN",
    }
    assert states(kept(sandbox.github, "issues")) == expected

    plant(project.folder, "noxfile.py", "import nox\n", "import nox nox\n")
    project.commit("Plant")
    again = sandbox.act(project, "nightly", "workflow_dispatch", matrix={"toolchain": "beta"})
    failing = ["Rust beta", "Python 3.16", "lowest versions", "highest versions"]
    assert again.results == {**dict.fromkeys(failing, "failure"), "report": "success"}
    expected |= {"nightly: lowest versions fails": "OPEN", "nightly: highest versions fails": "OPEN"}
    assert states(kept(sandbox.github, "issues")) == expected


@slow
@pytest.mark.parametrize("name", ["nightly", "audit", "template"])
def test_nothing_runs_by_the_clock_in_a_fork(
    name: str, source: Path, target: Path, sandboxes: Sandboxes, tmp_path: Path
) -> None:
    sandbox = sandboxes.new(pythons=("3.11",))
    project = new_project(source, tmp_path / "quickstats", {}, target)
    repository = {"name": "quickstats", "full_name": "example/quickstats", "owner": {"login": "example"}, "fork": True}
    outcome = sandbox.act(project, name, "schedule", payload={"repository": repository})
    assert (outcome.results, outcome.status) == ({}, 0), outcome.log
    assert kept(sandbox.github, "issues") == []


# ---- Executed: audit.


@slow
def test_audit_is_green_and_red_on_what_is_vulnerable(
    source: Path, target: Path, sandboxes: Sandboxes, database: Path, service: str, tmp_path: Path
) -> None:
    sandbox = sandboxes.new(pythons=("3.11",))
    project = new_project(source, tmp_path / "quickstats", {}, target)
    lock(project)
    project.commit("Lock")
    # What is built once into target/ would be built in each clone.
    built = project.run("python", "-c", "import audit; print(audit.cargo_deny())", PYTHONPATH="tools").stdout
    shutil.copy(built.splitlines()[-1], sandbox.tools / "cargo-deny")
    advisories = sandbox.serve("https://github.com/example/advisories", database)
    variables = {"ADVISORY_DB": advisories.as_uri(), "OSV_URL": service}

    def audit(event: str = "workflow_dispatch") -> tuple[dict[str, str], str]:
        outcome = sandbox.act(project, "audit", event, variables=variables)
        return outcome.results, outcome.log

    results, log = audit("schedule")
    assert results == {"audit": "success"}, log
    assert "No advisory, licence or source that must not be there." in log
    for fault, advisory in (
        (plant_vulnerable_crate, "RUSTSEC-2026-9001"),
        (plant_vulnerable_package, "PYSEC-2026-9001"),
    ):
        project.run("git", "switch", "--quiet", "--create", advisory, "main")
        fault(project)
        lock(project)
        project.commit("Plant")
        results, log = audit()
        assert results == {"audit": "failure"}, log
        assert advisory in log


# ---- Executed: the template's pull request.

ADDRESS = "https://github.com/example/template"
APP = {"variables": {"TEMPLATE_APP_ID": "Iv1.planted"}, "secrets": {"TEMPLATE_APP_KEY": "key-of-the-app-91d07b"}}


@dataclass(frozen=True)
class Behind:
    """A project that is a release of the template behind, and the sandbox in which both are on the service."""

    project: Project
    sandbox: Sandbox

    @property
    def remote(self) -> Path:
        """Give the repository on the service."""
        return self.sandbox.remote(self.project)

    def act(self, **settings: Any) -> tuple[dict[str, str], str]:
        """Run the workflow, and give the results of its jobs and what it said."""
        outcome = self.sandbox.act(self.project, "template", "workflow_dispatch", **settings)
        return outcome.results, outcome.log

    def read(self, path: str) -> str:
        """Read a file of the branch that was pushed."""
        return run("git", "show", f"{BRANCH}:{path}", cwd=self.remote).stdout

    def fetch(self) -> None:
        """Fetch the branch that was pushed."""
        self.project.run("git", "fetch", "--quiet", self.remote, f"{BRANCH}:{BRANCH}")


@pytest.fixture
def behind(releases: Releases, sandboxes: Sandboxes, tmp_path: Path) -> Behind:
    """Give such a project, with the locks of the older release."""
    sandbox = sandboxes.new(pythons=("3.11",))
    sandbox.serve(ADDRESS, releases.folder)
    project = releases.project(OLDER, tmp_path / "quickstats")
    answers = re.sub(r"_src_path: .*", f"_src_path: {ADDRESS}", project.read(".copier-answers.yml"))
    (project.folder / ".copier-answers.yml").write_text(answers, "utf-8")
    lock(project)
    project.run("python", "tools/notices.py")
    project.commit("Lock")
    return Behind(project, sandbox)


@slow
def test_a_new_release_of_the_template_becomes_a_pull_request(behind: Behind) -> None:
    results, log = behind.act()
    assert results == {"update": "failure"}, log
    assert re.search(
        r"TEMPLATE_APP_ID .* TEMPLATE_TOKEN, .* contents: write, pull requests: write, workflows: write", log
    )
    assert run("git", "branch", "--list", cwd=behind.remote).stdout.split() == ["*", "main"]

    results, log = behind.act(**APP)
    assert results == {"update": "success", "propose": "success"}, log
    title = f"Update the template to {PRESENT[1:]}"
    assert requests(behind.sandbox.github) == [(title, "OPEN", False)]
    assert f"_commit: {PRESENT}" in behind.read(".copier-answers.yml")
    assert f'name = "pyo3"\nversion = "{facts()["crates"]["pyo3"]}"' in behind.read("Cargo.lock")
    assert f"_commit: {OLDER}" in run("git", "show", "main:.copier-answers.yml", cwd=behind.remote).stdout

    (behind.project.folder / "own.txt").write_text("mine\n")
    behind.project.commit("Work")
    results, log = behind.act(secrets={"TEMPLATE_TOKEN": "token-of-a-person-4e8a"})
    assert results == {"update": "success", "propose": "success"}, log
    assert requests(behind.sandbox.github) == [(title, "OPEN", False)]
    assert behind.read("own.txt") == "mine\n"

    behind.fetch()
    behind.project.run("git", "merge", "--quiet", BRANCH)
    results, log = behind.act(**APP)
    assert results == {"update": "success"}, log
    assert f"Nothing to update: {PRESENT[1:]} is the newest release of the template." in log


@slow
def test_a_conflict_is_a_draft_that_lint_is_red_on(behind: Behind) -> None:
    plant(behind.project.folder, "justfile", "# List all recipes", "# List my recipes")
    behind.project.commit("Work")
    results, log = behind.act(**APP)
    assert results == {"update": "success", "propose": "success"}, log
    (pull,) = kept(behind.sandbox.github, "pulls")
    assert pull["isDraft"]
    assert "\n- `justfile`\n" in pull["body"]
    assert {"# List my recipes", "# List the recipes"} < set(behind.read("justfile").splitlines())

    behind.fetch()
    behind.project.run("git", "switch", "--quiet", BRANCH)
    outcome = behind.sandbox.act(behind.project, "ci", "pull_request", job="session", matrix={"session": "lint"})
    assert outcome.results["lint"] == "failure", outcome.log
    assert "error: there is a conflict marker in justfile" in outcome.log
