"""Does the GitLab pipeline of a rendered project have the right jobs, and do they run, from a tag to an install?"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from conftest import new_project

from checks import find_tool, plant, tracked
from gitlab import Pipeline, flat
from planting import append
from sandbox import Sandbox, Sandboxes, lock, only_pythons
from servers import Quiet
from template import Project, missing_tool, render, run
from variants import EVERY_UPKEEP, VARIANTS
from workflows import called_sessions, known_sessions

slow = pytest.mark.slow

MAIN, WHEELS, RELEASE = ".gitlab-ci.yml", ".gitlab/wheels.yml", ".gitlab/release.yml"
ANSWERS = {"ci": "gitlab", "upkeep": EVERY_UPKEEP}


@pytest.fixture(scope="module")
def rendered(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render a project with every job."""
    return render(source, tmp_path_factory.mktemp("rendered") / "quickstats", ANSWERS)


@pytest.fixture
def copied(rendered: Path, tmp_path: Path) -> Path:
    """Give a copy, to plant a fault in."""
    return Path(shutil.copytree(rendered, tmp_path / "quickstats"))


# ---- Rules. Each names what breaks it.

RELEASED = '$CI_COMMIT_TAG =~ /^v/ && $CI_COMMIT_REF_PROTECTED == "true" && $INDEX == '
SECRETS = {"template.yml": {"TEMPLATE_TOKEN"}}  # GitLab's own token cannot push
TARGET = re.compile(r"\w+-(unknown|apple|pc)-[\w-]+")
PUBLISHING = {"publish", "page"}
LASTING = {*PUBLISHING, "propose"}  # a stop would leave half of the work done
COUNT = 'test "$(find dist -type f | wc -l)" = $((3 * $(echo "$TARGETS" | wc -w) + 1))'


def sessions(pipeline: Pipeline, name: str) -> set[str]:
    """Name the sessions that a job calls."""
    job = pipeline.jobs[name]
    listed = {job["variables"]["SESSION"]} if "$SESSION" in str(job["script"]) else set()
    return listed.union(*map(called_sessions, flat(job["script"])))


def check_sessions(pipeline: Pipeline, folder: Path) -> Iterator[str]:
    """Check that jobs call sessions that exist, except those with a token or an identity, which call none."""
    for name in pipeline.jobs:
        called = sessions(pipeline, name)
        yield from called - known_sessions(folder)
        if bool(called) == (name in LASTING):
            yield name


def check_order(pipeline: Pipeline, folder: Path) -> Iterator[str]:
    """Check that publishing waits for all other jobs, and that none of them may fail."""
    stages = pipeline.tree["stages"]
    for name, job in pipeline.jobs.items():
        if (job["stage"] == stages[-1]) != (name in LASTING):
            yield f"{name}: stage"
        if job.get("allow_failure") or any("allow_failure" in rule or "when" in rule for rule in job["rules"]):
            yield f"{name}: allow_failure"
    if "needs" in pipeline.jobs["publish"] or pipeline.jobs["page"].get("needs") != ["publish"]:
        yield "needs"


def check_identity(pipeline: Pipeline, folder: Path) -> Iterator[str]:
    """Check that `publish` alone gets an identity, in an environment, without sources, and counts the files first."""
    yield from (name for name, job in pipeline.jobs.items() if ("id_tokens" in job) != (name == "publish"))
    job = pipeline.jobs["publish"]
    if job.get("environment") != "$INDEX" or job["variables"].get("GIT_STRATEGY") != "none":
        yield "environment"
    if [line.partition(" #")[0] for line in flat(job["script"])] != [COUNT, "uv publish --trusted-publishing always"]:
        yield "script"
    if job.get("id_tokens") != {f"{name.upper()}_ID_TOKEN": {"aud": name} for name in ("pypi", "testpypi")}:
        yield "id_tokens"


def check_tags(pipeline: Pipeline, folder: Path) -> Iterator[str]:
    """Check that only protected tags are published, on the index that INDEX names."""
    for name, indexes in {"publish": ["pypi", "testpypi"], "page": ["pypi"]}.items():
        if [rule["if"] for rule in pipeline.jobs[name]["rules"]] != [f'{RELEASED}"{index}"' for index in indexes]:
            yield name


