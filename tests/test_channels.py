"""Does each channel take what the project gives it, and does its check say what is wrong before it is too late?"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import new_project
from rattler_build import Stage0Recipe, VariantConfig

from checks import plant
from servers import SECRET, USER, Index, crate_registry, folder_server, private_index
from template import ROOT, Project, facts, missing_tool, questions, render, run
from variants import VARIANTS

CHANNELS = list(questions()["channels"]["choices"].values())
WHEEL = "river_gauge-0.1.0-cp310-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
SDIST = "river_gauge-0.1.0.tar.gz"
UV = {"UV_NO_PROGRESS": "1", "UV_PYTHON": sys.executable}
PIP = ("uvx", "--quiet", "--python", sys.executable, "pip")


@pytest.fixture(scope="module")
def shared(source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give one project with every channel, and in dist/ names of what a release has."""
    answers = {"package": "river_gauge", "layout": "workspace", "python": "3.10", "channels": CHANNELS}
    project = new_project(source, tmp_path_factory.mktemp("channels") / "river-gauge", answers, target)
    project.run("cargo", "generate-lockfile")
    project.commit("Lock")
    return project


@pytest.fixture
def project(shared: Project) -> Iterator[Project]:
    """Give the project, and undo afterwards what a test plants in it."""
    (shared.folder / "dist").mkdir()
    for name in (WHEEL, SDIST):
        (shared.folder / "dist" / name).touch()
    yield shared
    shared.run("git", "reset", "--quiet", "--hard")
    shared.run("git", "clean", "--quiet", "--force", "-d")
    shared.run("rm", "-rf", "dist")


def check(project: Project, channel: str, **variables: str) -> tuple[int, str]:
    """Run the check of a channel, as the rehearsal does."""
    done = project.run(sys.executable, f"channels/{channel}/check.py", check=False, **variables)
    return done.returncode, done.stdout


# ---- Every channel.


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_channel_is_a_folder_with_a_check(channel: str, source: Path, tmp_path: Path) -> None:
    layout = "workspace" if channel == "crates" else "mixed"
    project = render(source, tmp_path / "project", {"layout": layout, "channels": [channel]})
    assert [path.name for path in (project / "channels").iterdir()] == [channel]
    lines = (project / "channels" / channel / "check.py").read_text("utf-8").splitlines()
    assert len(lines) < 100


def test_without_a_channel_there_is_nothing_of_it(source: Path, tmp_path: Path) -> None:
    project = render(source, tmp_path / "project", {"layout": "workspace"})
    assert not (project / "channels").exists()
    assert not [*(project / "crates").rglob("README.md"), *(project / "crates").rglob("LICENSE*")]


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_check_is_clean_under_strict_types(channel: str, project: Project) -> None:
    mypy = ("uvx", "--quiet", "--python", sys.executable, "--with", "py-rattler-build", "mypy", "--strict")
    options = ("--python-version", "3.10", "--cache-dir", os.devnull)
    project.run(*mypy, *options, f"channels/{channel}/check.py")


def test_a_tool_of_a_channel_is_a_dependency_of_the_release_session(project: Project) -> None:
    wanted = {tool for tools in facts()["channels"].values() for tool in tools}
    assert wanted
    assert {tool for tool in wanted if f'    "{tool}>=' not in project.read("pyproject.toml")} == set()


Plant = Callable[[Project], None]


def change(path: str, old: str, new: str) -> Plant:
    """Put a text in the place of another, which must be there."""

    def change_it(project: Project) -> None:
        plant(project.folder, path, old, new)

    return change_it


def remove(pattern: str) -> Plant:
    """Remove files."""

    def remove_them(project: Project) -> None:
        found = list(project.folder.glob(pattern))
        assert found, f"there is no {pattern}"
        for path in found:
            path.unlink()

    return remove_them


def touch(path: str) -> Plant:
    """Make an empty file."""
    return lambda project: (project.folder / path).touch()


CORE, BINDING = "crates/river-gauge/Cargo.toml", "crates/river-gauge-py/Cargo.toml"
SPARE = '[package]\nname = "spare"\nedition = "2024"\npublish = false\n'
BY_PATH = '\n[dependencies.spare]\npath = "../spare"\n'


