"""Is the sandbox one, and do what stands in it refuse what the real ones refuse?"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from act.outcomes import results
from sandbox import ACT, LABEL, RUST, TOKEN, Outcome, Sandbox, Sandboxes, prepare, stand_ins, steps, systems
from servers import SECRET, USER, folder_server, private_index
from template import ROOT, Project, run

pytestmark = pytest.mark.slow

CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1"
UPLOAD = "actions/upload-artifact@043fb46d1a93c77aae656e7c1c64a875d1fc6a0a"
DOWNLOAD = "actions/download-artifact@3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c"
PUBLISH = "pypa/gh-action-pypi-publish@dc37677b2e1c63e2034f94d8a5b11f265b73ba33"
ATTEST = "actions/attest@1e69f48acb82d1966a394da916b4c1698aa569d6"
INDEX = "https://upload.pypi.org/legacy/"


@pytest.fixture(scope="module")
def sandbox(sandboxes: Sandboxes) -> Sandbox:
    """Give one sandbox to all tests."""
    return sandboxes.new()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Make a repository with an address, two commits and a tag between them."""
    project = Project(tmp_path / "small", {})
    (project.folder / ".github" / "workflows").mkdir(parents=True)
    (project.folder / ".copier-answers.yml").write_text("repository: https://git.example.org/water/small\n")
    project.run("git", "init", "--quiet", "--initial-branch=main")
    project.commit("Begin")
    project.run("git", "tag", "v1")
    project.commit("Go on")
    return project


def workflow(project: Project, *, needs: bool = False, **jobs: Sequence[Mapping[str, object] | str]) -> Project:
    """Commit a workflow with these jobs; a step that is only a text is a command."""
    tree = {
        name: {
            "runs-on": LABEL,
            "steps": [{"run": step} if isinstance(step, str) else step for step in listed],
            **({"needs": list(jobs)[:place]} if needs else {}),
        }
        for place, (name, listed) in enumerate(jobs.items())
    }
    return commit(project, {"name": "trial", "on": ["push", "pull_request"], "jobs": tree})


def commit(project: Project, tree: dict[str, object]) -> Project:
    """Commit a workflow."""
    (project.folder / ".github" / "workflows" / "trial.yml").write_text(yaml.safe_dump(tree, sort_keys=False))
    project.commit("Try")
    return project


def use(action: str, **given: object) -> dict[str, object]:
    """Write a step that uses an action; an underscore stands for a hyphen."""
    return {"uses": action, "with": {key.replace("_", "-"): value for key, value in given.items()}}


# ---- The walls.


def test_nothing_can_be_written_outside(sandbox: Sandbox) -> None:
    home = Path.home()
    toolchain = Path(run("rustc", "--print", "sysroot", cwd=ROOT).stdout.strip())
    places = [
        home,
        home / ".cargo",
        home / ".cargo" / "bin",
        home / ".rustup",
        toolchain,
        Path("/etc"),
        Path("/usr/bin"),
    ]
    places += [Path("/dev"), Path("/var/tmp"), Path("/var/lib"), ROOT, ROOT / ".git", Path.cwd(), Path("/sys")]
    there = sorted({path for path in places if path.is_dir()})
    done = sandbox.run("bash", "-c", 'for each; do touch "$each/null.lock"; done; true', "bash", *there)
    refused = [line for line in done.stdout.splitlines() if "null.lock" in line]
    assert len(refused) == len(there), done.stdout
    assert all(line.endswith(("Read-only file system", "Permission denied")) for line in refused), done.stdout
    assert f"cannot touch '{home}/null.lock': Read-only file system" in done.stdout
    assert not [path for path in there if (path / "null.lock").exists()]


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_what_every_program_writes_to_is_the_sandbox_own(sandbox: Sandbox, folder: str) -> None:
    sandbox.run("touch", f"{folder}/sandbox-was-here")
    assert not Path(folder, "sandbox-was-here").exists()


def test_devices_stay_devices(sandbox: Sandbox) -> None:
    done = sandbox.run("bash", "-c", "echo word > /dev/null && mv /tmp /dev/null; rm -f /dev/null; exit 0")
    assert "Read-only file system" in done.stdout
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_server_on_loopback_is_reached(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "word").write_text("reached")
    with folder_server(tmp_path) as url:
        script = f"import urllib.request; print(urllib.request.urlopen('{url}/word').read())"
        assert "reached" in sandbox.run("python3", "-c", script).stdout