def check_secrets(pipeline: Pipeline, folder: Path) -> Iterator[str]:
    """Check that no secret is used, except those without which the work is impossible."""
    for file in pipeline.files:
        found = re.findall(r"\w*(?:PASSWORD|SECRET|(?<!_ID)_TOKEN|_KEY)\b", file.read_text("utf-8"))
        yield from set(found) - SECRETS.get(file.name, set())


def check_caches(pipeline: Pipeline, folder: Path) -> Iterator[str]:
    """Check that a release uses no cache."""
    yield from {"cache"} & (pipeline.tree.keys() | pipeline.tree["default"].keys())
    yield from (name for name, job in pipeline.jobs.items() if "cache" in job and job["stage"] != "test")


def check_targets(pipeline: Pipeline, folder: Path) -> Iterator[str]:
    """Check that each target has a job, which TARGETS switches on and whose wheels are tested on its own system."""
    targets = set(filter(TARGET.fullmatch, pipeline.jobs))
    yield from set(pipeline.tree["variables"]["TARGETS"].split()) - targets
    for target in sorted(targets):
        job = pipeline.jobs[target]
        testing = {name: other for name, other in pipeline.jobs.items() if other.get("needs") == [target]}
        testing = testing or {target: job}
        for name, other in {target: job, **testing}.items():
            if other["rules"] != [{"if": f"$WORK =~ /wheels/ && $TARGETS =~ /{target}/"}]:
                yield f"{name}: rules"
            if other.get("tags") != job.get("tags"):
                yield f"{name}: tags"
        for name, other in testing.items():
            if "test" not in sessions(pipeline, name) or other["variables"].get("WHEELS") != "1":
                yield f"{name}: tests"
            if ("musl" in target) != ("alpine" in other.get("image", "")):
                yield f"{name}: image"


def check_limits(pipeline: Pipeline, folder: Path) -> Iterator[str]:
    """Check that jobs have a time limit, and that a newer pipeline cancels all except those that a stop would harm."""
    if not pipeline.tree["default"].get("timeout") or pipeline.tree["default"].get("interruptible") is not True:
        yield "default"
    for name, job in pipeline.jobs.items():
        if job.get("interruptible", True) == (name in LASTING):
            yield f"{name}: interruptible"
        if job.get("inherit", {"default": ["interruptible", "timeout"]}) != {"default": ["interruptible", "timeout"]}:
            yield f"{name}: inherit"


def check_sources(pipeline: Pipeline, folder: Path) -> Iterator[str]:
    """Check that tags are fetched, from which a version may come, that images have tags, and that files are short."""
    if pipeline.tree["variables"].get("GIT_DEPTH") != "0":
        yield "GIT_DEPTH"
    for name, job in {"default": pipeline.tree["default"], **pipeline.jobs}.items():
        if not re.fullmatch(r"[\w./-]+:[\w.-]+", job.get("image", "none:none")):
            yield f"{name}: image"
    for file in pipeline.files:
        lines = file.read_text("utf-8").splitlines()
        if len(lines) > 100 or max(map(len, lines)) > 120:
            yield file.name


RULES: list[Callable[[Pipeline, Path], Iterator[str]]] = [
    *(check_sessions, check_order, check_identity, check_tags, check_secrets, check_caches, check_targets),
    *(check_limits, check_sources),
]


def broken_rules(folder: Path) -> dict[str, list[str]]:
    """Check the pipeline of a project by every rule."""
    pipeline = Pipeline(folder)
    return {rule.__name__: found for rule in RULES if (found := sorted(rule(pipeline, folder)))}


def lint_with_schema(folder: Path) -> str:
    """Give the findings of GitLab's schema, of which check-jsonschema has a copy."""
    command = (find_tool("check-jsonschema"), "--builtin-schema", "vendor.gitlab-ci")
    done = run(*command, *Pipeline(folder).files, cwd=folder, check=False)
    return done.stdout if done.returncode else ""


