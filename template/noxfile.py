"""Isolated sessions: what CI calls, under the same verbs as the justfile's recipes."""

from __future__ import annotations

import os
import shutil
import sys
import venv
from pathlib import Path

import nox

nox.needs_version = ">=2026.10.20"  # the first that counts free-threaded Pythons too
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "auto" if "CI" in os.environ else "never"
nox.options.sessions = ["lint", "stubs", "test"]

ROOT = Path(__file__).resolve().parent
TARGET = ROOT / "target" / "nox"  # apart from the desk's own builds, which have other settings
DIST = ROOT / "dist"
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
PACKAGE = PROJECT["tool"]["maturin"]["module-name"].partition(".")[0]
PYTHONS = nox.project.python_versions(PROJECT)
LOWEST = PYTHONS[0]
RUNNING = "{}.{}".format(*sys.version_info)
HERE = RUNNING if RUNNING in PYTHONS else LOWEST  # for sessions that one Python is enough for

# The three families of interpreters, and the tag of the wheel that serves each.
FAMILIES = {
    LOWEST: f"cp{LOWEST.replace('.', '')}-abi3",
    "3.14t": "cp314-cp314t",
    "3.15t": "cp315-abi3.abi3t",
}

# What a release has wheels for, and what each platform is called in a wheel's name. The matrix of
# CI's wheels has the first eight; the others are cross-built where a variable of CI asks for them.
PLATFORMS = {
    "x86_64-unknown-linux-gnu": "manylinux_x86_64",
    "aarch64-unknown-linux-gnu": "manylinux_aarch64",
    "x86_64-unknown-linux-musl": "musllinux_x86_64",
    "aarch64-unknown-linux-musl": "musllinux_aarch64",
    "x86_64-apple-darwin": "macosx_x86_64",
    "aarch64-apple-darwin": "macosx_arm64",
    "x86_64-pc-windows-msvc": "win_amd64",
    "aarch64-pc-windows-msvc": "win_arm64",
}
RARE = {
    "armv7-unknown-linux-gnueabihf": "manylinux_armv7l",
    "i686-unknown-linux-gnu": "manylinux_i686",
    "powerpc64le-unknown-linux-gnu": "manylinux_ppc64le",
    "riscv64gc-unknown-linux-gnu": "manylinux_riscv64",
    "s390x-unknown-linux-gnu": "manylinux_s390x",
}

# A free-threaded Python switches the lock on for a module that does not say it can do without.
LOCK_STAYS_OFF = f"import sys, {PACKAGE}; sys.exit(sys._is_gil_enabled() and 'the GIL is on')"

NO_SOURCES = {".git", ".nox", ".venv", "dist", "target"}  # what a copy of the tree is without

built: dict[str, Path] = {}


def install_groups(session: nox.Session, *names: str) -> None:
    """Install dependency groups of pyproject.toml."""
    session.install(*nox.project.dependency_groups(PROJECT, *names))


def build(session: nox.Session, out: Path, *arguments: str) -> list[Path]:
    """Build an sdist, and from what it holds a wheel or several, into an emptied folder."""
    install_groups(session, "build")
    session.run("python", str(ROOT / "tools" / "wheels.py"), str(out), *arguments)
    return sorted(out.glob("*.whl"))


def session_wheel(session: nox.Session) -> Path:
    """Build the wheel for the session's Python, once a run for each family."""
    python = str(session.python)
    family = python if python in FAMILIES else "3.15t" if python.startswith("3.15") else LOWEST
    if family not in built:
        (built[family],) = build(session, TARGET / family, *families(family))
    return built[family]


def leave_the_tree(session: nox.Session) -> None:
    """Go where the sources cannot be imported in place of what is installed."""
    session.chdir(session.create_tmp())


def test_rust(session: nox.Session, target: Path, *options: str) -> None:
    """Run the Rust tests, with the session's Python in them."""
    session.run(
        *("cargo", "test", "--workspace", "--target-dir", str(target), *options),
        env={"PYO3_PYTHON": shutil.which("python", path=session.bin)},
        external=True,
    )


