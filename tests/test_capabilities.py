"""Does docs/capabilities.md have a row for everything, and does each row's proof exist?"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import pytest

from checks import anchor
from template import ROOT, options, questions, run

PAGE = ROOT / "docs" / "capabilities.md"
IDS = [f"C{number:03}" for number in range(1, 279)]
STATES = ("works", "documented", "refused", "not yet")


@dataclass(frozen=True)
class Row:
    """What a row says: of what, in which state, where to find it, and what proves it."""

    id: str
    what: str
    state: str
    where: str
    proof: str

    @property
    def places(self) -> list[str]:
        """Give the files, recipes, sessions and questions that the row names."""
        return re.findall("`([^`]+)`", self.where)

    @property
    def pages(self) -> list[str]:
        """Give the pages that the row leads to."""
        return re.findall(r"\]\(([^)]+)\)", self.where)

    @property
    def tests(self) -> list[str]:
        """Give the tests that prove the row."""
        return re.findall("`([^`]+)`", self.proof)


def cells(text: str) -> Iterator[list[str]]:
    """Give the cells of every line of a table."""
    for line in text.splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def read(text: str) -> list[Row]:
    """Read the rows of the page."""
    return [Row(*row) for row in cells(text) if re.fullmatch(r"C\d+", row[0])]


def faults(text: str) -> list[str]:
    """Name all that is wrong with the page."""
    rows = read(text)
    found = [] if [row.id for row in rows] == IDS else ["the ids are not C001 to C278, each once and in order"]
    for row in rows:
        found += [f"{row.id}: {fault}" for fault in faults_of(row)]
    return found


def faults_of(row: Row) -> Iterator[str]:
    """Name what is wrong with a row."""
    if row.state not in STATES:
        yield f"{row.state!r} is no state"
    if not row.what:
        yield "it says of nothing what it is"
    if row.state == "works" and not (row.tests and (row.places or row.pages)):
        yield "it works without a place or without a test"
    if row.state in ("documented", "refused") and not row.pages:
        yield f"it is {row.state} without a page"
    if row.state == "not yet" and (row.where or row.proof):
        yield "it is not yet there, and yet has a place or a proof"
    yield from (f"{place!r} does not exist" for place in row.places if not exists(place))
    yield from (f"{page!r} leads nowhere" for page in row.pages if not leads(page))
    yield from (f"{test!r} is no test" for test in row.tests if test not in collected())


def exists(place: str) -> bool:
    """Tell whether a file, recipe, session, question or value of an option exists."""
    if place.startswith("just "):
        justfile = (ROOT / "template" / "justfile.jinja").read_text("utf-8")
        return re.search(rf"(?m)^{place.split()[1]}\b.*:$", justfile) is not None
    if place.startswith("nox -s "):
        return place.split()[2] in sessions()
    option, _, value = place.partition(": ")
    if value:
        return value in options().get(option, {})
    if "/" in place or "." in place:
        return (ROOT / place).exists()
    return place in questions()


@cache
def sessions() -> set[str]:
    """Name the nox sessions of the project, of its options and of this repository."""
    template = ROOT / "template"
    files = [ROOT / "noxfile.py", template / "noxfile.py.jinja", *template.glob("sessions/*.py")]
    found = (re.findall(r"(?m)^@nox\.session.*\ndef (\w+)", file.read_text("utf-8")) for file in files)
    return {name for names in found for name in names}


def leads(page: str) -> bool:
    """Tell whether a page, and the heading that a link names, exist."""
    path, _, heading = page.partition("#")
    file = PAGE.parent / path
    return file.is_file() and (not heading or heading in {anchor(title) for title in headings(file.read_text("utf-8"))})


def headings(text: str) -> list[str]:
    """Give the headings of a page, as they are to be read."""
    return [title.replace("`", "") for title in re.findall(r"(?m)^#+ (.+)$", text)]


@cache
def collected() -> set[str]:
    """Give every test that there is, with and without its parameters."""
    command = (sys.executable, "-m", "pytest", "--collect-only", "--quiet", "--no-header", "-p", "no:cacheprovider")
    names = {line for line in run(*command, cwd=ROOT).stdout.splitlines() if "::" in line}
    return names | {name.partition("[")[0] for name in names}


def test_every_row_is_there_and_proven() -> None:
    assert faults(PAGE.read_text("utf-8")) == []


PLANTED: dict[str, tuple[Callable[[str], str], str]] = {
    "a lost row": (lambda text: re.sub(r"(?m)^\| C100 .*\n", "", text), "the ids are not"),
    "a row twice": (lambda text: re.sub(r"(?m)^(\| C100 .*\n)", r"\1\1", text), "the ids are not"),
    "a test that is missing": (
        lambda text: change(text, "C001", proof="`tests/test_builds.py::test_nothing`"),
        "is no test",
    ),
    "works without a test": (lambda text: change(text, "C001", proof=""), "without a test"),
    "works without a place": (lambda text: change(text, "C001", where="here"), "without a place"),
    "a file that is missing": (lambda text: change(text, "C001", where="`template/nothing.toml`"), "does not exist"),
    "a recipe that is missing": (lambda text: change(text, "C001", where="`just nothing`"), "does not exist"),
    "a session that is missing": (lambda text: change(text, "C001", where="`nox -s nothing`"), "does not exist"),
    "a question that is missing": (lambda text: change(text, "C001", where="`nothing`"), "does not exist"),
    "a page that is missing": (lambda text: change(text, "C001", where="[p](how-to/nothing.md)"), "leads nowhere"),
    "a heading that is missing": (lambda text: change(text, "C001", where="[p](index.md#nothing)"), "leads nowhere"),
    "refused without a page": (lambda text: change(text, "C001", state="refused", where="`python`"), "without a page"),
    "a state that is none": (lambda text: change(text, "C001", state="done"), "is no state"),
    "a proof of what is not yet": (lambda text: change(text, "C001", state="not yet"), "not yet there"),
}


def change(text: str, row_id: str, **changes: str) -> str:
    """Change cells of a row."""
    (row,) = (row for row in read(text) if row.id == row_id)
    new = "| " + " | ".join({**vars(row), **changes}.values()) + " |"
    return re.sub(rf"(?m)^\| {row_id} .*$", lambda _: new, text)


@pytest.mark.parametrize("fault", PLANTED)
def test_page_is_found_wanting_with(fault: str) -> None:
    plant, message = PLANTED[fault]
    text = PAGE.read_text("utf-8")
    assert plant(text) != text
    assert any(message in found for found in faults(plant(text)))


# ---- What the tests skip.


def skips() -> set[tuple[str, str]]:
    """Find where tests skip, with the reason as it stands there; an ellipsis is what is filled in."""
    found = set()
    for file in sorted((ROOT / "tests").glob("*.py")):
        for function, call in calls(ast.parse(file.read_text("utf-8"))):
            name = ast.unparse(call.func)
            if name in ("missing_tool", "find_tool", "pytest.skip", "pytest.importorskip") or "skipif" in name:
                found.add((f"tests/{file.name}::{function}", reason(name, call)))
    for page in sorted((ROOT / "docs").rglob("*.md")):
        found |= {
            (page.relative_to(ROOT).as_posix(), why)
            for why in re.findall(r"(?m)^```console not-run: (.+)$", page.read_text("utf-8"))
        }
    # The helpers that do the skipping give on the reasons of those who call them.
    return {(place, why) for place, why in found if why != "…"}


def calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Give each call with the function, at the top of the file, in which or on which it stands."""
    for node in tree.body:
        name = getattr(node, "name", "") or (ast.unparse(node.targets[0]) if isinstance(node, ast.Assign) else "")
        yield from ((name, call) for call in ast.walk(node) if isinstance(call, ast.Call))


def reason(name: str, call: ast.Call) -> str:
    """Read the reason of a skip."""
    given = next((keyword.value for keyword in call.keywords if keyword.arg == "reason"), None) or call.args[0]
    parts = given.values if isinstance(given, ast.JoinedStr) else [given]
    text = "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)
    return f"{text} is not on this machine" if name == "find_tool" else text


def listed(text: str) -> set[tuple[str, str]]:
    """Read the skips that the page lists."""
    rows = cells(text.partition("\n## Skips\n")[2])
    return {(row[0].strip("`"), row[1]) for row in rows if row[0].startswith("`")}


def test_every_skip_is_listed_with_its_reason() -> None:
    assert listed(PAGE.read_text("utf-8")) == skips(), "`python tests/test_capabilities.py` prints the rows"


def test_skips_are_found_in_the_tests() -> None:
    assert any(place == "tests/test_builds.py::tested" for place, _ in skips())


if __name__ == "__main__":
    for place, why in sorted(skips()):
        print(f"| `{place}` | {why} |")
