"""Measure the sessions that CI calls, count the jobs that each event starts, and write docs/cost.md.

The jobs are those of the workflows of rendered projects, whose matrices are expanded here. With `--count` the times
stay those of the page.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from checks import Table
from gitlab.rules import Pipeline, flat
from sandbox import available, lock
from template import Project, render, run, snapshot
from workflows import Workflow, called, touched, workflows

PAGE = ROOT / "docs" / "cost.md"
SYSTEMS = ("Linux", "Linux Arm", "macOS", "Windows")
IDENTITY = ("-c", "user.name=Cost", "-c", "user.email=cost@example.org", "-c", "core.hooksPath=/dev/null")

# Assumed, in seconds, for want of a hosting service to measure it at.
START = 30  # of every job, before and after its commands: the machine, the sources, uv
FETCH = 60  # of a builder that fetches an image, or Pythons, and a compiler

FAMILIES = 3  # the wheels of one platform
NOT_MEASURED = {"audit": "the advisories are on the network", "template": "it runs once a week"}


@dataclass(frozen=True)
class Event:
    """What starts jobs: what GitHub calls it, a file that it changes, a tag that it pushes."""

    name: str
    changes: str = ""
    tag: str = ""


EVENTS = {
    "a pull request of documents": Event("pull_request", changes="README.md"),
    "a pull request of Python alone": Event("pull_request", changes="python/quickstats/__init__.py"),
    "a pull request of the build": Event("pull_request", changes="pyproject.toml"),
    "a push to `main`": Event("push", changes="src/lib.rs"),
    "a release": Event("push", tag="v0.1.0"),
    "a night": Event("schedule"),
}


@dataclass(frozen=True)
class Job:
    """A job: its system, and what it does, as far as that has a price."""

    system: str
    work: tuple[str, ...] = ()

    def minutes(self, prices: Mapping[str, float]) -> float:
        """Add up its minutes, from prices in seconds."""
        return (START + sum(prices[name] for name in self.work)) / 60


Jobs = dict[str, list[Job]]  # by the name of the event that starts them


def system(label: str) -> str:
    """Give the system of a runner, whose label each service makes up in its own way."""
    for name, part in {"macOS": "macos", "Windows": "windows", "Linux Arm": "arm"}.items():
        if part in label:
            return name
    return "Linux"


# ---- What a job does.

CALL = re.compile(r"\bnox ((?:--[\w-]+ (?:auto )?)*?)--session \"?(\$?\w[\w.-]*)\"?([^|)\n]*)")


def calls(script: str, given: Mapping[str, str], settings: Table) -> Iterator[str]:
    """Name the sessions that a script calls, as the table of times does."""
    lowest = settings["project"]["requires-python"].removeprefix(">=")
    for options, name, rest in CALL.findall(script):
        # What a script has to find out itself is the first of the sessions that it lists.
        session = given.get(name[1:], f"test-{lowest}") if name.startswith("$") else name
        if "--list-sessions" in options:
            yield "the list of sessions"
        elif session == "test":
            yield "test, another Python" if "--force-python" in rest else "test, all Pythons"
        elif session.startswith("test-"):
            yield "test, the lowest Python" if session == f"test-{lowest}" else "test, another Python"
        elif session == "release" and "--gate" in rest:
            yield "release, the gate"
        elif session == "wheel" and "cibuildwheel" in settings["tool"]:
            yield "wheel, by cibuildwheel"
        else:
            yield session


def settings_of(folder: Path) -> Table:
    """Read the pyproject.toml of a project."""
    return tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))


# ---- GitHub.

TOKEN = re.compile(r"'[^']*'|&&|\|\||!(?!=)|\w+\(\)|[a-z_]+(?:\.[\w-]+)+")
WORDS = {
    "&&": " and ",
    "||": " or ",
    "!": " not ",
    "always()": "True",
    "success()": "True",
    "cancelled()": "False",
    "failure()": "False",
}


def holds(condition: str, known: Mapping[str, str]) -> bool:
    """Tell whether a condition of a workflow holds where all goes well; what is not set is empty."""

    def word(found: re.Match[str]) -> str:
        token = found[0]
        return token if token.startswith("'") else WORDS.get(token, repr(known.get(token, "")))

    expression = TOKEN.sub(word, condition.removeprefix("${{").removesuffix("}}"))
    return bool(eval(expression.strip(), {"__builtins__": {}, "startsWith": str.startswith}))


def fill(text: str, known: Mapping[str, str]) -> str:
    """Put in what is known."""
    return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda found: known.get(found[1], ""), text)


def leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Give the values of a table of tables by their names with dots."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(f"{name}.{key}", inner)
    else:
        yield name, value


def rows(job: Table, known: Mapping[str, str]) -> list[dict[str, str]]:
    """Expand the matrix of a job."""
    matrix = job.get("strategy", {}).get("matrix")
    if not matrix:
        return [{}]

    def values(value: Any) -> list[Any]:
        listed = re.fullmatch(r"\$\{\{ fromJSON\((\S+)\) \}\}", value) if isinstance(value, str) else None
        return list(json.loads(known[listed[1]]) if listed else value)

    axes = {key: values(value) for key, value in matrix.items() if key != "include"}
    crossed = [dict(zip(axes, row, strict=True)) for row in product(*axes.values())] if axes else []
    return [dict(leaves("matrix", row)) for row in (*crossed, *matrix.get("include", []))]


@contextmanager
def changed(folder: Path, path: str) -> Iterator[None]:
    """Have a file changed by the last commit of a project."""
    if not path:
        yield
        return
    with (folder / path).open("a", encoding="utf-8") as file:
        file.write("\n")
    run("git", *IDENTITY, "commit", "--quiet", "--all", "--message", "Change", cwd=folder)
    try:
        yield
    finally:
        run("git", "reset", "--quiet", "--hard", "HEAD^", cwd=folder)


def outputs(workflow: Workflow, folder: Path, event: Event) -> Iterator[tuple[str, str]]:
    """Run the steps that tell other jobs something, and give what they tell."""
    for name, job in workflow.jobs.items():
        for step in job.get("steps", []) if "outputs" in job else []:
            if "id" in step and "run" in step:
                told = folder / ".git" / "told"
                told.write_text("")
                shell = ("bash", "-e", "-c", step["run"])
                run(*shell, cwd=folder, GITHUB_EVENT_NAME=event.name, GITHUB_OUTPUT=str(told))
                for key, _, value in (line.partition("=") for line in told.read_text("utf-8").splitlines()):
                    yield f"needs.{name}.outputs.{key}", value


def starts(workflow: Workflow, event: Event) -> bool:
    """Tell whether an event starts a workflow; of those by the clock, the ones that run every night."""
    events = workflow.tree["on"]
    if event.name not in events:
        return False
    if event.name == "pull_request":
        return touched(workflow, event.changes)
    given = events[event.name]
    if event.name == "schedule":
        return any(one["cron"].endswith(" * * *") for one in given)
    if event.tag:
        return any(fnmatch(event.tag, pattern) for pattern in given.get("tags", []))
    return "main" in given.get("branches", [])


def work(job: Table, known: Mapping[str, str], settings: Table) -> Iterator[str]:
    """Name what a job does: the sessions that it calls, and the wheels that maturin-action builds."""
    builds = []
    for step in job["steps"]:
        script, given = step.get("run", ""), step.get("with", {})
        if "nox" in script and holds(step.get("if", "always()"), known):
            variables = {**job.get("env", {}), **step.get("env", {})}
            filled = {name: value for name, text in variables.items() if (value := fill(text, known))}
            yield from calls(script, filled, settings)
        if step.get("uses", "").startswith("PyO3/maturin-action@") and given.get("command") != "sdist":
            builds.append(given)
    if any("manylinux" in given for given in builds):
        yield "an image"
    yield from ("a wheel", *["another wheel"] * (len(builds) - 1)) if builds else ()


def expand(workflow: Workflow, folder: Path, event: Event) -> Iterator[Job]:
    """Give the jobs of a workflow, and of those that it calls."""
    kind, place = ("tag", "tags") if event.tag else ("branch", "heads")
    known = {
        "github.event_name": event.name,
        "github.ref": f"refs/{place}/{event.tag or 'main'}",
        "github.ref_type": kind,
        **dict(outputs(workflow, folder, event)),
    }
    settings = settings_of(folder)
    for name, job in workflow.jobs.items():
        if not holds(job.get("if", "always()"), known):
            continue
        if other := called(workflow, name):
            yield from expand(other, folder, event)
            continue
        for row in rows(job, known):
            here = {**known, **row}
            yield Job(system(fill(job["runs-on"], here)), tuple(work(job, here, settings)))


def github(folder: Path, event: Event) -> list[Job]:
    """Give the jobs that an event starts at GitHub."""
    with changed(folder, event.changes):
        started = [workflow for workflow in workflows(folder).values() if starts(workflow, event)]
        return [job for workflow in started for job in expand(workflow, folder, event)]


# ---- GitLab.


def matches(pattern: str, path: str) -> bool:
    """Tell whether a path fits a pattern of GitLab."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "{": "(?:", ",": "|", "}": ")"}
    split = re.split(r"(\*\*/|\*\*|[*{},])", pattern)
    return re.fullmatch("".join(parts.get(part, re.escape(part)) for part in split), path) is not None


