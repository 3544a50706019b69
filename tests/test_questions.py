"""Is a bad answer refused where it is asked, with a sentence that states the rule, and a good one taken as it is?"""

from __future__ import annotations

import keyword
import re
import sys
import tomllib
from pathlib import Path

import pytest

from answers import ASKED_WITH, carried
from template import ROOT, facts, options, questions, render, run
from variants import VARIANTS

KEYS = ["type", "help", "choices", "multiselect", "default", "when", "validator"]
RESERVED = set((ROOT / "template" / "_partials" / "reserved.txt").read_text("utf-8").split())

# What each question says to an answer that it refuses.
RULES = {
    "package": "must begin with a lower-case letter and continue with lower-case letters, digits and single underscores",
    "name": "must begin with a lower-case letter and continue with lower-case letters, digits and single hyphens",
    "description": "must be one line of at most 400 characters without double quotes, backslashes, braces",
    "author_name": "must be one line of at most 200 characters without double quotes, backslashes, braces",
    "author_email": "must be an address such as name@example.org",
    "repository": "must be an https address with a path",
    "license": "Invalid choice for 'license'",
    "python": "Invalid choice for 'python'",
    "layout": "Invalid choice for 'layout'",
    "extras": "Invalid choice for 'extras'",
    "upkeep": "Invalid choice for 'upkeep'",
    "version": "Invalid choice for 'version'",
    "channels": "Invalid choice for 'channels'",
    "index": "must be an address without user, password, /simple or a slash at its end",
    "ci": "Invalid choice for 'ci'",
}
NO_TEXT = [
    *("", " ", ' "quoted" ', 'a "b"', "a\\b", "a\nb", "a\r", "a\tb", "a\x00", "a\x1b[1m", "a\u2028b", "{{ a }}", "}"),
]
REFUSED: dict[str, list[object]] = {
    "package": [
        *("", " ", "Upper", "camelCase", "with-hyphen", "1st", "_private", "trailing_", "two__underscores", "a.b"),
        *("grösse", "пакет", "a\N{FULLWIDTH LATIN SMALL LETTER B}", "newline\n", "\nnewline", "a b", "a/b", "a'b"),
        *("a" * 65, "{{x}}"),
    ],
    "name": [
        *("", "Upper", "1st", "-a", "a-", "two--hyphens", "a_-b", "a b", "a/b", "a@1", "grösse", "a" * 65, "a\n"),
    ],
    "description": [
        *(*NO_TEXT, " begins with a space", "ends with one ", "a" * 401, "<script>", "# heading", "- item", "* item"),
        *("+ item", "> quotation", "1. item", "2) item", "[a]: b", "```", "***"),
    ],
    "author_name": [*NO_TEXT, "A <a@example.org>", "Doe, Jane", "a" * 201],
    "author_email": [
        *("", "nobody", "@example.org", "a@", "a@b", "a b@example.org", "a@example..org", "a@-example.org"),
        *("a@example.org ", "a@b@example.org", ".a@example.org", "a.@example.org", "a@example.org\n"),
        *("A <a@example.org>", '"a"@example.org'),
    ],
    "repository": [
        *("", "example", "http://github.com/a/b", "git@github.com:a/b.git", "ssh://git@github.com/a/b", "https://"),
        *("https://github.com", "https://github.com/", "https://github.com/a/", "https://github.com/a/b.git"),
        *("https://github.com/a b", "https://github.com/a?b", "https://github.com/a#b", "https://user:pw@github.com/a"),
        *("https://github.com/a/b\n", 'https://github.com/"', "https://github.com//a", "https://github.com/<a>"),
    ],
    "license": ["", "mit", "GPL-3.0-only"],
    "python": ["", "3.10", "3.15", "3", 3.1],
    "layout": ["", "Mixed", "src"],
    "extras": [["pandas"], ["numpy", "polars"]],
    "upkeep": [["lint"], ["audit", "release"]],
    "version": ["", "tag", "Cargo"],
    "channels": [["npm"], ["conda", "homebrew"]],
    "index": [
        *(
            "",
            "pypi.example.org",
            "ftp://example.org",
            "https://",
            "https://example.org/",
            "https://example.org/simple",
        ),
        *("https://me:secret@example.org", "https://me@example.org/a", "https://example.org/a b", "https://a.org/?b"),
        *('https://example.org/"', "https://example.org/#a", "https://example.org\n", "sparse+https://example.org"),
    ],
    "ci": ["", "jenkins"],
}
PUNCTUATION = "100% of one's `code` & *more*; a [x], a_b_c; ~5 $ at #1 ^ @home | (it) = a/b + c - d!?:"
ACCEPTED: dict[str, list[object]] = {
    "package": ["a", "abcd", "a1", "a_b_c", "x2_3y", "a" * 64],
    "name": ["rpds-py", "a", "zope.interface", "a_b-c.d", "a" * 64],
    "description": [
        *(
            "yes",
            "null",
            "007",
            "1e3",
            "Größe, 大きさ, 𝔘 and 🦀",
            PUNCTUATION,
            "Ends with a full stop.",
            "'",
            "a" * 400,
        ),
    ],
    "author_name": ["no", "12", "Zoë O'Neill", "李明", "J. R. R. Tolkien", "Bell & Sons", "100% Us"],
    "author_email": ["a@b.cd", "first.last+tag@mail.example.co.uk", "a_b-c@xn--bcher-kva.example", "1@2.org"],
    "repository": ["https://git.example.org:8443/~me/a-b_c.d", "https://example.org/a"],
    "license": questions()["license"]["choices"],
    "python": questions()["python"]["choices"],
    "extras": [[], ["numpy", "rayon"]],
    "upkeep": [[], ["audit"], ["audit", "bench", "bump", "coverage", "nightly", "notices", "rehearsal", "template"]],
    "channels": [[], ["conda"], ["conda", "container", "private"]],
    "index": [
        *("https://pypi.example.org", "http://127.0.0.1:8080", "https://example.org/artifactory/api/pypi/our-pypi"),
        *("https://example.org:8443/repository/pypi_hosted", "https://example.org/our%20team/_packaging/a/pypi"),
    ],
}


