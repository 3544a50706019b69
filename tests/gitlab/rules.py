"""The rules that the GitLab pipeline of a rendered project keeps, and the linters that know more."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from checks import Table, find_tool
from template import run

FILES = (".gitlab-ci.yml", ".gitlab/wheels.yml")
KEYWORDS = {"default", "include", "stages", "variables", "workflow"}
RELEASED = '$CI_COMMIT_TAG =~ /^v/ && $CI_COMMIT_REF_PROTECTED == "true"'
TARGET = re.compile(r"\w+-(unknown|apple|pc)-[\w-]+")


def merged(under: Table, over: Table) -> Table:
    """Lay a table over another, as `extends` does: tables into each other, everything else in place of what was."""
    both = {**under, **over}
    for key in under.keys() & over.keys():
        if isinstance(under[key], dict) and isinstance(over[key], dict):
            both[key] = merged(under[key], over[key])
    return both


def flat(script: Any) -> list[str]:
    """Give the lines of a script, which may hold lists of lines."""
    return [line for part in script for line in flat(part)] if isinstance(script, list) else [script]


class Pipeline:
    """The files of a project, read."""

    def __init__(self, folder: Path) -> None:
        """Take the project that the files are in."""
        self.folder = folder

    @cached_property
    def tree(self) -> Table:
        """Give all that is in the files."""
        tree: Table = {}
        for name in FILES:
            tree = merged(tree, yaml.safe_load((self.folder / name).read_text("utf-8")))
        return tree

    def whole(self, name: str) -> Table:
        """Give a job with what it extends."""
        job = self.tree[name]
        return merged(self.whole(job["extends"]), job) if "extends" in job else dict(job)

    @cached_property
    def jobs(self) -> dict[str, Table]:
        """Give the jobs with what they extend."""
        return {name: self.whole(name) for name in self.tree.keys() - KEYWORDS if not name.startswith(".")}

    def lines(self, name: str) -> list[str]:
        """Give all that a job runs."""
        job = self.jobs[name]
        inherited = "inherit" not in job
        before = job.get("before_script", self.tree["default"]["before_script"] if inherited else [])
        return [*flat(before), *flat(job["script"]), *flat(job.get("after_script", []))]

    def sessions(self, name: str) -> list[str]:
        """Name the sessions that a job calls."""
        found = re.findall(r'nox --session "?([$\w]+)', "\n".join(self.lines(name)))
        return [name if session == "$CI_JOB_NAME" else session for session in found]

    @property
    def targets(self) -> list[str]:
        """Name the targets that a job builds wheels for."""
        return sorted(filter(TARGET.fullmatch, self.jobs))


def defined(folder: Path, kind: type[ast.FunctionDef | ast.Assign]) -> dict[str, Any]:
    """Give what noxfile.py defines, by its name: functions or constants."""
    body = ast.parse((folder / "noxfile.py").read_text("utf-8")).body
    nodes = [node for node in body if isinstance(node, kind)]
    return {node.name if isinstance(node, ast.FunctionDef) else ast.unparse(node.targets[0]): node for node in nodes}


# ---- Rules: each gives what breaks it.


def every_session_is_there(pipeline: Pipeline) -> Iterator[str]:
    """Call sessions of noxfile.py, and from each job but the two that publish at least one."""
    known = {
        name
        for name, node in defined(pipeline.folder, ast.FunctionDef).items()
        if any("nox.session" in ast.unparse(decorator) for decorator in node.decorator_list)
    }
    for name in pipeline.jobs:
        called = pipeline.sessions(name)
        yield from (f"{name} calls {session}" for session in called if session not in known)
        if bool(called) == (name in ("publish", "page")):
            yield f"{name} calls {called}"


def publishing_waits_for_all(pipeline: Pipeline) -> Iterator[str]:
    """Publish in the last stage, without `needs`, which would let it begin before all else has passed."""
    stages = pipeline.tree["stages"]
    if "needs" in pipeline.jobs["publish"] or pipeline.jobs["page"].get("needs") != ["complete", "publish"]:
        yield "needs"
    for name, job in pipeline.jobs.items():
        if (job["stage"] == stages[-1]) != (name in ("publish", "page")):
            yield name
        if job.get("allow_failure") or any("allow_failure" in rule or "when" in rule for rule in job["rules"]):
            yield f"{name} may fail"


def the_identity_is_for_publishing(pipeline: Pipeline) -> Iterator[str]:
    """Let only `publish` prove who it is: in an environment, without the sources, by one command of uv's."""
    for name, job in pipeline.jobs.items():
        if ("id_tokens" in job) != (name == "publish"):
            yield name
    publish = pipeline.jobs["publish"]
    if publish.get("environment") != "$INDEX" or publish["variables"].get("GIT_STRATEGY") != "none":
        yield "publish in no environment, or with the sources"
    if flat(publish["script"]) != ["uv publish --trusted-publishing always"]:
        yield "publish runs something else"
    if publish.get("id_tokens") != {f"{aud.upper()}_ID_TOKEN": {"aud": aud} for aud in ("pypi", "testpypi")}:
        yield "identities"


def only_protected_tags_are_published(pipeline: Pipeline) -> Iterator[str]:
    """Publish from a tag that not everybody may make, to the index that INDEX names."""
    for name in ("publish", "page"):
        indexes = [rule["if"].removeprefix(RELEASED) for rule in pipeline.jobs[name]["rules"]]
        if indexes != [' && $INDEX == "pypi"', ' && $INDEX == "testpypi"'][: 2 if name == "publish" else 1]:
            yield name