def fits(rule: Table, given: Mapping[str, str], path: str) -> bool:
    """Tell whether a rule of GitLab holds."""
    text = re.sub(
        r"\$(\w+) =~ /(.*?)/",
        lambda found: str(re.search(found[2], given.get(found[1], "")) is not None),
        rule.get("if", "True"),
    )
    text = re.sub(r"\$(\w+)", lambda found: repr(given.get(found[1], "")), text)
    expression = text.replace("&&", "and").replace("||", "or")
    through = "changes" not in rule or any(matches(pattern, path) for pattern in rule["changes"])
    return through and bool(eval(expression, {"__builtins__": {}}))


def variables(event: Event) -> dict[str, str]:
    """Give what GitLab sets."""
    source = {"pull_request": "merge_request_event"}.get(event.name, event.name)
    given = {"CI_PIPELINE_SOURCE": source, "CI_DEFAULT_BRANCH": "main"}
    if event.tag:
        return {**given, "CI_COMMIT_TAG": event.tag, "CI_COMMIT_REF_PROTECTED": "true"}
    return {**given, "CI_COMMIT_BRANCH": "main"} if event.name == "push" else given


def put_in(script: str, given: Mapping[str, str]) -> str:
    """Put in what a script has only where a variable is set."""
    return re.sub(r"\$\{(\w+):\+(.*?)\}", lambda found: found[2] if given.get(found[1]) else "", script)


