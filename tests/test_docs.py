"""Do the pages tell the truth: do their commands run, their links lead somewhere, their snippets match what renders?

`python tests/test_docs.py` writes the snippets anew from renders.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import test_executed_ci
import test_executed_release
import test_gitlab
import tomlkit
from markdown_it import MarkdownIt

from checks import anchor, tracked
from template import ROOT, Project, render, snapshot
from variants import VARIANTS

HOW_TO = {path.stem: path for path in sorted((ROOT / "docs" / "how-to").glob("*.md"))}


def pages() -> list[str]:
    """Name the repository's own pages; those of a rendered project are parsed where renders are."""
    names = tracked(ROOT, "--cached", "--others", "--exclude-standard")
    return [name for name in names if name.endswith(".md") and not name.startswith("template/")]


# ---- Commands.


def new_default(source: Path, folder: Path, target: Path) -> Project:
    """Make a default project ready to work in."""
    from conftest import new_project

    project = new_project(source, folder, {}, target)
    project.run("uv", "sync")
    project.commit("Lock")
    return project


@pytest.fixture(scope="module")
def project(source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give one project for all pages, so that its environment and pyo3 are built once."""
    return new_default(source, tmp_path_factory.mktemp("docs") / "quickstats", target)


@pytest.fixture
def mended(project: Project) -> Iterator[Project]:
    """Give the project, and undo afterwards what a page changes in it."""
    yield project
    project.run("git", "checkout", "--quiet", ".")
    project.run("git", "clean", "--quiet", "--force", "-d")
    project.run("rm", "-rf", "dist", ".benchmarks", ".cargo")


def follow(page: str, project: Project) -> int:
    """Do what a page says, block by block, and count the commands.

    What a fence is called says what to do with it:

    - `console`: run each command, and compare what it prints where the page shows that; `...` stands for anything.
      `console fails`: the last command is to fail. `console not-run: REASON`: only shown.
    - `toml PATH`: merge it into the file. `python PATH`: make it the file.
    - `rust PATH after LINE`: put it below that line.
    """
    count = 0
    for token in MarkdownIt().parse(page):
        if token.type != "fence":
            continue
        kind, _, rest = token.info.partition(" ")
        if kind == "console" and not rest.startswith("not-run: "):
            count += run_commands(token.content, project, fails=rest == "fails")
        elif kind == "toml" and rest:
            document = tomlkit.parse(project.read(rest)) if (project.folder / rest).exists() else tomlkit.document()
            merge(document, tomlkit.parse(token.content))
            write(project, rest, tomlkit.dumps(document))
        elif kind == "rust" and rest:
            path, _, line = rest.partition(" after ")
            text = project.read(path)
            assert f"\n{line}\n" in text, f"{path} has no line {line!r}"
            write(project, path, text.replace(f"\n{line}\n", f"\n{line}\n{token.content}", 1))
        elif kind == "python" and rest:
            write(project, rest, token.content)
    return count


def write(project: Project, path: str, text: str) -> None:
    """Write a file of the project."""
    (project.folder / path).parent.mkdir(parents=True, exist_ok=True)
    (project.folder / path).write_text(text, "utf-8")


def merge(document: dict[str, Any], addition: dict[str, Any]) -> None:
    """Merge a TOML document into another."""
    for key, value in addition.items():
        if isinstance(value, dict) and isinstance(document.get(key), dict):
            merge(document[key], value)
        else:
            document[key] = value


def run_commands(block: str, project: Project, *, fails: bool = False) -> int:
    """Run the commands of a block."""
    parts = re.split(r"(?m)^\$ ", block)
    assert not parts[0] and len(parts) > 1, f"a block of commands begins with a prompt:\n{block}"
    for number, part in enumerate(parts[1:], start=1):
        command, _, expected = part.partition("\n")
        done = project.run("bash", "-c", command, check=False)
        failed = done.returncode != 0
        assert failed == (fails and number == len(parts) - 1), (
            f"{command} exited with {done.returncode}:\n{done.stdout}"
        )
        pattern = r".*\n(?:.*\n)*?".join(
            re.escape(line).replace(r"\.\.\.", ".*") for line in expected.split("\n") if line
        )
        assert re.search(pattern, done.stdout), f"{command} prints something else:\n{done.stdout}"
    return len(parts) - 1


@pytest.mark.slow
@pytest.mark.parametrize("name", HOW_TO)
def test_commands_run(name: str, mended: Project) -> None:
    follow(HOW_TO[name].read_text("utf-8"), mended)


@pytest.mark.slow
def test_example_of_the_readme_is_true(mended: Project) -> None:
    done = mended.run("uv", "run", "python", "-m", "doctest", "--verbose", "README.md")
    assert " passed" in done.stdout
    assert "0 tests in" not in done.stdout


@pytest.fixture
def bare(tmp_path: Path) -> Project:
    """Give a folder to run commands in that need no project."""
    (tmp_path / "settings.toml").write_text("[a]\nb = 1 # why\n")
    (tmp_path / "lib.rs").write_text("mod a {\n}\n\nmod b {\n}\n")
    return Project(tmp_path, {})


def fence(info: str, *lines: str) -> str:
    """Write a block."""
    return "\n".join([f"```{info}", *lines, "```", ""])


def test_a_page_changes_files_and_runs_commands(bare: Project) -> None:
    page = [
        fence("toml settings.toml", "[a]", "c = 2"),
        fence("rust lib.rs after mod b {", "    fn c() {}"),
        fence("python new/module.py", "ANSWER = 42"),
        fence("console", "$ cat settings.toml", "[a]", "b = 1 # why", "c = 2", "$ cat new/module.py", "ANSWER = ..."),
        fence("console fails", "$ true", "$ cat nothing", "...nothing: No such file..."),
        fence("console not-run: it ends the world", "$ false"),
        fence("toml", "not = 'merged'"),
    ]
    assert follow("\n".join(page), bare) == 4
    assert "mod b {\n    fn c() {}\n}" in bare.read("lib.rs")


UNTRUE = {
    "a command that fails": fence("console", "$ false"),
    "a command that fails before the last": fence("console fails", "$ false", "$ false"),
    "a command that is to fail and does not": fence("console fails", "$ true"),
    "output that does not come": fence("console", "$ echo one", "two"),
    "output in another order": fence("console", "$ echo one; echo two", "two", "one"),
    "a block without a prompt": fence("console", "echo one"),
    "a place that is missing": fence("rust lib.rs after mod c {", "fn c() {}"),
}


@pytest.mark.parametrize("fault", UNTRUE)
def test_page_is_found_untrue_with(fault: str, bare: Project) -> None:
    with pytest.raises(AssertionError):
        follow(UNTRUE[fault], bare)


# ---- Links.


def links(text: str) -> Iterator[str]:
    """Give where the links and pictures of a page lead."""
    for token in MarkdownIt().enable("table").parse(text):
        for child in token.children or []:
            if child.type in ("link_open", "image"):
                yield str(child.attrs.get("href") or child.attrs.get("src"))


def broken(page: Path, text: str) -> list[str]:
    """Give the links of a page that lead nowhere; of those that lead out, only the form is looked at."""
    return [target for target in links(text) if not (sound(target) if ":" in target else found(page, target))]


def sound(target: str) -> bool:
    """Tell whether an address is one."""
    parts = urlsplit(target)
    return parts.scheme == "https" and re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", parts.netloc) is not None


def found(page: Path, target: str) -> bool:
    """Tell whether a file of the repository is there, and in it the heading."""
    path, _, heading = target.partition("#")
    file = page.parent / path if path else page
    if not heading:
        return file.exists()
    tokens = MarkdownIt().parse(file.read_text("utf-8")) if file.is_file() else []
    titles = [after.children for token, after in pairwise(tokens) if token.type == "heading_open"]
    return heading in {anchor("".join(child.content for child in title or [])) for title in titles}


@pytest.mark.parametrize("name", pages())
def test_links_lead_somewhere(name: str) -> None:
    assert broken(ROOT / name, (ROOT / name).read_text("utf-8")) == []


@pytest.mark.parametrize(
    "target",
    [
        "nothing.md",
        "../nothing/",
        "speed.md#nothing",
        "#nothing",
        "http://example.org",
        "https://",
        "https://a b.org",
        "ftp://a.org",
    ],
)
def test_a_link_that_leads_nowhere_is_found(target: str) -> None:
    assert broken(ROOT / "docs" / "index.md", f"# Title\n\n[it](<{target}>)\n")


def test_every_how_to_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    assert {target for target in links(index) if target.startswith("how-to/")} == {
        f"how-to/{path.name}" for path in HOW_TO.values()
    }


@pytest.mark.parametrize("name", HOW_TO)
def test_page_is_short_and_titled_by_what_it_does(name: str) -> None:
    text = HOW_TO[name].read_text("utf-8")
    title = text.partition("\n")[0]
    assert anchor(title.removeprefix("# ").replace("`", "")) == name
    assert len(text.splitlines()) <= 150


# ---- Snippets.

MARKER = re.compile(
    r'<!-- render: (?P<variant>[\w-]+) (?P<path>\S+)(?: "(?P<start>.+?)")?(?: (?P<lines>\d+))? -->\n+```(?P<kind>\w*)\n(?P<text>.*?)```\n',
    re.DOTALL,
)


def renew(text: str, source: Path, folder: Path) -> str:
    """Write the snippets of a page anew, each from the render that its marker names."""

    def snippet(match: re.Match[str]) -> str:
        project = folder / match["variant"]
        if not project.exists():
            render(source, project, VARIANTS[match["variant"]])
        rendered = cut((project / match["path"]).read_text("utf-8"), match["start"], match["lines"])
        start = match.start("text") - match.start()
        return match[0][:start] + rendered + "```\n"

    assert text.count("<!-- render: ") == len(MARKER.findall(text)), "a marker is followed by a block"
    return MARKER.sub(snippet, text)


def cut(text: str, start: str | None, lines: str | None) -> str:
    """Cut out of a file the lines from the one that begins with a text: so many, or up to the next empty one."""
    if start is None:
        return text
    found = re.search(rf"^[ \t]*{re.escape(start)}.*\n", text, re.MULTILINE)
    assert found, f"no line begins with {start!r}"
    rest = text[found.start() :]
    return (
        "".join(rest.splitlines(keepends=True)[: int(lines)])
        if lines
        else rest.partition("\n\n")[0].rstrip("\n") + "\n"
    )


@pytest.mark.parametrize("name", [name for name in pages() if "<!-- render: " in (ROOT / name).read_text("utf-8")])
def test_snippets_are_what_renders_give(name: str, source: Path, tmp_path: Path) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert renew(text, source, tmp_path) == text, "`python tests/test_docs.py` writes them anew"


SNIPPET = '<!-- render: default pyproject.toml "[build-system]" 2 -->\n\n```toml\n[build-system]\n{}\n```\n'


def test_a_snippet_that_has_drifted_is_noticed(source: Path, tmp_path: Path) -> None:
    renewed = renew(SNIPPET.format("drifted"), source, tmp_path)
    assert renewed != SNIPPET.format("drifted")
    assert renewed == renew(renewed, source, tmp_path)


@pytest.mark.parametrize(
    "fault", ['<!-- render: default pyproject.toml "nothing" -->\n\n```\n```\n', "<!-- render: default x -->\n"]
)
def test_a_marker_that_cuts_nothing_is_refused(fault: str, source: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        renew(fault, source, tmp_path)


# ---- What the page says of the workflows.


def test_every_job_that_has_not_run_is_listed_with_its_reason() -> None:
    page = HOW_TO["trust-the-workflows"].read_text("utf-8")
    told = set(re.findall(r"^\| `(?:ci|wheels|.gitlab-ci)\.yml` \| `(.+)` \| (.+) \|$", page, re.MULTILINE))
    tables = (test_executed_ci.NOT_HERE, test_executed_release.NOT_HERE, test_gitlab.NOT_HERE)
    assert told == {row for table in tables for row in table.items()}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        template = snapshot(Path(scratch, "template"))
        for page in (ROOT / name for name in pages()):
            page.write_text(renew(page.read_text("utf-8"), template, Path(scratch)), "utf-8")