def table(answers: dict[str, list[object]]) -> list[object]:
    """Spread a table over the cases of a test."""
    cases = [(question, answer) for question, some in answers.items() for answer in some]
    return [pytest.param(*case, id=f"{case[0]}-{ascii(case[1])[:40]}") for case in cases]


@pytest.mark.parametrize(("question", "answer"), table(REFUSED))
def test_bad_answer_is_refused_with_the_rule(source: Path, tmp_path: Path, question: str, answer: object) -> None:
    with pytest.raises(ValueError, match=re.escape(RULES[question])):
        render(source, tmp_path / "project", {**ASKED_WITH.get(question, {}), question: answer})
    assert not (tmp_path / "project").exists(), "a refused answer leaves something behind"


@pytest.mark.parametrize(("question", "answer"), table(ACCEPTED))
def test_good_answer_is_accepted(source: Path, tmp_path: Path, question: str, answer: object) -> None:
    project = render(source, tmp_path / "project", {**ASKED_WITH.get(question, {}), question: answer})
    assert set(map(repr, carried(project)[question])) == {repr(answer)}


@pytest.mark.parametrize(
    ("answers", "rule"),
    [
        ({"layout": "mixed"}, "crates publishes a plain Rust crate, which only the layout 'workspace' has"),
        ({"layout": "pure"}, "crates publishes a plain Rust crate, which only the layout 'workspace' has"),
        ({"layout": "workspace", "version": "git"}, "crates needs the version in Cargo.toml"),
    ],
    ids=str,
)
def test_crates_channel_needs_a_plain_crate(
    source: Path, tmp_path: Path, answers: dict[str, object], rule: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(rule)):
        render(source, tmp_path / "project", {**answers, "channels": ["crates"]})
    assert not (tmp_path / "project").exists()


def test_index_is_asked_only_with_private_channel(source: Path, tmp_path: Path) -> None:
    project = render(source, tmp_path / "project", {"index": "https://packages.example.org"})
    assert "index" not in (project / ".copier-answers.yml").read_text("utf-8")


def test_every_question_refuses_something() -> None:
    assert REFUSED.keys() == RULES.keys() == questions().keys()
    assert all(REFUSED.values())


# ---- Names that are taken.


# What Rust has, and what it keeps for later: https://doc.rust-lang.org/reference/keywords.html.
RUST = (
    "as async await break const continue crate dyn else enum extern false fn for gen if impl in let loop match mod move"
    " mut pub ref return self static struct super trait true type unsafe use where while abstract become box do final"
    " macro override priv try typeof unsized virtual yield macro_rules raw safe union"
)


def windows_devices() -> set[str]:
    """Give the names that no file may have on Windows."""
    return {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


def standard_library() -> set[str]:
    """Give the modules of the Python that runs the tests, less those that are no legal answer anyhow."""
    return {name for name in sys.stdlib_module_names if re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name)}


def dependencies() -> set[str]:
    """Give the import names of what a project depends on: a namesake would be taken for it."""
    known = facts()
    extras = {crate for row in options()["extras"].values() for crate in row["crates"]}
    names = {*known["crates"], *extras, *known["tools"], "pyo3-build-config", "pyo3-ffi", "pip"}
    return {name.replace("-", "_") for name in names}


def own_names(source: Path, folder: Path) -> set[str]:
    """Give the folders, modules and Rust files of a project in every layout, and what its builds leave behind."""
    found: set[str] = set()
    for name, answers in VARIANTS.items():
        project = render(source, folder / name, answers)
        ignored = re.findall(r"(?m)^/(\w+)/?$", (project / ".gitignore").read_text("utf-8"))
        folders = [path.name for path in project.iterdir() if path.is_dir()]
        found.update(ignored, folders, (path.stem for path in [*project.rglob("*.rs"), *project.glob("*.py")]))
    return {name for name in found if name.isidentifier()}