def test_the_environment_is_made_from_nothing(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_OF_THE_DESK", "marked")
    monkeypatch.setenv("PYTHONPATH", "marked")
    done = sandbox.run("env", MORE="more")
    assert "marked" not in done.stdout
    assert "MORE=more" in done.stdout
    assert f"HOME={sandbox.folder}/home\n" in done.stdout


def test_what_a_command_leaves_running_ends_with_it(sandbox: Sandbox) -> None:
    begun = time.monotonic()
    sandbox.run("bash", "-c", "sleep 98765 & disown")
    assert time.monotonic() - begun < 60
    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [line for line in running if b"98765" in line]


def test_the_home_and_the_toolchain_are_the_same_after_a_run(sandbox: Sandbox, project: Project) -> None:
    workflow(
        project,
        build=[
            "cargo new --quiet trial && cd trial && cargo add --quiet itoa && cargo build",
            "uv tool install nox && uv venv && uv pip install iniconfig && git config --global trial.is on",
            "rustup component add clippy && cargo clippy --version && mkdir -p ~/.config && touch ~/.config/trial",
        ],
    )
    home, toolchain = Path.home(), Path(run("rustc", "--print", "sysroot", cwd=ROOT).stdout.strip())
    before = inventory(home, toolchain)
    outcome = sandbox.act(project, "trial")
    assert outcome.results == {"build": "success"}, outcome.log
    assert inventory(home, toolchain) == before


@pytest.mark.parametrize("change", ["new", ".gitconfig", ".cargo/bin/cargo", ".config/uv/uv.toml", "../rust/bin/rustc"])
def test_a_change_of_the_home_or_the_toolchain_would_be_seen(tmp_path: Path, change: str) -> None:
    home, toolchain = tmp_path / "home", tmp_path / "rust"
    for folder in (home / ".cargo" / "bin", home / ".config" / "uv", toolchain / "bin"):
        folder.mkdir(parents=True)
    before = inventory(home, toolchain)
    (home / change).write_text("changed")
    assert inventory(home, toolchain) != before


def inventory(home: Path, toolchain: Path) -> dict[str, tuple[int, int]]:
    """Give size and date of what a job could spoil: settings, commands, the toolchain; not the tests' own caches."""
    ours = (".package-cache", ".global-cache")
    files = [path for folder in (home, home / ".cargo", home / ".rustup") for path in folder.glob("*")]
    tools = [home / ".config" / name for name in ("act", "gh", "git", "pip", "uv")]
    for folder in (
        *tools,
        home / ".cargo" / "bin",
        home / ".local" / "bin",
        home / ".local" / "share" / "uv",
        toolchain,
    ):
        for parent, _, names in os.walk(folder):
            files += [Path(parent, name) for name in names]
    found = {}
    for path in files:
        known = path.lstat()
        if not path.name.startswith(ours):
            # What is in a folder of the home is of no interest here, and may change meanwhile.
            found[str(path)] = (0, 0) if path.is_dir() else (known.st_size, known.st_mtime_ns)
    return found


@pytest.mark.parametrize(("ci", "ends"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_without_a_namespace_nothing_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ci: str, ends: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr("sandbox.namespace", lambda: ["false"])
    with pytest.raises(ends, match="no private mount namespace"):
        prepare(tmp_path / "sandbox", tmp_path)
    assert not (tmp_path / "sandbox").exists()


# ---- What is refused before act starts.


def refused(project: Project, sandbox: Sandbox) -> Iterator[str]:
    """Give why a workflow is refused, having seen that act was not started."""
    before = set((sandbox.folder / "runs").glob("*/act.json"))
    with pytest.raises(LookupError) as refusal:
        sandbox.act(project, "trial")
    assert set((sandbox.folder / "runs").glob("*/act.json")) == before
    yield str(refusal.value)


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (use("dtolnay/rust-toolchain@efa25f7f19611383d5b0ccf2d1c8914531636bf9"), "dtolnay/rust-toolchain"),
        (use("docker://alpine:3"), "docker://alpine"),
        (use(CHECKOUT, submodules=True), "takes no submodules"),
    ],
)
def test_an_action_without_a_stand_in_is_refused(
    sandbox: Sandbox, project: Project, step: dict[str, object], reason: str
) -> None:
    workflow(project, build=["touch /tmp/ran", step])
    (why,) = refused(project, sandbox)
    assert reason in why


def test_so_is_one_that_an_action_of_the_project_uses(sandbox: Sandbox, project: Project) -> None:
    folder = project.folder / ".github" / "actions" / "own"
    folder.mkdir(parents=True)
    (folder / "action.yaml").write_text("runs: {using: composite, steps: [{uses: actions/cache@v6}]}\n")
    workflow(project, build=[use("./.github/actions/own")])
    (why,) = refused(project, sandbox)
    assert "actions/cache" in why


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        ({"runs-on": LABEL, "container": "debian", "steps": []}, "engine"),
        ({"runs-on": "${{ inputs.system }}", "steps": []}, "nothing here can tell"),
    ],
)
def test_so_is_what_would_run_elsewhere(sandbox: Sandbox, project: Project, job: object, reason: str) -> None:
    commit(project, {"name": "trial", "on": "push", "jobs": {"build": job}})
    (why,) = refused(project, sandbox)
    assert reason in why


