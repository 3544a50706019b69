"""Measure the sessions that CI calls, count the jobs that each event starts, and write docs/cost.md.

The jobs are read from the workflows of rendered projects. With `--count` the times of the page are kept.
"""

from __future__ import annotations

import datetime
import math
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from gitlab import Pipeline, flat
from sandbox import available, lock
from template import Project, facts, options, render, snapshot
from workflows import Workflow, called, touched, workflows

PAGE = ROOT / "docs" / "cost.md"
SYSTEMS = ("Linux", "Linux Arm", "macOS", "Windows")

# Assumed, in seconds, as no hosting service is here to measure it.
START = 30  # of every job, before and after its commands: the machine, the sources, uv
FETCH = 60  # of a builder that fetches an image, or Pythons, and a compiler

NOT_MEASURED = {"audit": "its advisories are on the network", "template": "it runs once a week"}


@dataclass(frozen=True)
class Event:
    """What starts jobs: GitHub's name for it, a file that it changes, a tag that it pushes."""

    name: str
    changed: str = ""
    tag: str = ""


EVENTS = {
    "a pull request of documents": Event("pull_request", "README.md"),
    "a pull request of Python alone": Event("pull_request", "python/quickstats/__init__.py"),
    "a pull request of the build": Event("pull_request", "pyproject.toml"),
    "a push to `main`": Event("push", "src/lib.rs"),
    "a release": Event("push", tag="v0.1.0"),
    "a night": Event("schedule"),
}


@dataclass(frozen=True)
class Job:
    """A job: its system, and the parts of its work that have a price."""

    system: str
    work: tuple[str, ...] = ()

    def minutes(self, prices: Mapping[str, float]) -> float:
        """Add up its minutes, from prices in seconds."""
        return (START + sum(prices[name] for name in self.work)) / 60


Jobs = dict[str, list[Job]]  # by the name of the event that starts them


def system(label: str) -> str:
    """Give the system of a runner by its label."""
    names = {"macos": "macOS", "windows": "Windows", "arm": "Linux Arm"}
    return next((name for part, name in names.items() if part in label), "Linux")


def calls(script: str, variables: Mapping[str, str], build: str) -> Iterator[str]:
    """Name the sessions that a script calls, as the table of times does."""
    script = re.sub(r"\$\{(\w+):\+(.*?)\}", lambda found: found[2] if variables.get(found[1]) else "", script)
    script = re.sub(r"\$\{?(\w+)\}?", lambda found: variables.get(found[1], found[0]), script)
    for words in re.findall(r"noxfile\.py ((?:(?! -- )[^|;)\n])+)", re.sub(r'"|<<< ', "", script)):
        names = [word for word in words.split() if not word.startswith("-")]
        if "--list" in words:
            yield "the list of sessions"
        elif names == ["test"]:
            one = "test, another Python" if "--force-python" in words else "test, all Pythons"
            yield "test, of wheels" if "WHEELS" in variables else one
        elif names[0].startswith("test-"):
            yield "test, two Pythons"
        else:
            yield build if names == ["wheel"] else " ".join(names)


# ---- GitHub.

TOKEN = re.compile(r"'[^']*'|&&|\|\||!(?!=)|\w+\(\)|[a-z_]+(?:\.[\w-]+)+")
WORDS = {"&&": " and ", "||": " or ", "!": " not ", "always()": "True", "cancelled()": "False"}


def holds(condition: str, known: Mapping[str, str]) -> bool:
    """Tell whether a condition of a workflow is true if all jobs succeed; what is not known is empty."""

    def word(found: re.Match[str]) -> str:
        token = found[0]
        return token if token.startswith("'") else WORDS.get(token, repr(known.get(token, "")))

    expression = TOKEN.sub(word, condition.removeprefix("${{").removesuffix("}}"))
    return bool(eval(expression.strip(), {"__builtins__": {}}))


def fill(text: str, known: Mapping[str, str]) -> str:
    """Insert what is known."""
    return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda found: known.get(found[1], ""), text)


