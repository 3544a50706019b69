"""Is what was compiled shared by checkouts, and does a build outlive the server that keeps it?"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from template import ROOT, Project, missing_tool, render, run
from workflows import go_tool

PAGE = (ROOT / "docs" / "how-to" / "share-compiled-code.md").read_text("utf-8")
WHEEL = ("maturin", "build", "--profile", "dev", "--out", "dist")
CRATE = ("cargo", "build", "--package", "once_cell", "--target-dir")  # a small one, that needs no other
slow = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def own_settings() -> Iterator[None]:
    """Hide what this machine may have set for sccache."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("AWS_", "SCCACHE_")) or name in ("CARGO_INCREMENTAL", "CARGO_TERM_COLOR"):
                patch.delenv(name)
        yield


# ---- Servers that keep what was compiled.


def program(name: str) -> str:
    """Find a program that .ci/sccache unpacks."""
    return shutil.which(name) or missing_tool(f"{name} is not on this machine", "NO_SCCACHE")


@dataclass(frozen=True)
class Server:
    """A server on loopback: its process, and what sccache is told of it."""

    process: subprocess.Popen[bytes]
    port: int
    variables: dict[str, str]


@contextmanager
def started(port: int, variables: dict[str, str], *command: str | Path) -> Iterator[Server]:
    """Run a server until the end of a test."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: listens(port))
        yield Server(process, port, variables)
    finally:
        process.kill()
        process.wait()


def until(true: Callable[[], bool]) -> None:
    """Wait until something is true."""
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    raise TimeoutError


def free_port() -> int:
    """Find a port of loopback on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def listens(port: int) -> bool:
    """Tell whether somebody listens on a port of loopback."""
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def redis(folder: Path) -> Iterator[Server]:
    """Run Redis, in memory alone."""
    port = free_port()
    settings = ("--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", folder)
    with started(port, redis_at(port), program("redis-server"), *settings) as server:
        yield server


def redis_at(port: int) -> dict[str, str]:
    """Tell sccache of a Redis."""
    return {"SCCACHE_REDIS_ENDPOINT": f"redis://127.0.0.1:{port}"}


def ask(server: Server, command: str) -> str:
    """Give Redis a command, and read its answer."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(f"{command}\r\n".encode())
        return connection.recv(1024).decode().strip()


@contextmanager
def s3(folder: Path) -> Iterator[Server]:
    """Run a server that speaks S3, in memory alone."""
    port = free_port()
    variables = {
        "SCCACHE_BUCKET": "compiled",
        "SCCACHE_REGION": "us-east-1",
        "SCCACHE_ENDPOINT": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    tool = go_tool("gofakes3", "github.com/johannesboyne/gofakes3/cmd/gofakes3", folder)
    settings = ("-backend", "memory", "-host", f"127.0.0.1:{port}", "-initialbucket", "compiled")
    with started(port, variables, tool, *settings) as server:
        yield server


@contextmanager
def silence() -> Iterator[int]:
    """Take calls on a port, and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


# ---- sccache.


@dataclass(frozen=True)
class Cache:
    """An sccache with a background process of its own, and what it is told."""

    variables: dict[str, str]

    def run(self, project: Project, *command: str | Path, **variables: str) -> str:
        """Compile through sccache, and give what is printed."""
        variables = {"RUSTC_WRAPPER": "sccache", **self.variables, **variables}
        return project.run(*command, check=True, **variables).stdout

    def told(self) -> dict[str, Any]:
        """Read all that sccache counts."""
        told = run("sccache", "--show-stats", "--stats-format=json", cwd=ROOT, check=True, **self.variables).stdout
        return dict(json.loads(told))

    def counted(self, kind: str) -> int:
        """Give the hits or the misses since this was last asked for either."""
        return sum(self.told()["stats"][f"cache_{kind}"]["counts"].values())

    def shared(self, project: Project, *command: str | Path, **variables: str) -> float:
        """Compile, and give the part of what is kept that was there already."""
        before = {kind: self.counted(kind) for kind in ("hits", "misses")}
        self.run(project, *command, **variables)
        hits, misses = (self.counted(kind) - before[kind] for kind in ("hits", "misses"))
        assert hits + misses
        return hits / (hits + misses)


