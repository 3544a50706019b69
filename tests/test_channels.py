"""Does each channel accept what the project gives it, and do the commands of its page do what the page says?"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import new_project
from rattler_build import RattlerBuildError, Stage0Recipe, VariantConfig

from checks import find_tool, plant
from servers import SECRET, USER, Index, crate_registry, folder_server, private_index
from template import Project, facts, questions, render, run

CHANNELS = list(questions()["channels"]["choices"].values())
UV = {"UV_NO_PROGRESS": "1", "UV_PYTHON": sys.executable}
PIP = ("uvx", "--quiet", "--python", sys.executable, "pip")


@pytest.fixture(scope="module")
def shared(source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give one project with every channel."""
    answers = {"package": "river_gauge", "layout": "workspace", "channels": CHANNELS, "extras": ["numpy"]}
    project = new_project(source, tmp_path_factory.mktemp("channels") / "river-gauge", answers, target)
    project.run("cargo", "generate-lockfile")
    project.commit("Lock")
    return project


@pytest.fixture
def project(shared: Project) -> Iterator[Project]:
    """Give the project, and undo afterwards what a test does in it."""
    yield shared
    shared.run("git", "reset", "--quiet", "--hard")
    shared.run("git", "clean", "--quiet", "--force", "-d")
    shared.run("rm", "-rf", "dist")


