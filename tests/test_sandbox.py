"""Is the sandbox closed, and do its stubs refuse what the real actions and commands refuse?"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox import ACT, LABEL, RUST, TOKEN, Sandbox, Sandboxes, action_steps, find_stubs, job_results, prepare
from servers import SECRET, USER, folder_server, private_index
from template import ROOT, Project, run
from workflows import ACTIONS

pytestmark = pytest.mark.slow

Step = Mapping[str, object] | str
INDEX = "https://upload.pypi.org/legacy/"


@pytest.fixture(scope="module")
def sandbox(sandboxes: Sandboxes) -> Sandbox:
    """Give one sandbox to all tests."""
    return sandboxes.new(pythons=("3.11",))


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


def job(*steps: Step, **keys: object) -> dict[str, object]:
    """Make a job; a step that is only a text is a command."""
    return {"runs-on": LABEL, "steps": [{"run": step} if isinstance(step, str) else step for step in steps], **keys}


def commit(project: Project, name: str = "trial", on: Sequence[str] = ("push", "pull_request"), **jobs: object) -> None:
    """Commit a workflow."""
    tree = {"name": name, "on": list(on), "jobs": jobs}
    (project.folder / ".github" / "workflows" / f"{name}.yml").write_text(yaml.safe_dump(tree, sort_keys=False))
    project.commit("Try")


def use(action: str, **inputs: object) -> dict[str, object]:
    """Make a step that uses an action; an underscore stands for a hyphen."""
    reference = f"{action}@{ACTIONS[action]['commit']}" if action in ACTIONS else action
    return {"uses": reference, "with": {key.replace("_", "-"): value for key, value in inputs.items()}}


def checkout(**inputs: object) -> dict[str, object]:
    """Make a step that checks out."""
    return use("actions/checkout", **inputs)


def upload(name: str, path: str, **inputs: object) -> dict[str, object]:
    """Make a step that uploads an artifact."""
    return use("actions/upload-artifact", name=name, path=path, **inputs)


def download(**inputs: object) -> dict[str, object]:
    """Make a step that downloads artifacts."""
    return use("actions/download-artifact", **inputs)


def publish(**inputs: object) -> dict[str, object]:
    """Make a step that publishes dist/."""
    return use("pypa/gh-action-pypi-publish", **inputs)


def succeeded(*jobs: str) -> dict[str, str]:
    """Give the results of jobs that succeed."""
    return dict.fromkeys(jobs, "success")


# ---- Isolation.


def test_nothing_is_written_outside(sandbox: Sandbox) -> None:
    home, toolchain = Path.home(), Path(run("rustc", "--print", "sysroot", cwd=ROOT).stdout.strip())
    places = [home, home / ".cargo", home / ".cargo" / "bin", home / ".rustup", toolchain, ROOT, ROOT / ".git"]
    places += map(Path, ("/etc", "/usr/bin", "/dev", "/var/tmp", "/var/lib", "/sys"))
    folders = sorted({path for path in places if path.is_dir()})
    done = sandbox.run("bash", "-c", 'for each; do touch "$each/null.lock"; done; true', "bash", *folders)
    refused = [line for line in done.stdout.splitlines() if "null.lock" in line]
    assert len(refused) == len(folders), done.stdout
    assert all(line.endswith(("Read-only file system", "Permission denied")) for line in refused), done.stdout
    assert not [path for path in folders if (path / "null.lock").exists()]


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_temporary_folders_are_private(sandbox: Sandbox, folder: str) -> None:
    sandbox.run("touch", f"{folder}/sandbox-was-here")
    assert not Path(folder, "sandbox-was-here").exists()


def test_devices_stay_devices(sandbox: Sandbox) -> None:
    done = sandbox.run("bash", "-c", "echo word > /dev/null && mv /tmp /dev/null; rm -f /dev/null; exit 0")
    assert "Read-only file system" in done.stdout
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_loopback_is_reached(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "word").write_text("reached")
    with folder_server(tmp_path) as url:
        script = f"import urllib.request; print(urllib.request.urlopen('{url}/word').read())"
        assert "reached" in sandbox.run("python3", "-c", script).stdout


def test_environment_is_made_from_nothing(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_OF_THE_DESK", "marked")
    monkeypatch.setenv("PYTHONPATH", "marked")
    done = sandbox.run("env", MORE="more")
    assert "marked" not in done.stdout
    assert "MORE=more" in done.stdout
    assert f"HOME={sandbox.folder}/home\n" in done.stdout


def test_background_processes_end(sandbox: Sandbox) -> None:
    sandbox.run("bash", "-c", "sleep 98765 & disown")
    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [line for line in running if b"98765" in line]


def test_workflow_leaves_home_and_toolchain_alone(sandbox: Sandbox, project: Project) -> None:
    build = job(
        "cargo new --quiet trial && cd trial && cargo add --quiet itoa && cargo build",
        "uv tool install nox && uv venv && uv pip install iniconfig && git config --global trial.is on",
        "rustup component add clippy && cargo clippy --version && mkdir -p ~/.config && touch ~/.config/trial",
    )
    commit(project, build=build)
    before = inventory()
    outcome = sandbox.act(project, "trial")
    assert outcome.results == succeeded("build"), outcome.log
    assert inventory() == before


def inventory() -> dict[str, tuple[int, int]]:
    """Give size and date of the settings, commands and toolchain of this machine; caches are left out."""
    home, toolchain = Path.home(), Path(run("rustc", "--print", "sysroot", cwd=ROOT).stdout.strip())
    names = (".cargo/bin", ".local/bin", ".local/share/uv", *(f".config/{name}" for name in ("act", "gh", "git", "uv")))
    files = [path for folder in (home, home / ".cargo", home / ".rustup") for path in folder.glob("*")]
    for folder in (*(home / name for name in names), toolchain):
        files += [Path(parent, name) for parent, _, found in os.walk(folder) for name in found]
    known = {path: path.lstat() for path in files if not path.name.startswith((".package-cache", ".global-cache"))}
    # What is inside a folder of the home is listed above, or may change meanwhile.
    return {str(path): (0, 0) if path.is_dir() else (one.st_size, one.st_mtime_ns) for path, one in known.items()}


@pytest.mark.parametrize(("ci", "end"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_nothing_runs_without_a_namespace(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ci: str, end: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr("sandbox.namespace", lambda: ["false"])
    with pytest.raises(end, match="no private mount namespace"):
        prepare(tmp_path / "sandbox", tmp_path)
    assert not (tmp_path / "sandbox").exists()


OWN = "runs: {using: composite, steps: [{uses: actions/cache@v6}]}\n"


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (job(use("dtolnay/rust-toolchain@efa25f7f19611383d5b0ccf2d1c8914531636bf9")), "dtolnay/rust-toolchain"),
        (job(use("docker://alpine:3")), "docker://alpine"),
        (job(use("./.github/actions/own")), "actions/cache"),
        (job(checkout(submodules=True)), "has no input submodules"),
        (job(container="debian"), "engine"),
        (job("true") | {"runs-on": "${{ inputs.system }}"}, "is unknown"),
    ],
)
def test_refused_before_act_starts(sandbox: Sandbox, project: Project, refused: object, reason: str) -> None:
    if reason == "actions/cache":
        folder = project.folder / ".github" / "actions" / "own"
        folder.mkdir(parents=True)
        (folder / "action.yaml").write_text(OWN)
    commit(project, build=refused)
    with pytest.raises(LookupError, match=reason):
        sandbox.act(project, "trial")
    assert not list((sandbox.folder / "runs" / str(sandbox.runs)).glob("act.*"))


def test_stubs_use_no_other_action(default: Project) -> None:
    assert find_stubs(default.folder)
    for file in (ACT / "actions").glob("*/action.yml"):
        assert not list(action_steps(yaml.safe_load(file.read_text("utf-8")))), file


# ---- Outcomes.


def test_matrix_jobs_have_own_results(sandbox: Sandbox, project: Project) -> None:
    matrix = {"word": ["good", "bad", "fine"], "system": ["macos-15", LABEL, "windows-2025"]}
    keys = {"name": "${{ matrix.word }} on ${{ matrix.system }}", "runs-on": "${{ matrix.system }}"}
    test = job("[ ${{ matrix.word }} != bad ] || exit 1", "sleep 1", strategy={"fail-fast": False, "matrix": matrix})
    last = job("echo '# Done' >> $GITHUB_STEP_SUMMARY", **{"if": "always()", "needs": ["test"]})
    elsewhere = job("true") | {"runs-on": "macos-15"}
    commit(project, test=test | keys, never=job("true", **{"if": "false"}), elsewhere=elsewhere, last=last)
    outcome = sandbox.act(project, "trial")
    tests = {f"{word} on {LABEL}": "failure" if word == "bad" else "success" for word in matrix["word"]}
    assert outcome.results == {**tests, "last": "success"}
    assert (outcome.missing, outcome.summary, outcome.status) == ({"never", "elsewhere"}, "# Done\n", 1)


def test_matrix_job_without_error_succeeds() -> None:
    one: dict[str, Any] = {"job": "trial/one-1", "jobID": "one", "level": "info", "matrix": {"word": "one"}, "msg": ""}
    two = {**one, "job": "trial/two-2", "matrix": {"word": "two"}}
    ends = [{**two, "level": "error"}, {**two, "jobResult": "failure"}, {**one, "jobResult": "failure"}]
    assert job_results([one, *ends], "trial") == {"one": "success", "two": "failure"}


def test_called_jobs_are_named_after_the_caller(sandbox: Sandbox, project: Project) -> None:
    commit(project, "called", ["workflow_call"], good=job("true", name="a/good one"), bad=job("false"))
    call = {"uses": "./.github/workflows/called.yml"}
    commit(project, call=call, after=job("true", needs="call"), other=job("true"))
    outcome = sandbox.act(project, "trial")
    assert outcome.results == {"call / a/good one": "success", "call / bad": "failure", "other": "success"}
    assert outcome.missing == {"after"}


# ---- Stubs of actions.


def test_checkout_gives_what_is_asked(sandbox: Sandbox, project: Project) -> None:
    push = "git commit --quiet --allow-empty --message More && git push {} HEAD:refs/heads/{}"
    address = '"https://x-access-token:$T@github.com/water/small"'
    commit(
        project,
        shallow=job(checkout(), '[ "$(git rev-list --count HEAD)$(git tag)" = 1 ] && [ ! -e new.txt ]'),
        deep=job(checkout(fetch_depth=0), '[ "$(git rev-list --count HEAD)$(git tag)" = 3v1 ]'),
        other=job(checkout(ref="v1", path="there"), '[ "$(git -C there describe --tags)" = v1 ]'),
        push=job(checkout(), push.format("origin", "more")),
        locked=job(checkout(persist_credentials=False), push.format("origin", "none")),
        token=job(
            checkout(persist_credentials=False),
            {"run": push.format(address, "token"), "env": {"T": "${{ github.token }}"}},
        ),
    )
    (project.folder / "new.txt").touch()  # and not committed
    outcome = sandbox.act(project, "trial")
    assert outcome.results == {**succeeded("shallow", "deep", "other", "push", "token"), "locked": "failure"}
    branches = run("git", "branch", "--format=%(refname:short)", cwd=sandbox.remote(project)).stdout.split()
    assert set(branches) == {"main", "more", "token"}


def test_checkout_knows_tags_and_pull_requests(sandbox: Sandbox, project: Project) -> None:
    tagged = "git describe --tags --exact-match && [ $GITHUB_REF_NAME = v2 ]"
    merged = "[ $(git rev-list --count HEAD^1..HEAD) = 2 ] && [ $GITHUB_BASE_REF$GITHUB_HEAD_REF = maintopic ]"
    look = {"run": f"if [ $GITHUB_EVENT_NAME = push ]; then {tagged}; else {merged}; fi"}
    commit(project, look=job(checkout(fetch_depth=2), look))
    project.run("git", "tag", "v2")
    project.run("git", "switch", "--quiet", "--create", "topic")
    project.commit("Propose")
    assert sandbox.act(project, "trial", tag="v2").results == succeeded("look")
    assert sandbox.act(project, "trial", "pull_request").results == succeeded("look")


def test_artifacts_are_kept_and_refused(sandbox: Sandbox, project: Project) -> None:
    files = "mkdir -p dist/deep .hidden && touch dist/a.whl dist/deep/b.whl dist/c.txt .hidden/d"
    both = "test -e x/a.whl -a -e y/a.whl -a -e z/all/dist/deep/b.whl"
    commit(
        project,
        up=job(
            files, upload("one", "dist/*.whl"), upload("all", "dist\n!**/*.txt\n.hidden"), upload("s", "dist/a.whl")
        ),
        down=job(
            *(download(name="one", path="x"), download(pattern="[os]*", path="y", merge_multiple=True)),
            *(download(path="z"), both),
            needs="up",
        ),
    )
    outcome = sandbox.act(project, "trial")
    assert outcome.results == succeeded("up", "down"), outcome.log
    expected = ["all/dist/a.whl", "all/dist/deep/b.whl", "one/a.whl", "s/a.whl"]
    kept = {path.relative_to(outcome.artifacts).as_posix() for path in outcome.artifacts.rglob("*") if path.is_file()}
    assert sorted(kept) == expected
    commit(
        project,
        twice=job("touch a", upload("one", "a")),
        empty=job(upload("nothing", "*.whl", if_no_files_found="error")),
        warned=job(upload("nothing", "*.whl")),
        missing=job(download(name="three")),
    )
    again = sandbox.act(project, "trial", artifacts=outcome.artifacts)
    assert again.results == {**dict.fromkeys(["twice", "empty", "missing"], "failure"), "warned": "success"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an artifact with a distribution."""
    folder = tmp_path_factory.mktemp("wheel")
    (folder / "pyproject.toml").write_text('[project]\nname = "trial"\nversion = "1"\n')
    (folder / "trial.py").touch()
    run("uv", "build", "--quiet", "--wheel", "--out-dir", folder / "artifacts" / "dist", cwd=folder)
    (folder / "artifacts" / "dist" / ".gitignore").unlink(missing_ok=True)
    return folder / "artifacts"