def parallel(job: Table) -> Iterator[dict[str, str]]:
    """Expand the matrix of a job of GitLab."""
    for table in job.get("parallel", {}).get("matrix", [{}]):
        axes = [[value] if isinstance(value, str) else value for value in table.values()]
        yield from (dict(zip(table, row, strict=True)) for row in product(*axes))


def gitlab(folder: Path, event: Event) -> list[Job]:
    """Give the jobs that an event starts at GitLab."""
    pipeline, settings = Pipeline(folder), settings_of(folder)
    given = {**pipeline.tree["variables"], **variables(event)}
    rules = pipeline.tree["workflow"]["rules"]
    given |= next((rule["variables"] for rule in rules if fits(rule, given, event.changes)), {})
    found = []
    for name, job in pipeline.jobs.items():
        if any(fits(rule, given, event.changes) for rule in job["rules"]):
            label = given[job["tags"][0].removeprefix("$")] if "tags" in job else ""
            for row in parallel(job):
                here = {**given, "CI_JOB_NAME": name, **row}
                script = put_in("\n".join(flat(job["script"])), here)
                found.append(Job(system(label), tuple(calls(script, here, settings))))
    return found


# ---- Peers.

# scientific-python/cookie, backend maturin, read at a930c462a56e16decd5ddde8cb37e2c57b3f5ae5: ci.yml at each pull request
# and push to main (lint; two Pythons on four systems and PyPy on one; pass), cd.yml at a release (sdist, six systems,
# upload). cibuildwheel 4.1 chooses six Pythons: the stable ABI's wheel serves five of them, and all are tested.
TESTED = ("a wheel", "another wheel", *["the tests of a wheel"] * 6)
IMAGES = ("an image", *TESTED) * 2  # manylinux and musllinux
COOKIE_CI = [
    Job("Linux", ("lint",)),
    *[Job(name, ("test, another Python",)) for name in (*["Linux"] * 3, *["macOS"] * 4, *["Windows"] * 2)],
    Job("Linux"),
]
COOKIE_RELEASE = [
    Job("Linux"),
    *[Job(name, IMAGES) for name in ("Linux", "Linux Arm")],
    *[Job(name, ("an image", *TESTED)) for name in ("macOS", "macOS", "Windows", "Windows")],
    Job("Linux"),
]


def cookie(event: Event) -> list[Job]:
    """Give the jobs that an event starts in a project of scientific-python/cookie."""
    return COOKIE_RELEASE if event.tag else [] if event.name == "schedule" else COOKIE_CI


# ---- All of them.


def prepare(folder: Path, choice: str, **answers: str) -> Path:
    """Render a project, with a repository of its own."""
    source = snapshot(folder / f"template-{choice}")
    project = render(source, folder / choice / "project", {"ci": choice, **answers})
    run("git", "init", "--quiet", "--initial-branch=main", cwd=project)
    run("git", "add", "--all", cwd=project)
    run("git", *IDENTITY, "commit", "--quiet", "--message", "Begin", cwd=project)
    return project