def starts(workflow: Workflow, event: Event) -> bool:
    """Tell whether an event starts a workflow; of the schedules, only those of every night do."""
    if event.name not in workflow.tree["on"]:
        return False
    given = workflow.tree["on"][event.name] or {}
    if event.name == "pull_request":
        ignored = any(fnmatch(event.changed, pattern) for pattern in given.get("paths-ignore", []))
        return touched(workflow, event.changed) and not ignored
    if event.name == "schedule":
        return any(one["cron"].endswith(" * * *") for one in given)
    return any(fnmatch(event.tag or "main", pattern) for pattern in given.get("tags" if event.tag else "branches", []))


def expand(workflow: Workflow, event: Event, build: str) -> Iterator[Job]:
    """Give the jobs of a workflow, and of those that it calls."""
    known = {
        "github.event_name": event.name,
        "github.ref_type": "tag" if event.tag else "branch",
        "needs.changes.outputs.ends": "" if event.changed.endswith(".md") else "test-lowest test-highest",
    }
    for name, job in workflow.jobs.items():
        if not holds(job.get("if", "always()"), known):
            continue
        if other := called(workflow, name):
            yield from expand(other, event, build)
            continue
        for row in job.get("strategy", {}).get("matrix", {}).get("include", [{}]):
            here = {**known, **{f"matrix.{key}": fill(value, known) for key, value in row.items()}}
            work: list[str] = []
            for step in job["steps"]:
                if "noxfile.py" in step.get("run", "") and holds(step.get("if", "always()"), here):
                    given = {**job.get("env", {}), **step.get("env", {})}
                    variables = {key: value for key, text in given.items() if (value := fill(text, here))}
                    work.extend(calls(step["run"], variables, build))
            yield Job(system(fill(job["runs-on"], here)), tuple(work))


def github(folder: Path, event: Event) -> list[Job]:
    """Give the jobs that an event starts on GitHub."""
    build = "wheel, by cibuildwheel" if (folder / "sessions" / "cibuildwheel.py").exists() else "wheel"
    started = [workflow for workflow in workflows(folder).values() if starts(workflow, event)]
    return [job for workflow in started for job in expand(workflow, event, build)]


# ---- GitLab.


def gitlab(folder: Path, event: Event) -> list[Job]:
    """Give the jobs that an event starts on GitLab."""
    given = {"CI_PIPELINE_SOURCE": event.name.replace("pull_request", "merge_request_event")}
    tag = {"CI_COMMIT_TAG": event.tag, "CI_COMMIT_REF_PROTECTED": "true"}
    given |= tag if event.tag else {"CI_COMMIT_BRANCH": "main"} if event.name == "push" else {}
    jobs = []
    for _, job, variables in Pipeline(folder).started(given, event.changed):
        label = variables[job["tags"][0].removeprefix("$")] if "tags" in job else ""
        jobs.append(Job(system(label), tuple(calls("\n".join(flat(job["script"])), variables, "wheel"))))
    return jobs


# ---- Peers.

# scientific-python/cookie, backend maturin, read at a930c462a56e16decd5ddde8cb37e2c57b3f5ae5: ci.yml at each pull request
# and push to main (lint; two Pythons on four systems and PyPy on one; pass), cd.yml at a release (sdist, six systems,
# upload). cibuildwheel 4.1 chooses six Pythons: the stable ABI's wheel serves five of them, and all are tested.
TESTED = ("an image", "a wheel", "another wheel", *["tests of a wheel"] * 6)
TESTS = [Job(name, ("test, another Python",)) for name in (*["Linux"] * 3, *["macOS"] * 4, *["Windows"] * 2)]
COOKIE_CI = [Job("Linux", ("lint",)), *TESTS, Job("Linux")]
BUILDS = [Job(name, TESTED * (2 if "Linux" in name else 1)) for name in (*SYSTEMS, "macOS", "Windows")]
COOKIE_RELEASE = [Job("Linux"), *BUILDS, Job("Linux")]

