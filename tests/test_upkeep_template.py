"""Does `upkeep: template` propose updates of the template, and lose no edit?"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from checks import find_tool, plant
from sandbox import COMMANDS, Sandboxes, lock
from template import ROOT, Project, render, run
from workflows import Workflow, workflows

slow = pytest.mark.slow
FILES = workflows(ROOT / "template")
ADDRESS = "https://github.com/example/template"
OLD, NEW = "998.0.0", "999.0.0"
BRANCH = f"template-{NEW}"
TITLE = f"Update the template to {NEW}"
LINE = "# List the recipes"  # of the justfile, changed by the newer release
ANSWERS = {"upkeep": ["template"]}


# ---- What the files say.


def exposed(workflow: Workflow) -> set[str]:
    """Name the jobs that have a token and run code of the project."""
    token, code = re.compile(r"GH_TOKEN|secrets\."), re.compile(r"uv run|nox|cargo|python")
    jobs = {name: json.dumps(job) for name, job in workflow.jobs.items()}
    return {name for name, text in jobs.items() if token.search(text) and code.search(text)}


def test_code_of_updates_sees_no_token() -> None:
    assert exposed(FILES["template"]) == set()
    assert FILES["template"].jobs["update"]["permissions"] == {"contents": "read"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("- run: uv run", "- env: { GH_TOKEN: a }\n        run: uv run"),
        ("gh auth setup-git", "uv run noxfile.py -s template"),
    ],
)
def test_exposed_token_is_noticed(old: str, new: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "template" / ".github", tmp_path / ".github")
    plant(tmp_path, ".github/workflows/template.yml", old, new)
    assert exposed(workflows(tmp_path)["template"])


def test_renovate_updates_the_template_only() -> None:
    file = ROOT / "template" / ".github" / "renovate.json"
    run(find_tool("check-jsonschema"), "--builtin-schema", "vendor.renovate", file, cwd=ROOT)
    settings = json.loads(file.read_text("utf-8"))
    assert settings.pop("$schema")
    assert settings == {"enabledManagers": ["copier"]}


def test_documented_addresses_are_whole() -> None:
    # Renovate's manager does not accept `gh:` in the address of a template.
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "template" / "README.md.jinja"]
    commands = [line for page in pages for line in page.read_text("utf-8").splitlines() if "copier copy" in line]
    assert commands
    assert [line for line in commands if "gh:" in line] == []


# ---- The session.


@pytest.fixture(scope="module")
def releases(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a repository of the template with two releases."""
    folder = tmp_path_factory.mktemp("releases") / "template"
    shutil.copytree(source, folder)
    run("git", "init", "--quiet", "--initial-branch=main", cwd=folder)
    repository = Project(folder, {})
    repository.commit("Old")
    repository.run("git", "tag", f"v{OLD}")
    plant(folder, "template/justfile.jinja", LINE, "# List all recipes")
    (folder / "template" / ".gitattributes").unlink()
    repository.commit("New")
    repository.run("git", "tag", f"v{NEW}")
    return folder


