"""A sandbox in which rendered workflows run for real: everything except one scratch folder is read-only.

The fixture `sandboxes` of conftest.py makes them: `sandboxes.new()`, or `sandboxes.new(pythons=("3.11",))`. It skips
where there is no private mount namespace or no act, and fails there under CI.

`sandbox.act(project, "ci")` runs a workflow of a `Project`, as its last commit has it, and gives an `Outcome`. Only jobs
on ubuntu-24.04 run. An action without a stub in tests/act/actions is refused before act starts. Arguments:
    `job` runs one job and the jobs that it needs; `matrix={"target": "x"}` (or a list of values) restricts each matrix
    that has the key; `tag="v0.1.0"` makes it the event of that tag; `payload` is merged into the event; `inputs`,
    `variables`, `secrets` and `environment` are dictionaries; `artifacts` is a folder with a folder for each artifact
    that exists before; `indexes` maps upload addresses to addresses on loopback.
`sandbox.run(command…)` runs a command inside, with an environment made from nothing.
`sandbox.remote(project)` is the bare repository that replaces https://github.com/OWNER/NAME; git rewrites the address.
A push needs credentials. `sandbox.serve(url, folder)` adds another repository.
`sandbox.github` has what the stub of `gh` stores: releases/TAG/, releases.json, issues.json, pulls.json.
`sandbox.tools` is the first folder on the path: put more stubs there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from checks import find_tool
from template import ROOT, Project, clean_environment, execute, facts, missing_tool, run
from workflows import go_tool

ACT = ROOT / "tests" / "act"
COMMANDS = ACT / "commands"
LABEL = "ubuntu-24.04"  # the one system that this machine stands for
RUST = ("cargo", "cargo-clippy", "cargo-fmt", "clippy-driver", "rustc", "rustdoc", "rustfmt")
TOKEN = "token-of-the-sandbox-5f2c91d07b"  # long, so that nothing else looks like it
APP_TOKEN = "token-of-the-app-7d30e6a412"

COLOR = re.compile(r"\x1b\[[0-9;]*[a-zA-Z]")

# What package clients need to reach their registries, where it is set.
NETWORK = (
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"),
    *("PIP_CERT", "PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_NATIVE_TLS"),
    *("UV_SYSTEM_CERTS", "UV_HTTP_TIMEOUT", "CARGO_HTTP_CAINFO", "CARGO_HTTP_TIMEOUT", "npm_config_registry"),
)
SETTINGS = (".config/pip/pip.conf", ".config/uv/uv.toml")


@dataclass(frozen=True)
class Outcome:
    """What a run of a workflow did."""

    workflow: str
    keys: dict[str, str]  # of its jobs, with their names
    folder: Path
    status: int
    seconds: float

    @cached_property
    def lines(self) -> list[dict[str, Any]]:
        """Read the lines of act; what is not JSON is not about jobs."""
        text = (self.folder / "act.json").read_text("utf-8")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    @property
    def names(self) -> dict[str, str]:
        """Give the name that the service shows for each job of act."""
        return job_names(self.lines, self.workflow)

    @property
    def results(self) -> dict[str, str]:
        """Give the result of each job that ran."""
        return job_results(self.lines, self.workflow)

    @property
    def missing(self) -> set[str]:
        """Give the keys of the jobs that did not run at all."""
        own = f"{self.workflow}/"
        ran = {line["jobID"] for line in self.lines if "jobResult" in line and line["job"].startswith(own)}
        callers = {name.partition(" / ")[0] for name in self.results}
        return {key for key, name in self.keys.items() if key not in ran and name not in callers}

    @property
    def logs(self) -> dict[str, str]:
        """Give the output of each job, and the errors that act reports of it, without the commands."""
        found = dict.fromkeys(self.names.values(), "")
        for line in self.lines:
            if "job" in line and (line.get("raw_output") or line["level"] == "error"):
                found[self.names[line["job"].strip()]] += COLOR.sub("", line["msg"].rstrip("\r\n")) + "\n"
        return found

    @property
    def log(self) -> str:
        """Give the output of all jobs, and the errors of act itself."""
        return "".join([*self.logs.values(), (self.folder / "act.errors").read_text("utf-8")])

    @property
    def summary(self) -> str:
        """Give what the jobs wrote to their summaries."""
        return "".join(line["content"] for line in self.lines if line.get("command") == "summary")

    @property
    def artifacts(self) -> Path:
        """Give the folder with a folder for each artifact."""
        return self.folder / "artifacts"

    @property
    def attested(self) -> list[str]:
        """Name the files that were attested."""
        file = self.folder / "attested"
        return sorted(file.read_text("utf-8").splitlines()) if file.exists() else []


def job_names(lines: Iterable[dict[str, Any]], workflow: str) -> dict[str, str]:
    """Give each job of a workflow, or of one that it calls, the name that the service shows.

    act puts the name of the workflow before that of the job, and numbers the jobs of a matrix.
    """
    raw: defaultdict[str, set[str]] = defaultdict(set)
    for line in lines:
        if "job" in line:
            raw[line["jobID"]].add(line["job"].strip())
    found = {}
    for jobs in raw.values():
        for job in jobs:
            name = re.sub(r"-\d+$", "", job) if len(jobs) > 1 else job
            caller, _, rest = name.partition("/")
            found[job] = rest if caller == workflow else f"{caller} / {rest.partition('/')[2]}"
    return found


def job_results(lines: list[dict[str, Any]], workflow: str) -> dict[str, str]:
    """Give the result of each job that ended.

    After one job of a matrix has failed, act reports those that end later as failed too: such a job has failed only if
    act reports an error of it.
    """
    failed = {line["job"] for line in lines if "job" in line and line["level"] == "error"}
    names = job_names(lines, workflow)
    found = {}
    for line in lines:
        if "jobResult" in line:
            passed = line["jobResult"] == "failure" and line.get("matrix") and line["job"] not in failed
            found[names[line["job"].strip()]] = "success" if passed else line["jobResult"]
    return found


# ---- Reading the workflows, before anything runs.


def action_steps(tree: Any) -> Iterable[dict[str, Any]]:
    """Give every part of a workflow or an action that uses something."""
    if isinstance(tree, dict):
        if {"container", "services"} & tree.keys():
            raise LookupError("a container needs an engine, which the sandbox does not have")
        if "uses" in tree:
            yield tree
    for part in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from action_steps(part)


def find_stubs(project: Path) -> dict[str, Path]:
    """Map each action that a project uses to its stub; a missing stub or an unknown input is an error."""
    found = {}
    for path in sorted((project / ".github").rglob("*.y*ml")):
        for step in action_steps(yaml.safe_load(path.read_text("utf-8"))):
            action, _, _ = step["uses"].partition("@")
            if action.startswith("./"):
                continue
            stub = ACT / "actions" / action.replace("/", "__")
            if not (stub / "action.yml").is_file():
                raise LookupError(f"{path.name} uses {step['uses']}, which has no stub in tests/act/actions")
            inputs = yaml.safe_load((stub / "action.yml").read_text("utf-8")).get("inputs", {})
            if unknown := step.get("with", {}).keys() - inputs.keys():
                raise LookupError(f"{path.name}: the stub of {action} has no input {', '.join(sorted(unknown))}")
            found[step["uses"]] = stub
    return found


def system_keys(project: Path) -> set[str]:
    """Name the matrix keys that a `runs-on` uses; act would take the first value for all jobs of a matrix."""
    found = set()
    for path in project.glob(".github/workflows/*.yml"):
        for job in yaml.safe_load(path.read_text("utf-8"))["jobs"].values():
            label = str(job.get("runs-on", LABEL))
            if label.startswith("${{ matrix."):
                found.add(label.removeprefix("${{ matrix.").removesuffix(" }}"))
            elif "${{" in label:
                raise LookupError(f"{path.name}: the system of {label} is unknown")
    return found


# ---- The sandbox.


@dataclass
class Sandbox:
    """A folder with a home, repositories, runs and what `gh` stores, and the commands that run in it."""

    shared: Path
    folder: Path
    act_binary: Path
    pythons: tuple[str, ...]
    runs: int = field(default=0)

    def __post_init__(self) -> None:
        """Make the folders, the commands and the settings of git."""
        for name in ("home", "bin", "tmp", "github", "remotes", "runs"):
            (self.folder / name).mkdir(parents=True)
        for name in SETTINGS:
            copy_setting(Path.home() / name, self.folder / "home" / name)
        for name, target in {**tools(), **interpreters(self.pythons)}.items():
            (self.tools / name).symlink_to(target)
        self.write_git_settings()

    @property
    def tools(self) -> Path:
        """Give the folder that comes first on the path."""
        return self.folder / "bin"

    @property
    def github(self) -> Path:
        """Give the folder in which `gh` stores its records."""
        return self.folder / "github"

    def write_git_settings(self, *secrets: str) -> None:
        """Map the repositories of the service to folders; a push to them needs credentials."""
        remotes = f"file://{self.folder}/remotes/"
        addresses = [f"https://x-access-token:{secret}@github.com/" for secret in (TOKEN, APP_TOKEN, *secrets)]
        (self.folder / "gitconfig").write_text(
            "[user]\n\tname = Sandbox\n\temail = sandbox@example.org\n"
            "[safe]\n\tdirectory = *\n[init]\n\tdefaultBranch = main\n"
            '[protocol "file"]\n\tallow = always\n[uploadpack]\n\tallowAnySHA1InWant = true\n[gc]\n\tauto = 0\n'
            f'[url "{remotes}"]\n'
            + "".join(f"\tinsteadOf = {address}\n" for address in ("https://github.com/", *addresses))
            + f'[url "file://{self.folder}/no-credentials/"]\n\tpushInsteadOf = https://github.com/\n',
            "utf-8",
        )

    def environment(self, **variables: str) -> dict[str, str]:
        """Make an environment from nothing."""
        return {
            **{name: os.environ[name] for name in NETWORK if name in os.environ},
            "HOME": str(self.folder / "home"),
            "PATH": f"{self.tools}:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "CARGO_HOME": str(self.shared / "cargo"),
            "RUSTUP_HOME": str(self.folder / "home" / ".rustup"),
            "UV_CACHE_DIR": str(self.shared / "uv"),
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_NO_PROGRESS": "1",
            "UV_LINK_MODE": "copy",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(self.folder / "gitconfig"),
            "GIT_TERMINAL_PROMPT": "0",
            "PAGER": "cat",  # act gives each step a terminal, which runners have not
            "TERM": "dumb",
            "SANDBOX": str(self.shared),
            "SANDBOX_GITHUB": str(self.github),
            "SANDBOX_APP_TOKEN": APP_TOKEN,
            **variables,
        }

    def command(self, *command: str | Path) -> list[str]:
        """Put a command into the sandbox."""
        readable = {ROOT, Path(sys.prefix), Path(sys.base_prefix), self.act_binary.parent}
        readable |= {path.resolve().parent.parent for path in self.tools.iterdir()}
        within = {path for path in readable if path.is_relative_to(self.shared)}  # there already
        hidden = sorted(str(path) for path in readable - within if path.is_relative_to("/tmp"))
        enter = (COMMANDS / "enter", self.shared, self.folder / "tmp", *hidden, "--")
        return [str(part) for part in (*namespace(), *enter, *command)]

    def run(
        self, *command: str | Path, cwd: Path | None = None, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, and show all that it printed if it fails."""
        inside = self.command("env", "--chdir", cwd or self.folder, *command)
        return execute(inside, self.folder, self.environment(**variables), check=check)

    def serve(self, url: str, source: Path) -> Path:
        """Map an address of the service to a clone of a repository, and update the clone if it exists."""
        remote = self.folder / "remotes" / f"{urlsplit(url).path.strip('/').removesuffix('.git')}.git"
        if not remote.exists():
            run("git", "clone", "--quiet", "--bare", "--no-hardlinks", source, remote, cwd=source)
        for references in ("--all", "--tags"):
            run("git", "-c", "core.hooksPath=/dev/null", "push", "--quiet", "--force", references, remote, cwd=source)
        return remote

    def remote(self, project: Project) -> Path:
        """Map the address of a project to a clone of it."""
        return self.serve(self.url(project), project.folder)

    def url(self, project: Project) -> str:
        """Give the address of a project on the service, whatever host its repository is on."""
        owner, name = urlsplit(project.answer("repository")).path.split("/")[-2:]
        return f"https://github.com/{owner}/{name}"

    def act(
        self,
        project: Project,
        workflow: str,
        event: str = "push",
        *,
        job: str | None = None,
        matrix: Mapping[str, str | Sequence[str]] | None = None,
        tag: str | None = None,
        payload: Mapping[str, Any] | None = None,
        inputs: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        artifacts: Path | None = None,
        indexes: Mapping[str, str] | None = None,
        seconds: float = 1800,
    ) -> Outcome:
        """Run a workflow on the last commit of a project."""
        self.runs += 1
        folder = self.folder / "runs" / str(self.runs)
        clone = folder / "project"
        folder.mkdir()
        secrets = {"GITHUB_TOKEN": TOKEN, **(secrets or {})}
        self.write_git_settings(*secrets.values())
        remote = self.remote(project)
        branch = project.run("git", "branch", "--show-current").stdout.strip()
        run("git", "clone", "--quiet", "--no-hardlinks", "--branch", tag or branch, remote, clone, cwd=folder)
        payload = {**self.event(project, clone, event, tag), "inputs": dict(inputs or {}), **(payload or {})}
        (folder / "event.json").write_text(json.dumps(payload, indent=1), "utf-8")
        run("git", "remote", "set-url", "origin", self.url(project), cwd=clone)
        if artifacts:
            shutil.copytree(artifacts, folder / "artifacts")
        file = clone / ".github" / "workflows" / f"{workflow}.yml"
        tree = yaml.safe_load(file.read_text("utf-8"))
        restricted = {**dict.fromkeys(system_keys(clone), LABEL), **(matrix or {})}
        options = [
            *("--directory", clone, "--workflows", file, "--eventpath", folder / "event.json"),
            *("--platform", f"{LABEL}=-self-hosted", "--no-skip-checkout", "--action-offline-mode", "--pull=false"),
            *("--strict", "--no-cache-server", "--artifact-server-addr", "127.0.0.1", "--json"),
            *("--action-cache-path", folder / "cache", "--concurrent-jobs", "2", "--container-daemon-socket", "-"),
            *(f"--{name}-file={folder / 'none'}" for name in ("env", "secret", "var", "input")),
            *(f"--local-repository={action}={place}" for action, place in find_stubs(clone).items()),
            *(
                f"--matrix={key}:{value}"
                for key, values in restricted.items()
                for value in ([values] if isinstance(values, str) else values)
            ),
            *(f"--input={name}={value}" for name, value in (inputs or {}).items()),
            *(f"--var={name}={value}" for name, value in (variables or {}).items()),
            *(f"--secret={name}={value}" for name, value in secrets.items()),
            *("--actor", self.url(project).split("/")[3], *(("--job", job) if job else ())),
        ]
        begun = time.monotonic()
        with (folder / "act.json").open("wb") as output, (folder / "act.errors").open("wb") as errors:
            done = subprocess.run(
                self.command(self.act_binary, event, *options),
                cwd=clone,
                env=self.environment(
                    SANDBOX_RUN=str(folder),
                    SANDBOX_INDEXES=json.dumps(dict(indexes or {})),
                    **(environment or {}),
                ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                check=False,
                timeout=seconds,
            )
        shutil.rmtree(folder / "cache", ignore_errors=True)
        keys = {key: job.get("name", key) for key, job in tree["jobs"].items()}
        return Outcome(tree.get("name", workflow), keys, folder, done.returncode, time.monotonic() - begun)

    def event(self, project: Project, clone: Path, event: str, tag: str | None) -> dict[str, Any]:
        """Make the event, with what workflows read; a pull request is merged into its base, as the service does."""

        def git(*words: str) -> str:
            return run("git", *words, cwd=clone).stdout.strip()

        branch, commit = git("branch", "--show-current"), git("rev-parse", "HEAD")
        owner, name = urlsplit(self.url(project)).path.strip("/").split("/")
        repository = {"name": name, "full_name": f"{owner}/{name}", "owner": {"login": owner}, "default_branch": "main"}
        common: dict[str, Any] = {"repository": repository, "sender": {"login": owner}}
        if event == "pull_request":
            base = {"ref": "main", "sha": git("rev-parse", "origin/main"), "repo": repository}
            git("checkout", "--quiet", "--detach", "origin/main")
            git("merge", "--quiet", "--no-ff", "--message", "Merge", commit)
            git("push", "--quiet", "--force", "origin", "HEAD:refs/pull/1/merge")
            request = {"number": 1, "head": {"ref": branch, "sha": commit, "repo": repository}, "base": base}
            return {**common, "action": "opened", "number": 1, "pull_request": request}
        common["ref"] = f"refs/tags/{tag}" if tag else f"refs/heads/{branch}"
        common |= {"after": commit, "deleted": False} if event == "push" else {}
        return common


def namespace() -> list[str]:
    """Give the command that makes namespaces: as root, or in one where the user is root."""
    options = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
    return ["unshare", *([] if os.getuid() == 0 else ["--map-root-user"]), *options]


def interpreters(pythons: Sequence[str]) -> dict[str, Path]:
    """Find Pythons; the one that runs the tests, or else the first, is also the one without a number."""
    found = {}
    for version in pythons:
        output = run(f"python{version}", "-c", "import os, sys; print(os.path.realpath(sys.executable))", cwd=ROOT)
        found[f"python{version}"] = Path(output.stdout.strip())
    first = found.get("python{}.{}".format(*sys.version_info), found[f"python{pythons[0]}"])
    return {"python": first, "python3": first, **found}


def available() -> tuple[str, ...]:
    """Name the supported Pythons that are on this machine."""

    def runs(version: str) -> bool:
        found = shutil.which(f"python{version}", path=clean_environment()["PATH"])
        return bool(found) and run(found or "", "-c", "", cwd=ROOT, check=False).returncode == 0

    return tuple(version for version in facts()["pythons"] if runs(version))


def tools() -> dict[str, Path]:
    """Find the other commands: those of the tests' environment, and stubs."""
    return {
        **{name: find_tool(name) for name in ("uv", "uvx")},
        **dict.fromkeys(RUST, COMMANDS / "toolchain"),
        "rustup": COMMANDS / "rustup",
        "gh": COMMANDS / "gh.py",
    }


def copy_setting(source: Path, target: Path) -> None:
    """Copy a file if it is there."""
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def lock(project: Project) -> Project:
    """Make and commit the lock files of a project, and the licences of its crates if it keeps them: CI needs them."""
    project.run("cargo", "generate-lockfile")
    project.run("uv", "lock", "--quiet")
    if "notices" in project.answer("upkeep"):
        project.run("nox", "--session", "notices")
    project.commit("Lock")
    return project


def only_pythons(project: Project, *pythons: str) -> None:
    """Let a project support these Pythons only: nox reads them from the classifiers, and in CI fails without one."""
    start = '    "Programming Language :: Python :: '
    kept = [f'{start}{version}",' for version in (*pythons, "3 :: Only")]
    lines = project.read("pyproject.toml").splitlines()
    chosen = [line for line in lines if not line.startswith(start) or line in kept]
    (project.folder / "pyproject.toml").write_text("\n".join(chosen) + "\n", "utf-8")


@dataclass
class Sandboxes:
    """The folder that all sandboxes of a run share, with what is downloaded and compiled there."""

    folder: Path
    act_binary: Path
    made: int = field(default=0)

    def new(self, pythons: Sequence[str] = ()) -> Sandbox:
        """Make a sandbox with these Pythons, or all that are here."""
        self.made += 1
        chosen = tuple(pythons) or available()
        return Sandbox(self.folder, self.folder / "sandboxes" / str(self.made), self.act_binary, chosen)


def prepare(folder: Path, cache: Path) -> Sandboxes:
    """Fill the folder of all sandboxes: the toolchains, and the crates that were downloaded before."""
    entered = run(*namespace(), "true", cwd=ROOT, check=False) if shutil.which("unshare") else None
    if entered is None or entered.returncode:
        missing_tool(f"no private mount namespace can be made: {entered.stdout if entered else 'unshare is missing'}")
    act = go_tool("act", "github.com/nektos/act", cache)
    for name in ("cargo/registry", "uv", "toolchains", "targets"):
        (folder / name).mkdir(parents=True)
    toolchain = Path(run("rustc", "--print", "sysroot", cwd=ROOT).stdout.strip()).resolve()
    (folder / "toolchains" / "default").symlink_to(toolchain)
    for sibling in toolchain.parent.iterdir() if toolchain.parent != Path("/") else ():
        (folder / "toolchains" / sibling.name).symlink_to(sibling.resolve())
    cargo = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    copy_setting(cargo / "config.toml", folder / "cargo" / "config.toml")
    for name in ("index", "cache"):
        if (cargo / "registry" / name).is_dir():
            shutil.copytree(cargo / "registry" / name, folder / "cargo" / "registry" / name)
    return Sandboxes(folder, act)
