"""The pages: their commands run, their links lead somewhere, their snippets come from renders.

`python tests/test_docs.py` writes the snippets anew.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from conftest import new_project
from markdown_it import MarkdownIt

from checks import anchor, broken_links, tracked
from template import ROOT, Project, render, snapshot
from variants import EVERY_UPKEEP, VARIANTS

HOW_TO = {path.stem: path for path in sorted((ROOT / "docs" / "how-to").glob("*.md"))}
PAGES = [
    name
    for name in tracked(ROOT, "--cached", "--others", "--exclude-standard")
    if name.endswith(".md") and not name.startswith("template/")
]


# ---- Commands.

# Pages show what commands do, not how fast the result is: release builds are not optimized here.
QUICK = {"CARGO_PROFILE_RELEASE_OPT_LEVEL": "0", "CARGO_PROFILE_RELEASE_LTO": "off"}


@pytest.fixture(scope="module")
def project(source: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Set up one project for all pages, with every session that a page may call."""
    folder = tmp_path_factory.mktemp("docs") / "quickstats"
    project = new_project(source, folder, {"upkeep": EVERY_UPKEEP}, target)
    project.run("just", "setup")
    project.commit("Lock")
    return project


@pytest.fixture
def restored(project: Project) -> Iterator[Project]:
    """Give the project, and afterwards restore what a page changes."""
    settings, head = project.read(".cargo/config.toml"), project.run("git", "rev-parse", "HEAD").stdout.strip()
    yield project
    project.run("git", "reset", "--quiet", "--hard", head)
    project.run("git", "clean", "--quiet", "--force", "-d")
    project.run("bash", "-c", "git tag | xargs --no-run-if-empty git tag --delete; rm -rf dist .benchmarks")
    write(project, ".cargo/config.toml", settings)


def follow(page: str, project: Project) -> int:
    """Do what the blocks of a page say, and count the commands.

    The text after the opening fence says what to do with a block:

    - `console`: run each command, and compare its output where the page shows it; `...` is any text.
      `console fails`: the last command must fail. `console not-run: REASON`: do nothing.
    - `toml PATH`: merge it into the file. `python PATH`, `rust PATH`: write the file.
    - `rust PATH after LINE`: insert it below that line.
    """
    count = 0
    for token in MarkdownIt().parse(page):
        kind, _, rest = token.info.partition(" ")
        path, _, line = rest.partition(" after ")
        if token.type != "fence" or (not rest and kind != "console"):
            continue
        if kind == "console":
            if not rest.startswith("not-run: "):
                count += run_commands(token.content, project, fails=rest == "fails")
        elif kind == "toml":
            document = tomlkit.parse(project.read(path)) if (project.folder / path).exists() else tomlkit.document()
            merge(document, tomlkit.parse(token.content))
            write(project, path, tomlkit.dumps(document))
        elif line:
            text = project.read(path)
            assert f"\n{line}\n" in text, f"{path} has no line {line!r}"
            write(project, path, text.replace(f"\n{line}\n", f"\n{line}\n{token.content}", 1))
        else:
            write(project, path, token.content)
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
    start, *commands = re.split(r"(?m)^\$ ", block)
    assert not start and commands, f"a block of commands begins with a prompt:\n{block}"
    for number, part in enumerate(commands, start=1):
        command, _, expected = part.partition("\n")
        done = project.run("bash", "-c", command, check=False, **QUICK)
        failed = done.returncode != 0
        assert failed == (fails and number == len(commands)), f"{command} exited with {done.returncode}:\n{done.stdout}"
        lines = (re.escape(line).replace(r"\.\.\.", ".*") for line in expected.split("\n") if line)
        assert re.search(r".*\n(?:.*\n)*?".join(lines), done.stdout), f"{command} prints something else:\n{done.stdout}"
    return len(commands)


@pytest.mark.slow
@pytest.mark.parametrize("name", HOW_TO)
def test_commands_run(name: str, restored: Project) -> None:
    follow(HOW_TO[name].read_text("utf-8"), restored)


@pytest.mark.slow
def test_readme_example_runs(project: Project) -> None:
    done = project.run("uv", "run", "python", "-m", "doctest", "--verbose", "README.md")
    assert " passed" in done.stdout
    assert "0 tests in" not in done.stdout


@pytest.fixture
def bare(tmp_path: Path) -> Project:
    """Give a folder for commands that need no project."""
    (tmp_path / "settings.toml").write_text("[a]\nb = 1 # why\n")
    (tmp_path / "lib.rs").write_text("mod a {\n}\n\nmod b {\n}\n")
    return Project(tmp_path, {})


def fence(info: str, *lines: str) -> str:
    """Write a block."""
    return "\n".join([f"```{info}", *lines, "```", ""])