@contextmanager
def caching(folder: Path, **variables: str) -> Iterator[Cache]:
    """Have an sccache until the end of a test, and nothing of it afterwards."""
    program("sccache")
    folder.mkdir(exist_ok=True)
    cache = Cache({"SCCACHE_SERVER_UDS": str(folder / "socket"), "SCCACHE_DIR": str(folder / "kept"), **variables})
    try:
        yield cache
    finally:
        run("sccache", "--stop-server", cwd=ROOT, check=False, **cache.variables)
        for process in background(cache):
            os.kill(process, signal.SIGKILL)
        until(lambda: not background(cache))


def background(cache: Cache) -> list[int]:
    """Find the processes of an sccache: one that waits for a server that is down cannot be told to stop."""
    own = f"SCCACHE_SERVER_UDS={cache.variables['SCCACHE_SERVER_UDS']}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, environment = (folder / "comm").read_text(), (folder / "environ").read_bytes()
        except OSError:
            continue
        if name == "sccache\n" and own in environment.split(b"\0"):
            found.append(int(folder.name))
    return found


# ---- Two checkouts of one project.


@pytest.fixture(scope="module")
def checkouts(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Project]:
    """Give two checkouts of one project, at two places."""
    folder = tmp_path_factory.mktemp("checkouts")
    first, second = Project(folder / "first", {}), Project(folder / "second", {})
    render(source, first.folder)
    first.run("git", "init", "--quiet", "--initial-branch=main")
    first.run("cargo", "generate-lockfile")
    first.commit("Begin")
    run("git", "clone", "--quiet", "first", "second", cwd=folder)
    return first, second


STORES = ["disk", "redis", "s3"]


