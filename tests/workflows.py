"""The rules that every workflow keeps, of a rendered project and of this repository, and the linters that know more."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from checks import Table, find_tool
from template import ROOT, run

RUNNERS = {"ubuntu-24.04", "ubuntu-24.04-arm", "macos-15", "macos-15-intel", "windows-2025", "windows-11-arm"}
PINNED = re.compile(r"[\w.-]+(/[\w.-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
CONFIGURATION = ROOT / "template" / ".github" / "zizmor.yml"


@dataclass(frozen=True)
class Workflow:
    """A workflow file, as text and parsed."""

    path: Path

    @cached_property
    def text(self) -> str:
        """Give the text."""
        return self.path.read_text("utf-8")

    @cached_property
    def tree(self) -> Table:
        """Give all that is in it as text: the key `on` is no truth value."""
        tree: Table = yaml.load(self.text, yaml.BaseLoader)
        return tree

    @property
    def jobs(self) -> dict[str, Table]:
        """Give its jobs."""
        return dict(self.tree["jobs"])


def workflows(folder: Path) -> dict[str, Workflow]:
    """Read the workflows of a project."""
    return {path.stem: Workflow(path) for path in sorted(folder.glob(".github/workflows/*.yml"))}


def needs(job: Table) -> set[str]:
    """Give the jobs that a job waits for."""
    needed = job.get("needs", [])
    return {needed} if isinstance(needed, str) else set(needed)


# ---- Rules: each gives what breaks it.


def rights_are_given_to_jobs(workflow: Workflow) -> Iterator[str]:
    """Give no right to a whole workflow, and to each job those it names."""
    if workflow.tree.get("permissions") != {}:
        yield "the workflow"
    yield from (name for name, job in workflow.jobs.items() if not isinstance(job.get("permissions"), dict))


def actions_are_pinned(workflow: Workflow) -> Iterator[str]:
    """Name an action by its commit, with the release in a comment, unless it lies in the repository itself."""
    for line in re.findall(r"uses: (.*)", workflow.text):
        if not line.startswith("./") and not PINNED.fullmatch(line):
            yield line


def credentials_do_not_stay(workflow: Workflow) -> Iterator[str]:
    """Leave no credentials behind in a checkout."""
    for name, job in workflow.jobs.items():
        for step in job.get("steps", []):
            if (
                "actions/checkout@" in step.get("uses", "")
                and step.get("with", {}).get("persist-credentials") != "false"
            ):
                yield name


def every_job_ends(workflow: Workflow) -> Iterator[str]:
    """Set a limit of time, an hour at most."""
    for name, job in workflow.jobs.items():
        if "steps" in job and not 0 < int(job.get("timeout-minutes", 0)) <= 60:
            yield name


def runs_do_not_pile_up(workflow: Workflow) -> Iterator[str]:
    """Set a group; one of its own where the workflow is called, as the caller's name would wait for itself for ever."""
    group = workflow.tree.get("concurrency", {}).get("group", "")
    if not group or ("workflow_call" in workflow.tree["on"] and "github.workflow" in group):
        yield group or "no group"


def runners_are_current(workflow: Workflow) -> Iterator[str]:
    """Run on systems that are there, and named with their version."""
    for job in workflow.jobs.values():
        for label in {job["runs-on"]} if "runs-on" in job else set[str]():
            key = re.fullmatch(r"\$\{\{ matrix\.(\w+) \}\}", label)
            yield from set(job["strategy"]["matrix"][key[1]] if key else [label]) - RUNNERS


def no_secret_is_needed(workflow: Workflow) -> Iterator[str]:
    """Use no secret and no token but the one of trusted publishing."""
    yield from re.findall(r"secrets\.\w+|secrets: inherit|\w+_TOKEN|github\.token|password", json.dumps(workflow.tree))


def the_identity_is_for_publishing(workflow: Workflow) -> Iterator[str]:
    """Let only `publish` prove who it is: in an environment, after all that builds, and without commands of its own."""
    for name, job in workflow.jobs.items():
        if "id-token" not in json.dumps(job.get("permissions")):
            continue
        if name != "publish" or "environment" not in job or any("run" in step for step in job.get("steps", [])):
            yield name
        yield from (other for other in workflow.jobs if other not in {name} | needs(job))


def check_waits_for_all(workflow: Workflow) -> Iterator[str]:
    """Let `check`, which a branch is protected by, look at every other job, however each ends."""
    if "check" in workflow.jobs:
        check = workflow.jobs["check"]
        yield from workflow.jobs.keys() - {"check"} - needs(check)
        if check.get("if") != "always()" or not all(
            f"'{end}'" in workflow.text for end in ("failure", "cancelled", "skipped")
        ):
            yield "check"


RULES: list[Callable[[Workflow], Iterator[str]]] = [
    rights_are_given_to_jobs,
    actions_are_pinned,
    credentials_do_not_stay,
    every_job_ends,
    runs_do_not_pile_up,
    runners_are_current,
    no_secret_is_needed,
    the_identity_is_for_publishing,
    check_waits_for_all,
]


def broken_rules(folder: Path) -> dict[str, list[str]]:
    """Hold every workflow of a project against every rule."""
    pairs = [(rule, workflow) for rule in RULES for workflow in workflows(folder).values()]
    return {f"{rule.__name__} in {one.path.name}": found for rule, one in pairs if (found := sorted(rule(one)))}


# ---- Linters.


def actionlint(cache: Path) -> Path:
    """Find actionlint, or build it: no package registry that the tests use has it."""
    go, built = shutil.which("go"), cache / "actionlint"
    places = (
        os.environ.get("ACTIONLINT"),
        shutil.which("actionlint"),
        Path.home() / "go" / "bin" / "actionlint",
        built,
    )
    if go and not any(place and Path(place).is_file() for place in places):
        module = "github.com/rhysd/actionlint/cmd/actionlint@latest"
        subprocess.run([go, "install", module], env={**os.environ, "GOBIN": str(cache)}, check=False)
    return find_tool("actionlint", *places)


def lint_with_actionlint(folder: Path, cache: Path) -> str:
    """Give what actionlint, and shellcheck for it, has to say of a project's workflows."""
    command = (actionlint(cache), "-no-color", "-oneline", f"-shellcheck={find_tool('shellcheck')}", "-pyflakes=")
    done = run(*command, *(one.path for one in workflows(folder).values()), cwd=folder, check=False)
    assert done.returncode == bool(done.stdout.strip()), f"actionlint itself failed:\n{done.stdout}"
    return done.stdout


def lint_with_zizmor(folder: Path) -> list[str]:
    """Give the audits of zizmor that find something, pedantic ones too; what needs the network is left out."""
    command = (find_tool("zizmor"), "--offline", "--pedantic", "--quiet", "--format=json", "--no-exit-codes")
    settings = () if (folder / ".github" / "zizmor.yml").is_file() else (f"--config={CONFIGURATION}",)
    found = run(*command, *settings, "--strict-collection", ".github", cwd=folder)
    return [finding["ident"] for finding in json.loads(found.stdout)]
