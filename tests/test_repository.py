"""The template is easy to read, and the repository has no traces of one machine."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from checks import WINDOWS_REFUSES, parse, tracked
from template import ROOT
from workflows import broken_rules, lint_with_actionlint, lint_with_zizmor, workflows

TEMPLATE = ROOT / "template"
TAG = re.compile(r"\{%[-+]?\s*(if|elif|endif|raw|endraw)\b")
JINJA = re.compile(r"\{\{|\{%|\{#")
OWN_BRACES = {".yml", ".rs", ".py", "cliff.toml"}  # suffixes and names of files with braces of another language
LOCAL = re.compile(
    r"(?<![\w.])/(home|root|Users|mnt|media)/\w"  # a folder of one machine
    r"|\b(gh[opsu]_|github_pat_|pypi-Ag|AKIA)\w{12}"  # a token
    r"|\b(index-url|index_url|registry|proxy) *= *.https?:"  # a private registry
)


def texts(folder: Path, *options: str) -> dict[str, str]:
    """Read the text files that are tracked, or new."""
    names = tracked(folder, "--cached", "--others", "--exclude-standard")
    contents = {name: (folder / name).read_bytes() for name in names}
    return {name: content.decode("utf-8") for name, content in contents.items() if b"\0" not in content}


def ifs(text: str) -> tuple[int, int]:
    """Count the branches of a text, and how deeply they are nested."""
    count = depth = deepest = 0
    for tag in TAG.findall(text):
        count += tag in ("if", "elif")
        depth += {"if": 1, "endif": -1}.get(tag, 0)
        deepest = max(deepest, depth)
    return count, deepest


def templated() -> dict[str, str]:
    """Read the files with Jinja: those with the suffix, and what they include."""
    return {name: text for name, text in texts(TEMPLATE).items() if name.endswith(".jinja") or "_partials" in name}


# ---- The template.


@pytest.mark.parametrize("name", templated())
def test_template_has_two_branches_without_nesting(name: str) -> None:
    count, deepest = ifs(templated()[name])
    assert count <= 2 and deepest <= 1


def test_branches_are_rare() -> None:
    counts = [ifs(text)[0] for text in templated().values()]
    lines = sum(text.count("\n") for text in templated().values())
    assert 100 * sum(counts) <= 1.5 * lines


def test_branches_are_counted() -> None:
    assert ifs("{% if a %}\n{%- if b -%}\n{% elif c %}\n{% endif %}\n{% endif %}\n{% if d %}{% endif %}\n") == (4, 2)


def test_templates_escape_no_braces() -> None:
    pattern = r"\{%[-+]?\s*raw|\{\{\s*['\"]\$?\{\{"
    escaping = {name for name, text in texts(TEMPLATE).items() if re.search(pattern, text)}
    assert escaping <= {"channels/conda/recipe.yaml.jinja", "justfile.jinja"}, (
        "these have answers and braces of their own"
    )


def test_jinja_is_in_files_with_suffix() -> None:
    for name, text in texts(TEMPLATE).items():
        if name.endswith(".jinja"):
            assert JINJA.search(text), f"{name} needs no suffix"
        elif "_partials" not in name and not OWN_BRACES & {Path(name).name, Path(name).suffix}:
            assert not JINJA.search(text), f"{name} is copied as it is"
        assert "{%" not in text or name.endswith((".jinja", "cliff.toml")) or "_partials" in name


def test_no_path_is_conditional() -> None:
    assert [name for name in texts(TEMPLATE) if "{%" in name or " if " in name] == []


def test_partials_are_included() -> None:
    included = set(
        re.findall(r"include [\"']template/_partials/(\w+)", "\n".join([*templated().values(), copier_text()]))
    )
    folders = {Path(name).parts[1].partition(".")[0] for name in templated() if "_partials" in name}
    assert folders == included


# ---- copier.yml.


def copier_text() -> str:
    """Read copier.yml."""
    return (ROOT / "copier.yml").read_text("utf-8")


def test_updates_need_no_trust() -> None:
    keys = yaml.safe_load(copier_text()).keys()
    assert not keys & {"_tasks", "_jinja_extensions", "_external_data"}


def test_copier_is_strict_and_trims_blocks() -> None:
    assert yaml.safe_load(copier_text())["_envops"] == {
        "keep_trailing_newline": True,
        "lstrip_blocks": True,
        "trim_blocks": True,
        "undefined": "jinja2.StrictUndefined",
    }


# ---- All files.


def test_files_parse() -> None:
    for name, text in texts(ROOT).items():
        if not name.startswith("template/") and Path(name).suffix in {".json", ".py", ".toml", ".yaml", ".yml"}:
            parse(name, text)


def test_paths_are_valid_on_windows() -> None:
    assert [name for name in texts(ROOT) if WINDOWS_REFUSES.search(name) or len(name) > 120] == []


def test_files_have_no_local_paths_or_tokens() -> None:
    assert {name: found[0] for name, text in texts(ROOT).items() if (found := LOCAL.search(text))} == {}


@pytest.mark.parametrize(
    "text", ["/" + "root/x", "cd /" + "home/ann/x", "index-url" + " = 'https://x'", "ghp_" + "a" * 36]
)
def test_local_path_or_token_is_found(text: str) -> None:
    assert LOCAL.search(text)


def test_no_leftover_files() -> None:
    assert [name for name in texts(ROOT) if re.search(r"\.(orig|rej|bak|swp|pyc|so|whl|lock)$|~$", name)] == []


# ---- The repository's own workflows.


def test_own_workflows_keep_the_rules() -> None:
    assert workflows(ROOT)
    assert broken_rules(ROOT) == {}


def test_own_workflows_pass_actionlint(pytestconfig: pytest.Config) -> None:
    assert lint_with_actionlint(ROOT, pytestconfig.cache.mkdir("tools")) == ""


def test_own_workflows_pass_zizmor() -> None:
    assert lint_with_zizmor(ROOT) == []


# ---- Planted faults.


@pytest.mark.parametrize(
    ("gate", "name", "text"),
    [
        (test_branches_are_rare, "a.jinja", "{% if a %}\nb\n{% endif %}\n" * 50),
        (test_templates_escape_no_braces, "a.yml.jinja", "{{ '{{' }}\n"),
        (test_templates_escape_no_braces, "a.yml.jinja", "{% raw %}\n"),
        (test_jinja_is_in_files_with_suffix, "a.toml.jinja", "a = 1\n"),
        (test_jinja_is_in_files_with_suffix, "a.toml", "a = {{ b }}\n"),
        (test_jinja_is_in_files_with_suffix, "a.yml", "{% for b in c %}\n"),
        (test_no_path_is_conditional, "{% if a %}b{% endif %}", ""),
        (test_no_path_is_conditional, "{{ 'a' if b else '' }}", ""),
        (test_partials_are_included, "_partials/planted/a.toml", ""),
        (test_files_parse, "a.toml", "a = \n"),
        (test_paths_are_valid_on_windows, "a:b", ""),
        (test_no_leftover_files, "copier.yml.orig", ""),
    ],
)
def test_planted_fault_fails(monkeypatch: pytest.MonkeyPatch, gate: Callable[[], None], name: str, text: str) -> None:
    original = texts
    monkeypatch.setitem(globals(), "texts", lambda *arguments: {**original(*arguments), name: text})
    with pytest.raises((AssertionError, ValueError)):
        gate()