def lint_with_shellcheck(folder: Path) -> set[tuple[str, int]]:
    """Give the findings of shellcheck in the jobs that a shell of Linux or macOS runs."""
    pipeline = Pipeline(folder)
    command = (find_tool("shellcheck"), "--shell=bash", "--format=json", "--severity=style", "--exclude=SC2154")
    scripts = []
    for name, job in pipeline.jobs.items():
        if "windows" not in name:
            script = folder / f"{name}.sh"
            lines = [*flat(job.get("before_script", [])), *flat(job["script"]), *flat(job.get("after_script", []))]
            script.write_text("\n".join(["set -eo pipefail", *lines, ""]), "utf-8")
            scripts.append(script.name)
    found = json.loads(run(*command, *scripts, cwd=folder, check=False).stdout)
    return {(one["file"].removesuffix(".sh"), one["code"]) for one in found}


@pytest.mark.parametrize("answers", [{"ci": "gitlab"}, ANSWERS], ids=["default", "every upkeep"])
def test_no_rule_is_broken(answers: dict[str, object], source: Path, tmp_path: Path) -> None:
    folder = render(source, tmp_path / "project", answers)
    assert broken_rules(folder) == {}
    assert lint_with_schema(folder) == ""
    assert lint_with_shellcheck(folder) == set()


def test_gitlab_jobs_call_the_sessions_of_github(rendered: Path, source: Path, tmp_path: Path) -> None:
    github = render(source, tmp_path / "project", {"upkeep": EVERY_UPKEEP})
    commands = "\n".join(file.read_text("utf-8") for file in github.glob(".github/workflows/*.yml"))
    pipeline = Pipeline(rendered)
    called = set().union(*(sessions(pipeline, name) for name in pipeline.jobs))
    assert called == {name for name in known_sessions(rendered) if re.search(rf"(-s|session:).* {name}\b", commands)}


@pytest.mark.parametrize(
    ("rule", "name", "old", "new"),
    [
        ("check_sessions", MAIN, "-s lint stubs", "-s lint stub"),
        ("check_sessions", WHEELS, "uv run noxfile.py -s release --", "ls"),
        ("check_sessions", ".gitlab/nightly.yml", "SESSION: lowest", "SESSION: oldest"),
        ("check_order", RELEASE, "  environment: $INDEX\n", "  environment: $INDEX\n  needs: [sdist]\n"),
        ("check_order", RELEASE, "needs: [publish]", "needs: []"),
        ("check_order", MAIN, "build, publish]", "publish, build]"),
        ("check_order", MAIN, "  stage: test\n", "  stage: test\n  allow_failure: true\n"),
        ("check_order", WHEELS, "stage: build", "stage: publish"),
        ("check_identity", RELEASE, "  environment: $INDEX\n", ""),
        ("check_identity", RELEASE, "    GIT_STRATEGY: none\n", ""),
        ("check_identity", RELEASE, "aud: testpypi", "aud: pypi"),
        ("check_identity", RELEASE, "    - uv publish", "    - make\n    - uv publish"),
        ("check_identity", RELEASE, "3 * ", "2 * "),
        ("check_identity", WHEELS, "  stage: build\n", "  stage: build\n  id_tokens: { A: { aud: a } }\n"),
        ("check_tags", RELEASE, ' && $CI_COMMIT_REF_PROTECTED == "true"', ""),
        ("check_tags", RELEASE, "if: *pypi", "if: $CI_COMMIT_TAG"),
        ("check_secrets", RELEASE, "    GIT_STRATEGY: none\n", "    GIT_STRATEGY: none\n    UV_PUBLISH_TOKEN: $A\n"),
        ("check_caches", MAIN, "default:\n", "default:\n  cache: { paths: [target] }\n"),
        ("check_caches", WHEELS, "sdist:", "spare: { extends: sdist, cache: { paths: [target] } }\n\nsdist:"),
        ("check_targets", WHEELS, "x86_64-unknown-linux-gnu:\n", "x86_64-unknown-linux-gnux32:\n"),
        ("check_targets", WHEELS, "TARGETS: x86", "TARGETS: s390x-unknown-linux-gnu x86"),
        ("check_targets", WHEELS, "$TARGETS =~ /aarch64-apple-darwin/", "$TARGETS =~ /darwin/"),
        ("check_targets", WHEELS, "extends: .tested\n  tags: [$MACOS", "extends: .wheels\n  tags: [$MACOS"),
        ("check_targets", WHEELS, ", tags: [$LINUX_ARM_RUNNER] }", " }"),
        ("check_targets", WHEELS, "  image: ghcr.io/astral-sh/uv:alpine\n", ""),
        ("check_limits", MAIN, "  timeout: 1h\n", ""),
        ("check_limits", RELEASE, "  interruptible: false # never stop between two uploads\n", ""),
        ("check_limits", WHEELS, "[interruptible, timeout]", "false"),
        ("check_sources", MAIN, '"0" # a version', '"20" # a version'),
        ("check_sources", MAIN, "rust:1-bookworm", "rust"),
        ("check_sources", MAIN, "include:", "\n" * 100 + "include:"),
    ],
)
def test_broken_rule_is_found(copied: Path, rule: str, name: str, old: str, new: str) -> None:
    assert rule in broken_rules(plant(copied, name, old, new))


