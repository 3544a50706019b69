"""Do the recipes and the sessions run on any system, and do those exist that others name?"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checks import Table, find_tool, plant, tracked
from template import ROOT, Project, run
from workflows import sessions

RECIPES = "setup dev watch test lint fmt clean"
OPERATORS = {
    "runs a second command": r"&|\|\||;",
    "pipes or redirects": r"[|<>]",
    "expands a variable or a command": r"[$`%]",
    "sets a variable": r"^@?-?\s*\w+=",
    "globs": r"[*?~]",
    "calls a program of POSIX": r"^@?-?\s*(sh|bash|rm|cp|mv|mkdir|touch|cat|ls|cd|echo|export|sed|grep|find|test|true)\b",
    "is a script": r"^#!",
}
POSIX_MODULES = "crypt fcntl grp nis posix pty pwd resource spwd syslog termios tty"
POSIX_NAMES = "fork forkpty getuid geteuid getpgid killpg setsid symlink symlink_to uname SIGKILL SIGHUP"
POSIX_TEXT = re.compile(r"^/(tmp|dev|usr|bin|etc)\b|(^|/)bin(/|$)|^(sh|bash|rm|mv|ln|chmod|sed|awk|touch|which)$")


# ---- The justfile.


def dump(folder: Path) -> Table:
    """Read a justfile as just does."""
    justfile: Table = json.loads(run(find_tool("just"), "--dump", "--dump-format", "json", cwd=folder).stdout)
    return justfile


def recipe_faults(justfile: Table) -> Iterator[str]:
    """Name what needs a shell of POSIX, and what has no comment."""
    for name, assignment in justfile["assignments"].items():
        if "evaluate" in json.dumps(assignment["value"]):
            yield f"{name} runs a command"
    for name, recipe in justfile["recipes"].items():
        if not recipe["doc"]:
            yield f"{name} has no comment"
        for line in ("".join(part if isinstance(part, str) else "word" for part in line) for line in recipe["body"]):
            yield from (f"{name} {fault}: {line}" for fault, pattern in OPERATORS.items() if re.search(pattern, line))


def test_recipes_are_portable_and_documented(variant: Project) -> None:
    assert list(recipe_faults(dump(variant.folder))) == []


def test_every_expected_recipe_exists(variant: Project) -> None:
    assert set(RECIPES.split()) - dump(variant.folder)["recipes"].keys() == set()


@pytest.mark.parametrize(
    "line",
    [
        "a && b",
        "a || b",
        "a | b",
        "a; b",
        "a > b",
        "a < b",
        "a $HOME",
        "a `b`",
        "A=1 b",
        "rm b",
        "a *.whl",
        "#!/bin/sh",
        "a &",
    ],
)
def test_recipe_with_posix_shell_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "justfile").write_text(f"# Plant a fault\nplanted:\n    {line}\n")
    assert list(recipe_faults(dump(tmp_path)))


@pytest.mark.parametrize("text", ["a:\n    b\n", "# Comment\na:\n    {{ b }}\n\nb := `date`\n"])
def test_undocumented_recipe_is_found(tmp_path: Path, text: str) -> None:
    (tmp_path / "justfile").write_text(text)
    assert list(recipe_faults(dump(tmp_path)))


def test_justfile_is_formatted(variant: Project) -> None:
    variant.run(find_tool("just"), "--fmt", "--check")


def test_unformatted_justfile_is_found(tmp_path: Path) -> None:
    (tmp_path / "justfile").write_text("a :\n  b\n")
    assert run(find_tool("just"), "--fmt", "--check", cwd=tmp_path, check=False).returncode


# ---- Names.


def called(text: str, pattern: str) -> set[str]:
    """Give the words that follow a command in a text."""
    return set(re.findall(pattern, text))


SESSION = r"nox[^\n`]*? (?:-s|--session)[ =]([a-z_]+)"
RECIPE = r"(?:(?<=`)|^ *@?)just +([a-z]\w*)"


def test_named_sessions_exist(variant: Project) -> None:
    files = [name for name in tracked(variant.folder) if name == "noxfile.py" or name.startswith("sessions/")]
    existing = set().union(*(sessions(variant.read(name)) for name in files if name.endswith(".py")))
    for name in tracked(variant.folder):
        text = variant.read(name)
        assert called(text, SESSION) - existing == set(), name


def test_named_recipes_exist(variant: Project) -> None:
    existing = dump(variant.folder)["recipes"].keys()
    texts = {name: variant.read(name) for name in tracked(variant.folder)}
    texts["copier.yml"] = (ROOT / "copier.yml").read_text("utf-8")
    for name, text in texts.items():
        assert called(text, f"(?m){RECIPE}") - existing == set(), name


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (SESSION, "uvx nox --session nothing"),
        (SESSION, "`nox -s nothing`"),
        (RECIPE, "`just nothing`"),
        (RECIPE, "just nothing"),
    ],
)
def test_unknown_name_is_found(pattern: str, text: str) -> None:
    assert called(text, pattern) == {"nothing"}


# ---- The noxfile.


def unportable(source: str) -> Iterator[str]:
    """Name what a noxfile has that is not on every system; a function that looks at os.name knows what it does."""
    tree = ast.parse(source)
    tree.body = [
        part for part in tree.body if not isinstance(part, ast.FunctionDef) or "os.name" not in ast.unparse(part)
    ]
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names if name.name in POSIX_MODULES.split())
            case ast.ImportFrom(module=module) if module in POSIX_MODULES.split():
                yield module
            case ast.Attribute(attr=name) if name in POSIX_NAMES.split():
                yield name
            case ast.keyword(arg="shell"):
                yield "shell"
            case ast.Constant(value=str(text)) if POSIX_TEXT.search(text):
                yield text


def test_noxfile_is_portable(variant: Project) -> None:
    assert list(unportable(variant.read("noxfile.py"))) == []


def test_only_one_function_branches_on_windows(variant: Project) -> None:
    assert variant.read("noxfile.py").count("os.name") <= 1


@pytest.mark.parametrize(
    "line",
    [
        *("import fcntl", "from pwd import getpwuid", "def f():\n    import termios", "os.fork()", "Path('/tmp')"),
        *("run(a, shell=True)", "'.venv/bin/python'", "Path(a, 'bin')", "run('rm', 'a')", "kill(1, signal.SIGKILL)"),
    ],
)
def test_unportable_noxfile_is_found(line: str) -> None:
    assert list(unportable(line))


@pytest.mark.parametrize(
    ("gate", "name", "old", "new"),
    [
        (test_every_expected_recipe_exists, "justfile", "\ndev:", "\ndevelop:"),
        (test_named_sessions_exist, "justfile", "-s lint", "-s lnt"),
        (test_named_recipes_exist, "README.md", "just test", "just tset"),
        (test_only_one_function_branches_on_windows, "noxfile.py", "ROOT =", "os.name\nROOT ="),
    ],
)
def test_checks_find_planted_faults(
    default: Project, gate: Callable[[Project], None], name: str, old: str, new: str
) -> None:
    plant(default.folder, name, old, new)
    with pytest.raises(AssertionError):
        gate(default)