def test_no_stand_in_uses_another_action() -> None:
    for file in (ACT / "actions").glob("*/action.yml"):
        assert not list(steps(yaml.safe_load(file.read_text("utf-8")))), file


# ---- What is said of a run.


def test_each_job_of_a_matrix_has_a_result_of_its_own_and_other_systems_have_none(
    sandbox: Sandbox, project: Project
) -> None:
    matrix = {"word": ["good", "bad", "fine"], "system": ["macos-15", LABEL, "windows-2025"]}
    test = {
        "name": "${{ matrix.word }} on ${{ matrix.system }}",
        "runs-on": "${{ matrix.system }}",
        "strategy": {"fail-fast": False, "matrix": matrix},
        "steps": [{"run": "[ ${{ matrix.word }} != bad ] || exit 1"}, {"run": "sleep 1"}],
    }
    never = {"runs-on": LABEL, "if": "false", "steps": [{"run": "true"}]}
    elsewhere = {"runs-on": "macos-15", "steps": [{"run": "true"}]}
    last = {
        "runs-on": LABEL,
        "if": "always()",
        "needs": ["test"],
        "steps": [{"run": "echo '# Done' >> $GITHUB_STEP_SUMMARY"}],
    }
    jobs = {"test": test, "never": never, "elsewhere": elsewhere, "last": last}
    outcome = sandbox.act(commit(project, {"name": "trial", "on": "push", "jobs": jobs}), "trial")
    tests = {f"{word} on {LABEL}": "failure" if word == "bad" else "success" for word in matrix["word"]}
    assert outcome.results == {**tests, "last": "success"}
    assert outcome.missing == {"never", "elsewhere"}
    assert outcome.summary == "# Done\n"
    assert outcome.status == 1


def test_a_step_that_may_fail_fails_no_job_of_a_matrix() -> None:
    line = {"job": "trial/one-1", "jobID": "one", "level": "info", "matrix": {"word": "one"}, "msg": ""}
    other = {**line, "job": "trial/two-2", "matrix": {"word": "two"}}
    failed = {**other, "level": "error", "msg": "exit status 1"}
    ended = {"jobResult": "failure"}
    assert results([line, failed, {**other, **ended}, {**line, **ended}], "trial") == {
        "one": "success",
        "two": "failure",
    }


def test_jobs_of_a_called_workflow_are_named_after_the_job_that_calls(sandbox: Sandbox, project: Project) -> None:
    good, bad = ({"runs-on": LABEL, "steps": [{"run": command}]} for command in ("true", "false"))
    called = {"name": "called", "on": "workflow_call", "jobs": {"good": {**good, "name": "a/good one"}, "bad": bad}}
    (project.folder / ".github" / "workflows" / "called.yml").write_text(yaml.safe_dump(called, sort_keys=False))
    jobs = {"call": {"uses": "./.github/workflows/called.yml"}, "after": {**good, "needs": "call"}, "other": good}
    outcome = sandbox.act(commit(project, {"name": "trial", "on": "push", "jobs": jobs}), "trial")
    assert outcome.results == {"call / a/good one": "success", "call / bad": "failure", "other": "success"}
    assert outcome.missing == {"after"}


# ---- Stand-ins of actions.


def test_only_what_is_committed_is_checked_out(sandbox: Sandbox, project: Project) -> None:
    workflow(project, look=[use(CHECKOUT), "ls", "test ! -e new.txt && test ! -e changed"])
    (project.folder / "new.txt").touch()
    (project.folder / ".copier-answers.yml").write_text("repository: https://git.example.org/water/small\nchanged: 1\n")
    assert sandbox.act(project, "trial").results == {"look": "success"}


