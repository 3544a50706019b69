"""Runs GitLab's pipelines in the sandbox, with npm's gitlab-ci-local: https://github.com/firecow/gitlab-ci-local."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from checks import find_tool
from sandbox import Sandbox
from template import Project, missing_tool, run

VERSION = "4.73.0"  # the last that Node 20 runs
ADDRESS = "https://gitlab.com/example/quickstats.git"
COMPILED = ("nox", "sdist", "wheels")  # what is in target/ of what was compiled

# What GitLab sets and gitlab-ci-local leaves out or sets otherwise.
SERVICE = ("CI_COMMIT_REF_PROTECTED", "CI_PIPELINE_SOURCE", "GITLAB_CI")


def install(folder: Path) -> Path:
    """Install gitlab-ci-local into a folder that outlives a run, and give its program."""
    place = folder / f"gitlab-ci-local-{VERSION}"
    program = place / "node_modules" / ".bin" / "gitlab-ci-local"
    if not program.exists():
        npm = (find_tool("npm"), "install", "--no-audit", "--no-fund", "--ignore-scripts")
        done = run(*npm, "--prefix", place, f"gitlab-ci-local@{VERSION}", cwd=folder, check=False)
        if done.returncode:
            missing_tool(f"npm would not give gitlab-ci-local: {done.stdout}")
    return program


@dataclass(frozen=True)
class Outcome:
    """What a pipeline came to."""

    status: int
    said: str
    seconds: float
    artifacts: Path

    @property
    def results(self) -> dict[str, str]:
        """Give the result of each job that ran."""
        found = re.findall(r"^ (PASS|FAIL|WARN)  (\S+(?: \[.*?\])?)", self.said, re.MULTILINE)
        return {name: result for result, name in found}

    def log(self, job: str) -> str:
        """Give what a job printed."""
        return "\n".join(re.findall(rf"^{re.escape(job)} +> (.*)", self.said, re.MULTILINE))

    def files(self, job: str) -> set[str]:
        """Name the files that a job left for others."""
        folder = self.artifacts / job
        return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@dataclass(frozen=True)
class Runner:
    """A sandbox that runs the pipelines of projects."""

    sandbox: Sandbox
    program: Path

    def __post_init__(self) -> None:
        """Put what gitlab-ci-local calls on the path."""
        for name in ("node", "rsync"):
            if not (self.sandbox.tools / name).exists():
                (self.sandbox.tools / name).symlink_to(find_tool(name))

    def clone(self, project: Project) -> Path:
        """Clone what a project has committed, as a runner does; always to the same place, for cargo's sake."""
        folder = self.sandbox.folder / "gitlab"
        shutil.rmtree(folder, ignore_errors=True)
        run("git", "clone", "--quiet", "--no-hardlinks", project.folder, folder, cwd=project.folder)
        run("git", "remote", "set-url", "origin", ADDRESS, cwd=folder)
        return folder

    def call(self, folder: Path, variables: Mapping[str, str], *options: str) -> subprocess.CompletedProcess[str]:
        """Call gitlab-ci-local; the variables are those that GitLab sets, or who starts a pipeline."""
        ours = {"CARGO_HOME": str(self.sandbox.shared / "cargo"), "UV_CACHE_DIR": str(self.sandbox.shared / "uv")}
        shell = ("--force-shell-executor", "--shell-isolation", "--no-artifacts-to-source", "--concurrency=2")
        told = [word for name, value in {**ours, **variables}.items() for word in ("--variable", f"{name}={value}")]
        hushed = ("--ignore-predefined-vars", ",".join(SERVICE))
        return self.sandbox.run(self.program, *shell, *hushed, *told, *options, cwd=folder, check=False)

    def jobs(self, project: Project, variables: Mapping[str, str], *, since: str = "HEAD") -> set[str]:
        """Name the jobs that a pipeline has for what changed since a commit, without running any."""
        folder = self.clone(project)
        run("git", "update-ref", "refs/remotes/origin/main", since, cwd=folder)
        done = self.call(folder, variables, "--list-json")
        listed = json.loads(done.stdout[done.stdout.index("[\n") :])
        return {job["name"] for job in listed if job["when"] != "never"}

    def run(
        self,
        project: Project,
        *jobs: str,
        without: Iterable[str] = (),
        scripts: Mapping[str, list[str]] | None = None,
        since: str = "HEAD",
        variables: Mapping[str, str],
    ) -> Outcome:
        """Run a pipeline, or jobs of it, on the last commit of a project.

        Jobs can be left out, or be given another script. Each finds again what it has compiled before.
        """
        folder = self.clone(project)
        run("git", "update-ref", "refs/remotes/origin/main", since, cwd=folder)
        changed = {**{name: {"rules": [{"when": "never"}]} for name in without}, **self.adapted(folder)}
        changed |= {name: {"script": lines} for name, lines in (scripts or {}).items()}
        (folder / "here.yml").write_text(json.dumps({"include": ".gitlab-ci.yml", **changed}), "utf-8")
        begun = time.monotonic()
        done = self.call(folder, variables, "--file=here.yml", *jobs)
        kept = Path(self.sandbox.folder, "runs", f"gitlab-{time.monotonic_ns()}")
        (folder / ".gitlab-ci-local" / "artifacts").mkdir(exist_ok=True)
        (folder / ".gitlab-ci-local" / "artifacts").rename(kept)
        return Outcome(done.returncode, done.stdout, time.monotonic() - begun, kept)

    def adapted(self, folder: Path) -> dict[str, Any]:
        """Give what must be otherwise here: one cache for all, compiled files are kept, no Python is downloaded."""
        before = yaml.safe_load((folder / ".gitlab-ci.yml").read_text("utf-8"))["default"]["before_script"]
        place = f"{self.sandbox.shared}/targets/$CI_JOB_NAME"
        link = f'mkdir -p target "{place}"/{{{",".join(COMPILED)}}} && ln -s "{place}"/* target'
        wheels = yaml.safe_load((folder / ".gitlab" / "wheels.yml").read_text("utf-8"))
        build, verify = wheels[".verified"]["script"]
        return {
            "default": {"before_script": [link, *before]},
            ".session": {"after_script": []},
            ".verified": {"script": [*build, verify.removesuffix(" -- --fetch")]},
        }