@nox.session(python=PYTHONS)
def test(session: nox.Session) -> None:
    """Test the wheel on every supported Python that is here, and the Rust code on the lowest."""
    install_groups(session, "test")
    session.install(str(session_wheel(session)))
    if session.python == LOWEST:
        test_rust(session, TARGET / "cargo")
    leave_the_tree(session)
    if str(session.python).endswith("t"):
        session.run("python", "-c", LOCK_STAYS_OFF)
    session.run("pytest", str(ROOT / "tests"), *session.posargs)


@nox.session(python=HERE)
def lint(session: nox.Session) -> None:
    """Check formats, lints and the Rust documentation. `just fmt` mends most of it."""
    install_groups(session, "lint")
    target = ("--target-dir", str(TARGET / "cargo"))
    session.run("python", str(ROOT / "tools" / "template.py"), "--check")
    session.run("just", "--fmt", "--check")
    session.run("ruff", "format", "--check")
    session.run("ruff", "check")
    session.run("python", str(ROOT / "tools" / "notices.py"), "--check")
    session.run("cargo", "fmt", "--all", "--check", external=True)
    session.run(
        *("cargo", "clippy", "--workspace", "--all-targets", *target, "--", "--deny", "warnings"),
        external=True,
    )
    session.run(
        *("cargo", "doc", "--workspace", "--no-deps", "--document-private-items", *target),
        env={"RUSTDOCFLAGS": "--deny warnings"},
        external=True,
    )


@nox.session(python=HERE)
def stubs(session: nox.Session) -> None:
    """Prove the stub against the module that was built, and the types of what uses it."""
    install_groups(session, "stubs")
    session.install(*map(str, build(session, TARGET / "stubs", "--profile", "dev")))
    configuration = str(ROOT / "pyproject.toml")
    users = [str(path) for name in ("python", "tests", "tools") if (path := ROOT / name).exists()]
    leave_the_tree(session)
    # Where the Rust module is the package, maturin puts it inside, under the same name again.
    allowed = Path("allowed.txt")
    allowed.write_text(f"{PACKAGE}.{PACKAGE}\n", encoding="utf-8")
    known = ("--allowlist", str(allowed), "--ignore-unused-allowlist")
    session.run("python", "-m", "mypy.stubtest", PACKAGE, *known)
    session.run("mypy", "--config-file", configuration, *users)


@nox.session(python=LOWEST)
def coverage(session: nox.Session) -> None:
    """Count the lines that tests reach, into target/coverage: `-- [--fail-under N] [PYTEST…]`."""
    install_groups(session, "coverage")
    script = str(ROOT / "tools" / "coverage_report.py")
    session.run("python", script, *session.posargs)


@nox.session(python=LOWEST, venv_backend="uv")
def lowest(session: nox.Session) -> None:
    """Test with the lowest versions of what the package depends on that the manifests allow."""
    # Cargo keeps the option for its nightlies unless told otherwise.
    update = ("cargo", "update", "-Z", "direct-minimal-versions")
    test_with(session, "lowest-direct", *update, RUSTC_BOOTSTRAP="1")


@nox.session(python=LOWEST, venv_backend="uv")
def highest(session: nox.Session) -> None:
    """Test with the highest versions of what the package depends on, whatever the locks say."""
    test_with(session, "highest", "cargo", "update")


def test_with(session: nox.Session, resolution: str, *update: str, **variables: str) -> None:
    """Test with versions that no lock holds, in a copy of the tree: its own lock stays as it is."""
    copy, wheels, target = (TARGET / "versions" / name for name in ("source", "wheels", "target"))
    for folder in (copy, wheels):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT, copy, ignore=lambda folder, _: NO_SOURCES if folder == str(ROOT) else ())
    install_groups(session, "build")
    with session.chdir(copy):
        session.run(*update, env=variables, external=True)
        options = ("--locked", "--profile=dev", f"--target-dir={target / 'maturin'}")
        session.run("maturin", "build", *options, f"--out={wheels}")
        test_rust(session, target / "cargo", "--locked")
    # Nothing is built from an sdist: the lowest version is one that is there for this Python.
    chosen = ("--upgrade", "--only-binary=:all:", f"--resolution={resolution}")
    direct = PROJECT["project"].get("dependencies", [])  # uv takes those of a wheel for indirect
    session.install(*chosen, *direct, *map(str, wheels.iterdir()), silent=False)
    install_groups(session, "test")
    leave_the_tree(session)
    session.run("pytest", str(ROOT / "tests"), *session.posargs)