@pytest.fixture(scope="module")
def stores(
    checkouts: tuple[Project, Project], tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[dict[str, dict[str, str]]]:
    """Give each kind of store, as what sccache is told of it, with all that the first checkout compiled for its wheel."""
    folder = tmp_path_factory.mktemp("stores")
    with redis(folder) as remembering, s3(pytestconfig.cache.mkdir("tools")) as serving:
        kinds = {"disk": {"SCCACHE_DIR": str(folder / "kept")}, "redis": remembering.variables, "s3": serving.variables}
        everywhere = {name: value for variables in kinds.values() for name, value in variables.items()}
        with caching(folder / "sccache", SCCACHE_MULTILEVEL_CHAIN=",".join(STORES), **everywhere) as cache:
            assert cache.shared(checkouts[0], *WHEEL) == 0
        yield kinds


@slow
@pytest.mark.parametrize("store", STORES)
def test_second_checkout_compiles_nothing(
    store: str, checkouts: tuple[Project, Project], stores: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    _, second = checkouts
    with caching(tmp_path / "sccache", **stores[store]) as cache:
        assert cache.shared(second, *WHEEL) >= 0.8
        assert store in cache.told()["cache_location"].lower()
    assert list((second.folder / "dist").glob("*.whl"))
    shutil.rmtree(second.folder / "target")


@pytest.fixture(scope="module")
def filled(checkouts: tuple[Project, Project], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cache]:
    """Give an sccache that has what the first checkout compiled: one crate, and once more as a wheel is built."""
    first, _ = checkouts
    with caching(tmp_path_factory.mktemp("filled") / "sccache") as cache:
        cache.run(first, *CRATE, "target/plain")
        cache.run(first, *CRATE, "target/remapped", **remapped("/one"))
        yield cache


def remapped(home: str) -> dict[str, str]:
    """Give the flags with which the sessions `wheel` and `release` hide a home folder."""
    return {"CARGO_ENCODED_RUSTFLAGS": f"--remap-path-prefix={home}=/home"}


SETTINGS: dict[str, tuple[dict[str, str], int]] = {
    "nothing": ({}, 1),
    "the number of jobs": ({"CARGO_BUILD_JOBS": "1"}, 1),
    "the target folder, in the environment": ({"CARGO_TARGET_DIR": "target/elsewhere"}, 0),
    "the colours": ({"CARGO_TERM_COLOR": "always"}, 0),
    "whether it is incremental": ({"CARGO_INCREMENTAL": "0"}, 0),
    "a flag of rustc": ({"RUSTFLAGS": "-Cdebuginfo=0"}, 0),
}


@slow
@pytest.mark.parametrize("difference", SETTINGS)
def test_what_differs_decides_sharing(
    difference: str, checkouts: tuple[Project, Project], filled: Cache, tmp_path: Path
) -> None:
    variables, expected = SETTINGS[difference]
    assert filled.shared(checkouts[1], *CRATE, tmp_path / "target", **variables) == expected


@slow
def test_another_cargo_home_shares_nothing(checkouts: tuple[Project, Project], filled: Cache, tmp_path: Path) -> None:
    home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    other = tmp_path / "cargo"
    shutil.copytree(home / "registry" / "cache", other / "registry" / "cache")
    shutil.copytree(home / "registry" / "index", other / "registry" / "index")
    command = (*CRATE, tmp_path / "target", "--offline")
    assert filled.shared(checkouts[0], *command, CARGO_HOME=str(other)) == 0


@slow
def test_wheel_builds_share_under_one_home(checkouts: tuple[Project, Project], filled: Cache, tmp_path: Path) -> None:
    _, second = checkouts
    assert 'Path.home(): "/home"' in second.read("noxfile.py")
    assert filled.shared(second, *CRATE, tmp_path / "one", **remapped("/one")) == 1
    assert filled.shared(second, *CRATE, tmp_path / "two", **remapped("/two")) == 0


@slow
def test_read_only_client_writes_nothing(checkouts: tuple[Project, Project], tmp_path: Path) -> None:
    first, second = checkouts
    with redis(tmp_path) as server:
        with caching(tmp_path / "writer", **server.variables) as cache:
            cache.run(first, *CRATE, tmp_path / "one")
        kept = ask(server, "DBSIZE")
        with caching(tmp_path / "reader", SCCACHE_REDIS_RW_MODE="READ_ONLY", **server.variables) as cache:
            assert cache.shared(second, *CRATE, tmp_path / "two") == 1
            assert cache.shared(second, *CRATE, tmp_path / "three", RUSTFLAGS="-Cdebuginfo=0") == 0
        assert ask(server, "DBSIZE") == kept


@slow
def test_public_bucket_needs_no_key(
    checkouts: tuple[Project, Project], tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    first, second = checkouts
    with s3(pytestconfig.cache.mkdir("tools")) as server:
        with caching(tmp_path / "writer", **server.variables) as cache:
            cache.run(first, *CRATE, tmp_path / "one")
        reader = {name: value for name, value in server.variables.items() if name.startswith("SCCACHE_")}
        reader |= {"SCCACHE_S3_NO_CREDENTIALS": "true", "SCCACHE_S3_RW_MODE": "READ_ONLY"}
        with caching(tmp_path / "reader", **reader) as cache:
            assert cache.shared(second, *CRATE, tmp_path / "two") == 1


# ---- Servers that are down, or slow.


def line_of_the_page() -> str:
    """Read how the page has sccache switched on where there is a server."""
    (line,) = re.findall(r"(?m)^\$ (sccache .+ && export RUSTC_WRAPPER=sccache)$", PAGE)
    return str(line)


def step_of_the_page() -> str:
    """Read how the page has a workflow do the same."""
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (step,) = (step["run"] for step in yaml.safe_load(block)["steps"] if "GITHUB_ENV" in step.get("run", ""))
    return str(step)


@contextmanager
def down(how: str, folder: Path) -> Iterator[dict[str, str]]:
    """Tell sccache of a Redis that is down, and to wait for it for a second instead of ten."""
    settings = folder / "settings.toml"
    settings.write_text("server_startup_timeout_ms = 1000\n")
    variables = {"SCCACHE_CONF": str(settings)}
    if how == "nobody listens":
        yield {**variables, **redis_at(free_port())}
        return
    with silence() as port:
        yield {**variables, **redis_at(port)}


@slow
@pytest.mark.parametrize("how", ["nobody listens", "nobody answers"])
def test_page_command_skips_unavailable_server(how: str, checkouts: tuple[Project, Project], tmp_path: Path) -> None:
    build = " ".join(map(str, (*CRATE, tmp_path / "target")))
    with down(how, tmp_path) as variables, caching(tmp_path / "sccache", **variables) as cache:
        stopped = checkouts[0].run(*CRATE, tmp_path / "other", check=False, RUSTC_WRAPPER="sccache", **cache.variables)
        script = f'{line_of_the_page()}\n{build} && echo "built with ${{RUSTC_WRAPPER:-rustc alone}}"'
        done = checkouts[0].run("bash", "-c", script, check=True, RUSTC_WRAPPER="", **cache.variables)
    assert stopped.returncode
    assert "Timed out waiting for server startup" in stopped.stdout
    assert "built with rustc alone" in done.stdout


@slow
def test_page_command_uses_available_server(checkouts: tuple[Project, Project], tmp_path: Path) -> None:
    with redis(tmp_path) as server, caching(tmp_path / "sccache", **server.variables) as cache:
        script = f"{line_of_the_page()}\n{' '.join(map(str, (*CRATE, tmp_path / 'target')))}"
        for _ in range(2):
            checkouts[0].run("bash", "-c", script, check=True, RUSTC_WRAPPER="", **cache.variables)
        assert cache.counted("misses") == 1


@slow
def test_workflow_works_without_server(tmp_path: Path) -> None:
    program("sccache")
    chosen = tmp_path / "chosen"
    chosen.touch()
    command = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step_of_the_page())
    with down("nobody listens", tmp_path) as variables, caching(tmp_path / "down", **variables) as cache:
        run(*command, cwd=tmp_path, check=True, GITHUB_ENV=str(chosen), **cache.variables)
    assert chosen.read_text() == ""
    with redis(tmp_path) as server, caching(tmp_path / "up", **server.variables) as cache:
        run(*command, cwd=tmp_path, check=True, GITHUB_ENV=str(chosen), **cache.variables)
    assert chosen.read_text() == "RUSTC_WRAPPER=sccache\n"


@slow
def test_slow_server_slows_build(checkouts: tuple[Project, Project], tmp_path: Path) -> None:
    first, second = checkouts
    with redis(tmp_path) as server, caching(tmp_path / "sccache", **server.variables) as cache:
        cache.run(first, *CRATE, tmp_path / "one")
        assert ask(server, "CLIENT PAUSE 5000 ALL") == "+OK"
        begun = time.monotonic()
        assert cache.shared(second, *CRATE, tmp_path / "two") == 1
        assert time.monotonic() - begun > 2


@slow
def test_server_stopping_keeps_build_working(
    checkouts: tuple[Project, Project], tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    first, _ = checkouts
    with s3(pytestconfig.cache.mkdir("tools")) as server, caching(tmp_path / "sccache", **server.variables) as cache:
        cache.run(first, *CRATE, tmp_path / "one")
        server.process.kill()
        server.process.wait()
        assert cache.shared(first, *CRATE, tmp_path / "two") == 0
        assert cache.told()["stats"]["cache_write_errors"] == 1


@slow
def test_silent_server_keeps_build_working(checkouts: tuple[Project, Project], tmp_path: Path) -> None:
    first, _ = checkouts
    with redis(tmp_path) as server, caching(tmp_path / "sccache", **server.variables) as cache:
        cache.run(first, *CRATE, tmp_path / "one")
        server.process.send_signal(signal.SIGSTOP)
        assert cache.shared(first, *CRATE, tmp_path / "two") == 0
        server.process.send_signal(signal.SIGCONT)
        assert cache.shared(first, *CRATE, tmp_path / "three") == 1


# ---- By the environment alone.


def wrappers(folder: Path) -> list[str]:
    """Name the files that wrap rustc, or speak of who does."""
    return [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and re.search(b"(?i)sccache|rustc.wrapper", path.read_bytes())
    ]


def test_no_render_wraps_rustc() -> None:
    assert wrappers(ROOT / "template") == []


def test_committed_wrapper_is_found(tmp_path: Path) -> None:
    (tmp_path / ".cargo").mkdir()
    (tmp_path / ".cargo" / "config.toml").write_text('[build]\nrustc-wrapper = "ccache"\n')
    (tmp_path / "ci.yml").write_text('env:\n  RUSTC_WRAPPER: "something"\n')
    assert wrappers(tmp_path) == [".cargo/config.toml", "ci.yml"]
