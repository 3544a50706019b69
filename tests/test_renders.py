"""Is what comes out of every variant whole, clean, and free of what the house style refuses?"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import nox
import pytest
import trove_classifiers
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jinja2 import Environment
from packaging.licenses import canonicalize_license_expression
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from validate_pyproject.api import Validator
from validate_pyproject.errors import ValidationError

from answers import ASKED_WITH, TEXTS, answer_sets, carried
from checks import WINDOWS_REFUSES, Table, broken_links, find_tool, litter, parse, plant, tracked
from template import Project, in_ci, questions, render, run

VALIDATE = Validator()  # takes a while to make


def texts(project: Project) -> dict[str, str]:
    """Read every tracked file, as bytes say it: no newline is translated."""
    return {name: (project.folder / name).read_bytes().decode("utf-8") for name in tracked(project.folder)}


def pyproject(project: Project) -> Table:
    """Read pyproject.toml."""
    return tomllib.loads(project.read("pyproject.toml"))


# ---- Syntax.


def test_every_file_parses(variant: Project) -> None:
    for name, text in texts(variant).items():
        parse(name, text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.toml", "a = 1\na = 2\n"),
        ("a.yml", "a: [1\n"),
        ("a.py", "def f(:\n"),
        ("a.py", 'a = "\\d"\n'),
        ("a.pyi", "def f() -> int ...\n"),
        ("a.json", "{,}\n"),
        ("a.rb", "puts 1\n"),
    ],
)
def test_unparsable_file_is_found(name: str, text: str) -> None:
    with pytest.raises((ValueError, SyntaxError, yaml.YAMLError)):
        parse(name, text)


def test_rust_is_formatted(variant: Project) -> None:
    sources = [name for name in tracked(variant.folder) if name.endswith(".rs")]
    assert sources
    variant.run(find_tool("rustfmt"), "--check", "--edition=2024", *sources)


def test_unformatted_rust_is_found(tmp_path: Path) -> None:
    (tmp_path / "lib.rs").write_text("fn  f( ) {}\n")
    assert run(find_tool("rustfmt"), "--check", "--edition=2024", "lib.rs", cwd=tmp_path, check=False).returncode


RUFF = (("format", "--check"), ("check", "--no-cache"))


@pytest.mark.parametrize("arguments", RUFF, ids=lambda arguments: arguments[0])
def test_python_is_clean_under_ruff(variant: Project, arguments: tuple[str, ...]) -> None:
    sources = [name for name in tracked(variant.folder) if name.endswith((".py", ".pyi"))]
    variant.run("ruff", *arguments, *sources)


@pytest.mark.parametrize("arguments", RUFF, ids=lambda arguments: arguments[0])
def test_python_with_lints_is_found(default: Project, arguments: tuple[str, ...]) -> None:
    (default.folder / "tests" / "planted.py").write_text("import os,sys\n")
    assert default.run("ruff", *arguments, "tests/planted.py", check=False).returncode


# ---- Litter.


def test_no_file_has_litter(variant: Project) -> None:
    assert {name: found for name, text in texts(variant).items() if (found := text and litter(name, text))} == {}


@pytest.mark.parametrize(
    "text",
    [
        "\na\n",
        "a\n\n",
        "a",
        "a \nb\n",
        "a\r\n",
        "a\n\n\n\nb\n",
        "TODO: a\n",
        "Your project\n",
        "{{ a }}\n",
        "{% if a %}\n",
    ],
)
def test_litter_is_found(text: str) -> None:
    assert litter("a.py", text)


def test_files_are_tracked_and_folders_are_filled(variant: Project, source: Path, tmp_path: Path) -> None:
    fresh = render(source, tmp_path / "project", variant.answers)
    rendered = {path.relative_to(fresh).as_posix() for path in fresh.rglob("*") if path.is_file()}
    assert rendered - set(tracked(variant.folder)) == set()
    assert [path for path in fresh.rglob("*") if path.is_dir() and not any(path.iterdir())] == []


def test_no_file_is_executable_or_a_link(variant: Project) -> None:
    listed = variant.run("git", "ls-files", "--stage").stdout.splitlines()
    assert {line.split()[0] for line in listed} == {"100644"}


def test_paths_are_valid_on_windows(variant: Project) -> None:
    names = tracked(variant.folder)
    assert [name for name in names if WINDOWS_REFUSES.search(name) or len(name) >= 100] == []
    assert len({name.lower() for name in names}) == len(names)


@pytest.mark.parametrize("name", ["a:b", "a/con", "nul.txt", "a./b", "a ", "COM1/a", "a?"])
def test_path_refused_by_windows_is_found(name: str) -> None:
    assert WINDOWS_REFUSES.search(name)


# ---- What the house style refuses.

REFUSED = {
    "a licence classifier": r"License ::",
    "a feature that breaks cargo test": r"extension-module",
    "a panic that ends Python": r"panic\s*=\s*.abort",
    "code for the builder's processor alone": r"target-cpu",
    "a folder of this machine": r"(?<![\w.])/(home|root|work|tmp|Users)/|[A-Z]:\\\\?Users|file://",
    "the host of a registry": r"pypi\.org|pythonhosted\.org|crates\.io|registry\.npmjs|localhost|127\.0\.0\.1",
}


# Where it has to be: an index on loopback, and the two that one setting chooses between.
HOSTS = {"sessions/rehearsal.py", ".github/workflows/release.yml", ".gitlab/release.yml"}


def refused(text: str) -> list[str]:
    """Name what the house style refuses in a text."""
    return [kind for kind, pattern in REFUSED.items() if re.search(pattern, text)]


def test_no_file_breaks_the_house_style(variant: Project) -> None:
    rendered = texts(variant)
    rendered[".copier-answers.yml"] = re.sub("(?m)^_src_path: .*", "", rendered[".copier-answers.yml"])
    found = {name: kinds for name, text in rendered.items() if (kinds := refused(text))}
    assert found == {name: ["the host of a registry"] for name in HOSTS & rendered.keys()}


@pytest.mark.parametrize(
    "text",
    [
        *('"License :: OSI Approved"', 'features = ["extension-module"]', 'panic = "abort"', "-C target-cpu=native"),
        *("/tmp/a", "file:///a", "https://pypi.org/simple", "index = 'sparse+https://index.crates.io/'"),
    ],
)
def test_text_against_the_house_style_is_found(text: str) -> None:
    assert refused(text)


# ---- Links.


def test_links_lead_somewhere(variant: Project) -> None:
    pages = [variant.folder / name for name in tracked(variant.folder) if name.endswith(".md")]
    assert {page.name: found for page in pages if (found := list(broken_links(page)))} == {}


@pytest.mark.parametrize(
    "link", ["[a](#nowhere)", "[a](nowhere.md)", "[a][nowhere]", "![a](nowhere.png)", "[a](http://b)", "[a]()"]
)
def test_broken_link_is_found(tmp_path: Path, link: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n[a](#title), [b][b], {link}\n\n[b]: https://example.org\n")
    assert len(list(broken_links(page))) == 1


def test_changelog_begins_with_unreleased(variant: Project) -> None:
    text = variant.read("CHANGELOG.md")
    headings = re.findall(r"(?m)^## (.+)$", text)
    assert headings[0] == "[Unreleased]"
    for heading in headings:
        version = re.match(r"\[(.+?)\]", heading)
        assert version and f"\n[{version[1]}]: {pyproject(variant)['project']['urls']['Repository']}/" in text


# ---- pyproject.toml.

# Every key of [tool.maturin] in maturin 1.16: `properties` of maturin.schema.json in its source distribution.
MATURIN_KEYS = (
    "all-features auditwheel bindings compatibility config data editable-profile exclude features frozen generate-ci include"
    " include-import-lib locked manifest-path module-name no-default-features pgo-command pgo-dependency-group profile"
    " python-packages python-source rustc-args sbom sdist-generator skip-auditwheel strip target targets unstable-flags"
    " use-base-python"
)


def faults(toml: Table) -> list[str]:
    """Name what is wrong with a pyproject.toml."""
    found = []
    project, groups = toml["project"], toml["dependency-groups"]
    try:
        VALIDATE(toml)
    except ValidationError as error:
        found.append(f"validate-pyproject: {error}")
    found += [f"unknown classifier {name}" for name in set(project["classifiers"]) - trove_classifiers.classifiers]
    found += [f"maturin has no key {key}" for key in toml["tool"]["maturin"].keys() - set(MATURIN_KEYS.split())]
    found += [f"an extra that is a group: {name}" for name in project.get("optional-dependencies", {})]
    if [specifier.operator for specifier in SpecifierSet(project["requires-python"])] != [">="]:
        found.append("requires-python is more than a lower bound")
    for name in groups:
        try:
            requirements = nox.project.dependency_groups(toml, name)
        except (ExceptionGroup, LookupError, ValueError) as error:
            found.append(f"group {name}: {error}")
        else:
            found += [f"no version for {text} in {name}" for text in requirements if not Requirement(text).specifier]
    return found


def test_pyproject_is_valid(variant: Project) -> None:
    assert faults(pyproject(variant)) == []


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("project", "licence", "MIT"),
        ("project", "license", "MIT or so"),
        ("project", "classifiers", ["Programming Language :: Python :: 2.9"]),
        ("project", "requires-python", ">=3.11,<4"),
        ("project", "optional-dependencies", {"dev": ["pytest"]}),
        ("dependency-groups", "dev", [{"include-group": "nothing"}]),
        ("dependency-groups", "dev", ["pytest"]),
        ("tool", "maturin", {"target-dir": "target"}),
    ],
)
def test_invalid_pyproject_is_found(default: Project, table: str, key: str, value: object) -> None:
    toml = pyproject(default)
    toml[table][key] = value
    assert faults(toml)


# ---- Licences.

LICENCE_BEGINS = {
    "MIT": "MIT License",
    "Apache-2.0": "Apache License",
    "BSD-3-Clause": "BSD 3-Clause License",
}


def test_licence_files_match_the_answer(variant: Project) -> None:
    answer = str(pyproject(variant)["project"]["license"])
    assert canonicalize_license_expression(answer) == answer
    identifiers = answer.split(" OR ")
    files = {
        f"LICENSE-{name.partition('-')[0].upper()}" if len(identifiers) > 1 else "LICENSE": name for name in identifiers
    }
    assert {name for name in tracked(variant.folder) if name.startswith("LICENSE")} == files.keys()
    for file, name in files.items():
        assert variant.read(file).lstrip().startswith(LICENCE_BEGINS[name])


# ---- Crates.

FOLDERS = {"dependencies": ["src"], "dev-dependencies": ["src", "benches", "tests"], "build-dependencies": ["build.rs"]}


def unused(manifest: Path) -> list[str]:
    """Name the crates that a manifest asks for and no Rust file beside it names."""
    crate, found = tomllib.loads(manifest.read_text("utf-8")), []
    for table, places in FOLDERS.items():
        paths = [
            path for place in places for path in [manifest.parent / place, *manifest.parent.glob(f"{place}/**/*.rs")]
        ]
        code = "\n".join(path.read_text("utf-8") for path in paths if path.is_file())
        names = {name: name.replace("-", "_") for name in crate.get(table, {})}
        found += [name for name, path in names.items() if not re.search(rf"(?<!\w){path}(::|;)", code)]
    return found


def manifests(project: Project) -> list[Path]:
    """List the Cargo.toml files."""
    return [project.folder / name for name in tracked(project.folder) if PurePosixPath(name).name == "Cargo.toml"]


def test_every_crate_is_used(variant: Project) -> None:
    assert {str(path): found for path in manifests(variant) if (found := unused(path))} == {}


def test_unused_crate_is_found(default: Project) -> None:
    manifest = default.folder / "Cargo.toml"
    manifest.write_text(manifest.read_text("utf-8") + '\n[dependencies.serde]\nversion = "1"\n', "utf-8")
    assert "serde" in unused(manifest)


# ---- Answers.


def test_answers_file_has_only_questions(variant: Project) -> None:
    stored = yaml.safe_load(variant.read(".copier-answers.yml"))
    asked = {key for key in questions() if key != "index" or "private" in stored["channels"]}
    assert stored.keys() - {"_commit"} == asked | {"_src_path"}
    assert {key: stored[key] for key in variant.answers} == variant.answers


# Without shrinking, which would render for minutes: an answer set that fails is easily read as it is.
MANY = settings(
    max_examples=200 if in_ci() else 40,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def compiled_once() -> Iterator[None]:
    """Compile each template once: Copier does it for every render, which takes most of the time."""
    original, codes = Environment.compile, dict[object, object]()

    def compile_once(self: Environment, source: str, *rest: Any) -> object:
        if (source, rest) not in codes:
            codes[source, rest] = original(self, source, *rest)
        return codes[source, rest]

    with patch.object(Environment, "compile", compile_once):
        yield


@pytest.mark.usefixtures("compiled_once")
@MANY
@given(answers=answer_sets())
def test_any_valid_answers_render_valid_project(source: Path, answers: dict[str, object]) -> None:
    assert_carried(source, answers)


@pytest.mark.usefixtures("compiled_once")
@settings(MANY, max_examples=100 if in_ci() else 40)
@given(data=st.data())
def test_any_text_is_refused_or_rendered(source: Path, data: st.DataObject) -> None:
    question = data.draw(st.sampled_from(sorted(TEXTS)))
    answer = data.draw(st.text() | TEXTS[question] | st.builds(str.__add__, st.text(max_size=2), TEXTS[question]))
    try:
        assert_carried(source, {**ASKED_WITH.get(question, {}), question: answer})
    except ValueError as error:
        assert re.match(rf"Validation error for question '{question}': (must|'\w+' is taken)", str(error))


def assert_carried(source: Path, answers: dict[str, object]) -> None:
    """Render a project, parse what is in it, and read the answers back from it."""
    with TemporaryDirectory() as folder:
        project = Path(folder, "project")
        try:
            render(source, project, answers)
        except ValueError:
            assert not project.exists()
            raise
        for path in (path for path in project.rglob("*") if path.is_file()):
            parse(path.name, path.read_bytes().decode("utf-8"))
        VALIDATE(tomllib.loads((project / "pyproject.toml").read_text("utf-8")))
        found = carried(project)
        assert {key: found[key] for key in answers} == {
            key: [value] * len(found[key]) for key, value in answers.items()
        }


# ---- Each gate shuts.

Gate = Callable[[Project], None]
PLANTED: list[tuple[Gate, str, str, str]] = [
    (test_no_file_has_litter, "justfile", "set ", "\nset "),
    (test_licence_files_match_the_answer, "LICENSE-MIT", "MIT License", "Licence"),
    (test_licence_files_match_the_answer, "pyproject.toml", "MIT OR Apache-2.0", "MIT"),
    (test_changelog_begins_with_unreleased, "CHANGELOG.md", "[Unreleased]: ", "[Unpublished]: "),
    (test_changelog_begins_with_unreleased, "CHANGELOG.md", "## [Unreleased]", "## 0.1.0"),
    (test_answers_file_has_only_questions, ".copier-answers.yml", "ci: github\n", ""),
    (test_answers_file_has_only_questions, ".copier-answers.yml", "ci: ", "facts: {}\nci: "),
    (test_links_lead_somewhere, "README.md", "https://rustup.rs", "install-rust.md"),
    (test_every_file_parses, "pyproject.toml", "[project]", "[project"),
    (test_rust_is_formatted, "src/lib.rs", "mod ", "mod  "),
]


@pytest.mark.parametrize(
    ("gate", "name", "old", "new"), PLANTED, ids=[f"{gate.__name__[5:]}-{name}" for gate, name, *_ in PLANTED]
)
def test_checks_find_planted_faults(default: Project, gate: Gate, name: str, old: str, new: str) -> None:
    plant(default.folder, name, old, new)
    with pytest.raises((AssertionError, ValueError)):
        gate(default)


def test_executable_file_is_found(default: Project) -> None:
    default.run("git", "update-index", "--chmod=+x", "noxfile.py")
    with pytest.raises(AssertionError):
        test_no_file_is_executable_or_a_link(default)


def test_untracked_file_is_found(default: Project, source: Path, tmp_path: Path) -> None:
    default.run("git", "rm", "--quiet", "noxfile.py")
    with pytest.raises(AssertionError):
        test_files_are_tracked_and_folders_are_filled(default, source, tmp_path / "fresh")