def test_page_changes_files_and_runs_commands(bare: Project) -> None:
    page = [
        fence("toml settings.toml", "[a]", "c = 2"),
        fence("rust lib.rs after mod b {", "    fn c() {}"),
        fence("python new/module.py", "ANSWER = 42"),
        fence("console", "$ cat settings.toml", "[a]", "b = 1 # why", "c = 2", "$ cat new/module.py", "ANSWER = ..."),
        fence("console fails", "$ true", "$ cat nothing", "...nothing: No such file..."),
        fence("console not-run: it needs an account", "$ false"),
        fence("toml", "not = 'merged'"),
    ]
    assert follow("\n".join(page), bare) == 4
    assert "mod b {\n    fn c() {}\n}" in bare.read("lib.rs")


WRONG = {
    "a command that fails": fence("console", "$ false"),
    "a command that fails before the last": fence("console fails", "$ false", "$ false"),
    "a command that must fail and does not": fence("console fails", "$ true"),
    "other output": fence("console", "$ echo one", "two"),
    "output in another order": fence("console", "$ echo one; echo two", "two", "one"),
    "a block without a prompt": fence("console", "echo one"),
    "a missing line": fence("rust lib.rs after mod c {", "fn c() {}"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_wrong_page_fails(fault: str, bare: Project) -> None:
    with pytest.raises(AssertionError):
        follow(WRONG[fault], bare)


# ---- Links.


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    assert list(broken_links(ROOT / name)) == []


@pytest.mark.parametrize(
    "link", ["nothing.md", "../nothing/", "page.md#nothing", "#nothing", "http://a.org", "https://"]
)
def test_broken_link_is_found(link: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n[it](<{link}>), [it](#title)\n")
    assert list(broken_links(page)) == [link]


def test_index_lists_every_how_to_page() -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    assert sorted(re.findall(r"\]\(how-to/(.+?)\.md\)", index)) == sorted(HOW_TO)


@pytest.mark.parametrize("name", HOW_TO)
def test_page_is_short_and_named_by_title(name: str) -> None:
    title, *rest = HOW_TO[name].read_text("utf-8").splitlines()
    assert anchor(title.removeprefix("# ").replace("`", "")) == name
    assert len(rest) < 150


# ---- Snippets.

MARKER = re.compile(
    r'<!-- render: (?P<variant>[\w-]+) (?P<path>\S+)(?: "(?P<start>.+?)")?(?: (?P<lines>\d+))? -->\n+```(?P<kind>\w*)\n(?P<text>.*?)```\n',
    re.DOTALL,
)


def renew(text: str, source: Path, folder: Path) -> str:
    """Replace the snippets of a page by lines of the renders that their markers name."""

    def snippet(match: re.Match[str]) -> str:
        project = folder / match["variant"]
        if not project.exists():
            render(source, project, VARIANTS[match["variant"]])
        rendered = cut((project / match["path"]).read_text("utf-8"), match["start"], match["lines"])
        return match[0][: match.start("text") - match.start()] + rendered + "```\n"

    assert text.count("<!-- render: ") == len(MARKER.findall(text)), "a marker must be followed by a block"
    return MARKER.sub(snippet, text)


def cut(text: str, start: str | None, lines: str | None) -> str:
    """Cut lines out of a file, from the line that begins with a text: a number of them, or up to an empty line."""
    if start is None:
        return text
    first = re.search(rf"^[ \t]*{re.escape(start)}.*\n", text, re.MULTILINE)
    assert first, f"no line begins with {start!r}"
    rest = text[first.start() :]
    if lines:
        return "".join(rest.splitlines(keepends=True)[: int(lines)])
    return rest.partition("\n\n")[0].rstrip("\n") + "\n"


@pytest.mark.parametrize("name", [name for name in PAGES if "<!-- render: " in (ROOT / name).read_text("utf-8")])
def test_snippets_match_renders(name: str, source: Path, tmp_path: Path) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert renew(text, source, tmp_path) == text, "`python tests/test_docs.py` writes them anew"


def test_stale_snippet_is_renewed(source: Path, tmp_path: Path) -> None:
    stale = '<!-- render: default pyproject.toml "[build-system]" 2 -->\n\n```toml\n[build-system]\nstale\n```\n'
    assert 'requires = ["maturin' in renew(stale, source, tmp_path)


@pytest.mark.parametrize(
    "fault", ['<!-- render: default pyproject.toml "nothing" -->\n\n```\n```\n', "<!-- render: default x -->\n"]
)
def test_marker_without_lines_fails(fault: str, source: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        renew(fault, source, tmp_path)


# ---- Jobs that no test runs.


def test_jobs_not_run_are_listed() -> None:
    import test_executed_ci
    import test_executed_release
    import test_gitlab

    page = HOW_TO["trust-the-workflows"].read_text("utf-8")
    listed = set(re.findall(r"^\| `(?:ci|wheels|.gitlab-ci)\.yml` \| `(.+)` \| (.+) \|$", page, re.MULTILINE))
    tables = (test_executed_ci.NOT_HERE, test_executed_release.NOT_HERE, test_gitlab.NOT_HERE)
    assert listed == {row for table in tables for row in table.items()}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        template = snapshot(Path(scratch, "template"))
        for page in (ROOT / name for name in PAGES):
            page.write_text(renew(page.read_text("utf-8"), template, Path(scratch)), "utf-8")
