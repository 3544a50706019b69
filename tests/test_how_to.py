"""What the pages in docs/how-to say of the tools, where running their commands does not show it."""

from __future__ import annotations

import re
import shutil
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from test_docs import QUICK
from test_refused import DEV, sections

from checks import find_tool
from planting import append, maturin_key, replace
from template import ROOT, Project, missing_tool, render, run
from variants import VARIANTS

HOW_TO = ROOT / "docs" / "how-to"
slow = pytest.mark.slow


def built(project: Project, pattern: str = "*.whl") -> Path:
    """Find the artifact in dist/."""
    (path,) = (project.folder / "dist").glob(pattern)
    return path


def in_wheel(project: Project) -> set[str]:
    """List the files of the wheel."""
    return set(zipfile.ZipFile(built(project)).namelist())


def in_sdist(project: Project) -> set[str]:
    """List the files of the sdist, without its folder."""
    with tarfile.open(built(project, "*.tar.gz")) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


# ---- Keys and options.

# Keys of [tool.maturin], from the schema of maturin 1.16.
# fmt: off
KEYS = {
    "all-features", "auditwheel", "bindings", "compatibility", "config", "data", "editable-profile",
    "exclude", "features", "frozen", "generate-ci", "include", "include-import-lib", "locked",
    "manifest-path", "module-name", "no-default-features", "pgo-command", "pgo-dependency-group", "profile",
    "python-packages", "python-source", "rustc-args", "sbom", "sdist-generator", "skip-auditwheel", "strip",
    "target", "targets", "unstable-flags", "use-base-python",
}
# fmt: on


def maturin_keys(pyproject: str) -> set[str]:
    """Read the keys of [tool.maturin]."""
    return set(tomllib.loads(pyproject).get("tool", {}).get("maturin", {}))


def test_maturin_knows_keys_of_projects_and_pages(source: Path, tmp_path: Path) -> None:
    pages = "".join(page.read_text("utf-8") for page in HOW_TO.glob("*.md"))
    for block in re.findall(r"(?s)```toml pyproject.toml\n(.*?)```", pages):
        assert maturin_keys(block) <= KEYS
    for name, answers in VARIANTS.items():
        assert maturin_keys((render(source, tmp_path / name, answers) / "pyproject.toml").read_text("utf-8")) <= KEYS


@slow
def test_options_of_maturin_work_as_described(project: Project) -> None:
    plain = project.run(
        *DEV, "--compatibility", "linux", "--timings", "--jobs=1", "--frozen", "--manifest-path=Cargo.toml"
    )
    assert "-linux_" in built(project).name, plain.stdout
    assert (project.folder / "target/maturin/cargo-timings/cargo-timing.html").exists()
    replace("Cargo.toml", 'rust-version = "1.', 'rust-version = "1.9')(project)
    flags = project.run(
        *DEV, "--ignore-rust-version", "--find-interpreter", "--verbose", "--", "--cfg", "planted"
    ).stdout
    assert "--cfg planted" in flags
    # One wheel of a stable ABI: that of abi3t, if a Python that has it is found.
    assert ("for abi3 Python" in flags) != ("for abi3t Python" in flags)


@slow
def test_platform_tag_is_checked(project: Project) -> None:
    done = project.run(*DEV, "--compatibility", "manylinux2014", check=False)
    assert "too-recent versioned symbols" in done.stdout
    project.run(*DEV, "--compatibility", "pypi")
    tags = built(project).stem.rpartition("-")[2].split(".")
    report = project.run("auditwheel", "show", built(project)).stdout
    assert any(f'"{tag}"' in report for tag in tags), (tags, report)
    refused = project.run(*DEV, "--compatibility", "pypi", "linux", check=False).stdout
    assert "is not allowed by PyPI" in refused