def generated(folder: Path) -> Path:
    """Render a project without CI, and let maturin write one."""
    project = prepare(folder, "none")
    path = project / ".github" / "workflows" / "CI.yml"
    path.parent.mkdir(parents=True)
    run("maturin", "generate-ci", "github", "--output", path, cwd=project)
    return project


def everything(folder: Path) -> dict[str, Jobs]:
    """Give the jobs of each `ci` value and of each peer."""
    hosts = {"github": github, "cibuildwheel": github, "gitlab": gitlab}
    projects = {choice: prepare(folder, choice) for choice in hosts}
    peer = generated(folder)
    return {
        **{
            f"`{choice}`": {name: hosts[choice](projects[choice], event) for name, event in EVENTS.items()}
            for choice in hosts
        },
        "cookie": {name: cookie(event) for name, event in EVENTS.items()},
        "`generate-ci`": {name: github(peer, event) for name, event in EVENTS.items()},
    }


# ---- Times.


@dataclass(frozen=True)
class Timed:
    """A line of the table of times: a command, and the seconds that it took."""

    command: str
    seconds: float


def supported(folder: Path) -> list[str]:
    """Name the Pythons that a project is tested on."""
    listed = run("uvx", "nox", "--list-sessions", "--json", "--session", "test", cwd=folder).stdout
    return [session["python"] for session in json.loads(listed[listed.index("[{") :])]


def commands(folder: Path) -> Iterator[tuple[str, str, bool]]:
    """Name what is measured: its name, its command, and whether what was built before is removed first."""
    here = [python for python in supported(folder) if python in available()]
    told = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    host = next(line.partition(": ")[2] for line in told.splitlines() if line.startswith("host:"))
    yield "the list of sessions", "uvx nox --list-sessions --json --session test", True
    yield "test, the lowest Python", f"uvx nox --session test-{here[0]}", True
    yield "test, another Python", f"uvx nox --session test-{here[1]}", True
    yield "test, all Pythons", f"uvx nox --session {' '.join(f'test-{python}' for python in here)}", True
    for name in ("lint", "stubs", "lowest", "highest", "coverage"):
        yield name, f"uvx nox --session {name}", True
    yield "compare", "uvx nox --session compare -- HEAD", True
    yield "release, the gate", "uvx nox --session release -- --gate", True
    yield "release", "uvx nox --session release", True
    yield "wheel", f"uvx nox --session wheel -- --target {host}", True
    yield "verify", "uvx nox --session verify", False
    yield "complete", "uvx nox --session complete", False  # something is missing, which takes no longer to find
    maturin = f"maturin build --release --locked --target {host} --interpreter"
    yield "a wheel", f"{maturin} python{here[0]}", True
    yield "another wheel", f"{maturin} python3.14t", False


def clocks() -> tuple[float, float]:
    """Read the clock, and how long one core would have worked for what was run."""
    times = os.times()
    return time.perf_counter(), times.children_user + times.children_system


def measure(folder: Path) -> tuple[bool, dict[str, Timed]]:
    """Run each command once, in a project with its locks, and time it; tell whether the machine had other work too.

    A busy machine makes the clock useless, and hardly changes how long a core has to work.
    """
    busy = os.getloadavg()[0] > 1
    lock(Project(folder, {}))
    # What is downloaded is there before it is measured.
    run("uv", "sync", "--quiet", "--all-groups", "--no-install-project", cwd=folder)
    times: dict[str, tuple[str, list[float]]] = {}
    listed = list(commands(folder))
    for number, (name, command, cold) in enumerate(listed, 1):
        print(f"[{number}/{len(listed)}] {name}", end="", flush=True)
        if cold:
            run("git", "clean", "--quiet", "--force", "--force", "-d", "-x", cwd=folder)
        begun = clocks()
        run(*command.split(), cwd=folder, check=name != "complete")
        taken = [end - begin for begin, end in zip(begun, clocks(), strict=True)]
        print(": {:.1f} s by the clock, {:.1f} s of one core".format(*taken), flush=True)
        times[name] = command, taken
        busy = busy or os.getloadavg()[0] > (os.cpu_count() or 1) + 2
    return busy, {name: Timed(command, taken[busy]) for name, (command, taken) in times.items()}


def prices(times: Mapping[str, Timed], pythons: int) -> dict[str, float]:
    """Give the seconds of everything that a job may do, on a machine that has all the Pythons."""
    known = {name: timed.seconds for name, timed in times.items()}
    here = times["test, all Pythons"].command.count("test-")
    one = known["verify"] / here
    return {
        **known,
        "test, all Pythons": known["test, all Pythons"] + (pythons - here) * known["test, another Python"],
        "verify": one * pythons,
        "the tests of a wheel": one,
        "wheel, by cibuildwheel": FETCH + known["wheel"] + FAMILIES * one,
        "an image": FETCH,
        **dict.fromkeys(NOT_MEASURED, 0),
    }


