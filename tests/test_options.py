"""Options are files: does a value add files of its own and lines from loops, and change nothing else?"""

from __future__ import annotations

import re
import tomllib
from difflib import ndiff
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from releases import PRESENT, Releases, tree, unmerged, update
from template import ROOT, Project, facts, options, questions, render, run, snapshot

ADDITIVE = ("extras", "upkeep", "channels", "ci")
# Where loops over the table write: manifests, the module and its stub, the package, the record of the answers.
LOOPS = ("Cargo.toml", "pyproject.toml", "lib.rs", "*.pyi", "__init__.py", ".copier-answers.yml")
# Values whose name means something else as well, and what that is.
OTHER_MEANINGS = {
    "bench": "the session that every project has",
    "crates": "the folder of the layout workspace",
    "github": "the host of a repository",
    "private": "a word",
    "template": "a word",
}


VALUES = [(option, value) for option in ADDITIVE for value in options()[option] if value != "none"]
each_value = pytest.mark.parametrize(("option", "value"), VALUES, ids=[value for _, value in VALUES])


def base(option: str, value: str) -> dict[str, Any]:
    """Give the answers that a value is added to."""
    answers: dict[str, Any] = {"layout": "workspace"} if value == "crates" else {}
    return answers | {"ci": "none"} if option == "ci" else answers


def chosen(option: str, value: str) -> dict[str, Any]:
    """Give the answer that chooses a value."""
    return {option: [value] if questions()[option].get("multiselect") else value}


def owns(option: str, value: str, path: str) -> bool:
    """Tell whether the table gives a file to a value, or a folder above it."""
    parents = ["/" + path, *("/" + parent.as_posix() for parent in Path(path).parents), Path(path).name]
    return any(fnmatch(name, pattern) for name in parents for pattern in options()[option][value]["files"])


def text_tree(folder: Path) -> dict[str, str]:
    """Read each file of a render."""
    return {path: text for path, (text, _) in tree(folder).items()}


def faults(option: str, value: str, without: dict[str, str], added: dict[str, str]) -> list[str]:
    """Name what a value does that no value may do."""
    found = [f"takes {path} away" for path in without.keys() - added.keys()]
    found += [f"adds {path}, not its own" for path in added.keys() - without.keys() if not owns(option, value, path)]
    for path in sorted(without.keys() & added.keys()):
        if without[path] != added[path]:
            found += changed_lines(path, without[path], added[path])
    return found


def changed_lines(path: str, without: str, added: str) -> list[str]:
    """Name the lines of a file that are lost; a list that a loop fills stays the same list."""
    if not any(fnmatch(Path(path).name, pattern) for pattern in LOOPS):
        return [f"changes {path}"]
    lines = list(ndiff(without.splitlines(), added.splitlines()))
    new = [line[2:] for line in lines if line.startswith("+ ")]
    lost = [line[2:] for line in lines if line.startswith("- ")]
    return [f"changes {path}: {line}" for line in lost if not any(same_list(line, other) for other in new)]


def same_list(line: str, other: str) -> bool:
    """Tell whether a line is a list, or an answer, that the other makes longer or fills."""
    return re.split(r"[\[\]:]", line)[0] == re.split(r"[\[\]:]", other)[0]


@each_value
def test_value_adds_own_files_and_loop_lines(option: str, value: str, source: Path, tmp_path: Path) -> None:
    answers = base(option, value)
    without = text_tree(render(source, tmp_path / "without", answers))
    added = text_tree(render(source, tmp_path / "with", answers | chosen(option, value)))
    assert faults(option, value, without, added) == []
    assert added.keys() - without.keys(), "a value without a file of its own"