def no_secret_is_needed(pipeline: Pipeline) -> Iterator[str]:
    """Name no password, key or token."""
    for name in FILES:
        yield from re.findall(
            r"\w*(?:PASSWORD|SECRET|(?<!_ID)_TOKEN|_KEY)\w*", (pipeline.folder / name).read_text("utf-8")
        )


def nothing_that_is_released_is_cached(pipeline: Pipeline) -> Iterator[str]:
    """Build what is released from nothing."""
    yield from ("default" for key in ("cache",) if key in pipeline.tree["default"] or key in pipeline.tree)
    for name, job in pipeline.jobs.items():
        if ("cache" in job) != (job["stage"] == "test"):
            yield name


def each_target_has_its_job(pipeline: Pipeline) -> Iterator[str]:
    """Have a job for each target, which TARGETS switches on and whose wheels are tested on their own system."""
    assigned = defined(pipeline.folder, ast.Assign)["PLATFORMS"]
    platforms = ast.literal_eval(assigned.value)
    yield from (target for target in pipeline.targets if target not in platforms)
    yield from (
        f"{one} has no job" for one in pipeline.tree["variables"]["TARGETS"].split() if one not in pipeline.jobs
    )
    for target in pipeline.targets:
        wanted = [{"if": f"$WORK =~ /wheels/ && $TARGETS =~ /{target}/"}]
        testing = {name: job for name, job in pipeline.jobs.items() if job.get("needs") == [target]} or {
            target: pipeline.jobs[target]
        }
        for name, job in {target: pipeline.jobs[target], **testing}.items():
            if job["rules"] != wanted:
                yield f"{name} is not switched on by {target}"
            if job.get("tags") != (pipeline.jobs[target].get("tags")):
                yield f"{name} runs elsewhere"
        if not any("verify" in pipeline.sessions(name) for name in testing):
            yield f"{target} is not tested"
        if any("musl" in pipeline.jobs[name].get("image", "alpine") for name in testing):
            yield f"{target} is tested without musl"


def every_job_ends(pipeline: Pipeline) -> Iterator[str]:
    """Set a limit of time, and let what is outdated be cancelled, but for what publishes."""
    if not pipeline.tree["default"].get("timeout") or pipeline.tree["default"].get("interruptible") is not True:
        yield "default"
    for name, job in pipeline.jobs.items():
        if job.get("interruptible", True) == (name in ("publish", "page")):
            yield name
        if "inherit" in job and job["inherit"] != {"default": ["interruptible", "timeout"]}:
            yield f"{name} does not inherit it"


def the_whole_history_is_there(pipeline: Pipeline) -> Iterator[str]:
    """Fetch the tags, from which a version may come."""
    if pipeline.tree["variables"].get("GIT_DEPTH") != "0":
        yield "GIT_DEPTH"


def images_have_tags(pipeline: Pipeline) -> Iterator[str]:
    """Name an image with its tag."""
    for name, job in {"default": pipeline.tree["default"], **pipeline.jobs}.items():
        if not re.fullmatch(r"[\w./-]+:[\w.-]+", job.get("image", "none:none")):
            yield name


def files_are_short(pipeline: Pipeline) -> Iterator[str]:
    """Keep a file to 120 lines of 120 characters."""
    for name in FILES:
        lines = (pipeline.folder / name).read_text("utf-8").splitlines()
        if len(lines) > 120 or max(map(len, lines)) > 120:
            yield name


RULES: list[Callable[[Pipeline], Iterator[str]]] = [
    every_session_is_there,
    publishing_waits_for_all,
    the_identity_is_for_publishing,
    only_protected_tags_are_published,
    no_secret_is_needed,
    nothing_that_is_released_is_cached,
    each_target_has_its_job,
    every_job_ends,
    the_whole_history_is_there,
    images_have_tags,
    files_are_short,
]


def broken_rules(folder: Path) -> dict[str, list[str]]:
    """Hold a project's pipeline against every rule."""
    pipeline = Pipeline(folder)
    return {rule.__name__: found for rule in RULES if (found := sorted(rule(pipeline)))}


# ---- Linters.


def lint_with_schema(folder: Path) -> str:
    """Give what GitLab's schema has to say, of which check-jsonschema carries a copy."""
    command = (find_tool("check-jsonschema"), "--builtin-schema", "vendor.gitlab-ci")
    done = run(*command, *FILES, cwd=folder, check=False)
    return done.stdout if done.returncode else ""


def lint_with_shellcheck(folder: Path) -> dict[str, list[int]]:
    """Give what shellcheck finds in the jobs that a shell of Linux or macOS runs."""
    pipeline = Pipeline(folder)
    found: dict[str, list[int]] = {}
    command = (find_tool("shellcheck"), "--shell=bash", "--format=json", "--severity=style")
    for name in sorted(pipeline.jobs):
        if "windows" not in name:
            script = folder / f"{name}.sh"
            script.write_text("set -eo pipefail\n" + "\n".join(pipeline.lines(name)) + "\n", "utf-8")
            told = json.loads(run(*command, script.name, cwd=folder, check=False).stdout)
            script.unlink()
            # A job gets its variables from GitLab, which shellcheck cannot see.
            codes = [one["code"] for one in told if one["code"] != 2154]
            found |= {name: codes} if codes else {}
    return found