# What `maturin generate-ci github` of maturin 1.16 writes for a default project; test_cost.py compares the counts.
WHEELS = ("a wheel", "another wheel")
IMAGES = [Job("Linux", ("an image", *WHEELS))] * 10
GENERATED = [*IMAGES, *[Job("Windows", WHEELS)] * 3, *[Job("macOS", WHEELS)] * 2, Job("Linux")]


def peer(proposed: list[Job], released: list[Job]) -> Jobs:
    """Give the jobs of a peer, which runs the same at each pull request and push, and nothing at night."""
    nothing: list[Job] = []
    return {
        name: released if event.tag else nothing if event.name == "schedule" else proposed
        for name, event in EVENTS.items()
    }


def all_jobs(folder: Path) -> dict[str, Jobs]:
    """Give the jobs of each `ci` value, with and without every `upkeep`, and of each peer."""
    source, found = snapshot(folder / "template"), {}
    for choice, host in {"github": github, "cibuildwheel": github, "gitlab": gitlab}.items():
        for name, upkeep in {f"`{choice}`": [], f"`{choice}`, `upkeep`": [*options()["upkeep"]]}.items():
            project = render(source, folder / name, {"ci": choice, "upkeep": upkeep})
            found[name] = {each: host(project, event) for each, event in EVENTS.items()}
    return {
        **found,
        "cookie": peer(COOKIE_CI, COOKIE_RELEASE),
        "`generate-ci`": peer(GENERATED, [*GENERATED, Job("Linux")]),
    }


# ---- Times: a command and its seconds, by a name.

Times = dict[str, tuple[str, float]]
WARM = ("test, other Pythons", "stubs", "test, of wheels", "another wheel")  # all others build from nothing


def commands() -> dict[str, str]:
    """Give what is measured, by its name."""
    (lowest, *others), nox = available(), "uv run noxfile.py"
    rest = " ".join(f"test-{python}" for python in others)
    return {
        "the list of sessions": f"{nox} --list --json -s test",
        "test, another Python": f"{nox} -s test-{others[0]}",
        "test, the lowest Python": f"{nox} -s test-{lowest}",
        "test, other Pythons": f"{nox} -s {rest}",
        **{name: f"{nox} -s {name}" for name in ("lint", "stubs", "release", "wheel")},
        "test, of wheels": f"env WHEELS=1 {nox} -s test-{lowest} {rest}",
        "a wheel": f"maturin build --release --interpreter python{lowest}",
        "another wheel": f"maturin build --release --interpreter python{others[0]}",
        **{name: f"{nox} -s {name}" for name in ("lowest", "coverage", "notices")},
        "compare": f"{nox} -s compare -- HEAD",
    }


def measure(folder: Path) -> Iterator[str]:
    """Time each command once, in a project with every `upkeep`, and give the lines of the table.

    The time is that of one core: other work on the machine changes it less than that of the clock.
    """
    # A package name of its own: uv builds two projects of one name one after the other.
    answers = {"package": "measured", "upkeep": [*options()["upkeep"]]}
    project = Project(render(snapshot(folder / "source"), folder / "measured", answers), answers)
    for command in ("git init --quiet", "git config user.name Cost", "git config user.email cost@example.org"):
        project.run(*command.split())
    lock(project)
    project.run("uv", "sync", "--quiet", "--all-groups", "--no-install-project")  # downloads are not measured
    rust = project.run("rustc", "--version").stdout.split()[1]
    model = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text("utf-8"))[0]
    yield f"Measured on {datetime.date.today()}: {model}, {os.cpu_count()} cores, {sys.platform}, Rust {rust}.\n"
    yield from ("| what | command | seconds |", "|---|---|---:|")
    for name, command in commands().items():
        if name not in WARM:
            project.run("git", "clean", "--quiet", "--force", "--force", "-d", "-x")
        before = os.times()
        project.run(*command.split())
        after = os.times()
        seconds = after.children_user + after.children_system - before.children_user - before.children_system
        yield f"| {name} | `{command}` | {seconds:.1f} |"


