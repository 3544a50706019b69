"""Does every variant build, install, import, pass its own tests, and stand clean under its own tools?"""

from __future__ import annotations

import email.message
import email.parser
import json
import re
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from template import Project, clean_environment, facts, missing_tool, run

pytestmark = pytest.mark.slow


def pythons(project: Project) -> list[str]:
    """Name the Pythons on the machine that a project supports, the lowest first."""
    lowest = facts()["pythons"].index(project.answer("python"))
    return [
        version
        for version in facts()["pythons"][lowest:]
        if shutil.which(f"python{version}", path=clean_environment()["PATH"])
    ]


@dataclass(frozen=True)
class Wheel:
    """What a wheel says of itself."""

    path: Path

    @property
    def names(self) -> list[str]:
        """List the files."""
        with zipfile.ZipFile(self.path) as archive:
            return archive.namelist()

    def read(self, end: str) -> str:
        """Read the one file whose name ends so."""
        (name,) = (name for name in self.names if name.endswith(end))
        with zipfile.ZipFile(self.path) as archive:
            return archive.read(name).decode()

    @property
    def metadata(self) -> email.message.Message:
        """Parse the core metadata."""
        return email.parser.Parser().parsestr(self.read(".dist-info/METADATA"))

    @property
    def tag(self) -> str:
        """Give the tag but for the platform."""
        return "-".join(self.path.stem.split("-")[2:4])


def nox(project: Project, *sessions: str, arguments: tuple[str, ...] = ()) -> str:
    """Run sessions of the project, keeping environments between calls."""
    return project.run("nox", "--reuse-venv=yes", "--session", *sessions, "--", *arguments).stdout


def library(version: str) -> bool:
    """Tell whether a Python has the library that Rust tests link; Debian's, unpacked by .ci/newer-pythons, has not."""
    code = "import pathlib, sysconfig as s; print(pathlib.Path(s.get_config_var('LIBDIR'), s.get_config_var('LDLIBRARY')).exists())"
    return run(f"python{version}", "-c", code, cwd=Path.cwd()).stdout.strip() == "True"


@pytest.fixture(scope="session")
def tested(variant: Project) -> Project:
    """Give a variant whose own checks and tests have passed on the Pythons of the machine."""
    present = pythons(variant)
    if not present:
        missing_tool(f"no Python from {variant.answer('python')} on is on this machine", "NO_NEWER_PYTHONS")
    # Every Python for the default, whose wheel is like the others'; the lowest for the rest.
    chosen = present if not variant.answers else present[:1]
    sessions = ["lint", "stubs", *(f"test-{version}" for version in chosen)]
    if not library(chosen[0]):
        sessions = ["lint", "stubs"]
        check_wheel(variant, chosen[0])
    output = nox(variant, *sessions)
    assert output.count(" was successful") == len(sessions), output
    assert "Success: no issues found" in output
    return variant


def check_wheel(variant: Project, version: str) -> None:
    """Do what the session `test` does, without the Rust tests."""
    environment = variant.folder / ".nox" / "wheel"
    variant.run("uv", "venv", "--quiet", "--clear", "--python", f"python{version}", environment)
    python = environment / "bin" / "python"
    variant.run("uv", "pip", "install", "--quiet", "--python", python, build(variant), "pytest")
    variant.run(python, "-m", "pytest", "tests")


def build(variant: Project) -> Path:
    """Build a quick wheel with the stable ABI, which holds what a release's does."""
    out = variant.folder / "dist"
    shutil.rmtree(out, ignore_errors=True)
    # By the build backend, which may take the version from git.
    options = (f"--python=python{pythons(variant)[0]}", "-C", "build-args=--profile dev", f"--out-dir={out}")
    variant.run("uv", "build", "--quiet", "--wheel", *options)
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def wheel(tested: Project) -> Wheel:
    """Give a wheel of a variant that passed its own tests."""
    return Wheel(build(tested))