def test_linters_find_faults(copied: Path) -> None:
    plant(copied, MAIN, "  interruptible: true\n", "  interruptable: true\n")
    plant(copied, WHEELS, 'target add "$CI_JOB_NAME"', "target add $CI_JOB_NAME")
    assert "Schema validation errors" in lint_with_schema(copied)
    assert ("x86_64-unknown-linux-gnu", 2086) in lint_with_shellcheck(copied)


# ---- Which jobs a pipeline has.

HERE, ELSEWHERE = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"
TAG = "v0.1.0"
TESTS = {"lint", "test"}
MUSL = {f"{machine}-unknown-linux-musl" for machine in ("aarch64", "x86_64")}
BUILD = {"sdist", HERE, ELSEWHERE, *MUSL, "test-aarch64-musl", "test-x86_64-musl"}
NIGHT = {"lowest", "next-python", "highest: [stable]", "highest: [beta]", "highest: [nightly]"}
PROPOSED = {"CI_PIPELINE_SOURCE": "merge_request_event"}
PUSHED = {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "main"}
ASKED = {"CI_PIPELINE_SOURCE": "web", "CI_COMMIT_BRANCH": "main"}
TAGGED = {**PUSHED, "CI_COMMIT_BRANCH": "", "CI_COMMIT_TAG": TAG, "CI_COMMIT_REF_PROTECTED": "true"}

# What no test runs, and why: a machine or an image that is not here.
NOT_HERE = {
    ELSEWHERE: "needs an Arm machine",
    "aarch64-unknown-linux-musl": "needs an Arm machine",
    "x86_64-unknown-linux-musl": "needs the standard library of Rust for musl",
    "test-aarch64-musl": "needs an Arm machine",
    "test-x86_64-musl": "needs the image of Alpine",
    "aarch64-apple-darwin": "needs macOS",
    "x86_64-pc-windows-msvc": "needs Windows",
}

# What happens: the file that changes, the variables that GitLab sets, the jobs that start.
PIPELINES: dict[str, tuple[str, dict[str, str], set[str]]] = {
    "push of documents": ("README.md", PUSHED, {"lint", "coverage"}),
    "push of code": ("src/lib.rs", PUSHED, {*TESTS, "coverage"}),
    "push of the build": ("pyproject.toml", PUSHED, {*TESTS, "coverage"}),
    "push of a branch": ("src/lib.rs", {**PUSHED, "CI_COMMIT_BRANCH": "other"}, set()),
    "merge request of documents": ("README.md", PROPOSED, {"lint"}),
    "merge request of Python": (
        "python/quickstats/__init__.py",
        PROPOSED,
        {*TESTS, "compare", "coverage"},
    ),
    "merge request of Rust": ("src/lib.rs", PROPOSED, {*TESTS, "compare", "coverage"}),
    "merge request of a lock file": (
        "Cargo.lock",
        PROPOSED,
        {*TESTS, *BUILD, "audit", "compare", "coverage", "notices"},
    ),
    "merge request of a session": ("sessions/notices.py", PROPOSED, {*TESTS, *BUILD, "compare", "coverage", "notices"}),
    "start by hand": ("", ASKED, TESTS | BUILD),
    "protected tag": ("", TAGGED, TESTS | BUILD | PUBLISHING),
    "tag that is not protected": ("", {**TAGGED, "CI_COMMIT_REF_PROTECTED": "false"}, TESTS | BUILD),
    "tag of no version": ("", {**TAGGED, "CI_COMMIT_TAG": "nice"}, set()),
    "tag for TestPyPI": ("", {**TAGGED, "CI_PIPELINE_SOURCE": "web", "INDEX": "testpypi"}, TESTS | BUILD | {"publish"}),
    "tag with other targets": (
        "",
        {**TAGGED, "TARGETS": f"{HERE} aarch64-apple-darwin x86_64-pc-windows-msvc"},
        {*TESTS, "sdist", HERE, "aarch64-apple-darwin", "x86_64-pc-windows-msvc", *PUBLISHING},
    ),
    "schedule": ("", {**ASKED, "CI_PIPELINE_SOURCE": "schedule"}, {"audit", "template", "propose", *NIGHT}),
}


