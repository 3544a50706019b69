"""Read the answers back from the places of a rendered project that carry them, and make up legal ones."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from template import ROOT, questions

RESERVED = set((ROOT / "template" / "_partials" / "reserved.txt").read_text("utf-8").split())


def carried(folder: Path) -> dict[str, list[object]]:
    """Give, for each question, what each place that carries the answer says; all are to be the same."""
    pyproject = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    manifest = tomllib.loads((folder / "Cargo.toml").read_text("utf-8"))
    project, package = pyproject["project"], manifest.get("package") or manifest["workspace"]["package"]
    stored = yaml.safe_load((folder / ".copier-answers.yml").read_text("utf-8"))
    return {
        **{key: [stored[key]] for key in questions() if key in stored},
        "package": [stored["package"], pyproject["tool"]["maturin"]["module-name"].partition(".")[0]],
        "name": [stored["name"], project["name"]],
        "description": [stored["description"], project["description"], package["description"], lead(folder)],
        "author_name": [stored["author_name"], project["authors"][0]["name"], *holders(folder)],
        "author_email": [stored["author_email"], project["authors"][0]["email"]],
        "repository": [stored["repository"], project["urls"]["Repository"], package["repository"]],
        "license": [stored["license"], project["license"], package["license"]],
        "python": [stored["python"], project["requires-python"].removeprefix(">=")],
        **({"index": [stored["index"], *addresses(folder)]} if "index" in stored else {}),
    }


def lead(folder: Path) -> str:
    """Give the paragraph under the title of the README, which has to be one: text may begin like a list or a heading."""
    tokens = MarkdownIt().parse((folder / "README.md").read_text("utf-8"))
    assert [token.type for token in tokens[2:6]] == ["heading_close", "paragraph_open", "inline", "paragraph_close"]
    assert not [child for child in tokens[4].children or [] if child.type == "html_inline"]
    return tokens[4].content


def addresses(folder: Path) -> list[str]:
    """Give the root of the private index, as uv and cargo are told it."""
    private = folder / "channels" / "private"
    index = tomllib.loads((private / "uv.toml").read_text("utf-8"))["index"][0]
    registry = tomllib.loads((private / "cargo.toml").read_text("utf-8"))["registries"]["private"]["index"]
    return [
        index["url"].removesuffix("/simple/"),
        index["publish-url"].removesuffix("/"),
        registry.removeprefix("sparse+").removesuffix("/cargo/index/"),
    ]


def holders(folder: Path) -> list[str]:
    """Give whom the licences name."""
    texts = [path.read_text("utf-8") for path in folder.glob("LICENSE*") if path.name != "LICENSE-APACHE"]
    return [holder for text in texts for holder in re.findall(r"(?m)^Copyright \(c\) (?:\d{4},? )?(.+)$", text)]


# ---- Legal answers, made up.

LETTERS = st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters='"\\{}<>,')
MARKS = st.sampled_from(
    [" ", " - ", "%", "%s", "'", "''", "# ", "&", "&amp;", "`", "*", "__", "[x]", "](", "$x", ": ", "~", "|", "é", "🦀"]
)
WORDS = st.sampled_from("abcxyzABC")


def text(limit: int) -> st.SearchStrategy[str]:
    """Make a line that begins with a letter."""
    rest = st.lists(LETTERS | MARKS, max_size=limit // 8).map("".join)
    return st.builds(str.__add__, WORDS, rest).map(str.strip)


NAME = r"[a-z][a-z0-9]{0,9}(_[a-z0-9]{1,6}){0,3}"
DISTRIBUTION = r"[a-z][a-z0-9]{0,9}([-._][a-z0-9]{1,6}){0,3}"
TEXTS: dict[str, st.SearchStrategy[str]] = {
    "package": st.from_regex(NAME, fullmatch=True).filter(lambda name: name not in RESERVED),
    "name": st.from_regex(DISTRIBUTION, fullmatch=True),
    "description": text(400),
    "author_name": text(200),
    "author_email": st.from_regex(
        r"[a-z0-9_+-]{1,8}(\.[A-Z0-9]{1,4})?@([a-z0-9]{1,9}\.){1,2}[a-z]{2,5}", fullmatch=True
    ),
    "repository": st.from_regex(
        r"https://[a-z0-9]{1,9}(\.[a-z]{2,3})?(:[0-9]{2,4})?(/[a-zA-Z0-9_~-]{1,9}){1,3}", fullmatch=True
    ),
    "index": st.from_regex(
        r"https?://[a-z0-9]{1,9}(\.[a-z]{2,3})?(:[0-9]{2,4})?(/[A-Z0-9_~-]{1,9}){0,3}", fullmatch=True
    ),
}

# What else has to be answered so that a question is asked.
ASKED_WITH: dict[str, dict[str, object]] = {"index": {"channels": ["private"]}}


def answer(question: str) -> st.SearchStrategy[object]:
    """Make an answer to a question."""
    if question in TEXTS:
        return TEXTS[question]
    choices = questions()[question]["choices"]
    values = list(choices.values()) if isinstance(choices, dict) else choices
    if questions()[question].get("multiselect"):
        # In the order that Copier stores them in.
        return st.sets(st.sampled_from(values)).map(lambda some: sorted(some, key=values.index))
    return st.sampled_from(values)


def answer_sets() -> st.SearchStrategy[dict[str, object]]:
    """Make a legal answer to every question."""
    return st.fixed_dictionaries({question: answer(question) for question in questions()}).map(consistent)


def consistent(answers: dict[str, Any]) -> dict[str, object]:
    """Take out what the other answers rule out."""
    if answers["layout"] != "workspace" or answers["version"] == "git":
        answers["channels"] = [channel for channel in answers["channels"] if channel != "crates"]
    if "private" not in answers["channels"]:
        del answers["index"]
    return answers
