"""The rules that every workflow keeps, of a rendered project and of this repository, and the linters that know more."""

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

LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # all is text: the key `on` is no truth value
CONFIGURATION = ROOT / "template" / ".github" / "zizmor.yml"
ACTIONS: dict[str, Table] = tomllib.loads((ROOT / "tests" / "actions.toml").read_text("utf-8"))

RUNNERS = {
    "ubuntu-24.04": "Linux, and what needs no system of its own: 22.04 goes in April 2027",
    "ubuntu-24.04-arm": "Linux on its own processor, so that what is built there is tested there",
    "macos-15": "the older of two that are kept, so that wheels are tested on it; macos-14 went in November 2026",
    "macos-15-intel": "the last with that processor, kept until August 2027",
    "windows-2025": "the newest server",
    "windows-11-arm": "the only one with that processor",
}
RETIRED = {  # what a search engine still finds in many an example, and since when it is no more
    r"ubuntu-20\.04": "the image went in April 2025",
    r"windows-2019": "the image went in June 2025",
    r"macos-13": "the image went in December 2025",
    r"macos-14": "the image went in November 2026",
    r"(upload|download)-artifact@\S+ # v[123]\.": "the service that they talk to went in January 2025",
    r"actions/cache@\S+ # v[123]\.": "the service that they talk to went in 2025",
    r"::(set-output|save-state)\b": "commands that anything printed could give, given up in October 2022",
    r"actions-rs/|actions/create-release@": "nobody maintains them, and their Node is gone",
}
EVENTS = {"pull_request", "push", "schedule", "workflow_call", "workflow_dispatch"}
LASTING = {"example", "nightly", "release", "template"}  # what would leave something half done if it were stopped
WRITES = {  # the jobs that may write, and what
    "nightly": {"report": {"issues"}},
    "release": {"publish": {"attestations", "id-token"}, "crates": {"id-token"}, "page": {"contents"}},
}
SECRETS = {  # the default token may push neither workflows nor to another repository
    "example": {"secrets.EXAMPLE_TOKEN"},
    "template": {"secrets.TEMPLATE_APP_KEY", "secrets.TEMPLATE_TOKEN"},
}
PUBLISHING = {  # all that the jobs do that prove who they are: nothing is built beside such a right
    "publish": ["actions/download-artifact", "actions/attest", "pypa/gh-action-pypi-publish"],
    "crates": ["actions/checkout", "rust-lang/crates-io-auth-action", "python3 channels/crates/publish.py"],
}
NOT_IN_A_FORK = "github.event_name != 'schedule' || !github.event.repository.fork"
WHATEVER_COMES = re.compile(r"\b(always|cancelled|failure|success)\(\)")
NOX = re.compile(  # a session, or a list of sessions
    r"(?:--download-python auto |--list-sessions --json )*--(?:session (\w+|\"\$\w+\")|tags \w+)"
    r"(?: --force-python \"\$\w+\")?(?: -- .+)?\s*"
)


@dataclass(frozen=True)
class Workflow:
    """A workflow file, as text and parsed."""

    path: Path

    @property
    def text(self) -> str:
        """Give the text."""
        return self.path.read_text("utf-8")

    @property
    def tree(self) -> Table:
        """Give all that is in it, which is not to be changed."""
        return parsed(self.text)

    @property
    def jobs(self) -> dict[str, Table]:
        """Give its jobs."""
        return dict(self.tree["jobs"])

    @property
    def steps(self) -> list[Table]:
        """Give the steps of all jobs."""
        return [step for job in self.jobs.values() for step in job.get("steps", [])]

    @property
    def commands(self) -> list[str]:
        """Give all that is run."""
        return [step["run"] for step in self.steps if "run" in step]


@cache
def parsed(text: str) -> Table:
    """Parse a workflow."""
    tree: Table = yaml.load(text, LOADER)
    return tree


def workflows(folder: Path) -> dict[str, Workflow]:
    """Read the workflows of a project."""
    return {path.stem: Workflow(path) for path in sorted(folder.glob(".github/workflows/*.yml"))}


def needs(job: Table) -> set[str]:
    """Give the jobs that a job waits for."""
    needed = job.get("needs", [])
    return {needed} if isinstance(needed, str) else set(needed)


def before(workflow: Workflow, name: str) -> set[str]:
    """Give the jobs that a job waits for, and those that they wait for."""
    needed = needs(workflow.jobs.get(name, {}))
    return needed.union(*(before(workflow, other) for other in needed))