def depend_by_path_alone(project: Project) -> None:
    """Make another crate of the workspace, which is not published, and let the core depend on it."""
    (project.folder / "crates" / "spare" / "src").mkdir(parents=True)
    (project.folder / "crates" / "spare" / "src" / "lib.rs").touch()
    (project.folder / "crates" / "spare" / "Cargo.toml").write_text(SPARE)
    plant(project.folder, CORE, "\n[dev-dependencies]", f"{BY_PATH}\n[dev-dependencies]")


RECIPE, DOCKERFILE = "channels/conda/recipe.yaml", "channels/container/Dockerfile"
FAULTS: dict[str, tuple[str, Plant, str]] = {
    "a binding that could be published": (
        "crates",
        change(BINDING, "publish = false", "publish = true"),
        "river-gauge-py is made for Python: write `publish = false`",
    ),
    "a dependency by path alone": (
        "crates",
        depend_by_path_alone,
        "river-gauge depends on spare by path alone: add a `version`",
    ),
    "a post-release": ("crates", change("Cargo.toml", '"0.1.0"', '"0.1.0-post.1"'), "no version for a crate"),
    "a post-release in disguise": ("crates", change("Cargo.toml", '"0.1.0"', '"0.1.0-1"'), "no version for a crate"),
    "a development release": ("crates", change("Cargo.toml", '"0.1.0"', '"0.1.0-dev.4"'), "no version for a crate"),
    "a crate without its licence": ("crates", remove("crates/*/LICENSE*"), "carries no LICENSE: put its licence"),
    "a crate without a readme": ("crates", remove("crates/*/README.md"), "carries no README.md: put a readme"),
    "no crate to publish": (
        "crates",
        change(CORE, "repository.workspace = true", "repository.workspace = true\npublish = false"),
        "no crate is to be published",
    ),
    "a manifest that cargo cannot read": ("crates", change(CORE, "[package]", "[package"), "mend what it says above"),
    "a recipe that is not YAML": ("conda", change(RECIPE, "package:", "package: ["), "cannot be rendered"),
    "a recipe with a key that is none": ("conda", change(RECIPE, "build:", "bulid:"), "cannot be rendered"),
    "a recipe with a version of its own": (
        "conda",
        change(RECIPE, '${{ env.get("SDIST") | replace(".tar.gz", "") | split("-") | last }}', '"0.0.9"'),
        "the recipe's version is 0.0.9, the sdist's 0.1.0",
    ),
    "a recipe without an sdist": ("conda", remove("dist/*.tar.gz"), "holds 0: run `nox -s release`"),
    "a recipe with two sdists": ("conda", touch("dist/river_gauge-0.2.0.tar.gz"), "holds 2: run `nox -s release`"),
    "an image without a tag": ("container", change(DOCKERFILE, "FROM ${BASE}\n", "FROM python\n"), "DL3006"),
    "an image of the latest": ("container", change(DOCKERFILE, "FROM ${BASE}\n", "FROM python:latest\n"), "DL3007"),
    "a cache that stays in the image": ("container", change(DOCKERFILE, "--no-cache-dir --no-index", ""), "DL3042"),
    "a rule that is switched off": (
        "container",
        change(DOCKERFILE, "USER ", "# hadolint ignore=DL3002\nUSER "),
        "a rule of hadolint is switched off",
    ),
    "no user": ("container", change(DOCKERFILE, "USER 10001:10001\n", ""), "the last stage runs as root"),
    "root": ("container", change(DOCKERFILE, "USER 10001:10001", "USER root"), "the last stage runs as root"),
    "a user by name": ("container", change(DOCKERFILE, "10001:10001", "app"), "runs as root, or as a name"),
    "Rust in an image": (
        "container",
        change(DOCKERFILE, "FROM ${BASE}\n", "FROM ${BASE}\nRUN rustup-init\n"),
        "an image has Rust in it",
    ),
    "a password in an address": (
        "private",
        change("channels/private/uv.toml", "https://", "https://me:secret@"),
        "uv.toml holds a secret: revoke it",
    ),
    "a token in a file": (
        "private",
        change("channels/private/cargo.toml", "credential-provider", 'token = "secret"\ncredential-provider'),
        "cargo.toml holds a secret: revoke it",
    ),
    "settings that uv cannot read": (
        "private",
        change("channels/private/uv.toml", "default = true", "default ="),
        "uv cannot read uv.toml",
    ),
    "settings that cargo cannot read": (
        "private",
        change("channels/private/cargo.toml", "index = ", "index "),
        "cargo cannot read cargo.toml",
    ),
    "nowhere to publish to": (
        "private",
        change("channels/private/uv.toml", "publish-url", "# publish-url"),
        "uv.toml has no `publish-url = `",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_check_of_a_channel_stops_at(fault: str, project: Project) -> None:
    channel, plant_it, message = FAULTS[fault]
    plant_it(project)
    status, printed = check(project, channel)
    assert status
    assert message in printed


@pytest.mark.parametrize("channel", [channel for channel in CHANNELS if channel != "crates"])
def test_check_of_a_channel_has_nothing_to_say_of(channel: str, project: Project) -> None:
    status, printed = check(project, channel)
    assert (status, printed.count(f"{channel}: ")) == (0, 5 + 1 if channel == "conda" else 1), printed
    assert project.run("git", "status", "--porcelain").stdout == ""


# ---- crates.


@pytest.mark.slow
def test_crate_is_packaged_built_and_not_uploaded(project: Project) -> None:
    status, printed = check(project, "crates")
    assert status == 0, printed
    assert "aborting upload due to dry run" in printed
    project.run("cargo", "package", "--no-verify", "--package", "river-gauge")
    with tarfile.open(project.folder / "target" / "package" / "river-gauge-0.1.0.crate") as crate:
        names = {name.partition("/")[2] for name in crate.getnames()}
        assert {"README.md", "LICENSE-MIT", "LICENSE-APACHE", "src/lib.rs"} <= names
        manifest = crate.extractfile("river-gauge-0.1.0/Cargo.toml")
        assert manifest and 'readme = "README.md"' in manifest.read().decode()
    assert project.run("git", "status", "--porcelain").stdout == ""


@pytest.mark.slow
def test_crate_cannot_be_rehearsed_without_the_network_and_that_is_said(project: Project) -> None:
    status, printed = check(project, "crates", CARGO_HTTP_PROXY="http://127.0.0.1:9", CARGO_NET_RETRY="0")
    assert status
    assert "cargo asks the crate registry, so this needs the network" in printed


@pytest.mark.parametrize("variant", [name for name in VARIANTS if "crates" in VARIANTS[name].get("channels", [])])
def test_licences_of_the_crate_are_those_of_the_project(variant: str, source: Path, tmp_path: Path) -> None:
    project = render(source, tmp_path / "project", VARIANTS[variant])
    texts = {path.name: path.read_text("utf-8") for path in project.glob("LICENSE*")}
    assert {path.name: path.read_text("utf-8") for path in project.glob("crates/*/LICENSE*")} == texts
    assert texts


def test_crates_are_published_once_and_running_it_again_finishes_what_was_interrupted(
    project: Project, tmp_path: Path
) -> None:
    with crate_registry() as registry:
        variables = {
            "CARGO_HOME": str(tmp_path / "cargo"),
            "RUSTUP_HOME": rustup_home(),
            "CARGO_REGISTRIES_HERE_INDEX": f"sparse+{registry.url}/",
            "CARGO_REGISTRIES_HERE_TOKEN": SECRET,
            "CARGO_REGISTRIES_HERE_CREDENTIAL_PROVIDER": "cargo:token",
            "CARGO_REGISTRY_DEFAULT": "here",
        }
        command = (sys.executable, "channels/crates/publish.py")
        first, again = (project.run(*command, check=True, **variables) for _ in range(2))
    assert registry.crates.keys() == {"river-gauge-0.1.0"}
    assert "Published river-gauge v0.1.0" in first.stdout
    assert again.stdout == "Every crate is in the registry.\n"


# ---- conda.


def rendered(project: Project, sdist: str, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Render the recipe: a package for each Python."""
    monkeypatch.setenv("SDIST", sdist)
    folder = project.folder / "channels" / "conda"
    packages = Stage0Recipe.from_file(folder / "recipe.yaml").render(VariantConfig.from_file(folder / "variants.yaml"))
    return [package.recipe.to_dict() for package in packages]


def test_recipe_says_what_the_project_is(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = rendered(project, SDIST, monkeypatch)
    assert len(packages) == len(facts()["pythons"])
    for package in packages:
        assert package["package"] == {"name": "river-gauge", "version": "0.1.0"}
        assert package["about"] == {
            "license": "MIT OR Apache-2.0",
            "license_file": ["LICENSE*"],
            "repository": "https://github.com/example/river-gauge",
            "summary": "Running statistics with a Rust core",
        }
        build = package["requirements"]["build"]
        assert any(requirement.startswith("rust_") for requirement in build)


def test_what_the_package_depends_on_is_in_the_recipe(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"channels": ["conda"], "extras": ["numpy"]}
    project = Project(render(source, tmp_path / "project", answers), answers)
    for package in rendered(project, "quickstats-0.1.0.tar.gz", monkeypatch):
        assert package["requirements"]["run"] == ["python", "numpy >=1.26"]


@pytest.fixture(scope="module")
def built(source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a project for the lowest Python of all, with a wheel and an sdist in dist/."""
    answers = {"python": "3.10", "channels": ["conda", "container"]}
    project = new_project(source, tmp_path_factory.mktemp("built") / "quickstats", answers, target)
    project.run("maturin", "build", "--profile", "dev", "--sdist", "--out", "dist")
    return project


@pytest.mark.slow
def test_script_of_the_recipe_builds_and_its_tests_pass(
    built: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sdist,) = (built.folder / "dist").glob("*.tar.gz")
    package = rendered(built, sdist.name, monkeypatch)[0]
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    assert {path.name for path in unpacked.glob("LICENSE*")} >= {"LICENSE-MIT", "LICENSE-APACHE"}
    environment = tmp_path / "environment"
    run(sys.executable, "-m", "venv", environment, cwd=tmp_path)
    python = environment / "bin" / "python"
    imports, tests = package["tests"]
    needed = package["requirements"]["host"] + tests["requirements"]["run"]
    run(python, "-m", "pip", "install", "--quiet", *(name for name in needed if name != "python"), cwd=tmp_path)
    path = os.pathsep.join([str(environment / "bin"), os.environ["PATH"]])
    arguments = f"--profile dev --target-dir {built.folder / 'target'}"
    command = package["build"]["script"].replace("${{ PYTHON }}", str(python))
    run("sh", "-c", command, cwd=unpacked, PATH=path, MATURIN_PEP517_ARGS=arguments)
    run(python, "-c", f"import {', '.join(imports['python']['imports'])}", cwd=tmp_path)
    run(python, "-m", "pip", "check", cwd=tmp_path)
    apart = tmp_path / "apart"
    for name in tests["files"]["source"]:
        shutil.copytree(unpacked / name, apart / name)
    assert " passed" in run("sh", "-c", tests["script"], cwd=apart, PATH=path).stdout


# ---- container.


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a folder with what the base image has of Debian: Python, and pip under its name. It is big, and goes."""
    debootstrap = shutil.which("debootstrap", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
    if not debootstrap or os.geteuid():
        missing_tool("debootstrap, or root to run it, is not on this machine", "NO_DEBOOTSTRAP")
    root = tmp_path_factory.mktemp("image") / "root"
    packages = "--include=python3,python3-pip,python3-venv"
    base = re.search(r"python:[0-9.]+-slim-(\w+)\n", (ROOT / f"template/{DOCKERFILE}.jinja").read_text("utf-8"))
    assert base
    run(debootstrap, "--variant=minbase", packages, base[1], root, cwd=root.parent)
    yield root
    assert str(root) not in Path("/proc/mounts").read_text("utf-8"), "debootstrap has left something mounted"
    shutil.rmtree(root)


INSTRUCTION = re.compile(r"(?m)^([A-Z]+) ((?:.*\\\n)*.*)$")


def replay(project: Project, root: Path, **arguments: str) -> subprocess.CompletedProcess[str]:
    """Do what a Dockerfile says in a folder, in place of an image for each stage, and give what the last said."""
    user, environment = "0:0", dict(arguments)
    done = subprocess.CompletedProcess[str]([], 0, "")
    for word, rest in INSTRUCTION.findall(project.read(DOCKERFILE)):
        if word == "COPY" and not rest.startswith("--from"):
            pattern, place = rest.split()
            folder = root / place.strip("/")
            folder.mkdir()
            for path in project.folder.glob(pattern):
                shutil.copy(path, folder)
        elif word == "ENV":
            name, _, value = rest.partition("=")
            environment[name] = value.replace("$PATH", "/usr/bin:/bin")
        elif word == "USER":
            user = rest
        elif word in ("RUN", "CMD"):
            command = json.loads(rest) if rest.startswith("[") else ["/bin/sh", "-c", rest]
            command += ["-c", SHOWN] if word == "CMD" else []
            settings = [f"{name}={value}" for name, value in {"PATH": "/usr/bin:/bin", **environment}.items()]
            inside = ("chroot", f"--userspec={user}", root, "/usr/bin/env", "-i", *settings, *command)
            done = run(*inside, cwd=root, check=False)
            if done.returncode:
                return done
    return done


SHOWN = "import os, quickstats; print(os.getuid(), quickstats.summarize([1, 2, 3]).mean)"


@pytest.fixture
def fresh(image: Path) -> Iterator[Path]:
    """Give the base image, and undo what was done in it."""
    yield image
    for folder in ("wheels", "opt/venv"):
        shutil.rmtree(image / folder, ignore_errors=True)


@pytest.mark.slow
def test_image_holds_the_wheel_and_runs_without_rights(built: Project, fresh: Path) -> None:
    done = replay(built, fresh, VERSION="0.1.0")
    assert (done.returncode, done.stdout) == (0, "10001 2.0\n"), done.stdout
    names = {path.name for path in (fresh / "opt" / "venv" / "bin").iterdir()}
    assert "python" in names
    assert not {name for name in names if name.startswith("pip")}
    assert not list((fresh / "usr" / "bin").glob("*rust*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "VERSION: is missing: --build-arg VERSION=1.2.3"),
        ({"VERSION": "0.2.0"}, "No matching distribution found for quickstats==0.2.0"),
    ],
)
def test_image_is_not_built_of_another_wheel(
    arguments: dict[str, str], message: str, built: Project, fresh: Path
) -> None:
    done = replay(built, fresh, **arguments)
    assert done.returncode
    assert message in done.stdout


@pytest.mark.slow
def test_image_takes_no_wheel_of_another_system(built: Project, fresh: Path, tmp_path: Path) -> None:
    (wheel,) = (built.folder / "dist").glob("*.whl")
    musl = f"quickstats-0.1.0-cp310-abi3-musllinux_1_2_{platform.machine()}.whl"
    folder = shutil.copytree(built.folder / "channels", tmp_path / "channels").parent
    (folder / "dist").mkdir()
    shutil.copy(wheel, folder / "dist" / musl)
    done = replay(Project(folder, {}), fresh, VERSION="0.1.0")
    assert done.returncode
    assert "No matching distribution found" in done.stdout


# ---- private.


def write_wheel(folder: Path, name: str, version: str, content: str = "") -> Path:
    """Write a wheel of one module."""
    folder.mkdir(parents=True, exist_ok=True)
    information = f"{name}-{version}.dist-info"
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}.py", content)
        archive.writestr(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{information}/RECORD", "")
    return wheel


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """Give an index with a password, behind a path."""
    (tmp_path / "server").mkdir()
    with private_index(tmp_path / "server") as served:
        yield served


@pytest.fixture
def publisher(source: Path, index: Index, tmp_path: Path) -> Project:
    """Give a project that is published there, with a wheel in dist/."""
    answers = {"channels": ["private"], "index": index.url}
    project = Project(render(source, tmp_path / "project", answers), answers)
    write_wheel(project.folder / "dist", "quickstats", "0.1.0")
    return project


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Give a home of its own, to see what is written there."""
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def held(*folders: Path) -> list[Path]:
    """Find the marked secret in files."""
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return [path for path in files if SECRET.encode() in path.read_bytes()]


CONFIGURED = ("--config-file", "channels/private/uv.toml")
PUBLISH = ("uv", "publish", *CONFIGURED, "--index", "private")
INSTALL = ("uv", "pip", "install", *CONFIGURED, "--target", "target/out", "quickstats")
LOOK = {"UV_INDEX_PRIVATE_USERNAME": USER, "UV_INDEX_PRIVATE_PASSWORD": SECRET}
UPLOAD = {"UV_PUBLISH_USERNAME": USER, "UV_PUBLISH_PASSWORD": SECRET}


def test_uv_publishes_to_a_private_index_and_installs_from_it(publisher: Project, index: Index, home: Path) -> None:
    place = {"HOME": str(home), "UV_CACHE_DIR": str(home / "cache"), **UV}
    first = publisher.run(*PUBLISH, check=True, **LOOK, **UPLOAD, **place)
    again = publisher.run(*PUBLISH, check=True, **LOOK, **UPLOAD, **place)
    assert index.files() == ["quickstats-0.1.0-py3-none-any.whl"]
    assert "already exists, skipping" in again.stdout
    installed = publisher.run(*INSTALL, check=True, **LOOK, **place)
    assert (publisher.folder / "target" / "out" / "quickstats.py").exists()
    assert SECRET not in first.stdout + again.stdout + installed.stdout
    assert held(publisher.folder, home, index.folder) == []


def test_what_is_published_is_never_replaced(publisher: Project, index: Index) -> None:
    publisher.run(*PUBLISH, check=True, **LOOK, **UPLOAD, **UV)
    before = (index.folder / index.files()[0]).read_bytes()
    write_wheel(publisher.folder / "dist", "quickstats", "0.1.0", "CHANGED = True\n")
    looked = publisher.run(*PUBLISH, check=False, **LOOK, **UPLOAD, **UV)
    blind = publisher.run("uv", "publish", "--publish-url", f"{index.url}/", check=False, **UPLOAD, **UV)
    assert looked.returncode and "Local file and index file do not match" in looked.stdout
    assert blind.returncode and "409 Conflict" in blind.stdout
    assert (index.folder / index.files()[0]).read_bytes() == before


@pytest.mark.parametrize("password", ["wrong", ""])
def test_without_the_password_nothing_is_uploaded(password: str, publisher: Project, index: Index) -> None:
    secret = {"UV_PUBLISH_USERNAME": USER, "UV_PUBLISH_PASSWORD": password} if password else {}
    blind = ("uv", "publish", "--publish-url", f"{index.url}/", "--trusted-publishing", "never")
    done = publisher.run(*blind, check=False, **secret, **UV)
    assert done.returncode
    assert re.search("403 Forbidden" if password else "(?i)credentials|401|403", done.stdout)
    assert index.files() == []


@pytest.mark.parametrize("password", ["wrong", ""])
def test_without_the_password_nothing_is_installed(password: str, publisher: Project, home: Path) -> None:
    publisher.run(*PUBLISH, check=True, **LOOK, **UPLOAD, **UV)
    secret = {**LOOK, "UV_INDEX_PRIVATE_PASSWORD": password} if password else {}
    done = publisher.run(*INSTALL, check=False, UV_CACHE_DIR=str(home), **secret, **UV)
    assert done.returncode
    assert re.search("403 Forbidden" if password else "Missing credentials", done.stdout)


def test_twine_publishes_with_variables_alone(publisher: Project, index: Index, home: Path) -> None:
    secret = {"TWINE_USERNAME": USER, "TWINE_PASSWORD": SECRET, "TWINE_REPOSITORY_URL": f"{index.url}/"}
    command = (
        "twine",
        "upload",
        "--non-interactive",
        "--disable-progress-bar",
        "dist/quickstats-0.1.0-py3-none-any.whl",
    )
    first = publisher.run(*command, check=True, HOME=str(home), **secret)
    again = publisher.run(*command, check=False, HOME=str(home), **secret)
    assert index.files() == ["quickstats-0.1.0-py3-none-any.whl"]
    assert again.returncode and "400 Bad Request" in again.stdout
    assert SECRET not in first.stdout + again.stdout
    assert held(publisher.folder, home, index.folder) == []
    assert not (home / ".pypirc").exists()


def test_pip_installs_with_a_variable_alone(publisher: Project, index: Index, tmp_path: Path) -> None:
    publisher.run(*PUBLISH, check=True, **LOOK, **UPLOAD, **UV)
    address = f"{index.url}/simple/".replace("//", f"//{USER}:{SECRET}@", 1)
    done = run(*PIP, "install", "--target", "out", "quickstats", cwd=tmp_path, PIP_INDEX_URL=address)
    assert (tmp_path / "out" / "quickstats.py").exists()
    assert SECRET not in done.stdout


def test_cargo_publishes_to_a_registry_that_asks_for_a_token(project: Project, tmp_path: Path) -> None:
    with crate_registry() as registry:
        settings = project.read("channels/private/cargo.toml")
        address = re.search(r'"sparse\+(.+?)/"', settings)
        assert address
        plant(project.folder, "channels/private/cargo.toml", address[1], registry.url)
        project.run("git", "commit", "--quiet", "--all", "--message", "plant")
        here = {"CARGO_HOME": str(tmp_path / "cargo"), "RUSTUP_HOME": rustup_home()}
        command = (
            "cargo",
            "--config",
            "channels/private/cargo.toml",
            "publish",
            "--registry",
            "private",
            "--no-verify",
        )
        refused = project.run(*command, "--package", "river-gauge", check=False, **here)
        done = project.run(
            *command, "--package", "river-gauge", check=True, CARGO_REGISTRIES_PRIVATE_TOKEN=SECRET, **here
        )
        project.run("git", "reset", "--quiet", "--hard", "HEAD~")
    assert refused.returncode and "CARGO_REGISTRIES_PRIVATE_TOKEN" in refused.stdout
    assert registry.crates.keys() == {"river-gauge-0.1.0"}
    assert SECRET not in refused.stdout + done.stdout
    assert held(tmp_path) == []


def rustup_home() -> str:
    """Give where rustup has its toolchains, for a cargo with another home."""
    return os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup"))


# ---- A folder of wheels.


@pytest.fixture
def wheelhouse(tmp_path: Path) -> Path:
    """Give a folder with a folder for each package, which is all that an index is."""
    write_wheel(tmp_path / "house" / "quickstats", "quickstats", "0.1.0")
    return tmp_path / "house"


@pytest.mark.parametrize("installer", [PIP, ("uv", "pip")], ids=["pip", "uv"])
@pytest.mark.parametrize("how", ["--index-url", "--find-links"])
def test_a_folder_of_wheels_is_an_index(installer: tuple[str, ...], how: str, wheelhouse: Path, tmp_path: Path) -> None:
    with folder_server(wheelhouse) as url:
        where = (how, url) if how == "--index-url" else ("--no-index", how, f"{url}/quickstats/")
        run(*installer, "install", "--target", "out", *where, "quickstats==0.1.0", check=True, cwd=tmp_path, **UV)
    assert (tmp_path / "out" / "quickstats.py").exists()


# ---- Dependency confusion: a stranger has the name, and a higher version, on another index.


@pytest.fixture
def indexes(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Give the addresses of an index of one's own and of a public one, where a stranger took the name."""
    write_wheel(tmp_path / "ours" / "quickstats", "quickstats", "0.1.0", "WHOSE = 'ours'\n")
    write_wheel(tmp_path / "public" / "quickstats", "quickstats", "9.9.9", "WHOSE = 'a stranger'\n")
    with folder_server(tmp_path / "ours") as ours, folder_server(tmp_path / "public") as public:
        yield ours, public


def whose(tmp_path: Path) -> str:
    """Tell whose package was installed."""
    return run(sys.executable, "-c", "import quickstats; print(quickstats.WHOSE)", cwd=tmp_path / "out").stdout.strip()


def test_a_second_index_lets_a_stranger_in(indexes: tuple[str, str], tmp_path: Path) -> None:
    ours, public = indexes
    where = ("--index-url", ours, "--extra-index-url", public)
    run(*PIP, "install", "--target", "out", *where, "quickstats", cwd=tmp_path)
    assert whose(tmp_path) == "a stranger"


@pytest.mark.parametrize("installer", [PIP, ("uv", "pip")], ids=["pip", "uv"])
def test_one_index_alone_keeps_a_stranger_out(
    installer: tuple[str, ...], indexes: tuple[str, str], tmp_path: Path
) -> None:
    run(
        *installer,
        "install",
        "--target",
        "out",
        "--index-url",
        indexes[0],
        "quickstats",
        check=True,
        cwd=tmp_path,
        **UV,
    )
    assert whose(tmp_path) == "ours"


def test_uv_asks_the_first_index_that_has_a_name(indexes: tuple[str, str], tmp_path: Path) -> None:
    ours, public = indexes
    where = ("--index", ours, "--default-index", public)
    run("uv", "pip", "install", "--target", "out", *where, "quickstats", check=True, cwd=tmp_path, **UV)
    assert whose(tmp_path) == "ours"


INDEXES = (
    '[[{table}]]\nname = "private"\nurl = "{ours}"\nexplicit = true\n\n[[{table}]]\nurl = "{public}"\ndefault = true\n'
)


def test_an_explicit_index_serves_a_project_that_names_it(indexes: tuple[str, str], tmp_path: Path) -> None:
    ours, public = indexes
    tables = INDEXES.format(table="tool.uv.index", ours=ours, public=public)
    head = '[project]\nname = "consumer"\nversion = "1"\nrequires-python = ">=3.10"\ndependencies = ["quickstats"]\n'
    sources = '\n[tool.uv.sources]\nquickstats = { index = "private" }\n\n'
    (tmp_path / "pyproject.toml").write_text(head + sources + tables)
    shown = run(
        "uv", "run", "python", "-c", "import quickstats; print(quickstats.WHOSE)", check=True, cwd=tmp_path, **UV
    )
    assert shown.stdout.endswith("ours\n")


def test_an_explicit_index_is_never_asked_by_uv_pip(indexes: tuple[str, str], tmp_path: Path) -> None:
    ours, public = indexes
    (tmp_path / "uv.toml").write_text(INDEXES.format(table="index", ours=ours, public=public))
    run(
        "uv",
        "pip",
        "install",
        "--config-file",
        "uv.toml",
        "--target",
        "out",
        "quickstats",
        check=True,
        cwd=tmp_path,
        **UV,
    )
    assert whose(tmp_path) == "a stranger"


def test_hashes_keep_a_stranger_out_of_any_index(indexes: tuple[str, str], tmp_path: Path) -> None:
    ours, public = indexes
    wheel = next((tmp_path / "ours").rglob("*.whl"))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (tmp_path / "requirements.txt").write_text(f"quickstats==0.1.0 --hash=sha256:{digest}\n")
    where = ("--index-url", public, "--extra-index-url", ours, "--requirement", "requirements.txt")
    run(*PIP, "install", "--target", "out", *where, cwd=tmp_path)
    assert whose(tmp_path) == "ours"


# ---- From git.


@pytest.fixture(scope="module")
def published(source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Give the address of a bare repository, and the commits of three versions: a tag's, one between, a branch's."""
    folder = tmp_path_factory.mktemp("git")
    project = new_project(source, folder / "quickstats", {}, target)
    project.run("cargo", "generate-lockfile")
    found = {"address": f"git+{(folder / 'bare.git').as_uri()}"}
    for version in ("0.1.0", "0.2.0", "0.3.0"):
        before = project.read("Cargo.toml").split('version = "')[1].split('"')[0]
        plant(project.folder, "Cargo.toml", f'version = "{before}"', f'version = "{version}"')
        project.run("cargo", "update", "--quiet", "--workspace")
        project.commit(version)
        found[version] = project.run("git", "rev-parse", "HEAD").stdout.strip()
    project.run("git", "tag", "v0.1.0", found["0.1.0"])
    project.run("git", "clone", "--quiet", "--bare", ".", folder / "bare.git")
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "installer", "version"),
    [("tag", PIP, "0.1.0"), ("commit", ("uv", "pip"), "0.2.0"), ("branch", ("uv", "pip"), "0.3.0")],
    ids=["tag", "commit", "branch"],
)
def test_a_project_installs_from_git_by(
    kind: str, installer: tuple[str, ...], version: str, published: dict[str, str], target: Path, tmp_path: Path
) -> None:
    commit = published[version]
    name = {"tag": f"v{version}", "commit": commit, "branch": "main"}[kind]
    (tmp_path / "requirements.txt").write_text(f"quickstats @ {published['address']}@{name}\n")
    variables = {"MATURIN_PEP517_ARGS": f"--profile dev --target-dir {target}", "UV_NO_CACHE": "1", **UV}
    where = ("--no-deps", "--target", "out", "--requirement", "requirements.txt")
    run(*installer, "install", *where, cwd=tmp_path, check=True, **variables)
    (information,) = (tmp_path / "out").glob("*.dist-info")
    assert information.name == f"quickstats-{version}.dist-info"
    origin = json.loads((information / "direct_url.json").read_text("utf-8"))
    assert origin["vcs_info"]["commit_id"] == commit