def test_publishing_reaches_only_the_mapped_index(
    sandbox: Sandbox, project: Project, wheel: Path, tmp_path: Path
) -> None:
    get, attest = download(name="dist", path="dist"), use("actions/attest", subject_path="dist/*")
    commit(
        project,
        first=job(get, publish(skip_existing=True), attest),
        again=job(get, publish(skip_existing=True), needs="first"),
        twice=job(get, publish(), needs="again"),
        elsewhere=job(get, publish(repository_url="https://test.pypi.org/legacy/", skip_existing=True)),
        empty=job("mkdir dist", publish()),
        strange=job(get, "touch dist/notes.txt", publish(skip_existing=True)),
        nothing=job(attest),
        denied=job(get, {**publish(), "env": {"TWINE_PASSWORD": "wrong"}}),
    )
    with private_index(tmp_path) as index:
        settings = {"TWINE_USERNAME": USER, "TWINE_PASSWORD": SECRET}
        outcome = sandbox.act(project, "trial", artifacts=wheel, indexes={INDEX: index.url}, environment=settings)
        assert index.files() == outcome.attested == ["trial-1-py3-none-any.whl"]
    failures = dict.fromkeys(["twice", "elsewhere", "empty", "strange", "nothing", "denied"], "failure")
    assert outcome.results == {**succeeded("first", "again"), **failures}, outcome.log