@nox.session(python=HERE)
def bench(session: nox.Session) -> None:
    """Measure a build with the bench profile's settings; table and picture go to target/bench."""
    install_groups(session, "bench")
    wheels = build(session, TARGET / "bench", "--profile", "release-with-debug")
    session.install(*map(str, wheels))
    session.run(
        "cargo", "bench", "--workspace", "--target-dir", str(TARGET / "cargo"), external=True
    )
    results = ROOT / "target" / "bench" / "results.json"
    results.parent.mkdir(parents=True, exist_ok=True)
    session.run("pytest", "benches", f"--benchmark-json={results}", *session.posargs)
    session.run("python", "benches/report.py", str(results), PACKAGE)


@nox.session(python=HERE)
def compare(session: nox.Session) -> None:
    """Measure a base and this tree by turns, into target/compare: `-- BASE [--mark 1.3] [PYTEST…]`."""
    install_groups(session, "bench", "build")
    session.run("python", "benches/compare.py", PACKAGE, *session.posargs)


def families(*pythons: str) -> list[str]:
    """Ask for a wheel for each of these Pythons, with the tag that it must have."""
    return [f"--family={python}={FAMILIES[python]}" for python in pythons]


def of_a_release(*arguments: str) -> list[str]:
    """Ask for the wheels that a release needs of one platform, under tags that PyPI takes."""
    tags = ["pypi"]
    if sys.platform == "linux":
        # A plain build is tagged for the glibc of this machine; zig links against an old one.
        asked = " ".join(arguments)
        oldest = "manylinux_2_31" if "riscv64" in asked else "manylinux2014"
        tags.append("musllinux_1_2" if "musl" in asked else oldest)
        arguments = ("--zig", *arguments)
    return [*families(*FAMILIES), "--compatibility", *tags, "--locked", *arguments]


@nox.session(python=HERE)
def wheel(session: nox.Session) -> None:
    """Build what a release needs of one platform. Arguments go to maturin: `-- --target TRIPLE`."""
    install_groups(session, "wheel")
    if "cibuildwheel" in PROJECT["tool"] and not {*session.posargs} & RARE.keys():
        build_in_images(session, *session.posargs)
    else:
        build(session, DIST, *of_a_release(*session.posargs))


def build_in_images(session: nox.Session, option: str = "", target: str = "") -> None:
    """Let cibuildwheel build as [tool.cibuildwheel] says, for one target or all of this machine."""
    if (option, target) != ("", "") and (option != "--target" or target not in PLATFORMS):
        session.error(f"cibuildwheel takes `-- --target T`, T one of {', '.join(PLATFORMS)}")
    names = [f"cp{python.replace('.', '')}-{PLATFORMS[target]}" for python in FAMILIES if target]
    shutil.rmtree(DIST, ignore_errors=True)
    chosen = {"CIBW_BUILD": " ".join(names)} if names else {}  # else what the table chooses
    session.run("cibuildwheel", "--output-dir", str(DIST), env=chosen)


@nox.session(python=HERE)
def complete(session: nox.Session) -> None:
    """Compare dist/ with what a release has: `-- [TARGET…]` for fewer targets, or rare ones too."""
    asked = {*session.posargs}
    if unknown := asked - PLATFORMS.keys() - RARE.keys():
        session.error(f"unknown: {', '.join(unknown)}. Known: {', '.join([*PLATFORMS, *RARE])}")
    common = [PLATFORMS[target] for target in PLATFORMS.keys() & asked or PLATFORMS]
    rare = [RARE[target] for target in RARE.keys() & asked]
    named = [f"--platform={platform}" for platform in (*common, *rare)]
    tags = [f"--tag={tag}" for tag in FAMILIES.values()]
    session.run("python", str(ROOT / "tools" / "complete.py"), str(DIST), *tags, *named)


@nox.session(python=HERE)
def release(session: nox.Session) -> None:
    """Rehearse a release up to tested installs from an index on loopback: `-- [--tag TAG]`."""
    install_groups(session, "wheel", "release")
    pythons = [f"--python={python}" for python in PYTHONS]
    script = ("python", str(ROOT / "tools" / "rehearse.py"))
    session.run(*script, *session.posargs, *pythons, "--", *of_a_release())