def write_wheel(folder: Path, name: str, version: str, content: str = "", tag: str = "py3-none-any") -> Path:
    """Write a wheel of one module."""
    folder.mkdir(parents=True, exist_ok=True)
    information = f"{name}-{version}.dist-info"
    wheel = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}.py", content)
        archive.writestr(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{information}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{information}/RECORD", "")
    return wheel


# ---- crates.


def commands_of_the_workflow(project: Project) -> dict[str, list[str]]:
    """Read the commands of each job that publishes crates."""
    jobs = yaml.safe_load(project.read(".github/workflows/crates.yml"))["jobs"]
    return {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}


def shell(project: Project, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a workflow does."""
    return project.run("bash", "-e", "-o", "pipefail", "-c", command, check=False, **variables)


@pytest.fixture
def registry_variables(tmp_path: Path) -> Iterator[tuple[Any, dict[str, str]]]:
    """Give a registry that takes the place of crates.io, and the variables that say so."""
    with crate_registry() as registry:
        variables = {
            **empty_cargo_home(tmp_path),
            "CARGO_REGISTRIES_HERE_INDEX": f"sparse+{registry.url}/",
            "CARGO_REGISTRIES_HERE_TOKEN": SECRET,
            "CARGO_REGISTRIES_HERE_CREDENTIAL_PROVIDER": "cargo:token",
            "CARGO_REGISTRY_DEFAULT": "here",
        }
        yield registry, variables


def empty_cargo_home(folder: Path) -> dict[str, str]:
    """Give cargo another home, with the same toolchains."""
    rustup = os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup"))
    return {"CARGO_HOME": str(folder / "cargo"), "RUSTUP_HOME": rustup}


def test_crate_is_packaged_with_readme_and_licence(project: Project) -> None:
    listed = project.run("cargo", "package", "--list", "--package", "river-gauge").stdout.split()
    assert {"README.md", "LICENSE-MIT", "LICENSE-APACHE", "src/lib.rs"} <= {*listed}
    for path in project.folder.glob("LICENSE*"):
        assert project.read(f"crates/river-gauge/{path.name}") == path.read_text("utf-8")


def test_dry_run_builds_and_uploads_nothing(project: Project) -> None:
    tag, dry_run = commands_of_the_workflow(project)["check"]
    assert shell(project, tag, GITHUB_REF_NAME="v0.1.0").returncode == 0
    assert shell(project, tag, GITHUB_REF_NAME="v0.2.0").returncode
    done = shell(project, dry_run)
    assert done.returncode == 0, done.stdout
    assert "Verifying river-gauge v0.1.0" in done.stdout
    assert "aborting upload due to dry run" in done.stdout
    assert "river-gauge-py" not in done.stdout


def test_crate_is_published_without_the_binding(
    project: Project, registry_variables: tuple[Any, dict[str, str]]
) -> None:
    registry, variables = registry_variables
    (command,) = commands_of_the_workflow(project)["publish"]
    first, again = (shell(project, command, **variables) for _ in range(2))
    assert first.returncode == 0, first.stdout
    assert registry.crates.keys() == {"river-gauge-0.1.0"}
    assert again.returncode
    assert "already exists" in again.stdout


def test_crate_by_path_alone_is_refused(project: Project) -> None:
    (project.folder / "crates" / "spare" / "src").mkdir(parents=True)
    (project.folder / "crates" / "spare" / "src" / "lib.rs").touch()
    (project.folder / "crates" / "spare" / "Cargo.toml").write_text('[package]\nname = "spare"\npublish = false\n')
    addition = '\n[dependencies.spare]\npath = "../spare"\n\n[dev-dependencies]'
    plant(project.folder, "crates/river-gauge/Cargo.toml", "\n[dev-dependencies]", addition)
    done = project.run("cargo", "publish", "--workspace", "--dry-run", "--allow-dirty", check=False)
    assert done.returncode
    assert "must have a version requirement specified when publishing" in " ".join(done.stdout.split())


# ---- conda.

RECIPE = "channels/conda/recipe.yaml"


def rendered(project: Project, sdist: str, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Render the recipe: a package for each Python."""
    monkeypatch.setenv("SDIST", sdist)
    folder = project.folder / "channels" / "conda"
    packages = Stage0Recipe.from_file(folder / "recipe.yaml").render(VariantConfig.from_file(folder / "variants.yaml"))
    return [package.recipe.to_dict() for package in packages]


def test_recipe_describes_the_project(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = rendered(project, "river_gauge-0.1.0.tar.gz", monkeypatch)
    assert len(packages) == len(facts()["pythons"])
    for package in packages:
        assert package["package"] == {"name": "river-gauge", "version": "0.1.0"}
        assert package["about"] == {
            "license": "MIT OR Apache-2.0",
            "license_file": ["LICENSE*"],
            "repository": "https://github.com/example/river-gauge",
            "summary": "Running statistics with a Rust core",
        }
        assert any(name.startswith("rust_") for name in package["requirements"]["build"])
        assert package["requirements"]["run"] == ["python", "numpy >=1.26"]


@pytest.mark.parametrize(("old", "new"), [("package:", "package: ["), ("build:", "bulid:")])
def test_broken_recipe_is_refused(old: str, new: str, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(project.folder, RECIPE, old, new)
    with pytest.raises(RattlerBuildError):
        rendered(project, "river_gauge-0.1.0.tar.gz", monkeypatch)


@pytest.mark.slow
def test_recipe_script_builds_and_its_tests_pass(
    source: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = new_project(source, tmp_path / "quickstats", {"channels": ["conda"]}, target)
    project.run("uv", "build", "--quiet", "--sdist")
    (sdist,) = (project.folder / "dist").glob("*.tar.gz")
    package = rendered(project, sdist.name, monkeypatch)[0]
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = tmp_path / sdist.name.removesuffix(".tar.gz")
    assert list(unpacked.glob("LICENSE*"))
    environment = tmp_path / "environment"
    python = environment / "bin" / "python"
    imports, tests = package["tests"]
    needed = {*package["requirements"]["host"], *tests["requirements"]["run"]} - {"python"}
    run("uv", "venv", "--quiet", "--python", sys.executable, environment, cwd=tmp_path)
    run("uv", "pip", "install", "--quiet", "--python", python, *sorted(needed), cwd=tmp_path)
    path = os.pathsep.join([str(environment / "bin"), os.environ["PATH"]])
    arguments = f"--profile dev --target-dir {target}"
    command = package["build"]["script"].replace("${{ PYTHON }}", str(python))
    run("sh", "-c", command, cwd=unpacked, PATH=path, MATURIN_PEP517_ARGS=arguments)
    run(python, "-c", f"import {', '.join(imports['python']['imports'])}", cwd=tmp_path)
    apart = tmp_path / "apart"
    for name in tests["files"]["source"]:
        shutil.copytree(unpacked / name, apart / name)
    assert " passed" in run("sh", "-c", tests["script"], cwd=apart, PATH=path).stdout


# ---- container.

DOCKERFILE = "channels/container/Dockerfile"


def test_dockerfile_is_clean_and_not_root(project: Project) -> None:
    project.run(find_tool("hadolint"), "--no-color", DOCKERFILE)
    text = project.read(DOCKERFILE)
    instructions = re.sub(r"(?m)^#.*$", "", text)
    assert "hadolint ignore" not in text
    assert re.findall(r"(?m)^USER ([^\s:]+)", instructions[instructions.rindex("\nFROM ") :]) == ["10001"]
    assert not re.search(r"rustup|cargo|rustc|curl", instructions)


def replay(project: Project, folder: Path, **arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the commands of the Dockerfile with folders in place of those of an image."""
    shutil.copytree(project.folder / "dist", folder / "wheels")
    (command,) = re.findall(r"(?m)^RUN ((?:.*\\\n)*.*)$", project.read(DOCKERFILE))
    command = command.replace("/opt/venv", f"{folder}/venv").replace("/wheels", f"{folder}/wheels")
    return run("sh", "-c", command, cwd=folder, check=False, **arguments)


def test_image_installs_the_wheel_without_pip(project: Project, tmp_path: Path) -> None:
    write_wheel(project.folder / "dist", "river_gauge", "0.1.0")
    write_wheel(project.folder / "dist", "river_gauge", "0.2.0")
    done = replay(project, tmp_path, VERSION="0.1.0")
    assert done.returncode == 0, done.stdout
    assert list((tmp_path / "venv").rglob("river_gauge-0.1.0.dist-info"))
    assert not list((tmp_path / "venv" / "bin").glob("pip*"))


@pytest.mark.parametrize(
    ("tag", "arguments", "message"),
    [
        ("py3-none-any", {}, "VERSION: is missing: --build-arg VERSION=1.2.3"),
        ("py3-none-any", {"VERSION": "0.2.0"}, "No matching distribution found for river-gauge==0.2.0"),
        ("cp311-abi3-musllinux_1_2_x86_64", {"VERSION": "0.1.0"}, "No matching distribution found"),
    ],
    ids=["no version", "another version", "a wheel for another system"],
)
def test_image_is_not_built_from(
    tag: str, arguments: dict[str, str], message: str, project: Project, tmp_path: Path
) -> None:
    write_wheel(project.folder / "dist", "river_gauge", "0.1.0", tag=tag)
    done = replay(project, tmp_path, **arguments)
    assert done.returncode
    assert message in done.stdout


# ---- private.

CONFIGURED = ("--config-file", "channels/private/uv.toml")
PUBLISH = ("uv", "publish", *CONFIGURED, "--index", "private")
INSTALL = ("uv", "pip", "install", *CONFIGURED, "--target", "target/out", "quickstats")
READ = {"UV_INDEX_PRIVATE_USERNAME": USER, "UV_INDEX_PRIVATE_PASSWORD": SECRET}
UPLOAD = {"UV_PUBLISH_USERNAME": USER, "UV_PUBLISH_PASSWORD": SECRET}


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


def files_with_secret(*folders: Path) -> list[Path]:
    """Find the secret in files."""
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return [path for path in files if SECRET.encode() in path.read_bytes()]


def test_uv_publishes_twice_and_installs(publisher: Project, index: Index, tmp_path: Path) -> None:
    place = {"HOME": str(tmp_path / "home"), "UV_CACHE_DIR": str(tmp_path / "home" / "cache"), **UV}
    first = publisher.run(*PUBLISH, check=True, **READ, **UPLOAD, **place)
    again = publisher.run(*PUBLISH, check=True, **READ, **UPLOAD, **place)
    assert index.files() == ["quickstats-0.1.0-py3-none-any.whl"]
    assert "already exists, skipping" in again.stdout
    installed = publisher.run(*INSTALL, check=True, **READ, **place)
    assert (publisher.folder / "target" / "out" / "quickstats.py").exists()
    assert SECRET not in first.stdout + again.stdout + installed.stdout
    assert files_with_secret(publisher.folder, tmp_path / "home", index.folder) == []


def test_published_file_is_never_replaced(publisher: Project, index: Index) -> None:
    publisher.run(*PUBLISH, check=True, **READ, **UPLOAD, **UV)
    before = (index.folder / index.files()[0]).read_bytes()
    write_wheel(publisher.folder / "dist", "quickstats", "0.1.0", "CHANGED = True\n")
    done = publisher.run(*PUBLISH, check=False, **READ, **UPLOAD, **UV)
    assert done.returncode
    assert "Local file and index file do not match" in done.stdout
    assert (index.folder / index.files()[0]).read_bytes() == before


@pytest.mark.parametrize("password", ["wrong", ""])
def test_private_index_requires_the_password(password: str, publisher: Project, index: Index) -> None:
    secret = {name: password if name.endswith("PASSWORD") else USER for name in (*READ, *UPLOAD)} if password else {}
    blind = ("uv", "publish", "--publish-url", f"{index.url}/", "--trusted-publishing", "never")
    uploaded = publisher.run(*blind, check=False, **secret, **UV)
    assert uploaded.returncode
    assert re.search("403 Forbidden" if password else "(?i)credentials|401|403", uploaded.stdout)
    assert index.files() == []
    installed = publisher.run(*INSTALL, check=False, **secret, **UV)
    assert installed.returncode
    assert re.search("403 Forbidden" if password else "Missing credentials", installed.stdout)


def test_twine_and_pip_take_variables(publisher: Project, index: Index, tmp_path: Path) -> None:
    secret = {"TWINE_USERNAME": USER, "TWINE_PASSWORD": SECRET, "TWINE_REPOSITORY_URL": f"{index.url}/"}
    command = ("twine", "upload", "--non-interactive", "--disable-progress-bar")
    wheel = "dist/quickstats-0.1.0-py3-none-any.whl"
    (tmp_path / "home").mkdir()
    first = publisher.run(*command, wheel, check=True, HOME=str(tmp_path / "home"), **secret)
    again = publisher.run(*command, wheel, check=False, HOME=str(tmp_path / "home"), **secret)
    assert again.returncode
    assert "400 Bad Request" in again.stdout
    address = f"{index.url}/simple/".replace("//", f"//{USER}:{SECRET}@", 1)
    installed = run(*PIP, "install", "--target", "out", "quickstats", cwd=tmp_path, PIP_INDEX_URL=address)
    assert (tmp_path / "out" / "quickstats.py").exists()
    assert SECRET not in first.stdout + again.stdout + installed.stdout
    assert files_with_secret(publisher.folder, tmp_path / "home", index.folder) == []


def test_twine_reads_a_pypirc_that_is_there(publisher: Project, index: Index, tmp_path: Path) -> None:
    settings = ["[distutils]", "index-servers = ours", "[ours]", f"repository = {index.url}/"]
    (tmp_path / "pypirc").write_text("\n".join([*settings, f"username = {USER}", f"password = {SECRET}", ""]))
    command = ("twine", "upload", "--config-file", tmp_path / "pypirc", "--repository", "ours")
    publisher.run(*command, "dist/quickstats-0.1.0-py3-none-any.whl")
    assert index.files() == ["quickstats-0.1.0-py3-none-any.whl"]


def test_cargo_publishes_with_a_token_alone(project: Project, tmp_path: Path) -> None:
    with crate_registry() as registry:
        (address,) = re.findall(r'"sparse\+(.+?)/"', project.read("channels/private/cargo.toml"))
        plant(project.folder, "channels/private/cargo.toml", address, registry.url)
        command = ("cargo", "--config", "channels/private/cargo.toml", "publish", "--registry", "private")
        options = ("--no-verify", "--allow-dirty", "--package", "river-gauge")
        here = empty_cargo_home(tmp_path)
        refused = project.run(*command, *options, check=False, **here)
        done = project.run(*command, *options, check=True, CARGO_REGISTRIES_PRIVATE_TOKEN=SECRET, **here)
    assert refused.returncode
    assert "CARGO_REGISTRIES_PRIVATE_TOKEN" in refused.stdout
    assert registry.crates.keys() == {"river-gauge-0.1.0"}
    assert SECRET not in refused.stdout + done.stdout
    assert files_with_secret(tmp_path) == []


# ---- Indexes: a folder is one, and with two, a stranger may have the name.


@pytest.fixture
def indexes(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Give the addresses of an index of one's own and of a public one, where a stranger has the name."""
    ours = write_wheel(tmp_path / "ours" / "quickstats", "quickstats", "0.1.0", "WHOSE = 'ours'\n")
    write_wheel(tmp_path / "public" / "quickstats", "quickstats", "9.9.9", "WHOSE = 'a stranger'\n")
    (tmp_path / "hashes.txt").write_text(
        f"quickstats==0.1.0 --hash=sha256:{hashlib.sha256(ours.read_bytes()).hexdigest()}\n"
    )
    with folder_server(tmp_path / "ours") as own, folder_server(tmp_path / "public") as public:
        tables = f'[[index]]\nurl = "{own}"\nexplicit = true\n\n[[index]]\nurl = "{public}"\ndefault = true\n'
        (tmp_path / "uv.toml").write_text(tables.replace("url", 'name = "private"\nurl', 1))
        yield {"ours": own, "public": public}


FORMS = {
    "pip, a folder as an index": (PIP, "--index-url {ours} quickstats", "ours"),
    "pip, a folder of links": (PIP, "--no-index --find-links {ours}/quickstats/ quickstats", "ours"),
    "pip, two indexes": (PIP, "--index-url {ours} --extra-index-url {public} quickstats", "a stranger"),
    "pip, hashes": (PIP, "--index-url {public} --extra-index-url {ours} --requirement hashes.txt", "ours"),
    "uv, one index": (("uv", "pip"), "--index-url {ours} quickstats", "ours"),
    "uv, two indexes": (("uv", "pip"), "--index {ours} --default-index {public} quickstats", "ours"),
    "uv, an explicit index": (("uv", "pip"), "--config-file uv.toml quickstats", "a stranger"),
}


@pytest.mark.parametrize("form", FORMS)
def test_package_comes_from_the_expected_index(form: str, indexes: dict[str, str], tmp_path: Path) -> None:
    installer, options, owner = FORMS[form]
    run(*installer, "install", "--target", "out", *options.format(**indexes).split(), cwd=tmp_path, check=True, **UV)
    code = "import quickstats; print(quickstats.WHOSE)"
    assert run(sys.executable, "-c", code, cwd=tmp_path / "out").stdout.strip() == owner


def test_explicit_index_serves_projects_that_name_it(indexes: dict[str, str], tmp_path: Path) -> None:
    head = '[project]\nname = "consumer"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["quickstats"]\n'
    sources = '\n[tool.uv.sources]\nquickstats = { index = "private" }\n\n'
    tables = (tmp_path / "uv.toml").read_text().replace("[[index]]", "[[tool.uv.index]]")
    (tmp_path / "pyproject.toml").write_text(head + sources + tables)
    (tmp_path / "uv.toml").unlink()
    code = "import quickstats; print(quickstats.WHOSE)"
    assert run("uv", "run", "python", "-c", code, cwd=tmp_path, check=True, **UV).stdout.endswith("ours\n")
