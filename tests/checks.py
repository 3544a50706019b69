"""What several test files ask of a rendered project or of the repository: its files, that they parse, litter, tools."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import sys
import tomllib
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from template import in_ci, run

Table = dict[str, Any]  # what TOML, YAML and JSON are read into
YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
PLAIN = ("", ".dockerignore", ".txt", ".typed")  # suffixes of files without a syntax: LICENSE, .gitignore, py.typed
WINDOWS_REFUSES = re.compile(
    r"""[<>:"|?*\\\x00-\x1f]|[. ](/|$)|(^|/)(con|prn|aux|nul|com\d|lpt\d)([./]|$)""", re.IGNORECASE
)


def tracked(folder: Path, *options: str) -> list[str]:
    """List the files that git tracks."""
    listed = run("git", "ls-files", "-z", *options, cwd=folder).stdout
    return sorted(name for name in set(listed.split("\0")) - {""} if (folder / name).is_file())


def find_tool(name: str, *places: str | Path | None) -> Path:
    """Find a program that the tests need; skip where it is missing, or fail under CI."""
    beside = str(Path(sys.executable).parent)
    for place in (*places, shutil.which(name, path=os.pathsep.join([beside, os.environ["PATH"]]))):
        if place and Path(place).is_file():
            return Path(place)
    (pytest.fail if in_ci() else pytest.skip)(f"{name} is not on this machine")


def plant(folder: Path, name: str, old: str, new: str) -> Path:
    """Plant a fault in a file, for a test that proves that it is noticed."""
    path = folder / name
    text = path.read_text("utf-8")
    assert old in text, f"{name} has no {old!r} to change"
    path.write_text(text.replace(old, new, 1), "utf-8")
    return folder


# ---- Parsing.


def parse_python(text: str) -> None:
    """Compile Python, or a stub; a warning, as of an escape that is none, is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compile(text, "rendered", "exec", flags=ast.PyCF_ONLY_AST, dont_inherit=True)
        compile(text, "rendered", "exec", dont_inherit=True)


def parse_yaml(text: str) -> object:
    """Read YAML as tools do: `yes` is a truth value."""
    return yaml.load(text, YAML)


PARSERS: dict[str, Callable[[str], object]] = {
    ".json": json.loads,
    ".md": MarkdownIt().parse,
    ".py": parse_python,
    ".pyi": parse_python,
    ".toml": tomllib.loads,
    ".yaml": parse_yaml,
    ".yml": parse_yaml,
}
ELSEWHERE = {".rs": "rustfmt, in test_renders.py", "justfile": "just, in test_recipes.py"}


def parse(name: str, text: str) -> None:
    """Parse a file by its suffix; a kind of file that nothing here knows is an error, for it would go unread."""
    path = Path(name)
    if path.suffix in PARSERS:
        PARSERS[path.suffix](text)
    elif path.suffix not in PLAIN and path.suffix not in ELSEWHERE:
        raise ValueError(f"no parser for {name}")


# ---- Links.


def broken_links(page: Path) -> Iterator[str]:
    """Find the links of a page that have no file, heading, https address or definition; nothing is fetched."""
    for token in MarkdownIt().enable("table").parse(page.read_text("utf-8")):
        for child in token.children or []:
            link = str(child.attrs.get("href", child.attrs.get("src", "")))
            if child.type == "text":
                yield from re.findall(r"\S*\]\[\S*", child.content)
            elif child.type in ("link_open", "image") and not (is_address(link) if ":" in link else leads(page, link)):
                yield link


def is_address(link: str) -> bool:
    """Check the form of an address."""
    return re.fullmatch(r"https://([\w-]+\.)+[a-z]{2,}(:\d+)?([/?#].*)?", link) is not None


def leads(page: Path, link: str) -> bool:
    """Check that a link of a page leads to a file, and to a heading in it."""
    path, _, heading = link.partition("#")
    file = page.parent / path if path else page
    if not link or not heading:
        return bool(link) and file.exists()
    tokens = MarkdownIt().parse(file.read_text("utf-8")) if file.is_file() else []
    titles = [after.children or [] for token, after in pairwise(tokens) if token.type == "heading_open"]
    return heading in {anchor("".join(child.content for child in title)) for title in titles}


def anchor(heading: str) -> str:
    """Spell the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


# ---- Litter.

LITTER = {
    "a blank line at the start": r"\A\n",
    "blank lines at the end": r"\n\n\Z",
    "no newline at the end": r"[^\n]\Z",
    "a space at the end of a line": r"(?m)[ \t]+$",
    "a carriage return": r"\r",
    "a placeholder": r"(?i)\b(TODO|FIXME|XXX|lorem ipsum|your[ -](name|project|package|e-?mail))\b|This is where",
}


def litter(name: str, text: str) -> list[str]:
    """Name the litter in a text."""
    blank = r"\n\n\n\n" if name.endswith((".py", ".pyi")) else r"\n\n\n"
    # just has braces of its own, and git-cliff templates in Tera, which looks like Jinja.
    jinja = {"justfile": r"\{%|\{#", "cliff.toml": r"\{#"}.get(name, r"\{%|\{#|(?<![$\w{])\{\{(?!\{)")
    patterns = {**LITTER, "a double blank line": blank, "leftover Jinja": jinja}
    return [kind for kind, pattern in patterns.items() if re.search(pattern, text)]