def test_tokens_need_what_the_real_ones_need(sandbox: Sandbox, project: Project) -> None:
    app, crates = "actions/create-github-app-token", "rust-lang/crates-io-auth-action"
    compare = {"run": '[ "$T" = "$SANDBOX_APP_TOKEN" ]', "env": {"T": "${{ steps.app.outputs.token }}"}}
    token = {"run": '[ "$T" = for-crates ]', "env": {"T": "${{ steps.crates.outputs.token }}"}}
    commit(
        project,
        app=job({**use(app, client_id="1", private_key="${{ secrets.KEY }}"), "id": "app"}, compare),
        keyless=job(use(app, client_id="1", private_key="${{ secrets.OTHER }}")),
        crates=job({**use(crates), "id": "crates"}, token),
    )
    variables = {"SANDBOX_CRATES_TOKEN": "for-crates"}
    outcome = sandbox.act(project, "trial", secrets={"KEY": "a-long-key"}, environment=variables)
    assert outcome.results == {**succeeded("app", "crates"), "keyless": "failure"}, outcome.log


# ---- Stubs of commands.


def test_rustup_chooses_and_never_installs(sandbox: Sandbox) -> None:
    version = sandbox.run("rustc", "-vV").stdout
    triple = next(line.removeprefix("host: ") for line in version.splitlines() if line.startswith("host: "))
    assert version == run("rustc", "-vV", cwd=ROOT).stdout
    for name in RUST:
        assert sandbox.run(name, "--version").stdout
    sandbox.run("rustup", "component", "add", "clippy", "rustfmt")
    sandbox.run("rustup", "target", "add", triple)
    for command in (
        "cargo +nowhere --version",
        "env RUSTUP_TOOLCHAIN=nowhere rustc --version",
        "rustup toolchain install nowhere --profile minimal",
        "rustup target add wasm64-nowhere",
        "rustup component add nonsense",
        "rustup update",
        "rustup default stable",
        "rustup --nonsense",
    ):
        done = sandbox.run(*command.split(), check=False)
        assert (done.returncode, "error: " in done.stdout) == (1, True), command


