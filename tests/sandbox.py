"""A sandbox in which rendered workflows run for real: everything but one scratch folder is read-only.

Two fixtures of conftest.py:

`sandbox`
    A fresh `Sandbox` for one test.
`sandboxes`
    What makes them, for a fixture of a wider scope: `sandboxes.new()`, `sandboxes.new(pythons=("3.11", "3.13"))`.

Both skip where a private mount namespace or a tool is not to be had, and fail there under CI. In each test file,
`pytestmark = pytest.mark.slow`.

`lock(project)`
    Make and commit the locks of a project: CI needs them. Returns the project.
`sandbox.run("git", "status", cwd=sandbox.folder, check=False, NAME="value")`
    Run a command inside, with an environment made from nothing; give the completed process, its output in `stdout`.
`sandbox.act(project, "ci", event="push")`
    Run a workflow of a `Project`, as its last commit has it, and give an `Outcome`. Only jobs on ubuntu-24.04 run.
    An action without a stand-in in tests/act/actions is refused before act starts. Further arguments:
    `job="test"` runs one job and what it needs; `matrix={"session": "test-3.11"}` (or a list of values) restricts
    each matrix that has the key; `tag="v0.1.0"` makes it the event of that tag; `base="main"` that of a pull request
    from the branch that is checked out; `payload` is merged into the event; `inputs`, `variables`, `secrets` and
    `environment` are dictionaries; `artifacts` is a folder with a folder for each artifact that is there before (the
    `artifacts` of an earlier outcome is one); `indexes` says which address on loopback stands for an upload address:
    `{"https://upload.pypi.org/legacy/": index.url}`.
`outcome.results`, `outcome.missing`, `outcome.log`, `outcome.logs`, `outcome.summary`, `outcome.seconds`
    The result of each job that ran, by the name that the service shows ("test-3.11 on ubuntu-24.04", or "wheels /
    sdist" in a called workflow); the keys of the jobs of the workflow that did not run; what was printed, and by job;
    what was written to GITHUB_STEP_SUMMARY.
`outcome.artifacts`, `outcome.attested`
    A folder with a folder for each artifact; the names of the files that were attested.
`sandbox.remote(project)`
    The bare repository that stands for https://github.com/OWNER/NAME, which git rewrites to it. A push needs
    credentials: those that a checkout leaves, `gh auth setup-git`, or a secret in the address
    (https://x-access-token:SECRET@github.com/…). Add a template as a further remote with `sandbox.serve(url, folder)`.
`sandbox.github`
    What `gh` keeps: releases/TAG/ with the files of a release, and releases.json, issues.json, pulls.json,
    labels.json.
`sandbox.folder`
    The folder of this sandbox, which is writable inside as outside; /tmp and /dev/shm are its own. The workspace of
    each job has the name `sandbox.folder / "work"` in its steps, in a mount namespace of each step.
`sandbox.tools`, `sandbox.pythons`
    The folder with the commands that come before /usr/bin on the path (put stand-ins there), and the Pythons in it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from act.outcomes import lines, names, results
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
    """What a run of a workflow came to."""

    workflow: str
    keys: dict[str, str]  # of its jobs, with their names
    folder: Path
    status: int
    seconds: float

    @cached_property
    def said(self) -> list[dict[str, Any]]:
        """Read the lines of act."""
        return lines((self.folder / "act.json").read_text("utf-8"))

    @property
    def results(self) -> dict[str, str]:
        """Give the result of each job that ran."""
        return results(self.said, self.workflow)

    @property
    def missing(self) -> set[str]:
        """Give the keys of the jobs that did not run at all."""
        own = f"{self.workflow}/"
        ran = {line["jobID"] for line in self.said if "jobResult" in line and line["job"].startswith(own)}
        callers = {name.partition(" / ")[0] for name in self.results}
        return {key for key, name in self.keys.items() if key not in ran and name not in callers}

    @property
    def logs(self) -> dict[str, str]:
        """Give what each job printed, and the errors that act tells of it; not the commands, which act shows too."""
        known = names(self.said, self.workflow)
        found = dict.fromkeys(known.values(), "")
        for line in self.said:
            if "job" in line and (line.get("raw_output") or line["level"] == "error"):
                found[known[line["job"].strip()]] += COLOR.sub("", line["msg"].rstrip("\r\n")) + "\n"
        return found

    @property
    def log(self) -> str:
        """Give all that was printed, and what act itself complained of."""
        return "".join([*self.logs.values(), (self.folder / "act.errors").read_text("utf-8")])

    @property
    def summary(self) -> str:
        """Give what the jobs wrote to their summaries."""
        return "".join(line["content"] for line in self.said if line.get("command") == "summary")

    @property
    def artifacts(self) -> Path:
        """Give the folder with a folder for each artifact."""
        return self.folder / "artifacts"

    @property
    def attested(self) -> list[str]:
        """Name the files that were attested."""
        file = self.folder / "attested"
        return sorted(file.read_text("utf-8").splitlines()) if file.exists() else []


# ---- Reading the workflows, before anything runs.


def steps(tree: Any) -> Iterable[dict[str, Any]]:
    """Give whatever in a workflow or an action uses something."""
    if isinstance(tree, dict):
        if {"container", "services"} & tree.keys():
            raise LookupError("a container needs an engine, which the sandbox has not")
        if "uses" in tree:
            yield tree
    for part in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from steps(part)


def stand_ins(project: Path, actions: Path = ACT / "actions") -> dict[str, Path]:
    """Map each action that a project uses to its stand-in; one without, or with an input too many, is an error."""
    found = {}
    for path in sorted((project / ".github").rglob("*.y*ml")):
        for step in steps(yaml.safe_load(path.read_text("utf-8"))):
            name, _, reference = step["uses"].partition("@")
            if name.startswith("./"):
                continue
            action = "/".join(name.split("/")[:2])
            file = actions / action.replace("/", "__") / name.removeprefix(action).strip("/") / "action.yml"
            if not file.is_file():
                raise LookupError(f"{path.name} uses {step['uses']}, for which nothing stands in tests/act/actions")
            unknown = step.get("with", {}).keys() - yaml.safe_load(file.read_text("utf-8")).get("inputs", {}).keys()
            if unknown:
                raise LookupError(f"{path.name}: what stands for {action} takes no {', '.join(sorted(unknown))}")
            found[f"{action}@{reference}"] = actions / action.replace("/", "__")
    return found


def systems(project: Path) -> set[str]:
    """Name the keys of matrices that a `runs-on` names; act would take the first value for all jobs of a matrix."""
    found = set()
    for path in project.glob(".github/workflows/*.yml"):
        for job in yaml.safe_load(path.read_text("utf-8"))["jobs"].values():
            label = str(job.get("runs-on", LABEL))
            if label.startswith("${{ matrix."):
                found.add(label.removeprefix("${{ matrix.").removesuffix(" }}"))
            elif "${{" in label:
                raise LookupError(f"{path.name}: nothing here can tell what {label} is")
    return found


# ---- The sandbox.


@dataclass
class Sandbox:
    """A folder with a home, a place for repositories, runs and what `gh` keeps; and how to run something there."""

    shared: Path
    folder: Path
    act_binary: Path
    pythons: tuple[str, ...]
    runs: int = field(default=0)

    def __post_init__(self) -> None:
        """Make the folders, the commands and the settings of git."""
        for name in ("home", "bin", "tmp", "github", "remotes", "runs", "work"):
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
        """Give the folder in which `gh` keeps what it made."""
        return self.folder / "github"

    def write_git_settings(self, *secrets: str) -> None:
        """Let repositories of the service be folders, and pushes to them need credentials."""
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
            "SANDBOX_WORKSPACE": str(self.folder / "work"),
            "SANDBOX_APP_TOKEN": APP_TOKEN,
            **variables,
        }

    def command(self, *command: str | Path) -> list[str]:
        """Put a command into the sandbox."""
        readable = {ROOT, Path(sys.prefix), Path(sys.base_prefix), self.act_binary.parent}
        readable |= {path.resolve().parent.parent for path in self.tools.iterdir()}
        within = {path for path in readable if path.is_relative_to(self.shared)}  # there without being put back
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
        """Let an address of the service be a clone of a repository; bring it up to date if it is one already."""
        remote = self.folder / "remotes" / f"{urlsplit(url).path.strip('/').removesuffix('.git')}.git"
        if not remote.exists():
            run("git", "clone", "--quiet", "--bare", "--no-hardlinks", source, remote, cwd=source)
        for references in ("--all", "--tags"):
            run("git", "-c", "core.hooksPath=/dev/null", "push", "--quiet", "--force", references, remote, cwd=source)
        return remote

    def remote(self, project: Project) -> Path:
        """Let the address of a project be a clone of it."""
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
        base: str | None = None,
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
        happened = self.event(project, clone, event, tag, base)
        happened |= {"inputs": dict(inputs or {})} | dict(payload or {})
        (folder / "event.json").write_text(json.dumps(happened, indent=1), "utf-8")
        run("git", "remote", "set-url", "origin", self.url(project), cwd=clone)
        if artifacts:
            shutil.copytree(artifacts, folder / "artifacts")
        file = clone / ".github" / "workflows" / f"{workflow}.yml"
        tree = yaml.safe_load(file.read_text("utf-8"))
        restricted = {**dict.fromkeys(systems(clone), LABEL), **(matrix or {})}
        options = [
            *("--directory", clone, "--workflows", file, "--eventpath", folder / "event.json"),
            *("--platform", f"{LABEL}=-self-hosted", "--no-skip-checkout", "--action-offline-mode", "--pull=false"),
            *("--strict", "--no-cache-server", "--artifact-server-addr", "127.0.0.1", "--json"),
            *("--action-cache-path", folder / "cache", "--concurrent-jobs", "2", "--container-daemon-socket", "-"),
            *(f"--{name}-file={folder / 'none'}" for name in ("env", "secret", "var", "input")),
            *(f"--local-repository={action}={place}" for action, place in stand_ins(clone).items()),
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
        with (folder / "act.json").open("wb") as said, (folder / "act.errors").open("wb") as errors:
            done = subprocess.run(
                self.command(self.act_binary, event, *options),
                cwd=clone,
                env=self.environment(
                    SANDBOX_RUN=str(folder),
                    SANDBOX_WORKFLOW=tree.get("name", workflow),
                    SANDBOX_INDEXES=json.dumps(dict(indexes or {})),
                    **(environment or {}),
                ),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=errors,
                check=False,
                timeout=seconds,
            )
        shutil.rmtree(folder / "cache", ignore_errors=True)
        keys = {key: job.get("name", key) for key, job in tree["jobs"].items()}
        return Outcome(tree.get("name", workflow), keys, folder, done.returncode, time.monotonic() - begun)

    def event(self, project: Project, clone: Path, event: str, tag: str | None, base: str | None) -> dict[str, Any]:
        """Tell what happened, as far as workflows ask; a pull request is merged into its base, as the service does."""

        def git(*words: str) -> str:
            return run("git", *words, cwd=clone).stdout.strip()

        branch, commit = git("branch", "--show-current"), git("rev-parse", "HEAD")
        owner, name = urlsplit(self.url(project)).path.strip("/").split("/")
        repository = {"name": name, "full_name": f"{owner}/{name}", "owner": {"login": owner}, "default_branch": "main"}
        told: dict[str, Any] = {"repository": repository, "sender": {"login": owner}}
        if event == "pull_request":
            head = {"ref": branch, "sha": commit, "repo": repository}
            target = {"ref": base or "main", "sha": git("rev-parse", f"origin/{base or 'main'}"), "repo": repository}
            git("checkout", "--quiet", "--detach", f"origin/{base or 'main'}")
            git("merge", "--quiet", "--no-ff", "--message", "Merge", commit)
            git("push", "--quiet", "--force", "origin", "HEAD:refs/pull/1/merge")
            return {
                **told,
                "action": "opened",
                "number": 1,
                "pull_request": {"number": 1, "head": head, "base": target},
            }
        if event in ("push", "workflow_dispatch"):
            told["ref"] = f"refs/tags/{tag}" if tag else f"refs/heads/{branch}"
        if event == "push":
            told |= {"after": commit, "deleted": False}
        if event == "schedule":
            told["schedule"] = "0 0 * * *"
        return told


def namespace() -> list[str]:
    """Give the command that makes namespaces: as root, or in one where the user is root."""
    options = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
    return ["unshare", *([] if os.getuid() == 0 else ["--map-root-user"]), *options]


def interpreters(pythons: Sequence[str]) -> dict[str, Path]:
    """Find Pythons; the one that runs the tests, or else the first, is also the one without a number."""
    found = {}
    for version in pythons:
        told = run(f"python{version}", "-c", "import os, sys; print(os.path.realpath(sys.executable))", cwd=ROOT)
        found[f"python{version}"] = Path(told.stdout.strip())
    first = found.get("python{}.{}".format(*sys.version_info), found[f"python{pythons[0]}"])
    return {"python": first, "python3": first, **found}


def available() -> tuple[str, ...]:
    """Name the supported Pythons that are on this machine."""

    def runs(version: str) -> bool:
        found = shutil.which(f"python{version}", path=clean_environment()["PATH"])
        return bool(found) and run(found or "", "-c", "", cwd=ROOT, check=False).returncode == 0

    return tuple(version for version in facts()["pythons"] if runs(version))


def tools() -> dict[str, Path]:
    """Find the other commands: those of the tests' environment, and what stands in for others."""
    return {
        **{name: find_tool(name) for name in ("uv", "uvx", "twine")},
        **llvm_tools(),
        **dict.fromkeys(RUST, COMMANDS / "toolchain"),
        "bash": COMMANDS / "bash",
        "rustup": COMMANDS / "rustup",
        "gh": COMMANDS / "gh.py",
    }


def llvm_tools() -> dict[str, Path]:
    """Find the tools of LLVM that can read what rustc writes: the first on the path may be too old."""

    def version(*command: str | Path) -> int:
        found = re.search(r"LLVM version:? (\d+)", run(*command, cwd=ROOT, check=False).stdout)
        return int(found[1]) if found else 0

    needed = version("rustc", "-vV")
    for folder in map(Path, clean_environment()["PATH"].split(os.pathsep)):
        if (folder / "llvm-cov").exists() and version(folder / "llvm-cov", "--version") >= needed:
            return {name: folder / name for name in ("llvm-cov", "llvm-profdata")}
    return {}


def copy_setting(source: Path, target: Path) -> None:
    """Copy a file if it is there."""
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def lock(project: Project) -> Project:
    """Make and commit what `just setup` makes in a fresh project: the locks, and the licences of what is linked."""
    project.run("cargo", "generate-lockfile")
    project.run("uv", "lock", "--quiet")
    project.run(sys.executable, "tools/notices.py")
    project.commit("Lock")
    return project


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
        missing_tool(f"no private mount namespace is to be had: {entered.stdout if entered else 'unshare is missing'}")
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
