"""What act says of the jobs, in the lines of its `--json`."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any


def lines(text: str) -> list[dict[str, Any]]:
    """Read what act has written so far; what is not JSON is act's own, and so is a line that has not ended."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]


def names(said: Iterable[dict[str, Any]], workflow: str) -> dict[str, str]:
    """Give each job of a workflow, or of one that it calls, the name that the service shows.

    act puts the name of the workflow before that of the job, and numbers the jobs of a matrix.
    """
    raw: defaultdict[str, set[str]] = defaultdict(set)
    for line in said:
        if "job" in line:
            raw[line["jobID"]].add(line["job"].strip())
    found = {}
    for jobs in raw.values():
        for job in jobs:
            name = re.sub(r"-\d+$", "", job) if len(jobs) > 1 else job
            caller, _, rest = name.partition("/")
            found[job] = rest if caller == workflow else f"{caller} / {rest.partition('/')[2]}"
    return found


def results(said: list[dict[str, Any]], workflow: str) -> dict[str, str]:
    """Give the result of each job that has ended.

    Once one job of a matrix has failed, act calls those that end after it failed too: theirs is a failure only if
    act has told an error of them.
    """
    failed = {line["job"] for line in said if "job" in line and line["level"] == "error"}
    known = names(said, workflow)
    found = {}
    for line in said:
        if "jobResult" in line:
            job = line["job"]
            blamed = line["jobResult"] == "failure" and line.get("matrix") and job not in failed
            found[known[job.strip()]] = "success" if blamed else line["jobResult"]
    return found