def test_gh_stores_and_refuses(sandboxes: Sandboxes, project: Project) -> None:
    sandbox = sandboxes.new(pythons=("3.11",))
    project.run("git", "branch", "topic")
    sandbox.remote(project)
    (sandbox.folder / "a.txt").write_text("a")

    def gh(command: str, *words: str, token: str = TOKEN) -> tuple[int, str]:
        done = sandbox.run("gh", *command.split(), *words, check=False, GH_REPO="water/small", GH_TOKEN=token)
        return min(done.returncode, 1), done.stdout.strip()

    def statuses(*commands: str) -> list[int]:
        return [gh(command)[0] for command in commands]

    assert gh("release view v1", token="")[0] == 1
    assert gh("release view v1") == (1, "gh: release not found")
    create = "release create {} --verify-tag --draft --title 1 --notes-file a.txt"
    assert statuses(create.format("v9"), create.format("v1"), create.format("v1"), "release view v1") == [1, 0, 1, 0]
    upload = "release upload v1 a.txt"
    assert statuses(upload, upload, f"{upload} --clobber", "release upload v1 missing.txt") == [0, 1, 0, 1]
    assert statuses("release edit v1 --draft=false") == [0]
    expected = [{"tagName": "v1", "name": "1", "body": "a", "isDraft": False}]
    assert json.loads((sandbox.github / "releases.json").read_text("utf-8")) == expected
    assert (sandbox.github / "releases" / "v1" / "a.txt").read_text() == "a"
    numbers = ("issue list --json number,title --jq", ".[].number")
    assert statuses("issue create --title Broken --body b") == [0]
    assert gh(*numbers) == (0, "1")
    assert statuses("issue close 1 --comment Repaired", "issue close 2 --comment Repaired") == [0, 1]
    assert gh(*numbers) == (0, "")
    create = "pr create --head {} --title t --body b"
    assert statuses(create.format("absent"), create.format("topic"), create.format("topic")) == [1, 0, 1]
    assert gh("pr list --head topic --state all --json body --jq", ".[0].body") == (0, "b")
    assert statuses("pr list --json nonsense --jq .", "repo delete water/small", "release view v1 --web") == [1, 1, 1]