@pytest.mark.parametrize("event", PIPELINES)
def test_jobs_are_started_by(event: str, rendered: Path) -> None:
    changed, given, jobs = PIPELINES[event]
    assert {name for name, *_ in Pipeline(rendered).started(given, changed)} == jobs


@pytest.mark.parametrize("name", VARIANTS)
def test_every_file_except_documents_is_tested(name: str, source: Path, tmp_path: Path) -> None:
    folder = render(source, tmp_path / "project", {**VARIANTS[name], "ci": "gitlab"})
    run("git", "init", "--quiet", cwd=folder)
    run("git", "add", "--all", cwd=folder)
    pipeline, files = Pipeline(folder), tracked(folder)
    untested = {each for each in files if "test" not in {name for name, *_ in pipeline.started(PROPOSED, each)}}
    assert untested == {each for each in files if re.search(r"\.md$|(^|/)LICENSE[A-Z-]*$", each)}


# ---- An index that takes uploads as PyPI does: from who proves to be the publisher that it trusts.

IDENTITY = "identity-of-the-job-41c7"  # what GitLab would sign
TOKEN = "pypi-for-a-quarter-of-an-hour"  # what the index gives for it


@dataclass
class Index:
    """The files of an index, and after how many of them it fails."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    broken_after: int | None = None


def certificate(folder: Path) -> Path:
    """Make a key and a certificate for loopback: uv sends its identity to https alone."""
    path = folder / "loopback.pem"
    subject = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    run(find_tool("openssl"), "req", "-x509", *key, *subject, "-keyout", path, "-out", path, cwd=folder)
    return path


@contextmanager
def trusting_index(folder: Path) -> Iterator[Index]:
    """Run the index, which knows one publisher: https://docs.pypi.org/trusted-publishers/using-a-publisher/."""
    index = Index()
    allowed = "Basic " + base64.b64encode(f"__token__:{TOKEN}".encode()).decode()

    class Handler(Quiet):
        def do_GET(self) -> None:
            name = unquote(self.path.rpartition("/files/")[2])
            if self.path == "/_/oidc/audience":
                self.answer(200, b'{"audience": "pypi"}')
            elif name in index.files:
                self.answer(200, index.files[name], "application/octet-stream")
            elif self.path.startswith("/simple/") and index.files:
                hashes = {each: hashlib.sha256(content).hexdigest() for each, content in index.files.items()}
                links = (f'<a href="/files/{each}#sha256={digest}">{each}</a>' for each, digest in hashes.items())
                self.answer(200, f"<!DOCTYPE html><html><body>{' '.join(links)}</body></html>".encode(), "text/html")
            else:
                self.answer(404, b"")

        def do_HEAD(self) -> None:
            self.answer(405, b"")  # so that whole files are asked for

        def do_POST(self) -> None:
            body = self.body()
            if self.path.startswith("/_/oidc/mint-token"):
                known = json.loads(body) == {"token": IDENTITY}
                given = {"success": True, "token": TOKEN} if known else {"message": "invalid-publisher", "errors": []}
                self.answer(200 if known else 422, json.dumps(given).encode())
            elif self.path.startswith("/_/oidc/burn-token"):
                self.answer(200, b"{}")
            elif self.headers.get("Authorization") != allowed:
                self.answer(403, b"unknown publisher")
            elif len(index.files) == index.broken_after:
                self.answer(400, b"broken")
            else:
                boundary = self.headers["Content-Type"].partition("boundary=")[2].strip('"').encode()
                (part,) = (part for part in body.split(b"--" + boundary) if b'name="content"' in part)
                head, _, content = part.partition(b"\r\n\r\n")
                name = head.partition(b'filename="')[2].partition(b'"')[0].decode()
                same = index.files.setdefault(name, content.removesuffix(b"\r\n")) == content.removesuffix(b"\r\n")
                self.answer(200 if same else 400, b"")

    secured = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    secured.load_cert_chain(certificate(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = secured.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        index.url = f"https://127.0.0.1:{server.server_address[1]}"
        yield index
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """Run an index."""
    with trusting_index(tmp_path) as running:
        yield running


def publishing(index: Index) -> dict[str, str]:
    """Give the variables of a tag whose wheels for this system are published on an index of loopback."""
    return {
        **TAGGED,
        "GITLAB_CI": "true",
        "PYPI_ID_TOKEN": IDENTITY,
        "TARGETS": HERE,
        "UV_INSECURE_HOST": "127.0.0.1",
        "UV_PUBLISH_URL": f"{index.url}/legacy/",
        "UV_PUBLISH_CHECK_URL": f"{index.url}/simple/",
    }


# ---- Running pipelines, by npm's gitlab-ci-local: https://github.com/firecow/gitlab-ci-local.

PROGRAM = "gitlab-ci-local@4.73.0"  # the last that Node 20 runs
PYTHON = "3.11"
# What GitLab sets and gitlab-ci-local leaves out or sets otherwise.
SERVICE = "CI_COMMIT_REF_PROTECTED,CI_MERGE_REQUEST_DIFF_BASE_SHA,CI_PIPELINE_SOURCE,GITLAB_CI"
# Sessions are quick: they are tested elsewhere. The job that builds wheels is real, unless wheels are given.
QUICK = """

def quick(session: nox.Session) -> None:
    session.log(f"quick {session.posargs}")
    if session.name in ("release", "wheel") and "BUILT" in os.environ:
        shutil.copytree(os.environ["BUILT"], DIST, dirs_exist_ok=True)
    elif session.name == "release":
        build_sdist(session, *session.posargs)
    if session.name in os.environ.get("FAILING", ""):
        session.error("planted")


real = {"test", "wheel"} if "WHEELS" in os.environ and "BUILT" not in os.environ else set()
for name in nox.registry.get().keys() - real:
    del nox.registry._REGISTRY[name]
    nox.session(quick, name=name)
"""


@dataclass(frozen=True)
class Outcome:
    """The status and the output of a pipeline, and a folder with a folder for the artifacts of each job."""

    status: int
    output: str
    artifacts: Path

    @property
    def results(self) -> dict[str, str]:
        """Give the result of each job that ran."""
        found = re.findall(r"^ (PASS|FAIL)  (\S+(?: \[.*?\])?)", self.output, re.MULTILINE)
        return {name: result for result, name in found}

    def log(self, job: str) -> str:
        """Give what a job printed."""
        return "\n".join(re.findall(rf"^{re.escape(job)} +> (.*)", self.output, re.MULTILINE))

    def files(self, *jobs: str) -> set[str]:
        """Name the files in dist/ that jobs left for others."""
        return {path.name for job in jobs for path in self.artifacts.glob(f"{job}/dist/*")}


@dataclass(frozen=True)
class Runner:
    """A sandbox that runs pipelines of projects."""

    sandbox: Sandbox
    program: Path

    def clone(self, project: Project) -> Path:
        """Clone what a project has committed, with its last commit as the change."""
        folder = self.sandbox.folder / "gitlab"
        shutil.rmtree(folder, ignore_errors=True)
        run("git", "clone", "--quiet", "--no-hardlinks", project.folder, folder, cwd=project.folder)
        run("git", "remote", "set-url", "origin", "https://gitlab.com/example/quickstats.git", cwd=folder)
        run("git", "update-ref", "refs/remotes/origin/main", "HEAD^", cwd=folder)
        return folder

    def call(self, folder: Path, given: Mapping[str, str], *options: str) -> subprocess.CompletedProcess[str]:
        """Call gitlab-ci-local with the variables that GitLab would set."""
        shared = {"CARGO_HOME": str(self.sandbox.shared / "cargo"), "UV_CACHE_DIR": str(self.sandbox.shared / "uv")}
        variables = [word for item in {**shared, **given}.items() for word in ("--variable", "=".join(item))]
        shell = ("--force-shell-executor", "--shell-isolation", "--no-artifacts-to-source", "--concurrency=2")
        command: tuple[str | Path, ...] = (
            self.program,
            *shell,
            "--ignore-predefined-vars",
            SERVICE,
            *variables,
            *options,
        )
        return self.sandbox.run(*command, cwd=folder, check=False)

    def jobs(self, project: Project, given: Mapping[str, str]) -> set[str]:
        """Name the jobs that a pipeline has."""
        listed = self.call(self.clone(project), given, "--list-json").stdout
        return {job["name"] for job in json.loads(listed[listed.index("[\n") :]) if job["when"] != "never"}

    def run(self, project: Project, given: Mapping[str, str], *, without: set[str] | None = None) -> Outcome:
        """Run a pipeline, of which jobs can be left out."""
        folder = self.clone(project)
        changed = {".session": {"after_script": []}, **{name: {"rules": [{"when": "never"}]} for name in without or ()}}
        (folder / "here.yml").write_text(json.dumps({"include": MAIN, **changed}), "utf-8")
        done = self.call(folder, given, "--file=here.yml")
        kept = self.sandbox.folder / "runs" / f"gitlab-{time.monotonic_ns()}"
        (folder / ".gitlab-ci-local" / "artifacts").mkdir(exist_ok=True)
        (folder / ".gitlab-ci-local" / "artifacts").rename(kept)
        return Outcome(done.returncode, done.stdout, kept)


@pytest.fixture(scope="module")
def runner(sandboxes: Sandboxes, pytestconfig: pytest.Config) -> Runner:
    """Give one sandbox to all pipelines."""
    sandbox = sandboxes.new((PYTHON,))
    for name in ("node", "rsync"):
        (sandbox.tools / name).symlink_to(find_tool(name))
    (sandbox.tools / "rustup").unlink()
    for name in ("cargo-deny", "rustup"):  # what they install is for sessions, which are quick
        (sandbox.tools / name).symlink_to("/bin/true")
    place = pytestconfig.cache.mkdir("tools") / PROGRAM
    program = place / "node_modules" / ".bin" / "gitlab-ci-local"
    if not program.exists():
        npm = (find_tool("npm"), "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", place)
        done = run(*npm, PROGRAM, cwd=sandbox.folder, check=False)
        if done.returncode:
            missing_tool(f"npm does not give gitlab-ci-local: {done.stdout}")
    return Runner(sandbox, program)


@pytest.fixture(scope="module")
def project(source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a project whose version has a section in the changelog, with its lock files and quick sessions."""
    begun = new_project(source, tmp_path_factory.mktemp("gitlab") / "quickstats", ANSWERS, target)
    only_pythons(begun, PYTHON)
    append("CHANGELOG.md", f"\n## [{TAG[1:]}]\n\n### Added\n\n- All.\n")(begun)
    lock(begun)
    append("noxfile.py", QUICK)(begun)
    begun.commit("Be quick")
    return begun


@slow
@pytest.mark.parametrize("event", ["merge request of a lock file", "protected tag", "schedule"])
def test_gitlab_ci_local_starts_the_same_jobs(event: str, runner: Runner, project: Project, tmp_path: Path) -> None:
    changed, given, jobs = PIPELINES[event]
    clone = project.clone(tmp_path / "quickstats")
    append(changed or "README.md", "\n")(clone)
    clone.commit("Change")
    assert runner.jobs(clone, given) == jobs


@pytest.fixture(scope="module")
def released(
    runner: Runner, project: Project, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Outcome, Index]]:
    """Run the pipeline of a tag, up to the index."""
    with trusting_index(tmp_path_factory.mktemp("index")) as index:
        yield runner.run(project, publishing(index)), index


@slow
def test_tag_runs_through_every_job(released: tuple[Outcome, Index]) -> None:
    outcome, index = released
    assert outcome.results == dict.fromkeys({*TESTS, "sdist", HERE, *PUBLISHING}, "PASS"), outcome.output
    assert set(index.files) == outcome.files("publish") == outcome.files("sdist", HERE)
    wheels = {tuple(name.split("-")[2:4]) for name in index.files if name.endswith(".whl")}
    assert wheels == {("cp311", "abi3"), ("cp314", "cp314t"), ("cp315", "abi3.abi3t")}
    assert len(index.files) == 4
    assert "### Added" in outcome.log("page")  # the section of the changelog


@slow
def test_published_version_can_be_installed(released: tuple[Outcome, Index], runner: Runner) -> None:
    _, index = released
    place = runner.sandbox.folder / "installed"
    runner.sandbox.run("uv", "venv", "--quiet", f"--python={PYTHON}", place)
    pip = ("uv", "pip", "install", "--quiet", f"--python={place}", "--no-cache", "--only-binary=:all:")
    runner.sandbox.run(*pip, "--index", f"{index.url}/simple/", "quickstats==0.1.0", UV_INSECURE_HOST="127.0.0.1")
    show = "import quickstats; print(quickstats.summarize([1, 3]).mean)"
    assert runner.sandbox.run(place / "bin" / "python", "-c", show).stdout == "2.0\n"


# ---- Scripts and faults.


@slow
def test_merge_request_calls_each_session(runner: Runner, project: Project) -> None:
    outcome = runner.run(project, {**PROPOSED, "CI_MERGE_REQUEST_DIFF_BASE_SHA": "5f2c91d"}, without=BUILD)
    changed = {*TESTS, "compare", "coverage"}  # as noxfile.py has
    assert outcome.results == dict.fromkeys(changed, "PASS"), outcome.output
    assert "quick ['5f2c91d']" in outcome.log("compare")


@slow
def test_schedule_calls_each_session(runner: Runner, project: Project) -> None:
    outcome = runner.run(project, PIPELINES["schedule"][1])
    results = dict.fromkeys({"audit", "template", "propose", *NIGHT}, "PASS") | {"next-python": "FAIL"}  # is not here
    assert outcome.results == results, outcome.output


@slow
def test_wrong_tag_builds_nothing(runner: Runner, project: Project) -> None:
    outcome = runner.run(project, {**TAGGED, "CI_COMMIT_TAG": "v9.9.9", "TARGETS": HERE}, without=TESTS)
    assert outcome.results == {"sdist": "FAIL"}
    assert "v9.9.9 is not v0.1.0" in outcome.log("sdist")


@pytest.fixture
def built(released: tuple[Outcome, Index], index: Index, runner: Runner) -> dict[str, str]:
    """Give the variables of a tag whose jobs take what was built before."""
    folder = runner.sandbox.folder / "built"
    for job in ("sdist", HERE):
        shutil.copytree(released[0].artifacts / job / "dist", folder, dirs_exist_ok=True)
    return {**publishing(index), "BUILT": str(folder)}


@slow
@pytest.mark.parametrize(
    ("given", "failed", "message"),
    [
        ({"TARGETS": f"{HERE} {ELSEWHERE}"}, "publish", ""),
        ({"PYPI_ID_TOKEN": "of-somebody-else"}, "publish", "Failed to obtain token for trusted publishing"),
        ({"FAILING": "lint"}, "lint", "planted"),
    ],
    ids=["a missing wheel", "an unknown identity", "a failing session"],
)
def test_nothing_is_published_with(
    given: dict[str, str],
    failed: str,
    message: str,
    built: dict[str, str],
    runner: Runner,
    project: Project,
    index: Index,
) -> None:
    outcome = runner.run(project, built | given, without={ELSEWHERE})
    assert {name for name, result in outcome.results.items() if result == "FAIL"} == {failed}, outcome.output
    assert message in outcome.log(failed)
    assert outcome.status != 0
    assert "page" not in outcome.results
    assert not index.files


@slow
def test_second_run_completes_an_upload(
    built: dict[str, str], runner: Runner, project: Project, index: Index, released: tuple[Outcome, Index]
) -> None:
    index.broken_after = 2
    assert runner.run(project, built).results["publish"] == "FAIL"
    assert len(index.files) == 2
    index.broken_after = None
    outcome = runner.run(project, built)
    assert outcome.results == dict.fromkeys({*TESTS, "sdist", HERE, *PUBLISHING}, "PASS"), outcome.output
    assert index.files == released[1].files
    assert outcome.status == 0
