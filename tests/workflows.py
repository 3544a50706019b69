"""The rules that workflows keep, those of a rendered project and of this repository, and the linters that check the rest.

actionlint knows syntax, expressions, contexts, deprecated commands and shell; zizmor knows pins, injections, credentials
and dangerous triggers. The rules here are what neither knows.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import filter as matching
from functools import cache
from pathlib import Path

import yaml

from checks import Table, find_tool
from template import ROOT, run

LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # everything is a string: the key `on` is no boolean
ACTIONS: dict[str, Table] = tomllib.loads((ROOT / "tests" / "actions.toml").read_text("utf-8"))

LINES = 100  # of a workflow, at most
FAMILIES = 3  # wheels of one target
RUNNERS = {  # pinned: an image that moves would break a release
    *("ubuntu-24.04", "ubuntu-24.04-arm", "macos-15", "macos-15-intel", "windows-2025", "windows-11-arm")
}
EVENTS = {"pull_request", "push", "schedule", "workflow_call", "workflow_dispatch"}  # none with secrets for strangers
UNINTERRUPTED = {"crates", "example", "nightly", "release", "template"}  # a stop would leave half of the work done
WRITES = {  # by workflow and job: the permissions to write
    ("crates", "publish"): {"id-token"},
    ("nightly", "report"): {"issues"},
    ("release", "publish"): {"attestations", "id-token"},
    ("release", "page"): {"contents"},
}
SECRETS = {  # the default token can push neither workflows nor to another repository
    "example": {"secrets.EXAMPLE_TOKEN"},
    "template": {"secrets.TEMPLATE_APP_KEY", "secrets.TEMPLATE_TOKEN"},
}
PUBLISHING = {  # all that runs beside the permission to get an identity: no code of the project or of a dependency
    ("crates", "publish"): [
        *("actions/checkout", "rust-lang/crates-io-auth-action", "cargo publish --workspace --locked --no-verify")
    ],
    ("release", "publish"): [
        *("actions/download-artifact", 'test "$(find dist -type f | wc -l)" = "$FILES"'),
        *("actions/attest", "pypa/gh-action-pypi-publish"),
    ],
}
NOT_IN_A_FORK = "github.event_name != 'schedule' || !github.event.repository.fork"
STATUS = re.compile(r"\b(always|cancelled|failure|success)\(\)")
# `uv run noxfile.py -s a b -- …` in a project, `uvx nox --session a` in this repository; a variable is one of a matrix.
CALL = re.compile(r"(?:noxfile\.py|\bnox) ((?:(?!-- )[^|)\n;<])*)")


@dataclass(frozen=True)
class Workflow:
    """A workflow file."""

    path: Path

    @property
    def text(self) -> str:
        """Give the text."""
        return self.path.read_text("utf-8")

    @property
    def tree(self) -> Table:
        """Give the parsed file, which must not be changed."""
        return parsed(self.text)

    @property
    def jobs(self) -> dict[str, Table]:
        """Give the jobs."""
        return dict(self.tree["jobs"])

    @property
    def steps(self) -> list[Table]:
        """Give the steps of all jobs."""
        return [step for job in self.jobs.values() for step in job.get("steps", [])]

    @property
    def commands(self) -> list[str]:
        """Give the scripts of all jobs."""
        return [step["run"] for step in self.steps if "run" in step]


@cache
def parsed(text: str) -> Table:
    """Parse a workflow."""
    tree: Table = yaml.load(text, LOADER)
    return tree


def workflows(folder: Path) -> dict[str, Workflow]:
    """Give the workflows of a project by name."""
    return {path.stem: Workflow(path) for path in sorted(folder.glob(".github/workflows/*.yml"))}


def needs(job: Table) -> set[str]:
    """Give the jobs that a job waits for."""
    needed = job.get("needs", [])
    return {needed} if isinstance(needed, str) else set(needed)


def before(workflow: Workflow, name: str) -> set[str]:
    """Give the jobs that a job waits for, directly or not."""
    needed = needs(workflow.jobs.get(name, {}))
    return needed.union(*(before(workflow, other) for other in needed))


def called(workflow: Workflow, name: str) -> Workflow | None:
    """Give the workflow that a job calls, if any."""
    path = str(workflow.jobs[name].get("uses", ""))
    return Workflow(workflow.path.with_name(Path(path).name)) if path.startswith("./") else None


def matrix(job: Table, key: str) -> set[str]:
    """Give the values of a key in the matrix of a job, as far as the file has them."""
    table = job.get("strategy", {}).get("matrix", {})
    listed = table.get(key, [])
    return {row[key] for row in table.get("include", []) if key in row} | (
        {*listed} if isinstance(listed, list) else set()
    )


def permissions(job: Table) -> dict[str, str]:
    """Give the permissions of a job."""
    given = job.get("permissions")
    return dict(given) if isinstance(given, dict) else {}


def uploads(workflow: Workflow, name: str) -> list[str]:
    """Name the artifacts that a job uploads, or the jobs of the workflow that it calls."""
    if other := called(workflow, name):
        return [artifact for job in other.jobs for artifact in uploads(other, job)]
    steps = workflow.jobs[name].get("steps", [])
    return [step["with"]["name"] for step in steps if "upload-artifact@" in step.get("uses", "")]


def touched(workflow: Workflow, path: str) -> bool:
    """Tell whether a pull request that changes a file starts a workflow."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}
    return any(
        re.fullmatch("".join(parts.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*\*|\*)", pattern)), path)
        for pattern in (workflow.tree["on"]["pull_request"] or {}).get("paths", ["**"])
    )


@cache
def sessions(noxfile: str) -> set[str]:
    """Name the sessions in the text of a noxfile."""
    functions = (node for node in ast.parse(noxfile).body if isinstance(node, ast.FunctionDef))
    return {node.name for node in functions if any("nox.session" in ast.unparse(mark) for mark in node.decorator_list)}


def known_sessions(folder: Path) -> set[str]:
    """Name the sessions of a project: those of noxfile.py and of the files in sessions/."""
    return set().union(
        *(sessions(file.read_text("utf-8")) for file in [folder / "noxfile.py", *folder.glob("sessions/*.py")])
    )


def called_sessions(command: str) -> set[str]:
    """Name the sessions in a command; a variable is left out, as its values are in a matrix."""
    words = {
        word
        for call in CALL.findall(re.sub(r"--tags \w+", "", command))
        for word in call.split()
        if not word.startswith("-")
    }
    return {word for word in words if word.isidentifier()}


def unpinned(text: str) -> list[str]:
    """Name the actions that are not those of tests/actions.toml, by commit and with the release in a comment."""
    pins = {f"{action}@{known['commit']} # {known['version']}" for action, known in ACTIONS.items()}
    return [line for line in re.findall(r"uses: (.*)", text) if not line.startswith("./") and line not in pins]


def wrong_inputs(tree: object) -> Iterator[str]:
    """Name the inputs that an action does not have, and those that it requires and does not get."""
    if isinstance(tree, dict) and tree.get("uses", "").partition("@")[0] in ACTIONS:
        action, given = tree["uses"].partition("@")[0], tree.get("with", {}).keys()
        wrong = (given - ACTIONS[action]["inputs"]) | (set(ACTIONS[action]["required"]) - given)
        yield from (f"{action}: {name}" for name in wrong)
    for part in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from wrong_inputs(part)


# ---- Rules. Each names what breaks it.


def check_events(workflow: Workflow) -> Iterator[str]:
    """Check that no event gives secrets to strangers, and that no filter keeps a required check from reporting."""
    yield from workflow.tree["on"].keys() - EVENTS
    for name, event in workflow.tree["on"].items() if workflow.path.stem == "ci" else ():
        if isinstance(event, dict) and (name == "pull_request" or event.keys() & {"paths", "paths-ignore"}):
            yield name


def check_forks(workflow: Workflow) -> Iterator[str]:
    """Check that a schedule starts nothing in a fork."""
    for name, job in workflow.jobs.items() if "schedule" in workflow.tree["on"] else ():
        condition = job.get("if", "")
        waits = needs(job) and not STATUS.search(condition)
        if not waits and condition != NOT_IN_A_FORK and f" && ({NOT_IN_A_FORK})" not in condition:
            yield name


def check_concurrency(workflow: Workflow) -> Iterator[str]:
    """Check that a push cancels the run before it, unless half of the work would be left.

    A called workflow has a group of its own name: it would wait for its caller.
    """
    queue = workflow.tree.get("concurrency", {})
    group, lasting = queue.get("group", ""), workflow.path.stem in UNINTERRUPTED
    if not group or ("workflow_call" in workflow.tree["on"] and "github.workflow" in group):
        yield group or "no group"
    if queue.get("cancel-in-progress") != ("false" if lasting else "true"):
        yield "cancel-in-progress"
    if not lasting and not group.endswith("${{ github.ref }}"):
        yield "one group for all branches"


def check_jobs(workflow: Workflow) -> Iterator[str]:
    """Check that jobs have a time limit of at most an hour and a known runner, and files at most 100 lines."""
    for name, job in workflow.jobs.items():
        if "steps" in job and not 0 < int(job.get("timeout-minutes", 0)) <= 60:
            yield f"{name}: timeout-minutes"
        label = job.get("runs-on", "")
        key = re.fullmatch(r"\$\{\{ matrix\.(\w+) \}\}", label)
        labels = matrix(job, key[1]) if key else {label} - {""}
        yield from labels - RUNNERS or ([label] if key and not labels else [])
    if len(workflow.text.splitlines()) > LINES:
        yield "lines"


def check_permissions(workflow: Workflow) -> Iterator[str]:
    """Check that permissions are given to jobs, each with a reason, and that few jobs may write."""
    if workflow.tree.get("permissions") != {}:
        yield "the workflow"
    for name, job in workflow.jobs.items():
        if not isinstance(job.get("permissions"), dict):
            yield name
        allowed = WRITES.get((workflow.path.stem, name), set())
        yield from (
            f"{name}: {key}" for key, value in permissions(job).items() if value == "write" and key not in allowed
        )
        if "github.token" in json.dumps(job) and "write" not in permissions(job).values():
            yield f"{name}: token without a permission"
    for given in re.findall(r"^ +permissions:( \{ .*\n|\n(?: {6,}\S.*\n)+)", workflow.text, re.MULTILINE):
        yield from (line.strip() for line in given.strip("\n").splitlines() if " # " not in line)


def check_secrets(workflow: Workflow) -> Iterator[str]:
    """Check that no secret is used, except those without which the work is impossible."""
    found = re.findall(r"\bsecrets(?:\.\w+|\b)|\bpassword\b", json.dumps(workflow.tree))
    yield from (name for name in found if name not in SECRETS.get(workflow.path.stem, ()))


def check_publishing(workflow: Workflow) -> Iterator[str]:
    """Check that only jobs that publish get an identity, in an environment and alone, after all others passed."""
    for name, job in workflow.jobs.items():
        identity = "id-token" in permissions(job)
        if identity != ("environment" in job):
            yield f"{name}: environment"
        done = [step.get("run") or step["uses"].partition("@")[0] for step in job.get("steps", [])]
        if identity and done != PUBLISHING.get((workflow.path.stem, name)):
            yield f"{name}: steps"
        after = name == "publish" or "publish" in before(workflow, name)
        if "publish" in workflow.jobs and not after and name not in before(workflow, "publish"):
            yield f"{name}: publish does not wait for it"
        if "publish" in workflow.jobs and after and STATUS.search(job.get("if", "")):
            yield f"{name}: if"


def check_actions(workflow: Workflow) -> Iterator[str]:
    """Check that actions are pinned by commit, and get inputs that they have."""
    yield from unpinned(workflow.text)
    yield from wrong_inputs(workflow.tree)


def check_caches(workflow: Workflow) -> Iterator[str]:
    """Check that a release uses no cache, and that no other branch writes what main reads."""
    released = "workflow_call" in workflow.tree["on"] or "tags" in (workflow.tree["on"].get("push") or {})
    for step in workflow.steps:
        action, given = step.get("uses", "").partition("@")[0], step.get("with", {})
        if action == "astral-sh/setup-uv" and released and given.get("enable-cache") != "false":
            yield action
        saves = given.get("save-if") == "${{ github.ref == 'refs/heads/main' }}"
        if "cache" in action.partition("/")[2] and (released or not saves):
            yield action


def check_artifacts(workflow: Workflow) -> Iterator[str]:
    """Check that downloads find what earlier jobs upload, that empty uploads fail, and how many files are published."""
    for name, job in workflow.jobs.items():
        present = [artifact for other in before(workflow, name) for artifact in uploads(workflow, other)]
        for step in job.get("steps", []):
            given = step.get("with", {})
            if "download-artifact@" in step.get("uses", ""):
                wanted = given.get("name") or given.get("pattern", "*")
                if not matching(present, wanted) or (
                    wanted == "dist-*" and set(present) - {*matching(present, wanted)}
                ):
                    yield f"{name}: {wanted}"
            if "upload-artifact@" in step.get("uses", "") and given.get("if-no-files-found") != "error":
                yield f"{name}: if-no-files-found"
            other = called(workflow, "wheels") if "FILES" in step.get("env", {}) else None
            if other and int(step["env"]["FILES"]) != FAMILIES * len(matrix(other.jobs["wheel"], "target")) + 1:
                yield f"{name}: FILES"


def check_sessions(workflow: Workflow) -> Iterator[str]:
    """Check that jobs call sessions that exist."""
    named = {name for job in workflow.jobs.values() for key in ("session", "sessions") for name in matrix(job, key)}
    named = {name for name in named if "${{" not in name}.union(*map(called_sessions, workflow.commands))
    yield from named - known_sessions(workflow.path.parents[2])


def check_check(workflow: Workflow) -> Iterator[str]:
    """Check that the job `check` of ci, which protects a branch, waits for all others, whatever their results."""
    if workflow.path.stem == "ci":
        check = workflow.jobs.get("check", {"steps": []})
        yield from workflow.jobs.keys() - {"check"} - needs(check)
        results = ("failure", "cancelled", "skipped")
        if check.get("if") != "always()" or not all(f"'{end}'" in str(check["steps"]) for end in results):
            yield "check"


RULES: list[Callable[[Workflow], Iterator[str]]] = [
    *(check_events, check_forks, check_concurrency, check_jobs, check_permissions, check_secrets, check_publishing),
    *(check_actions, check_caches, check_artifacts, check_sessions, check_check),
]


def broken_rules(folder: Path) -> dict[str, list[str]]:
    """Check every workflow of a project by every rule."""
    pairs = [(rule, workflow) for rule in RULES for workflow in workflows(folder).values()]
    return {f"{rule.__name__} in {one.path.name}": found for rule, one in pairs if (found := sorted(rule(one)))}


# ---- Linters.


def go_tool(name: str, module: str, cache: Path) -> Path:
    """Find a program that is written in Go, or build it: PyPI does not have it."""
    go, built = shutil.which("go"), cache / name
    places = (os.environ.get(name.upper()), shutil.which(name), Path.home() / "go" / "bin" / name, built)
    if go and not any(place and Path(place).is_file() for place in places):
        subprocess.run([go, "install", f"{module}@latest"], env={**os.environ, "GOBIN": str(cache)}, check=False)
    return find_tool(name, *places)


def lint_with_actionlint(folder: Path, cache: Path) -> str:
    """Give the findings of actionlint, and of shellcheck, which it calls."""
    actionlint = go_tool("actionlint", "github.com/rhysd/actionlint/cmd/actionlint", cache)
    command = (actionlint, "-no-color", "-oneline", f"-shellcheck={find_tool('shellcheck')}", "-pyflakes=")
    done = run(*command, *(one.path for one in workflows(folder).values()), cwd=folder, check=False)
    assert done.returncode == bool(done.stdout.strip()), f"actionlint itself failed:\n{done.stdout}"
    return done.stdout


def lint_with_zizmor(folder: Path) -> list[str]:
    """Name the audits of zizmor that find something, also pedantic ones; those that need the network are left out."""
    command = (find_tool("zizmor"), "--offline", "--pedantic", "--quiet", "--format=json", "--no-exit-codes")
    found = run(*command, "--no-config", "--strict-collection", ".github", cwd=folder)
    return [finding["ident"] for finding in json.loads(found.stdout)]