TAKEN = {
    "keywords of Python": {*keyword.kwlist, *keyword.softkwlist} - {"_"},
    "keywords of Rust": set(RUST.split()),
    "devices of Windows": windows_devices(),
    "the standard library": standard_library(),
    "dependencies": dependencies(),
}


@pytest.mark.parametrize("kind", TAKEN)
def test_taken_names_are_reserved(kind: str) -> None:
    assert {word for word in TAKEN[kind] if word.islower()} - RESERVED == set()


def test_names_in_the_project_are_reserved(source: Path, tmp_path: Path) -> None:
    assert own_names(source, tmp_path) - RESERVED == set()


@pytest.mark.parametrize(
    "word", ["test", "core", "std", "alloc", "proc_macro", "deps", "build", "incremental", "examples"]
)
def test_names_refused_by_cargo_are_reserved(tmp_path: Path, word: str) -> None:
    answers = [new_crate(tmp_path / kind, kind, word) for kind in ("lib", "bin")]
    assert any(answers), f"cargo takes {word} without a word: why is it reserved?"
    assert word in RESERVED


def test_cargo_accepts_the_default_name(tmp_path: Path) -> None:
    assert not new_crate(tmp_path, "lib", str(questions()["package"]["default"]))


def new_crate(folder: Path, kind: str, name: str) -> bool:
    """Tell whether cargo refuses a name or warns of it."""
    folder.mkdir(exist_ok=True)
    done = run("cargo", "new", f"--{kind}", "--vcs=none", "--name", name, "crate", cwd=folder, check=False)
    return done.returncode != 0 or "the name" in done.stdout or "warning" in done.stdout


@pytest.mark.parametrize(
    "word", ["class", "lambda", "crate", "json", "core", "con", "tests", "pyo3", "watchfiles", "summary"]
)
def test_reserved_name_is_refused_with_the_reason(source: Path, tmp_path: Path, word: str) -> None:
    with pytest.raises(ValueError, match=f"'{word}' is taken: it is a keyword of Python or Rust, a standard-library"):
        render(source, tmp_path / "project", {"package": word})
    assert not (tmp_path / "project").exists()


def test_reserved_names_are_sorted_and_unique() -> None:
    words = (ROOT / "template" / "_partials" / "reserved.txt").read_text("utf-8").split()
    assert words == sorted(set(words))


# ---- The form of the questions.


@pytest.mark.parametrize("name", questions())
def test_question_follows_the_house_style(name: str) -> None:
    question = questions()[name]
    assert list(question) == [key for key in KEYS if key in question]
    assert {"type", "help", "default"} <= question.keys()
    assert len(question["help"]) <= 60
    assert re.fullmatch(r"[A-Z][^?]*\?", question["help"]), "the help is one question"


@pytest.mark.parametrize("name", questions())
def test_choices_have_labels_and_contain_the_default(name: str) -> None:
    question = questions()[name]
    choices = question.get("choices")
    if choices is None:
        assert question["type"] == "str" and "validator" in question, "free text has a validator"
        return
    values = list(choices.values()) if isinstance(choices, dict) else choices
    default = question["default"] if question.get("multiselect") else [question["default"]]
    assert len(values) > 1 and set(default) <= set(values)
    assert not isinstance(choices, dict) or all(label.startswith(value) for label, value in choices.items())


def test_defaults_render_a_whole_project(source: Path, tmp_path: Path) -> None:
    project = render(source, tmp_path / "project")
    assert tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]["name"] == "quickstats"


GOOD = {"type": "str", "help": "What?", "default": "a", "validator": "b"}
CHOOSE = {"type": "str", "help": "Which?", "choices": ["a", "b"], "default": "a"}


@pytest.mark.parametrize(
    "question",
    [
        {**GOOD, "help": "What"},
        {**GOOD, "help": "What? Why?"},
        {**GOOD, "help": "What is the one that is so long that nobody reads it to its end?"},
        {"help": "What?", "type": "str", "default": "a", "validator": "b"},
        {"type": "str", "help": "What?", "validator": "b"},
        {"type": "str", "help": "What?", "default": "a"},
        {**GOOD, "placeholder": "c"},
        {**CHOOSE, "default": "c"},
        {**CHOOSE, "choices": ["a"]},
        {**CHOOSE, "choices": {"first": "a", "b, the second": "b"}},
    ],
    ids=str,
)
def test_question_with_other_style_is_found(monkeypatch: pytest.MonkeyPatch, question: dict[str, object]) -> None:
    monkeypatch.setitem(globals(), "questions", lambda: {"planted": question})
    with pytest.raises(AssertionError):
        test_question_follows_the_house_style("planted")
        test_choices_have_labels_and_contain_the_default("planted")