def test_tools_resolve_on_every_python(variant: Project, tmp_path: Path) -> None:
    folder = shutil.copytree(variant.folder, tmp_path / "project", ignore=shutil.ignore_patterns("target", ".nox"))
    run("uv", "lock", cwd=folder)


def test_variant_passes_its_own_checks(tested: Project) -> None:
    assert set(tested.run("git", "status", "--porcelain").stdout.splitlines()) <= {"?? Cargo.lock"}


def test_wheel_is_abi3_from_the_lowest_python(wheel: Wheel, tested: Project) -> None:
    number = tested.answer("python").replace(".", "")
    assert wheel.tag == f"cp{number}-abi3"
    assert f"Tag: cp{number}-abi3-" in wheel.read("/WHEEL")


def test_wheel_holds_the_package_and_nothing_else(wheel: Wheel, tested: Project) -> None:
    package = tested.answer("package")
    distribution = re.sub(r"[-_.]+", "_", tested.answer("name"))
    information = f"{distribution}-0.1.0.dist-info/"
    expected = {
        "mixed": {"__init__.py", "_core.pyi", "py.typed", "_core.abi3.so"},
        "pure": {"__init__.py", "__init__.pyi", "py.typed", f"{package}.abi3.so"},
    }
    layout = "pure" if tested.answer("layout") == "pure" else "mixed"
    files = {name.removeprefix(f"{package}/") for name in wheel.names if not name.startswith(information)}
    assert files == expected[layout]


def test_metadata_says_what_the_answers_say(wheel: Wheel, tested: Project) -> None:
    metadata = wheel.metadata
    assert metadata["Name"] == tested.answer("name")
    assert metadata["Version"] == "0.1.0"
    assert metadata["Summary"] == tested.answer("description")
    assert metadata["License-Expression"] == tested.answer("license")
    assert metadata["Requires-Python"] == f">={tested.answer('python')}"
    assert metadata["Author-email"] == f"{tested.answer('author_name')} <{tested.answer('author_email')}>"
    assert metadata["Description-Content-Type"].startswith("text/markdown")
    assert f"Repository, {tested.answer('repository')}" in metadata.get_all("Project-URL", [])
    assert [name.split(">")[0] for name in metadata.get_all("Requires-Dist", [])] == (
        ["numpy"] if "numpy" in tested.answer("extras") else []
    )
    assert not any(value.startswith("License ::") for value in metadata.get_all("Classifier", []))
    assert metadata.get_all("Provides-Extra") is None


def test_wheel_carries_its_licence_files(wheel: Wheel, tested: Project) -> None:
    files = sorted(path.name for path in tested.folder.glob("LICENSE*"))
    assert sorted(wheel.metadata.get_all("License-File", [])) == files
    assert sorted(name.rsplit("/", 1)[1] for name in wheel.names if "/licenses/" in name) == files


def test_sbom_lists_linked_crates(wheel: Wheel, tested: Project) -> None:
    components = {part["name"] for part in json.loads(wheel.read(".cyclonedx.json"))["components"]}
    assert {"pyo3", *(tested.answer("extras"))} <= components
    assert "criterion" not in components


def test_wheel_imports_on_every_python(wheel: Wheel, tested: Project, tmp_path: Path) -> None:
    package = tested.answer("package")
    for version in pythons(tested):
        environment = tmp_path / version
        tested.run("uv", "venv", "--quiet", "--python", f"python{version}", environment)
        python = environment / "bin" / "python"
        tested.run("uv", "pip", "install", "--quiet", "--python", python, wheel.path)
        # importlib.metadata takes time to import; `__version__` needs it only when somebody asks.
        script = f"print({package}.summarize([1, 3]).mean, 'importlib.metadata' in sys.modules)"
        done = tested.run(python, "-P", "-c", f"import sys, {package}; {script}")
        assert done.stdout.strip() == "2.0 False"