@pytest.mark.parametrize(
    ("added", "fault"),
    [
        ({"a.py": "x\n"}, "takes pyproject.toml away"),
        ({"a.py": "x\n", "pyproject.toml": "b\n"}, "changes pyproject.toml: a"),
        ({"a.py": "y\n", "pyproject.toml": "a\n"}, "changes a.py"),
        ({"a.py": "x\n", "pyproject.toml": "a\nb\n", "b.py": ""}, "adds b.py, not its own"),
    ],
)
def test_value_that_is_not_additive_is_found(added: dict[str, str], fault: str) -> None:
    assert faults("upkeep", "audit", {"a.py": "x\n", "pyproject.toml": "a\n"}, added) == [fault]


def named(value: str) -> set[str]:
    """List the files of the template that name a value, but for its own."""
    files = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "template", cwd=ROOT).stdout.split(
        "\n"
    )
    texts = {name: (ROOT / name).read_text("utf-8") for name in files if name and (ROOT / name).is_file()}
    pattern = re.compile(rf"(?<![\w-]){re.escape(value)}(?![\w-])")
    own = [pattern for rows in options().values() for pattern in rows.get(value, {}).get("files", [])]
    return {
        name
        for name, text in texts.items()
        if pattern.search(text)
        and not any(Path(name).name.removesuffix(".jinja") == Path(pattern).name for pattern in own)
        and not any(f"template{pattern}/" in name for pattern in own)
        and Path(name).stem.removesuffix(".pyi") != value
        and not name.startswith(("template/_partials/reserved.txt", "template/_partials/licenses/"))
    }


@each_value
def test_value_is_named_in_its_own_files(option: str, value: str) -> None:
    if value in OTHER_MEANINGS:
        pytest.skip(f"{value} means something else too: {OTHER_MEANINGS[value]}")
    assert named(value) - {"template/pyproject.toml.jinja" if value == "numpy" else ""} == set()  # pydocstyle's numpy


def test_name_of_a_value_elsewhere_is_found() -> None:
    assert "template/noxfile.py.jinja" in named("bench")


def test_extras_with_python_requirements_render_valid_toml(tmp_path: Path) -> None:
    """Two extras that both bring requirements, which no real pair does."""
    folder = snapshot(tmp_path / "template")
    path = folder / "copier.yml"
    text = path.read_text("utf-8")
    old = '        crates: { rayon: "1.12.0" }\n        python: []\n'
    assert old in text
    path.write_text(text.replace(old, old.replace("[]", '["psutil>=6", "attrs>=25"]')), "utf-8")
    project = render(folder, tmp_path / "project", {"extras": ["numpy", "rayon"]})
    pyproject = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
    assert pyproject["project"]["dependencies"] == ["numpy>=1.26", "psutil>=6", "attrs>=25"]


def test_table_has_a_row_for_every_value() -> None:
    for option, rows in options().items():
        choices = questions()[option]["choices"]
        assert list(rows) == list(choices.values() if isinstance(choices, dict) else choices)


# ---- Adding and removing a value later.


@each_value
def test_adding_and_removing_value_restores_tree(option: str, value: str, releases: Releases, tmp_path: Path) -> None:
    answers = base(option, value)
    project = releases.project(PRESENT, tmp_path / "project", answers)
    with (project.folder / "README.md").open("a", encoding="utf-8") as readme:
        readme.write("\nOwn words.\n")
    project.commit()
    before = tree(project.folder)
    update(project, data=chosen(option, value))
    assert unmerged(project) == set()
    project.commit()
    added = tree(project.folder)
    del added["README.md"]
    fresh = tree(render(releases.folder, tmp_path / "with", answers | chosen(option, value)))
    del fresh["README.md"]
    assert added == fresh
    update(project, data={option: answers.get(option, questions()[option]["default"])})
    assert tree(project.folder) == before


# ---- What a project gives its owner to read.