def read_times(text: str) -> Times:
    """Read the table of times."""
    found = re.findall(r"^\| ([^|`]+) \| `([^`]+)` \| ([\d.]+) \|$", text, re.MULTILINE)
    return {name: (command, float(seconds)) for name, command, seconds in found}


def prices(times: Times) -> dict[str, float]:
    """Give the seconds of everything that a job may do, on a machine that has all the Pythons."""
    known = {name: seconds for name, (_, seconds) in times.items()}
    others = times["test, other Pythons"][0].count("test-")
    every = len(facts()["pythons"]) + 2  # with the free-threaded ones
    another, tests = known["test, other Pythons"] / others, known["test, of wheels"] / (1 + others)
    return {
        **known,
        "test, two Pythons": known["test, the lowest Python"] + another,
        "test, all Pythons": known["test, the lowest Python"] + (every - 1) * another,
        "lint stubs": known["lint"] + known["stubs"],
        "highest": known["lowest"],  # needs a Python that few machines have, and does the same
        "test, of wheels": every * tests,
        "tests of a wheel": tests,
        "wheel, by cibuildwheel": FETCH + known["wheel"] + 3 * tests,
        "an image": FETCH,
        **dict.fromkeys(NOT_MEASURED, 0),
    }


# ---- The page.


def total(jobs: Iterable[Job], known: Mapping[str, float]) -> float:
    """Add up minutes."""
    return sum(job.minutes(known) for job in jobs)


def summary(found: Mapping[str, Jobs], known: Mapping[str, float]) -> Iterator[str]:
    """Write the table of jobs and minutes by event."""
    yield from (f"| | {' | '.join(EVENTS)} |", f"|---|{'---:|' * len(EVENTS)}")
    for who, jobs in found.items():
        cells = [f"{len(some)}: {total(some, known):.0f}" if some else "-" for some in jobs.values()]
        yield f"| {who} | {' | '.join(cells)} |"


def by_system(found: Mapping[str, Jobs], known: Mapping[str, float], event: str) -> Iterator[str]:
    """Write the table of jobs and minutes by system, for one event."""
    yield from (f"| {event} | {' | '.join(SYSTEMS)} | rounded up |", f"|---|{'---:|' * (len(SYSTEMS) + 1)}")
    for who, jobs in found.items():
        parts = [[job for job in jobs[event] if job.system == name] for name in SYSTEMS]
        cells = [f"{len(part)}: {total(part, known):.1f}" if part else "-" for part in parts]
        yield f"| {who} | {' | '.join(cells)} | {sum(math.ceil(job.minutes(known)) for job in jobs[event])} |"
    yield ""


def renew(text: str, section: str, lines: Iterable[str]) -> str:
    """Replace a section of the page, between its markers."""
    marked = re.compile(rf"(<!-- {section} -->\n).*?(<!-- end -->)", re.DOTALL)
    body = "\n".join(lines).strip("\n")
    written, count = marked.subn(lambda found: f"{found[1]}\n{body}\n\n{found[2]}", text)
    if count != 1:
        raise SystemExit(f"{PAGE} has {count} sections {section!r}")
    return written


def count(text: str, folder: Path) -> str:
    """Count the jobs, and write what they cost by the times of the page."""
    found, known = all_jobs(folder), prices(read_times(text))
    events = ("a pull request of Python alone", "a release")
    systems = [line for event in events for line in by_system(found, known, event)]
    return renew(renew(text, "summary", summary(found, known)), "systems", systems)


def main() -> None:
    """Measure, unless told only to count, and write the page."""
    lines = []
    with tempfile.TemporaryDirectory(prefix="cost-") as name:
        for line in measure(Path(name)) if "--count" not in sys.argv else ():
            print(line, flush=True)
            lines.append(line)
        text = PAGE.read_text("utf-8")
        text = count(renew(text, "times", lines) if lines else text, Path(name))
    PAGE.write_text(text, "utf-8")
    print(text[text.index("<!-- summary -->") : text.index("<!-- end -->")])


if __name__ == "__main__":
    main()