@slow
def test_zstd_wheel_needs_python_3_14(project: Project, tmp_path: Path) -> None:
    project.run(*DEV, "--compression-method", "zstd")
    command = (sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--target", tmp_path / "out")
    done = run(*command, built(project), cwd=tmp_path, check=False)
    assert (done.returncode == 0) == (sys.version_info >= (3, 14))


@slow
def test_variables_work_as_described(project: Project) -> None:
    other = shutil.which("python3.12") or missing_tool("Python 3.12 is not on this machine")
    shown = project.run("cargo", "check", check=False, PYO3_PYTHON=other, PYO3_PRINT_CONFIG="1").stdout
    assert re.search(r"executable=.*python3\.12", shown)
    once, again = (
        built(project).read_bytes()
        for jobs in ("2", "1")
        if project.run(*DEV, MATURIN_STRIP="true", CARGO_BUILD_JOBS=jobs, SOURCE_DATE_EPOCH="1790000000")
    )
    assert once == again


@slow
def test_system_library_is_copied_into_wheel(project: Project, tmp_path: Path) -> None:
    if "liblzma.so.5" not in run("/sbin/ldconfig", "-p", cwd=tmp_path).stdout:
        missing_tool("liblzma is not on this machine")
    flags = '    println!("cargo::rustc-cdylib-link-arg=-Wl,--no-as-needed,-l:liblzma.so.5");\n'
    replace("build.rs", "fn main() {\n", f"fn main() {{\n{flags}")(project)
    done = project.run(*DEV, "--auditwheel", "check", check=False)
    assert "Your library requires copying" in done.stdout
    project.run(*DEV)
    (name,) = (name for name in in_wheel(project) if ".libs/" in name)
    assert re.fullmatch(r"quickstats\.libs/liblzma-[0-9a-f]+\.so\.5", name)
    zipfile.ZipFile(built(project)).extractall(tmp_path)
    run(sys.executable, "-c", "import quickstats", cwd=tmp_path)


@slow
def test_checks_change_no_file(project: Project) -> None:
    append("tests/test_package.py", "x  = 1\n")(project)
    append("src/lib.rs", "\n\n\n")(project)
    before = project.run("git", "diff").stdout
    done = project.run("nox", "--session", "lint", check=False)
    assert "would be reformatted" in done.stdout, done.stdout
    assert project.run("git", "diff").stdout == before


# ---- What the packages carry.


@slow
def test_files_are_included_in_three_forms(project: Project) -> None:
    forms = [
        '{ path = "tables.json", from = "out-dir", to = "quickstats/" }',
        '{ path = "notes/*.md", format = "sdist" }',
        '{ path = "python/quickstats/*.dat", format = ["sdist", "wheel"] }',
    ]
    replace("pyproject.toml", "include = [", f"include = [{', '.join(forms)}, ")(project)
    for name in ("notes/one.md", "python/quickstats/one.dat"):
        append(name, "one")(project)
    append(".gitignore", "*.dat\nnotes\n")(project)
    write = 'std::fs::write(std::path::Path::new(&std::env::var_os("OUT_DIR").unwrap()).join("tables.json"), "{}").unwrap();'
    replace("build.rs", "fn main() {\n", f"fn main() {{\n    {write}\n")(project)
    project.run(*DEV)
    project.run("maturin", "sdist", "--out", "dist")
    assert {"notes/one.md", "python/quickstats/one.dat"} <= in_sdist(project)
    assert in_wheel(project) >= {"quickstats/one.dat", "quickstats/tables.json"}
    assert "notes/one.md" not in in_wheel(project)


def without_workflows(listing: str) -> set[str]:
    """Remove from a list of files what pyproject.toml excludes."""
    return {name for name in listing.split() if not name.startswith(".github/")}


@slow
def test_sdist_has_files_of_cargo_or_git(project: Project) -> None:
    project.run("maturin", "sdist", "--out", "dist")
    packaged = without_workflows(project.run("cargo", "package", "--list", "--allow-dirty").stdout)
    assert in_sdist(project) ^ packaged <= {"PKG-INFO", ".cargo_vcs_info.json", "Cargo.toml.orig"}
    maturin_key('sdist-generator = "git"')(project)
    project.run("maturin", "sdist", "--out", "dist")
    assert in_sdist(project) == {*without_workflows(project.run("git", "ls-files").stdout), "PKG-INFO"}


@slow
def test_file_missing_in_sdist_stops_build(project: Project) -> None:
    replace("pyproject.toml", ".github/**/*", "src/errors.rs")(project)
    done = project.run(*DEV, "--sdist", check=False)
    assert "file not found for module `errors`" in done.stdout


@slow
def test_sdist_without_rust_stops_with_reason(project: Project, tmp_path: Path) -> None:
    project.run("maturin", "sdist", "--out", "dist")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "uv").symlink_to(find_tool("uv"))
    project.run("uv", "venv", "--quiet", tmp_path / "environment")
    install = ("uv", "pip", "install", "--python", tmp_path / "environment", built(project, "*.tar.gz"))
    done = project.run(*install, check=False, PATH=str(folder), MATURIN_NO_INSTALL_RUST="1")
    assert "Do you have cargo in your PATH?" in done.stdout, done.stdout