@pytest.fixture(scope="module")
def original(releases: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a locked project of the older release, to be copied."""
    folder = tmp_path_factory.mktemp("original") / "quickstats"
    project = Project(render(releases, folder, ANSWERS, vcs_ref=f"v{OLD}"), ANSWERS)
    project.run("git", "init", "--quiet", "--initial-branch=main")
    return lock(project)


@pytest.fixture
def project(original: Project, tmp_path: Path) -> Project:
    """Give a copy to one test."""
    return Project(shutil.copytree(original.folder, tmp_path / "quickstats", symlinks=True), ANSWERS)


def update(project: Project) -> str:
    """Run the session, and give what it prints."""
    return project.run("nox", "--reuse-venv=yes", "--session", "template").stdout


@slow
def test_update_is_left_uncommitted(project: Project) -> None:
    plant(project.folder, "justfile", "# Format, and repair", "# Repair")
    (project.folder / "uv.lock").unlink()
    project.commit("Work")
    output = update(project)
    assert f"`copier update` from {OLD} to {NEW}." in output
    assert "Deletions." in output
    assert "- `.gitattributes`\n" in output
    assert "Conflicts." not in output
    changed = project.run("git", "status", "--porcelain").stdout.splitlines()
    assert changed == [" M .copier-answers.yml", " D .gitattributes", " M justfile", "?? uv.lock"]
    assert {"# List all recipes", "# Repair what can be repaired"} <= set(project.read("justfile").splitlines())

    project.commit("Update")
    assert f"{NEW} is the newest release of the template." in update(project)
    assert not (project.folder / "target" / "template" / "message.md").exists()


@slow
def test_failed_lock_is_red(project: Project) -> None:
    plant(project.folder, "pyproject.toml", '"mypy>=', '"mypy>=999.')
    project.commit("Plant")
    done = project.run("nox", "--session", "template", check=False)
    assert done.returncode != 0
    assert "mypy" in done.stdout


# ---- The step that proposes.


class Service:
    """A bare repository, clones of it, and the stand-in for GitHub's command."""

    def __init__(self, folder: Path) -> None:
        """Make the repository, with one commit."""
        self.folder, self.github = folder, folder / "github"
        self.bare = folder / "remotes" / "example" / "quickstats.git"
        for name in ("bin", "github", "run", "remotes/example"):
            (folder / name).mkdir(parents=True)
        (folder / "bin" / "gh").symlink_to(COMMANDS / "gh.py")
        (folder / "gitconfig").write_text(
            "[user]\n\tname = Test\n\temail = test@example.org\n"
            f'[url "file://{folder}/remotes/"]\n\tinsteadOf = https://github.com/\n'
            "\tinsteadOf = https://oauth2:token@gitlab.com:443/\n"
        )
        self.run("git", "init", "--quiet", "--bare", "--initial-branch=main", self.bare, cwd=folder)
        self.run("git", "config", "receive.advertisePushOptions", "true", cwd=self.bare)
        self.write(self.clone(), "one\n", "main")

    def run(self, *command: str | Path, cwd: Path, **variables: str) -> str:
        """Run a command that finds the service."""
        environment = {
            "GIT_CONFIG_GLOBAL": str(self.folder / "gitconfig"),
            "SANDBOX_GITHUB": str(self.github),
            "SANDBOX_RUN": str(self.folder / "run"),
        }
        path = f"PATH={self.folder / 'bin'}:/usr/bin:/bin"
        return run("env", path, *command, cwd=cwd, check=True, **environment, **variables).stdout

    def clone(self) -> Path:
        """Clone the repository, as a checkout does."""
        tree = self.folder / "tree"
        shutil.rmtree(tree, ignore_errors=True)
        self.run("git", "clone", "--quiet", "https://github.com/example/quickstats", tree, cwd=self.folder)
        return tree

    def write(self, tree: Path, text: str, branch: str) -> None:
        """Write a file, commit and push."""
        (tree / "README.md").write_text(text)
        self.run("git", "add", "--all", cwd=tree)
        self.run("git", "commit", "--quiet", "--message", "Work", cwd=tree)
        self.run("git", "push", "--quiet", "origin", f"HEAD:{branch}", cwd=tree)

    def propose(self, script: str, text: str, **variables: str) -> None:
        """Make the artifact of the other job, and run a script in a fresh clone."""
        tree = self.clone()
        (tree / "README.md").write_text(text)
        patch = self.run("git", "diff", "--binary", cwd=tree)
        tree = self.clone()
        artifact = tree / "target" / "template"
        artifact.mkdir(parents=True)
        (artifact / "update.patch").write_text(patch)
        (artifact / "message.md").write_text(f"{TITLE}\n\n`copier update`.\n\nConflicts:\n\n- `README.md`\n")
        self.run("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script, cwd=tree, **variables)

    def read(self) -> str:
        """Read the file that the update changes."""
        return self.run("git", "show", f"{BRANCH}:README.md", cwd=self.bare)

    def requests(self) -> list[dict[str, Any]]:
        """Give the pull requests."""
        file = self.github / "pulls.json"
        return list(json.loads(file.read_text("utf-8"))) if file.exists() else []


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """Give a service to one test."""
    return Service(tmp_path / "service")


GITHUB = FILES["template"].jobs["propose"]["steps"][-1]["run"]
TOKEN = {"GH_TOKEN": "a"}


def test_update_is_proposed_once(service: Service) -> None:
    service.propose(GITHUB, "two\n", **TOKEN)
    service.propose(GITHUB, "three\n", **TOKEN)
    (request,) = service.requests()
    assert (request["title"], request["headRefName"], request["baseRefName"]) == (TITLE, BRANCH, "main")
    assert request["body"] == "`copier update`.\n\nConflicts:\n\n- `README.md`\n"
    assert service.read() == "two\n"
    assert service.run("git", "log", "-1", "--format=%s", BRANCH, cwd=service.bare).strip() == TITLE


def test_edits_on_the_branch_stay(service: Service) -> None:
    service.propose(GITHUB, "two\n", **TOKEN)
    tree = service.clone()
    service.run("git", "switch", "--quiet", BRANCH, cwd=tree)
    service.write(tree, "settled\n", BRANCH)
    service.propose(GITHUB, "two\n", **TOKEN)
    assert service.read() == "settled\n"


def test_closed_request_stays_closed(service: Service) -> None:
    service.propose(GITHUB, "two\n", **TOKEN)
    (service.github / "pulls.json").write_text(json.dumps([{**service.requests()[0], "state": "CLOSED"}]))
    service.run("git", "branch", "-D", BRANCH, cwd=service.bare)
    service.propose(GITHUB, "two\n", **TOKEN)
    assert [request["state"] for request in service.requests()] == ["CLOSED"]


def test_interrupted_proposal_is_finished(service: Service) -> None:
    service.propose(GITHUB, "two\n", **TOKEN)
    (service.github / "pulls.json").unlink()
    service.propose(GITHUB, "two\n", **TOKEN)
    assert [request["state"] for request in service.requests()] == ["OPEN"]


def test_missing_token_is_named(service: Service) -> None:
    with pytest.raises(AssertionError, match=r"TEMPLATE_APP_ID and TEMPLATE_APP_KEY, or TEMPLATE_TOKEN"):
        service.propose(GITHUB, "two\n", GH_TOKEN="")
    assert service.run("git", "branch", "--list", cwd=service.bare).split() == ["*", "main"]


def test_gitlab_proposes_by_push_option(service: Service) -> None:
    job = yaml.safe_load((ROOT / "template" / ".gitlab" / "template.yml").read_text("utf-8"))["propose"]
    hook = service.bare / "hooks" / "post-receive"
    hook.write_text(f"#!/bin/sh\nenv | grep ^GIT_PUSH_OPTION_0 >> {service.folder}/options\n")
    hook.chmod(0o755)
    variables = {
        "CI_SERVER_PROTOCOL": "https",
        "CI_SERVER_HOST": "gitlab.com",
        "CI_SERVER_PORT": "443",
        "CI_PROJECT_PATH": "example/quickstats",
        "TEMPLATE_TOKEN": "token",
        "GITLAB_USER_NAME": "Test",
        "GITLAB_USER_EMAIL": "test@example.org",
    }
    for text in ("two\n", "three\n"):
        service.propose("\n".join(job["script"]), text, **variables)
    assert service.read() == "two\n"
    assert (service.folder / "options").read_text() == "GIT_PUSH_OPTION_0=merge_request.create\n"
    assert service.run("git", "log", "-1", "--format=%B", BRANCH, cwd=service.bare).startswith(f"{TITLE}\n\n`copier")


# ---- Executed.


@slow
def test_conflict_becomes_a_pull_request(releases: Path, sandboxes: Sandboxes, project: Project) -> None:
    sandbox = sandboxes.new(pythons=("3.11",))
    sandbox.serve(ADDRESS, releases)
    answers = re.sub(r"_src_path: .*", f"_src_path: {ADDRESS}", project.read(".copier-answers.yml"))
    (project.folder / ".copier-answers.yml").write_text(answers, "utf-8")
    plant(project.folder, "justfile", LINE, "# List my recipes")
    project.commit("Work")
    outcome = sandbox.act(
        project,
        "template",
        "workflow_dispatch",
        variables={"TEMPLATE_APP_ID": "Iv1.planted"},
        secrets={"TEMPLATE_APP_KEY": "key-of-the-app-91d07b"},
    )
    assert outcome.results == {"update": "success", "propose": "success"}, outcome.log
    (request,) = json.loads((sandbox.github / "pulls.json").read_text("utf-8"))
    assert (request["title"], request["headRefName"]) == (TITLE, BRANCH)
    assert "Conflicts." in request["body"]
    assert "\n- `justfile`\n" in request["body"]
    proposed = run("git", "show", f"{BRANCH}:justfile", cwd=sandbox.remote(project)).stdout
    assert {"# List my recipes", "# List all recipes"} < set(proposed.splitlines())