def called(workflow: Workflow, name: str) -> Workflow | None:
    """Give the workflow that a job calls, if it calls one."""
    path = str(workflow.jobs[name].get("uses", ""))
    return Workflow(workflow.path.with_name(Path(path).name)) if path.startswith("./") else None


def matrix(job: Table, key: str) -> set[str]:
    """Give the values of a key of a job's matrix, as far as they are written there."""
    table = job.get("strategy", {}).get("matrix", {})
    listed = table.get(key, [])
    rows = {row[key] for row in table.get("include", []) if key in row}
    return rows if isinstance(listed, str) else rows | set(listed)


def rights(job: Table) -> dict[str, str]:
    """Give the rights of a job; one that is given all or none in a word has none by name."""
    given = job.get("permissions")
    return dict(given) if isinstance(given, dict) else {}


def uploads(workflow: Workflow, name: str) -> list[str]:
    """Name the artifacts that a job uploads, or the jobs of the workflow that it calls."""
    if other := called(workflow, name):
        return [artifact for job in other.jobs for artifact in uploads(other, job)]
    steps = workflow.jobs[name].get("steps", [])
    return [step["with"]["name"] for step in steps if "upload-artifact@" in step.get("uses", "")]


def touched(workflow: Workflow, path: str) -> bool:
    """Tell whether a pull request that changes this file starts a workflow."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}
    return any(
        re.fullmatch("".join(parts.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*\*|\*)", pattern)), path)
        for pattern in (workflow.tree["on"]["pull_request"] or {}).get("paths", ["**"])
    )


@cache
def sessions(noxfile: str) -> set[str]:
    """Give the sessions of a noxfile."""
    functions = (node for node in ast.parse(noxfile).body if isinstance(node, ast.FunctionDef))
    return {node.name for node in functions if any("nox.session" in ast.unparse(mark) for mark in node.decorator_list)}


def unpinned(text: str) -> list[str]:
    """Name the actions that are not those of tests/actions.toml, by commit and with the release in a comment."""
    pins = {f"{action}@{known['commit']} # {known['version']}" for action, known in ACTIONS.items()}
    return [line for line in re.findall(r"uses: (.*)", text) if not line.startswith("./") and line not in pins]


def wrong_inputs(tree: object) -> Iterator[str]:
    """Name what actions are given and do not take, and what they require and are not given."""
    if isinstance(tree, dict) and tree.get("uses", "").partition("@")[0] in ACTIONS:
        action, given = tree["uses"].partition("@")[0], tree.get("with", {}).keys()
        wrong = (given - ACTIONS[action]["inputs"]) | (set(ACTIONS[action]["required"]) - given)
        yield from (f"{action}: {name}" for name in wrong)
    for part in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from wrong_inputs(part)


def retired(text: str) -> list[str]:
    """Give the reasons why parts of a text are not to be used."""
    return [reason for pattern, reason in RETIRED.items() if re.search(pattern, text)]


# ---- Rules: each gives what breaks it.


def only_known_events_start_it(workflow: Workflow) -> Iterator[str]:
    """Start at nothing that lends a stranger's pull request the rights and secrets of the repository."""
    yield from workflow.tree["on"].keys() - EVENTS


def a_check_that_is_required_reports(workflow: Workflow) -> Iterator[str]:
    """Filter nothing where a branch waits for the result: what does not start never reports."""
    if "check" in workflow.jobs:
        for name, event in workflow.tree["on"].items():
            if isinstance(event, dict) and (name == "pull_request" or event.keys() & {"paths", "paths-ignore"}):
                yield name


def nothing_starts_by_itself_in_a_fork(workflow: Workflow) -> Iterator[str]:
    """Run no job of a schedule in a fork: it says so itself, or waits for one that does."""
    for name, job in workflow.jobs.items() if "schedule" in workflow.tree["on"] else ():
        condition = job.get("if", "")
        waits = needs(job) and not WHATEVER_COMES.search(condition)
        if not waits and condition != NOT_IN_A_FORK and f" && ({NOT_IN_A_FORK})" not in condition:
            yield name