def test_a_checkout_has_the_history_and_the_credentials_that_are_asked_for(sandbox: Sandbox, project: Project) -> None:
    push = "git commit --quiet --allow-empty --message More && git push origin HEAD:refs/heads/more"
    workflow(
        project,
        shallow=[use(CHECKOUT), '[ "$(git rev-list --count HEAD)$(git tag)" = 1 ]'],
        deep=[use(CHECKOUT, fetch_depth=0), '[ "$(git rev-list --count HEAD)$(git tag)" = 3v1 ]'],
        other=[use(CHECKOUT, ref="v1", path="there"), '[ "$(git -C there describe --tags)" = v1 ]'],
        push=[use(CHECKOUT), push],
        locked=[use(CHECKOUT, persist_credentials=False), push],
        token=[
            use(CHECKOUT, persist_credentials=False),
            {
                "run": push.replace("origin", '"https://x-access-token:$T@github.com/water/small"').replace(
                    "more", "token"
                ),
                "env": {"T": "${{ github.token }}"},
            },
        ],
    )
    outcome = sandbox.act(project, "trial")
    assert outcome.results == {
        **dict.fromkeys(["shallow", "deep", "other", "push", "token"], "success"),
        "locked": "failure",
    }
    branches = run("git", "branch", "--format=%(refname:short)", cwd=sandbox.remote(project)).stdout.split()
    assert {"main", "more", "token"} == set(branches)


def test_a_tag_and_a_pull_request_are_checked_out_as_the_service_does(sandbox: Sandbox, project: Project) -> None:
    describe = "git describe --tags --exact-match && [ $GITHUB_REF_NAME = v2 ]"
    merged = (
        "[ $(git rev-list --count HEAD^1..HEAD) = 2 ] && [ $GITHUB_BASE_REF = main ] && [ $GITHUB_HEAD_REF = topic ]"
    )
    workflow(
        project,
        tagged=[use(CHECKOUT), {"if": "github.event_name == 'push'", "run": describe}],
        merged=[use(CHECKOUT, fetch_depth=2), {"if": "github.event_name == 'pull_request'", "run": merged}],
    )
    project.run("git", "tag", "v2")
    project.run("git", "switch", "--quiet", "--create", "topic")
    project.commit("Propose")
    assert sandbox.act(project, "trial", tag="v2").results == {"tagged": "success", "merged": "success"}
    assert sandbox.act(project, "trial", "pull_request").results == {"tagged": "success", "merged": "success"}


def artifacts(outcome: Outcome) -> set[str]:
    """Name the files of all artifacts."""
    return {str(path.relative_to(outcome.artifacts)) for path in outcome.artifacts.rglob("*") if path.is_file()}