@nox.session(python=HERE)
def verify(session: nox.Session) -> None:
    """Check a release that is published, or the wheels in dist/: `-- [VERSION] [--index URL] …`."""
    install_groups(session, "build", "release")
    pythons = [f"--python={python}" for python in PYTHONS]
    session.run("python", str(ROOT / "tools" / "verify.py"), *pythons, *session.posargs)


@nox.session(python=HERE)
def bump(session: nox.Session) -> None:
    """Raise the version, write the changelog, commit and tag: `-- major|minor|patch|VERSION`."""
    install_groups(session, "bump")
    session.run("python", str(ROOT / "tools" / "bump.py"), *session.posargs)


@nox.session(python=HERE)
def audit(session: nox.Session) -> None:
    """Look for advisories, licences and sources that must not be among the dependencies."""
    install_groups(session, "audit")
    session.run("python", str(ROOT / "tools" / "audit.py"), *session.posargs)


@nox.session(python=HERE)
def template(session: nox.Session) -> None:
    """Bring the newest release of the template, and the locks after it; nothing is committed."""
    install_groups(session, "template")
    session.run("python", str(ROOT / "tools" / "template.py"), *session.posargs)


@nox.session(venv_backend="none")
def notices(session: nox.Session) -> None:
    """Write the licences of all crates that are linked; `-- --check` says whether they are."""
    session.run(sys.executable, str(ROOT / "tools" / "notices.py"), *session.posargs)


def tool(name: str, environment: Path = ROOT / ".venv") -> Path:
    """Find a command of a virtual environment."""
    return environment / ("Scripts" if os.name == "nt" else "bin") / name


@nox.session(venv_backend="none")
def dev(session: nox.Session) -> None:
    """Make .venv, or bring it up to date, with the extension built into it. Without uv, pip does it."""
    python = tool("python")
    if shutil.which("uv"):
        session.run("uv", "sync")
    else:
        if not (ROOT / ".venv").exists():
            venv.create(ROOT / ".venv", with_pip=True)
        pip = (str(python), "-m", "pip", "install", "--quiet")
        session.run(*pip, "--upgrade", "pip")
        session.run(*pip, "--group", "dev", "--editable", ".")
    # One Python for the shell, the editor and every tool: cargo rebuilds pyo3 when it sees another.
    configuration = ROOT / ".cargo" / "config.toml"
    if not configuration.exists():
        configuration.parent.mkdir(exist_ok=True)
        configuration.write_text(f"[env]\nPYO3_PYTHON = '{python}'\n", encoding="utf-8")


@nox.session(venv_backend="none")
def setup(session: nox.Session) -> None:
    """Make a fresh copy ready: repository, environment, first build, locks, hooks, first commit."""
    top = git(session, "rev-parse", "--show-toplevel")
    if not top:
        session.run("git", "init", "--quiet", "--initial-branch=main")
    own = not top or Path(top).resolve() == ROOT
    dev(session)
    if not (ROOT / "LICENSE-THIRD-PARTY").exists():
        notices(session)
    if own and not git(session, "rev-parse", "--verify", "HEAD"):
        session.run("git", "add", "--all")
        if git(session, "var", "GIT_COMMITTER_IDENT"):
            session.run("git", "commit", "--quiet", "--message", "Begin")
        else:
            session.warn("git does not know who you are. Tell it with git config, then run:")
            session.warn("    git commit --message Begin")
    if own:
        session.run(str(tool("prek")), "install")
    else:
        session.warn(f"the repository is {top}: its git hooks are left as they are")


def git(session: nox.Session, *arguments: str) -> str:
    """Ask git; an empty answer where it has none."""
    answer = session.run("git", *arguments, silent=True, log=False, success_codes=range(256))
    return "" if "fatal:" in str(answer) else str(answer).strip()


@nox.session(venv_backend="none")
def clean(session: nox.Session) -> None:
    """Remove what was built; the environment and the locks stay."""
    for folder in ("target", "dist", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache"):
        shutil.rmtree(ROOT / folder, ignore_errors=True)