def runs_do_not_pile_up(workflow: Workflow) -> Iterator[str]:
    """Stop the run before of the same branch, unless it would leave something half done.

    The group of a workflow that is called has a name of its own: with the caller's it would wait for itself for ever.
    """
    queue = workflow.tree.get("concurrency", {})
    group, lasting = queue.get("group", ""), workflow.path.stem in LASTING
    if not group or ("workflow_call" in workflow.tree["on"] and "github.workflow" in group):
        yield group or "no group"
    if queue.get("cancel-in-progress") != ("false" if lasting else "true"):
        yield "cancel-in-progress"
    if not lasting and not group.endswith("${{ github.ref }}"):
        yield "runs of other branches"


def every_job_ends(workflow: Workflow) -> Iterator[str]:
    """Set a limit of time, an hour at most."""
    for name, job in workflow.jobs.items():
        if "steps" in job and not 0 < int(job.get("timeout-minutes", 0)) <= 60:
            yield name


def runners_are_current(workflow: Workflow) -> Iterator[str]:
    """Run on systems that are there, and named with their version."""
    for job in workflow.jobs.values():
        if label := job.get("runs-on"):
            key = re.fullmatch(r"\$\{\{ matrix\.(\w+) \}\}", label)
            yield from (matrix(job, key[1]) if key else {label}) - RUNNERS.keys()
            if key and not matrix(job, key[1]):
                yield label


def nothing_is_retired(workflow: Workflow) -> Iterator[str]:
    """Use nothing that the service has given up."""
    yield from retired(workflow.text)


# ---- Rights.


def rights_are_given_to_jobs(workflow: Workflow) -> Iterator[str]:
    """Give no right to a whole workflow, and to each job those it names."""
    if workflow.tree.get("permissions") != {}:
        yield "the workflow"
    yield from (name for name, job in workflow.jobs.items() if not isinstance(job.get("permissions"), dict))


def rights_have_a_reason(workflow: Workflow) -> Iterator[str]:
    """Say beside each right what it is for."""
    for given in re.findall(r"^ +permissions:\n((?: {6,}\S.*\n)+)", workflow.text, re.MULTILINE):
        yield from (line.strip() for line in given.splitlines() if " # " not in line)


def few_jobs_write(workflow: Workflow) -> Iterator[str]:
    """Let nothing write but what is known to."""
    for name, job in workflow.jobs.items():
        known = WRITES.get(workflow.path.stem, {}).get(name, set())
        yield from (f"{name}: {right}" for right, may in rights(job).items() if may == "write" and right not in known)


def no_secret_is_needed(workflow: Workflow) -> Iterator[str]:
    """Use no secret, but those without which the work cannot be done."""
    found = re.findall(r"\bsecrets(?:\.\w+|\b)|\bpassword\b", json.dumps(workflow.tree))
    yield from (name for name in found if name not in SECRETS.get(workflow.path.stem, ()))


def the_token_is_for_a_right(workflow: Workflow) -> Iterator[str]:
    """Take the default token only where a job has the right to write something with it."""
    for name, job in workflow.jobs.items():
        if "github.token" in json.dumps(job) and "write" not in rights(job).values():
            yield name


def credentials_do_not_stay(workflow: Workflow) -> Iterator[str]:
    """Leave no credentials behind in a checkout."""
    for name, job in workflow.jobs.items():
        for step in job.get("steps", []):
            if (
                "actions/checkout@" in step.get("uses", "")
                and step.get("with", {}).get("persist-credentials") != "false"
            ):
                yield name


def the_identity_is_for_publishing(workflow: Workflow) -> Iterator[str]:
    """Let only jobs that publish prove who they are, in an environment, and do nothing else there."""
    for name, job in workflow.jobs.items():
        proves = "id-token" in rights(job)
        if proves != ("environment" in job):
            yield f"{name}: environment"
        if proves:
            done = [step.get("run") or step["uses"].partition("@")[0] for step in job["steps"]]
            if workflow.path.stem != "release" or done != PUBLISHING.get(name):
                yield name


def publishing_comes_last(workflow: Workflow) -> Iterator[str]:
    """Publish after all else has passed, and do after it only what waits for it to have passed."""
    for name, job in workflow.jobs.items() if "publish" in workflow.jobs else ():
        after = name == "publish" or "publish" in before(workflow, name)
        if not after and name not in before(workflow, "publish"):
            yield name
        if after and WHATEVER_COMES.search(job.get("if", "")):
            yield f"{name}: if"


# ---- What the jobs do.


def actions_are_pinned(workflow: Workflow) -> Iterator[str]:
    """Name an action by its commit, with the release in a comment, unless it lies in the repository itself."""
    yield from unpinned(workflow.text)