# ---- Metadata.


def test_extra_may_name_other_extras(project: Project) -> None:
    extras = '[project.optional-dependencies]\nplot = ["matplotlib>=3.11"]\nall = ["quickstats[plot]"]\n\n[dependency-groups]'
    replace("pyproject.toml", "[dependency-groups]", extras)(project)
    project.run("maturin", "sdist", "--out", "dist")
    with tarfile.open(built(project, "*.tar.gz")) as archive:
        metadata = archive.extractfile("quickstats-0.1.0/PKG-INFO")
        assert metadata and re.search(rb"Requires-Dist: quickstats\[plot\] ?; ?extra == ['\"]all['\"]", metadata.read())


def test_python_spells_versions_as_the_page_says(project: Project) -> None:
    table = (HOW_TO / "write-the-metadata.md").read_text("utf-8").partition("| `Cargo.toml` |")[2]
    rows = re.findall(r"(?m)^\| `(\S+)` \| `(\S+)`", table.partition("\n\n")[0])
    assert len(rows) >= 4
    manifest = project.read("Cargo.toml")
    for of_cargo, of_python in rows:
        (project.folder / "Cargo.toml").write_text(manifest.replace('version = "0.1.0"', f'version = "{of_cargo}"'))
        project.run("maturin", "sdist", "--out", "dist")
        assert (project.folder / "dist" / f"quickstats-{of_python}.tar.gz").exists()


# ---- Crates.


def test_optional_crate_is_a_feature(project: Project) -> None:
    append(
        "Cargo.toml", '\n[dependencies.either]\nversion = "1"\noptional = true\n\n[features]\nfast = ["dep:either"]\n'
    )(project)
    tree = ("cargo", "tree", "--edges", "normal")
    assert "either v1" not in project.run(*tree).stdout
    assert "either v1" in project.run(*tree, "--features", "fast").stdout
    assert project.run(*tree, "--features", "either", check=False).returncode


def test_criterion_brings_no_default_features(project: Project) -> None:
    tree = project.run("cargo", "tree", "--edges", "all").stdout
    assert "criterion v" in tree
    assert not re.search(r"\b(plotters|rayon) v", tree)


# ---- The stable ABI, and profiles.

