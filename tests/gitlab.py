"""The GitLab pipeline of a rendered project: its files as GitLab merges them, and the jobs that an event starts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from checks import YAML, Table

KEYWORDS = {"default", "include", "stages", "variables", "workflow"}


def merge(under: Table, over: Table) -> Table:
    """Merge two tables as `extends` does: tables in tables too; anything else is replaced."""
    both = {**under, **over}
    for key in under.keys() & over.keys():
        if isinstance(under[key], dict) and isinstance(over[key], dict):
            both[key] = merge(under[key], over[key])
    return both


def flat(script: Any) -> list[str]:
    """Give the lines of a script, which may hold lists of lines."""
    return [line for part in script for line in flat(part)] if isinstance(script, list) else [script]


def matches(pattern: str, path: str) -> bool:
    """Tell whether a path matches a pattern of `changes`."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "{": "(?:", ",": "|", "}": ")"}
    split = re.split(r"(\*\*/|\*\*|[*{},])", pattern)
    return re.fullmatch("".join(parts.get(part, re.escape(part)) for part in split), path) is not None


def applies(rule: Table, given: Mapping[str, str], changed: str) -> bool:
    """Tell whether a rule matches; without a changed file, as for a tag, `changes` always does."""
    text = re.sub(
        r"\$(\w+) =~ /(.*?)/",
        lambda found: str(re.search(found[2], given.get(found[1], "")) is not None),
        rule.get("if", "True"),
    )
    text = re.sub(r"\$(\w+)", lambda found: repr(given.get(found[1], "")), text)
    condition = eval(text.replace("&&", "and").replace("||", "or"), {"__builtins__": {}})
    return bool(condition) and (not changed or any(matches(each, changed) for each in rule.get("changes", ["**"])))


def rows(job: Table) -> Iterator[dict[str, str]]:
    """Expand the matrix of a job."""
    for table in job.get("parallel", {}).get("matrix", [{}]):
        axes = [[value] if isinstance(value, str) else value for value in table.values()]
        yield from (dict(zip(table, row, strict=True)) for row in product(*axes))


class Pipeline:
    """The files of a project, read."""

    def __init__(self, folder: Path) -> None:
        """Take the project that the files are in."""
        self.files = [*sorted(folder.glob(".gitlab/*.yml")), folder / ".gitlab-ci.yml"]
        self.tree: Table = {}
        for file in self.files:
            self.tree = merge(self.tree, yaml.load(file.read_text("utf-8"), YAML))

    def extended(self, name: str) -> Table:
        """Give a job, merged with what it extends."""
        job = self.tree[name]
        return merge(self.extended(job["extends"]), job) if "extends" in job else dict(job)

    @cached_property
    def jobs(self) -> dict[str, Table]:
        """Give the jobs by name."""
        return {name: self.extended(name) for name in self.tree if name[0] != "." and name not in KEYWORDS}

    def started(self, given: Mapping[str, str], changed: str = "") -> Iterator[tuple[str, Table, dict[str, str]]]:
        """Give the jobs that a pipeline has, with their names, by the variables that GitLab sets and a changed file."""
        given = {**self.tree["variables"], "CI_DEFAULT_BRANCH": "main", **given}
        first = next((rule for rule in self.tree["workflow"]["rules"] if applies(rule, given, changed)), None)
        given |= (first or {}).get("variables", {})
        for name, job in self.jobs.items() if first else ():
            if rule := next((rule for rule in job["rules"] if applies(rule, given, changed)), None):
                own = {**given, **job.get("variables", {}), **rule.get("variables", {}), "CI_JOB_NAME": name}
                for row in rows(job):
                    yield name + (f": [{', '.join(row.values())}]" if row else ""), job, {**own, **row}