LAYOUTS = [{"layout": layout} for layout in ("mixed", "pure", "workspace")]
PLAIN = [*LAYOUTS, {"version": "git"}, {"license": "MIT"}, {"python": "3.14"}]
BUDGETS = {
    "files": 32,
    "lines": 1250,
    "root entries": 18,
    "Python that is neither package nor test": 210,
    "  of it noxfile.py": 170,
    "justfile": 50,
    "workflow files": 3,
    "workflow lines": 250,
    "Rust": 320,
    "Python tests": 170,
    "pyproject.toml": 100,
    "Cargo.toml": 50,
    "README.md": 45,
    "dependency groups": 6,
}
# What a layout or a version's place adds of its own: two more crates, and the build backend.
MORE = {
    ("layout", "workspace"): {"files": 2, "lines": 60, "Rust": 20},
    ("version", "git"): {"files": 1, "lines": 160, "root entries": 1, "Python that is neither package nor test": 150},
}


def weights(folder: Path) -> dict[str, int]:
    """Count what the owner of a project reads: no licence texts and no lock files."""
    files = {
        path.relative_to(folder).as_posix(): len(path.read_text("utf-8").splitlines())
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }
    roots = {name.partition("/")[0] for name in files}
    files = {
        name: lines for name, lines in files.items() if not re.match(r"LICENSE|.*\.lock$", name.rpartition("/")[2])
    }

    def lines(pattern: str) -> int:
        return sum(count for name, count in files.items() if re.fullmatch(pattern, name))

    scripts = r"(?!(python|src|tests)/|benches/bench_\w+\.py).*\.py"
    workflows = r"\.github/workflows/\S+\.yml|\.gitlab.*\.yml"
    groups = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    return {
        "files": len(files),
        "lines": sum(files.values()),
        "root entries": len(roots),
        "Python that is neither package nor test": lines(scripts),
        "  of it noxfile.py": files["noxfile.py"],
        "justfile": files["justfile"],
        "workflow files": sum(bool(re.fullmatch(workflows, name)) for name in files),
        "workflow lines": lines(workflows),
        "Rust": lines(r".*\.rs"),
        "Python tests": lines(r"tests/.*\.py"),
        "pyproject.toml": files["pyproject.toml"],
        "Cargo.toml": files["Cargo.toml"],
        "README.md": files["README.md"],
        "dependency groups": len(groups),
    }


def over_budget(folder: Path, more: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Name what is over its budget, with the budget."""
    allowed = {name: budget + more.get(name, 0) for name, budget in BUDGETS.items()}
    return {name: (count, allowed[name]) for name, count in weights(folder).items() if count > allowed[name]}


@pytest.mark.parametrize("answers", PLAIN, ids=str)
def test_project_is_within_its_budgets(answers: dict[str, str], source: Path, tmp_path: Path) -> None:
    (item,) = answers.items()
    assert over_budget(render(source, tmp_path / "project", answers), MORE.get(item, {})) == {}


@each_value
def test_value_is_small(option: str, value: str, source: Path, tmp_path: Path) -> None:
    """A value costs its own files; each of them is short enough to be read at once."""
    project = render(source, tmp_path / "project", base(option, value) | chosen(option, value))
    own = [
        path for path in project.rglob("*") if path.is_file() and owns(option, value, str(path.relative_to(project)))
    ]
    limits = {".yml": 100, ".rs": 170, ".py": 270}
    lengths = {path.name: len(path.read_text("utf-8").splitlines()) for path in own if path.suffix in limits}
    assert {name: length for name, length in lengths.items() if length > limits[Path(name).suffix]} == {}


def test_upkeep_in_all_is_at_most_1300_lines(source: Path, tmp_path: Path) -> None:
    every = list(options()["upkeep"])
    project = render(source, tmp_path / "project", {"upkeep": every})
    assert sum(len(path.read_text("utf-8").splitlines()) for path in project.glob("sessions/*.py")) <= 1300


def test_project_over_its_budgets_is_found(default: Project) -> None:
    with (default.folder / "justfile").open("a", encoding="utf-8") as justfile:
        justfile.write("#\n" * 30)
    assert "justfile" in over_budget(default.folder, {})


def test_facts_name_only_tools_of_the_table_or_manifests() -> None:
    listed = {tool for rows in options().values() for row in rows.values() for tool in row.get("tools", [])}
    assert listed <= facts()["tools"].keys()