# ---- The page.


def summary(all_jobs: Mapping[str, Jobs], known: Mapping[str, float]) -> Iterator[str]:
    """Write a table of what each event costs with each `ci` value, and with each peer."""
    yield f"| | {' | '.join(all_jobs)} |"
    yield f"|---|{'---:|' * len(all_jobs)}"
    for event in EVENTS:
        found = [jobs[event] for jobs in all_jobs.values()]
        cells = [f"{len(jobs)}: {total(jobs, known):.0f}" if jobs else "-" for jobs in found]
        yield f"| {event} | {' | '.join(cells)} |"


def total(jobs: Iterable[Job], known: Mapping[str, float]) -> float:
    """Add up minutes."""
    return sum(job.minutes(known) for job in jobs)


def by_system(all_jobs: Mapping[str, Jobs], known: Mapping[str, float]) -> Iterator[str]:
    """Write a table for each `ci` value and each peer: the jobs and minutes of each system."""
    for who, jobs in all_jobs.items():
        yield f"| {who} | {' | '.join(SYSTEMS)} | rounded up |"
        yield f"|---|{'---:|' * (len(SYSTEMS) + 1)}"
        for event in EVENTS:
            parts = [[job for job in jobs[event] if job.system == name] for name in SYSTEMS]
            cells = [f"{len(part)}: {total(part, known):.1f}" if part else "-" for part in parts]
            rounded = sum(math.ceil(job.minutes(known)) for job in jobs[event])
            yield f"| {event} | {' | '.join(cells)} | {rounded or '-'} |"
        yield ""


def timetable(times: Mapping[str, Timed]) -> Iterator[str]:
    """Write the table of times."""
    yield from ("| what | command | seconds |", "|---|---|---:|")
    yield from (f"| {name} | `{timed.command}` | {timed.seconds:.1f} |" for name, timed in times.items())


def read_times(text: str) -> dict[str, Timed]:
    """Read the table of times."""
    found = re.findall(r"^\| ([^|`]+) \| `([^`]+)` \| ([\d.]+) \|$", text, re.MULTILINE)
    return {name: Timed(command, float(seconds)) for name, command, seconds in found}


def renew(text: str, section: str, lines: Iterable[str]) -> str:
    """Write a section of the page anew, between its markers."""
    marked = re.compile(rf"(<!-- {section} -->\n).*?(<!-- end -->)", re.DOTALL)
    body = "\n".join(lines).strip("\n")
    written, count = marked.subn(lambda found: f"{found[1]}\n{body}\n\n{found[2]}", text)
    if count != 1:
        raise SystemExit(f"{PAGE} has {count} sections {section!r}")
    return written


def count(text: str, folder: Path) -> str:
    """Count the jobs, and write what they cost by the times of the page."""
    jobs = everything(folder)
    known = prices(read_times(text), len(supported(folder / "github" / "project")))
    return renew(renew(text, "summary", summary(jobs, known)), "systems", by_system(jobs, known))


def stamp(busy: bool) -> str:
    """Say when and on what the times were taken, and whether it had something else to do."""
    rust = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    cpuinfo = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else []
    machine = ", ".join([*models[:1], f"{os.cpu_count()} cores", f"{sys.platform}, Rust {rust}"])
    otherwise = (
        " **The machine was busy with other work: the seconds are those that one core worked, and where more are idle it"
        " takes fewer.**"
    )
    return f"Taken on {datetime.date.today()}: {machine}.{otherwise if busy else ''}"


def main() -> None:
    """Measure unless told not to, count, and write the page."""
    parser = argparse.ArgumentParser(prog="nox --session cost --", description=__doc__)
    parser.add_argument("--count", action="store_true", help="leave the times as they are")
    asked = parser.parse_args()
    text = PAGE.read_text("utf-8")
    with tempfile.TemporaryDirectory(prefix="cost-") as name:
        if not asked.count:
            # By another name: wheels of the same are built one after the other, also those of other projects here.
            busy, times = measure(prepare(Path(name, "measured"), "github", package="measured"))
            text = renew(text, "times", [stamp(busy), "", *timetable(times)])
        text = count(text, Path(name))
    PAGE.write_text(text, "utf-8")
    print(text[text.index("<!-- summary -->") : text.index("<!-- end -->")])


if __name__ == "__main__":
    main()