def inputs_are_real(workflow: Workflow) -> Iterator[str]:
    """Give an action what it takes, and all that it requires."""
    yield from wrong_inputs(workflow.tree)


def caches_cannot_be_poisoned(workflow: Workflow) -> Iterator[str]:
    """Keep nothing between runs that ends up in a release, and let no other branch write what main reads."""
    released = "workflow_call" in workflow.tree["on"] or "tags" in (workflow.tree["on"].get("push") or {})
    for step in workflow.steps:
        action, given = step.get("uses", "").partition("@")[0], step.get("with", {})
        if action == "astral-sh/setup-uv" and released and given.get("enable-cache") != "false":
            yield action
        own = workflow.path.stem == "ci" and given.get("save-if") == "${{ github.ref == 'refs/heads/main' }}"
        if "cache" in action.partition("/")[2] and not own:
            yield action


def jobs_of_a_matrix_have_caches_of_their_own(workflow: Workflow) -> Iterator[str]:
    """Give each a key: rust-cache's own names the job alone, and the first of the matrix that ends would fill it."""
    for name, job in workflow.jobs.items():
        matrix = job.get("strategy", {}).get("matrix", {})
        for step in job.get("steps", []):
            key = step.get("with", {}).get("key", "")
            if "rust-cache@" in step.get("uses", "") and matrix and key != "${{ matrix.session }}":
                yield name


def what_is_downloaded_was_uploaded(workflow: Workflow) -> Iterator[str]:
    """Download only what a job before has uploaded in the same run."""
    for name, job in workflow.jobs.items():
        there = [artifact for other in before(workflow, name) for artifact in uploads(workflow, other)]
        for step in job.get("steps", []):
            if "download-artifact@" in step.get("uses", ""):
                wanted = step["with"].get("name") or step["with"].get("pattern", "*")
                if not matching(there, wanted):
                    yield f"{name}: {wanted}"


def sessions_exist(workflow: Workflow) -> Iterator[str]:
    """Call sessions that the noxfile has, by the long name of the option, their arguments after two dashes."""
    known = sessions((workflow.path.parents[2] / "noxfile.py").read_text("utf-8"))
    named = {name for job in workflow.jobs.values() for name in matrix(job, "session")}
    for command in workflow.commands:
        calls = {call: NOX.fullmatch(call) for call in re.findall(r"\bnox ([^|)\n]+)", command)}
        yield from (call for call, found in calls.items() if not found)
        named |= {found[1] for found in calls.values() if found and (found[1] or "").isidentifier()}
        named |= {name for listed in re.findall(r"='(\[.*?\])'", command) for name in json.loads(listed)}
    yield from named - known


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
    only_known_events_start_it,
    a_check_that_is_required_reports,
    nothing_starts_by_itself_in_a_fork,
    runs_do_not_pile_up,
    every_job_ends,
    runners_are_current,
    nothing_is_retired,
    rights_are_given_to_jobs,
    rights_have_a_reason,
    few_jobs_write,
    no_secret_is_needed,
    the_token_is_for_a_right,
    credentials_do_not_stay,
    the_identity_is_for_publishing,
    publishing_comes_last,
    actions_are_pinned,
    inputs_are_real,
    caches_cannot_be_poisoned,
    jobs_of_a_matrix_have_caches_of_their_own,
    what_is_downloaded_was_uploaded,
    sessions_exist,
    check_waits_for_all,
]


def broken_rules(folder: Path) -> dict[str, list[str]]:
    """Hold every workflow of a project against every rule."""
    pairs = [(rule, workflow) for rule in RULES for workflow in workflows(folder).values()]
    return {f"{rule.__name__} in {one.path.name}": found for rule, one in pairs if (found := sorted(rule(one)))}


# ---- Linters.


def go_tool(name: str, module: str, cache: Path) -> Path:
    """Find a program that is written in Go, or build it: no package registry that the tests use has it."""
    go, built = shutil.which("go"), cache / name
    places = (os.environ.get(name.upper()), shutil.which(name), Path.home() / "go" / "bin" / name, built)
    if go and not any(place and Path(place).is_file() for place in places):
        subprocess.run([go, "install", f"{module}@latest"], env={**os.environ, "GOBIN": str(cache)}, check=False)
    return find_tool(name, *places)


def actionlint(cache: Path) -> Path:
    """Find actionlint."""
    return go_tool("actionlint", "github.com/rhysd/actionlint/cmd/actionlint", cache)


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
