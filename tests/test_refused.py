"""Does the naive form, which the template never renders and the pages advise against, really fail? One planted each."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from planting import Plant, append, maturin_key, replace
from template import Project, run

DEV = ("maturin", "build", "--profile", "dev", "--out", "dist")


OLD_MODULE = (
    '\nuse pyo3::prelude::*;\n#[pymodule]\nfn old(_py: Python, m: &PyModule) -> PyResult<()> { m.add("a", 1) }\n'
)
OTHER_CRATE = (
    '[package]\nname = "other"\nedition = "2024"\n\n[dependencies]\nquickstats = { path = ".." }\n\n[workspace]\n'
)
FAILS: dict[str, tuple[list[Plant], tuple[str, ...], str]] = {
    "extension-module": (
        [replace("Cargo.toml", 'features = ["abi3', 'features = ["extension-module", "abi3')],
        ("cargo", "test", "--lib"),
        "undefined symbol: Py",
    ),
    "an option as a feature": (
        [maturin_key('features = ["--all-features"]')],
        DEV,
        "`cargo metadata` exited with an error",
    ),
    "lto for packages": (
        [append("Cargo.toml", '\n[profile.release.package."*"]\nlto = true\n')],
        ("cargo", "check"),
        "`lto` may not be specified in a `package` profile",
    ),
    "the old signature of a module": (
        [append("src/lib.rs", OLD_MODULE)],
        ("cargo", "check"),
        "no method named `add` found for reference `&pyo3::types::PyModule`",
    ),
    "a dependency on a cdylib": (
        [
            replace("Cargo.toml", '["cdylib", "rlib"]', '["cdylib"]'),
            append("other/Cargo.toml", OTHER_CRATE),
            append("other/lib.rs", "pub use quickstats_core::summary;\n"),
            append("other/Cargo.toml", '\n[lib]\npath = "lib.rs"\n'),
        ],
        ("cargo", "check", "--manifest-path", "other/Cargo.toml", "--target-dir", "target"),
        "quickstats_core",
    ),
    "cargo for maturin, as cargo watch -x calls it": (
        [],
        ("cargo", "maturin", "develop"),
        "no such command: `maturin`",
    ),
    "quotes in an alias": (
        [append(".cargo/config.toml", "[alias]\nquick = \"check --message-format 'short'\"\n")],
        ("cargo", "quick"),
        "invalid value ''short''",
    ),
    "maturin develop without an environment": (
        [],
        ("maturin", "develop"),
        "Couldn't find a virtualenv or conda environment",
    ),
    "a lock that is behind": (
        [append("Cargo.toml", '\n[dependencies.either]\nversion = "1"\n')],
        ("cargo", "check", "--locked"),
        "--locked",
    ),
    "a compiler that is too old": (
        [replace("Cargo.toml", 'rust-version = "1.', 'rust-version = "1.9')],
        ("cargo", "check"),
        "is not supported by the following package",
    ),
    "maturin with the bench profile": (
        [
            append("Cargo.toml", '\n[profile.bench]\ninherits = "dev"\n'),
            replace("Cargo.toml", "[dev-dependencies]", "[target.'cfg(none)'.dev-dependencies]"),
        ],
        ("maturin", "build", "--profile", "bench"),
        "(lib test)",
    ),
    "publishing the binding": ([], ("cargo", "publish", "--dry-run"), "cannot be published"),
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FAILS)
def test_naive_form_fails(form: str, project: Project) -> None:
    plants, command, message = FAILS[form]
    for plant in plants:
        plant(project)
    done = project.run(*command, check=False)
    assert done.returncode != 0
    assert message in done.stdout


def table(name: str, *lines: str) -> Plant:
    """Add a table to pyproject.toml."""
    return append("pyproject.toml", "\n".join(["", name, *lines, ""]))


IGNORED: dict[str, list[Plant]] = {
    "rustflags of a target": [table("[tool.maturin.target.x86_64-unknown-linux-gnu]", 'rustflags = ["--cfg=planted"]')],
    "features of a target": [table("[tool.maturin.target.x86_64-unknown-linux-gnu]", 'features = ["planted"]')],
    "a second module": [table("[[tool.maturin.module]]", 'name = "quickstats.planted"', 'path = "planted"')],
    "sdist-include": [maturin_key('sdist-include = ["planted.md"]'), append("target/planted.md", "")],
    "version-script": [maturin_key('version-script = "planted.py"')],
    "setuptools_scm": [table("[tool.setuptools_scm]", 'version_file = "planted.py"')],
    "MANIFEST.in": [append("MANIFEST.in", "include target/planted.md\nexclude src/lib.rs\nprune tests\n")],
}


@pytest.mark.slow
@pytest.mark.parametrize("form", IGNORED)
def test_naive_form_is_ignored_silently(form: str, project: Project) -> None:
    for plant in IGNORED[form]:
        plant(project)
    project.run("git", "add", "--all")
    project.run("git", "tag", "--force", "v9.9.9")
    done = project.run(*DEV, "--sdist", "--verbose")
    assert "planted" not in done.stdout.replace("target/planted.md", "")
    (wheel,) = (project.folder / "dist").glob("quickstats-0.1.0-*.whl")
    (sdist,) = (project.folder / "dist").glob("quickstats-0.1.0.tar.gz")
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
    assert not [name for name in [*zipfile.ZipFile(wheel).namelist(), *names] if "planted" in name]
    assert {"quickstats-0.1.0/src/lib.rs", "quickstats-0.1.0/tests/test_package.py"} <= set(names)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[build]\njobs = 8\n", "build"),
        (
            '[target.x86_64-unknown-linux-gnu]\nrustflags = ["-Ctarget-cpu=native"]\n',
            "target.x86_64-unknown-linux-gnu.rustflags",
        ),
    ],
)
def test_cargo_configuration_key_is_unused_in_manifest(text: str, key: str, project: Project) -> None:
    append("Cargo.toml", f"\n{text}")(project)
    assert f"unused manifest key: {key}" in project.run("cargo", "check").stdout


@pytest.mark.slow
def test_missing_python_source_stops_the_build(project: Project) -> None:
    replace("pyproject.toml", 'python-source = "python"', 'python-source = "missing"')(project)
    done = project.run(*DEV, check=False)
    assert done.returncode != 0
    assert "missing" in done.stdout


@pytest.mark.slow
def test_include_writes_into_site_packages(project: Project) -> None:
    replace("pyproject.toml", "include = [{", 'include = ["README.md", {')(project)
    project.run(*DEV)
    (wheel,) = (project.folder / "dist").glob("*.whl")
    assert "README.md" in zipfile.ZipFile(wheel).namelist()
    assert "W003" in project.run("check-wheel-contents", wheel, check=False).stdout


def sections(project: Project, *options: str, profile: str = "dev") -> str:
    """Build the extension and list the sections of the library."""
    project.run("rm", "-rf", "dist")
    project.run("maturin", "build", "--profile", profile, "--out", "dist", *options)
    (wheel,) = (project.folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        library = archive.extract("quickstats/_core.abi3.so", project.folder / "dist")
    return project.run("readelf", "--section-headers", "--wide", library).stdout


@pytest.mark.slow
def test_strip_of_maturin_strips_every_profile(project: Project) -> None:
    assert ".symtab" in sections(project)
    maturin_key("strip = true")(project)
    assert ".symtab" not in sections(project)
    assert ".symtab" in sections(project, "--strip", "false")


PANIC = '    #[pyo3::pyfunction]\n    fn panic() {\n        panic!("planted")\n    }\n'
CATCH = "from quickstats import _core\ntry:\n    _core.panic()\nexcept BaseException as error:\n    print(type(error).__name__)"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "status", "printed"), [("", 0, "PanicException"), ('panic = "abort"\n', -6, "planted")]
)
def test_panic_abort_kills_the_interpreter(
    setting: str, status: int, printed: str, project: Project, tmp_path: Path
) -> None:
    replace("Cargo.toml", "[profile.dev]\n", f"[profile.dev]\n{setting}")(project)
    replace("src/lib.rs", "mod _core {\n", f"mod _core {{\n{PANIC}")(project)
    done = run(install(project, tmp_path), "-c", CATCH, cwd=tmp_path, check=False)
    assert (done.returncode, printed in done.stdout) == (status, True)


def install(project: Project, folder: Path, what: str = ".", options: str = "") -> Path:
    """Build and install the project into a new environment by `pip install`, and give its Python."""
    project.run("uv", "venv", "--quiet", "--clear", folder / "environment")
    python = folder / "environment" / "bin" / "python"
    project.run(
        "uv",
        "pip",
        "install",
        "--quiet",
        "--no-cache",
        "--python",
        python,
        what,
        MATURIN_PEP517_ARGS=f"--profile dev {options}",
    )
    return python


@pytest.mark.slow
@pytest.mark.parametrize(("what", "options", "shown"), [(".[fast]", "", "False"), (".", "--features fast", "True")])
def test_python_extra_enables_no_cargo_feature(
    what: str, options: str, shown: str, project: Project, tmp_path: Path
) -> None:
    append("Cargo.toml", "\n[features]\nfast = []\n")(project)
    replace(
        "pyproject.toml", "[dependency-groups]", "[project.optional-dependencies]\nfast = []\n\n[dependency-groups]"
    )(project)
    constant = '    #[pymodule_export]\n    const FAST: bool = cfg!(feature = "fast");\n'
    replace("src/lib.rs", "mod _core {\n", f"mod _core {{\n{constant}")(project)
    python = install(project, tmp_path, what, options)
    assert run(python, "-c", "from quickstats import _core; print(_core.FAST)", cwd=tmp_path).stdout == f"{shown}\n"


@pytest.mark.slow
def test_version_in_two_places_diverges(project: Project, tmp_path: Path) -> None:
    replace("pyproject.toml", 'dynamic = ["version"]', 'version = "1.2.3"')(project)
    constant = '    #[pymodule_export]\n    const VERSION: &str = env!("CARGO_PKG_VERSION");\n'
    replace("src/lib.rs", "mod _core {\n", f"mod _core {{\n{constant}")(project)
    show = "from importlib.metadata import version; from quickstats import _core; print(version('quickstats'), _core.VERSION)"
    assert run(install(project, tmp_path), "-c", show, cwd=tmp_path).stdout == "1.2.3 0.1.0\n"


@pytest.mark.slow
def test_submodule_without_file_cannot_be_imported(project: Project, tmp_path: Path) -> None:
    module = "    /// Planted.\n    #[pymodule]\n    mod detail {}\n    use pyo3::prelude::*;\n"
    replace("src/lib.rs", "mod _core {\n", f"mod _core {{\n{module}")(project)
    python = install(project, tmp_path)
    run(python, "-c", "from quickstats._core import detail", cwd=tmp_path)
    assert "No module named" in run(python, "-c", "import quickstats._core.detail", cwd=tmp_path, check=False).stdout


# ---- What needs no project.


def write_wheel(folder: Path, version: str, requires: str) -> None:
    """Write an empty wheel."""
    information = f"capped-{version}.dist-info"
    with zipfile.ZipFile(folder / f"capped-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(
            f"{information}/METADATA",
            f"Metadata-Version: 2.1\nName: capped\nVersion: {version}\nRequires-Python: {requires}\n",
        )
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{information}/RECORD", "")


@pytest.mark.parametrize(
    ("installer", "taken"),
    [(("uvx", "--python", sys.executable, "pip"), "1.0"), (("uv", "pip"), "2.0")],
    ids=["pip", "uv"],
)
def test_upper_bound_on_python_selects_older_release(installer: tuple[str, ...], taken: str, tmp_path: Path) -> None:
    write_wheel(tmp_path, "1.0", ">=3.8")
    write_wheel(tmp_path, "2.0", f">=3.8,<3.{sys.version_info.minor}")
    options = ("--quiet", "--no-index", "--find-links", str(tmp_path), "--target", str(tmp_path / "out"))
    run(*installer, "install", *options, "capped", cwd=tmp_path, UV_PYTHON=sys.executable)
    assert [path.name for path in (tmp_path / "out").glob("*.dist-info")] == [f"capped-{taken}.dist-info"]


# ---- Uploads.


def test_maturin_upload_is_deprecated(tmp_path: Path) -> None:
    wheel = tmp_path / "sample-1.0-py3-none-any.whl"
    wheel.touch()
    done = run(
        *("maturin", "upload", "--non-interactive", "--repository-url", "http://127.0.0.1:9/", wheel),
        cwd=tmp_path,
        check=False,
        MATURIN_PYPI_TOKEN="none",
    )
    assert done.returncode
    assert "deprecated" in done.stdout and "will be removed" in done.stdout


def test_pip_skips_wheel_for_newer_glibc_silently(tmp_path: Path) -> None:
    (tmp_path / "sample-1.0-cp310-abi3-manylinux_2_99_x86_64.whl").touch()
    pip = (sys.executable, "-m", "pip", "install", "--no-index", "--find-links", tmp_path, "--only-binary", ":all:")
    done = run(*pip, "--target", tmp_path / "target", "sample", cwd=tmp_path, check=False)
    assert done.returncode
    assert "No matching distribution found for sample" in done.stdout
    assert "GLIBC" not in done.stdout.upper()