ALLOWED = """
use pyo3::prelude::*;
use pyo3::types::{PyDateTime, PyDict, PyList, PyModule, PyString};
pyo3::create_exception!(_core, PlantedError, pyo3::exceptions::PyValueError);
#[pyclass(dict, weakref, subclass)]
struct Planted(Py<PyAny>, Option<pyo3::buffer::PyBuffer<f64>>);
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
FORBIDDEN = "use pyo3::prelude::*;\n#[pyclass(extends = pyo3::types::PyDict)]\nstruct Planted;\n"


@slow
@pytest.mark.parametrize(("code", "error"), [(ALLOWED, ""), (FORBIDDEN, "PyDict")], ids=["allowed", "forbidden"])
def test_stable_abi_has_limits_of_the_page(code: str, error: str, project: Project) -> None:
    append("src/lib.rs", f"\n#[allow(dead_code, missing_docs)]\nmod planted {{\n{code}}}\n")(project)
    done = project.run(*DEV, check=not error)
    assert not error or re.search(rf"error(\[E\d+\])?: .*{error}", done.stdout), done.stdout


@slow
def test_abi3audit_finds_symbol_outside_stable_abi(project: Project) -> None:
    project.run(*DEV)
    wheel = built(project)
    project.run("abi3audit", "--strict", wheel)
    wheel.unlink()
    (features,) = re.findall(r'features = \["abi3.*?\]', project.read("Cargo.toml"))
    replace("Cargo.toml", features, "features = []")(project)
    project.run(*DEV, "--interpreter", "python3.11")
    assert "-cp311-cp311-" in built(project).name
    with zipfile.ZipFile(built(project)) as archive, zipfile.ZipFile(wheel, "w") as planted:
        (name,) = (name for name in archive.namelist() if name.endswith(".so"))
        planted.writestr("quickstats/_core.abi3.so", archive.read(name))
    done = project.run("abi3audit", "--strict", wheel, check=False)
    assert done.returncode
    assert "1 ABI version mismatches" in " ".join(done.stdout.split()), done.stdout


@slow
def test_profiles_have_symbols_as_described(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)
    page = (HOW_TO / "choose-a-build-profile.md").read_text("utf-8")
    append("Cargo.toml", "\n" + page.partition("```toml Cargo.toml\n")[2].partition("```")[0])(project)
    assert not re.search(r"\.symtab|\.debug_", sections(project, profile="release"))
    assert re.search(r"(?s)\.debug_info.*\.symtab", sections(project, profile="release-with-debug"))
    assert re.search(r"(?s)\.debug_line.*\.symtab", sections(project))


# ---- Tests.

FAKE = "class Summary:\n    def __init__(self, mean): self.mean = mean\n\n\ndef summarize(values):\n    return Summary({})\n"


@pytest.mark.parametrize(
    ("mean", "passes"),
    [("__import__('math').fsum(values) / len(values)", True), ("sum(values[:9]) / len(values)", False)],
)
def test_property_test_finds_planted_bug(mean: str, passes: bool, tmp_path: Path) -> None:
    page = (HOW_TO / "test-a-project.md").read_text("utf-8")
    test = page.partition("```python tests/test_properties.py\n")[2].partition("```")[0]
    (tmp_path / "test_properties.py").write_text(test)
    (tmp_path / "quickstats.py").write_text(FAKE.format(mean))
    done = run(sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", tmp_path, cwd=tmp_path, check=False)
    assert (done.returncode == 0) is passes, done.stdout
    assert passes or "Failing test case" in done.stdout, done.stdout


@pytest.mark.parametrize(("folder", "imported"), [("", "sources"), ("python", "wheel")])
def test_package_in_root_hides_the_wheel(folder: str, imported: str, tmp_path: Path) -> None:
    for place, name in (("site", "wheel"), (f"repository/{folder}", "sources")):
        (tmp_path / place / "quickstats").mkdir(parents=True)
        (tmp_path / place / "quickstats" / "__init__.py").write_text(f"SOURCE = {name!r}\n")
    command = (sys.executable, "-c", "import quickstats; print(quickstats.SOURCE)")
    done = run(*command, cwd=tmp_path / "repository", PYTHONPATH=str(tmp_path / "site"))
    assert done.stdout == f"{imported}\n"