def test_artifacts_keep_their_names_and_are_refused_as_by_the_service(sandbox: Sandbox, project: Project) -> None:
    files = "mkdir -p dist/deep .hidden && touch dist/a.whl dist/deep/b.whl dist/c.txt .hidden/d"
    workflow(
        project,
        needs=True,
        files=[
            files,
            use(UPLOAD, name="one", path="dist/*.whl"),
            use(UPLOAD, name="all", path="dist\n!**/*.txt\n.hidden"),
        ],
        single=[files, use(UPLOAD, name="single", path="dist/a.whl", if_no_files_found="error")],
        download=[
            use(DOWNLOAD, name="one", path="x"),
            use(DOWNLOAD, pattern="[os]*", path="y", merge_multiple=True),
            use(DOWNLOAD, path="z"),
            "find x y z | sort",
            "test -e x/a.whl -a -e y/a.whl -a -e z/all/dist/deep/b.whl",
        ],
    )
    outcome = sandbox.act(project, "trial")
    assert outcome.results == {"files": "success", "single": "success", "download": "success"}, outcome.log
    assert artifacts(outcome) == {"one/a.whl", "all/dist/a.whl", "all/dist/deep/b.whl", "single/a.whl"}
    workflow(
        project,
        twice=["touch a", use(UPLOAD, name="one", path="a")],
        empty=[use(UPLOAD, name="nothing", path="*.whl", if_no_files_found="error")],
        warned=[use(UPLOAD, name="nothing", path="*.whl")],
        missing=[use(DOWNLOAD, name="three")],
    )
    again = sandbox.act(project, "trial", artifacts=outcome.artifacts)
    assert again.results == {"twice": "failure", "empty": "failure", "warned": "success", "missing": "failure"}
    assert artifacts(again) == artifacts(outcome)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an artifact with a distribution."""
    folder = tmp_path_factory.mktemp("wheel")
    (folder / "pyproject.toml").write_text('[project]\nname = "trial"\nversion = "1"\n')
    (folder / "trial.py").touch()
    run("uv", "build", "--quiet", "--wheel", "--out-dir", folder / "artifacts" / "dist", cwd=folder)
    (folder / "artifacts" / "dist" / ".gitignore").unlink(missing_ok=True)
    return folder / "artifacts"


def test_distributions_are_uploaded_to_the_index_that_stands_for_the_address(
    sandbox: Sandbox, project: Project, wheel: Path, tmp_path: Path
) -> None:
    get = use(DOWNLOAD, name="dist", path="dist")
    workflow(
        project,
        needs=True,
        first=[get, use(PUBLISH, skip_existing=True), use(ATTEST, subject_path="dist/*")],
        again=[get, use(PUBLISH, skip_existing=True)],
    )
    with private_index(tmp_path) as index:
        settings = {"TWINE_USERNAME": USER, "TWINE_PASSWORD": SECRET}
        outcome = sandbox.act(project, "trial", artifacts=wheel, indexes={INDEX: index.url}, environment=settings)
        assert outcome.results == {"first": "success", "again": "success"}, outcome.log
        assert index.files() == outcome.attested == ["trial-1-py3-none-any.whl"]
        workflow(
            project,
            twice=[get, use(PUBLISH)],
            elsewhere=[get, use(PUBLISH, repository_url="https://test.pypi.org/legacy/", skip_existing=True)],
            empty=["mkdir dist", use(PUBLISH)],
            strange=[get, "touch dist/notes.txt", use(PUBLISH, skip_existing=True)],
            nothing=[use(ATTEST, subject_path="dist/*")],
        )
        outcome = sandbox.act(project, "trial", artifacts=wheel, indexes={INDEX: index.url}, environment=settings)
        assert outcome.results == dict.fromkeys(["twice", "elsewhere", "empty", "strange", "nothing"], "failure")
        denied = sandbox.act(project, "trial", job="strange", artifacts=wheel, indexes={INDEX: index.url})
        assert denied.results == {"strange": "failure"}


def test_tokens_are_given_for_what_the_real_ones_ask_for(sandbox: Sandbox, project: Project) -> None:
    app = "actions/create-github-app-token@bcd2ba49218906704ab6c1aa796996da409d3eb1"
    crates = "rust-lang/crates-io-auth-action@b7e9a28eded4986ec6b1fa40eeee8f8f165559ec"
    compare = {"run": '[ "$T" = "$SANDBOX_APP_TOKEN" ]', "env": {"T": "${{ steps.app.outputs.token }}"}}
    token = {"run": '[ "$T" = for-crates ]', "env": {"T": "${{ steps.crates.outputs.token }}"}}
    workflow(
        project,
        app=[{**use(app, client_id="1", private_key="${{ secrets.KEY }}"), "id": "app"}, compare],
        keyless=[use(app, client_id="1", private_key="${{ secrets.OTHER }}")],
        crates=[{**use(crates), "id": "crates"}, token],
    )
    outcome = sandbox.act(
        project, "trial", secrets={"KEY": "a-long-key"}, environment={"SANDBOX_CRATES_TOKEN": "for-crates"}
    )
    assert outcome.results == {"app": "success", "keyless": "failure", "crates": "success"}, outcome.log


# ---- Stand-ins of commands.


def test_a_toolchain_is_chosen_as_by_rustup_and_never_installed(sandbox: Sandbox) -> None:
    host = sandbox.run("rustc", "-vV").stdout
    triple = next(line.removeprefix("host: ") for line in host.splitlines() if line.startswith("host: "))
    version = sandbox.run("rustc", "--version").stdout
    assert version == run("rustc", "--version", cwd=ROOT).stdout
    for name in RUST:
        assert sandbox.run(name, "--version").stdout
    sandbox.run("rustup", "component", "add", "clippy", "rustfmt")
    sandbox.run("rustup", "target", "add", triple)
    for command in (
        ("cargo", "+nowhere", "--version"),
        ("rustup", "toolchain", "install", "nowhere", "--profile", "minimal"),
        ("rustup", "target", "add", "wasm64-nowhere"),
        ("rustup", "component", "add", "nonsense"),
        ("rustup", "update"),
        ("rustup", "default", "stable"),
        ("rustup", "--nonsense"),
    ):
        done = sandbox.run(*command, check=False)
        assert done.returncode == 1, command
        assert "error: " in done.stdout
    assert sandbox.run("rustc", "--version", check=False, RUSTUP_TOOLCHAIN="nowhere").returncode == 1


def test_gh_keeps_what_it_makes_and_refuses_what_the_real_one_refuses(sandboxes: Sandboxes, project: Project) -> None:
    sandbox = sandboxes.new()
    sandbox.remote(project)
    (sandbox.folder / "a.txt").write_text("a")

    def gh(*words: str, token: str = TOKEN) -> tuple[int, str]:
        done = sandbox.run("gh", *words, check=False, GH_REPO="water/small", GH_TOKEN=token)
        return done.returncode, done.stdout.strip()

    assert gh("release", "view", "v1", token="")[0] == 1
    assert gh("release", "view", "v1") == (1, "gh: release not found")
    assert gh("release", "create", "v9", "--verify-tag", "--title", "9", "--notes", "")[0] == 1
    assert gh("release", "create", "v1", "--verify-tag", "--draft", "--title", "1", "--notes-file", "a.txt")[0] == 0
    assert gh("release", "create", "v1", "--title", "1", "--notes", "")[0] == 1
    assert gh("release", "upload", "v1", "a.txt")[0] == 0
    assert gh("release", "upload", "v1", "a.txt")[0] == 1
    assert gh("release", "upload", "v1", "a.txt", "--clobber")[0] == 0
    assert gh("release", "upload", "v1", "missing.txt")[0] == 1
    assert gh("release", "edit", "v1", "--draft=false")[0] == 0
    assert gh("release", "view", "v1", "--json", "isDraft,body", "--jq", ".body, .isDraft") == (0, "a\nfalse")
    assert (sandbox.github / "releases" / "v1" / "a.txt").read_text() == "a"
    assert gh("issue", "create", "--title", "Broken", "--body", "b", "--label", "nightly")[0] == 1
    assert gh("label", "create", "nightly")[0] == 0
    assert gh("label", "create", "nightly")[0] == 1
    assert gh("label", "create", "nightly", "--force")[0] == 0
    assert gh("issue", "create", "--title", "Broken", "--body", "b", "--label", "nightly")[0] == 0
    listed = (
        "issue",
        "list",
        "--label",
        "nightly",
        "--search",
        "broken in:title",
        "--json",
        "number",
        "--jq",
        ".[].number",
    )
    assert gh(*listed) == (0, "1")
    assert gh("issue", "comment", "1", "--body", "Again")[0] == 0
    assert gh("issue", "close", "1", "--comment", "Mended")[0] == 0
    assert gh(*listed) == (0, "")
    issues = json.loads((sandbox.github / "issues.json").read_text())
    assert [comment["body"] for comment in issues[0]["comments"]] == ["Again", "Mended"]
    assert gh("pr", "create", "--head", "absent", "--title", "t", "--body", "b")[0] == 1
    project.run("git", "branch", "topic")
    sandbox.remote(project)
    assert gh("pr", "create", "--head", "topic", "--title", "t", "--body", "b")[0] == 0
    assert gh("pr", "create", "--head", "topic", "--title", "t", "--body", "b")[0] == 1
    assert gh("pr", "edit", "topic", "--body", "c")[0] == 0
    assert gh("pr", "list", "--head", "topic", "--json", "body", "--jq", ".[0].body") == (0, "c")
    assert gh("pr", "list", "--json", "nonsense")[0] == 1
    assert gh("repo", "delete", "water/small")[0] != 0


def test_gh_tells_which_jobs_of_the_run_have_failed(sandbox: Sandbox, project: Project) -> None:
    ask = "gh run view $GITHUB_RUN_ID --json jobs --jq '.jobs[] | select(.conclusion == \"failure\").name'"
    told = {
        "run": f'[ "$({ask})" = bad ]',
        "env": {"GH_TOKEN": "${{ github.token }}", "GH_REPO": "${{ github.repository }}"},
    }
    bad, good = ({"runs-on": LABEL, "steps": [{"run": command}]} for command in ("false", "true"))
    report = {"runs-on": LABEL, "needs": ["bad", "good"], "if": "always()", "steps": [told]}
    outcome = sandbox.act(
        commit(project, {"name": "trial", "on": "push", "jobs": {"bad": bad, "good": good, "report": report}}), "trial"
    )
    assert outcome.results == {"bad": "failure", "good": "success", "report": "success"}, outcome.log


def test_the_workflows_of_a_project_have_all_their_stand_ins(default: Project) -> None:
    assert stand_ins(default.folder)
    assert systems(default.folder)
