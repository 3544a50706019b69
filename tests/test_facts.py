"""Do the facts of copier.yml agree with each other, and with all that is rendered from them?"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from checks import Table, plant
from template import ROOT, Project, facts, options, questions


def template_text() -> str:
    """Read all that is templated."""
    left = {"licenses", "__pycache__"}
    paths = [path for path in (ROOT / "template").rglob("*") if path.is_file() and not left & {*path.parts}]
    return "\n".join(path.read_text("utf-8") for path in paths)


def minor(version: str) -> tuple[int, ...]:
    """Give the part of a version that crates share while they fit together."""
    return Version(version).release[:2]


# ---- Among the facts.


def test_numpy_fits_pyo3() -> None:
    assert minor(options()["extras"]["numpy"]["crates"]["numpy"]) == minor(facts()["crates"]["pyo3"])


def test_pythons_are_consecutive_and_contain_every_choice() -> None:
    pythons = facts()["pythons"]
    assert pythons == [f"3.{minor}" for minor in range(minor(pythons[0])[1], minor(pythons[-1])[1] + 1)]
    assert set(questions()["python"]["choices"]) <= set(pythons)


def test_threaded_stable_abi_is_above_every_choice() -> None:
    # A namesake of both kinds raises the plain stable ABI's floor, so that its wheel is not built: facts, section 13.
    assert max(map(minor, questions()["python"]["choices"])) < minor(facts()["stable_abi_threaded"])
    assert facts()["stable_abi_threaded"] in facts()["pythons"]


def test_rust_is_new_enough_for_pyo3() -> None:
    assert minor(facts()["rust"]) >= (1, 85)


@pytest.mark.parametrize("table", ["tools", "crates"])
def test_every_fact_is_used(table: str) -> None:
    used = re.findall(rf"facts\.{table}(?:\.(\w+)|\['([\w-]+)'\]|\[\"([\w-]+)\"\])", template_text())
    rows = [row for values in options().values() for row in values.values()] if table == "tools" else []
    listed = {tool for row in rows for tool in row.get("tools", [])}
    assert {"".join(name) for name in used} | listed == facts()[table].keys()


def test_noxfile_requires_nox_of_the_facts(variant: Project) -> None:
    needed = re.findall(r'"nox\[uv\]>=([\d.]+)"', variant.read("noxfile.py"))
    assert needed == [facts()["tools"]["nox"]]


# ---- In a render.


def test_lowest_python_is_the_same_everywhere(variant: Project) -> None:
    lowest = str(variant.answers.get("python", questions()["python"]["default"]))
    pythons = facts()["pythons"][facts()["pythons"].index(lowest) :]
    abi3, abi3t = lowest.replace(".", ""), facts()["stable_abi_threaded"].replace(".", "")
    project = tomllib.loads(variant.read("pyproject.toml"))["project"]
    families, tested = ask_noxfile(variant, "FAMILIES, PYTHONS")

    assert project["requires-python"] == f">={lowest}"
    assert re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"])) == pythons
    assert tested == [*pythons, *(f"{python}t" for python in pythons if minor(python) >= (3, 14))]
    assert pyo3_features(variant) == {f"abi3-py{abi3}", f"abi3t-py{abi3t}"}
    assert families == {
        lowest: f"cp{abi3}-abi3",
        "3.14t": "cp314-cp314t",
        f"{facts()['stable_abi_threaded']}t": f"cp{abi3t}-abi3.abi3t",
    }


def ask_noxfile(project: Project, names: str) -> Any:
    """Import a project's noxfile, and read what it computes."""
    code = f"import json, noxfile; from noxfile import {names}; print(json.dumps([{names}]))"
    return json.loads(project.run(sys.executable, "-B", "-c", code).stdout)


def cargo_tables(project: Project, table: str) -> Table:
    """Gather a table of every Cargo.toml."""
    manifests = [project.folder / "Cargo.toml", *project.folder.glob("crates/*/Cargo.toml")]
    return {k: v for path in manifests for k, v in tomllib.loads(path.read_text("utf-8")).get(table, {}).items()}


def pyo3_features(project: Project) -> set[str]:
    """Give what the extension asks of pyo3."""
    return set(cargo_tables(project, "dependencies")["pyo3"]["features"])


def test_crates_have_versions_of_the_facts(variant: Project) -> None:
    known = dict(facts()["crates"])
    for extra in options()["extras"].values():
        known |= extra["crates"]
    known["pyo3-build-config"] = known["pyo3"]
    for table in ("dependencies", "dev-dependencies", "build-dependencies"):
        for name, asked in cargo_tables(variant, table).items():
            version = asked if isinstance(asked, str) else asked.get("version")
            assert version == known.get(name), f"{name} in {table}"


def test_rust_has_version_of_the_facts(variant: Project) -> None:
    manifest = tomllib.loads(variant.read("Cargo.toml"))
    package = manifest.get("package") or manifest["workspace"]["package"]
    assert package["rust-version"] == facts()["rust"]
    assert package["edition"] == "2024"


def test_tools_have_versions_of_the_facts(variant: Project) -> None:
    groups = tomllib.loads(variant.read("pyproject.toml"))["dependency-groups"]
    for requirement in (Requirement(text) for group in groups.values() for text in group if isinstance(text, str)):
        assert f">={facts()['tools'][requirement.name]}" in str(requirement.specifier).split(",")


def test_maturin_knows_both_stable_abis(variant: Project) -> None:
    (requirement,) = map(Requirement, tomllib.loads(variant.read("pyproject.toml"))["build-system"]["requires"])
    floor = next(Version(specifier.version) for specifier in requirement.specifier if specifier.operator == ">=")
    assert Version("1.14") <= floor <= Version(facts()["tools"]["maturin"])
    assert "1.13.9" not in requirement.specifier and "2.0" not in requirement.specifier


# ---- In the docs.


def test_options_page_names_every_python() -> None:
    first, *_, last = questions()["python"]["choices"]
    assert f"`{first}` to `{last}`" in (ROOT / "docs" / "options.md").read_text("utf-8")


# ---- Each gate shuts.


@pytest.mark.parametrize(
    ("table", "key", "value", "gate"),
    [
        ("crates", "pyo3", "0.31.0", test_numpy_fits_pyo3),
        ("pythons", 1, "3.11", test_pythons_are_consecutive_and_contain_every_choice),
        ("pythons", 0, "3.9", test_pythons_are_consecutive_and_contain_every_choice),
        (None, "stable_abi_threaded", "3.14", test_threaded_stable_abi_is_above_every_choice),
        (None, "rust", "1.84", test_rust_is_new_enough_for_pyo3),
    ],
)
def test_inconsistent_facts_are_found(
    monkeypatch: pytest.MonkeyPatch, table: str | None, key: str | int, value: object, gate: Callable[[], None]
) -> None:
    planted: Any = deepcopy(facts())
    (planted[table] if table else planted)[key] = value
    monkeypatch.setitem(globals(), "facts", lambda: planted)
    with pytest.raises(AssertionError):
        gate()


@pytest.mark.parametrize("table", ["tools", "crates"])
def test_unused_fact_is_found(monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    planted = {**facts(), table: {**facts()[table], "unused": "1.0"}}
    monkeypatch.setitem(globals(), "facts", lambda: planted)
    with pytest.raises(AssertionError):
        test_every_fact_is_used(table)


@pytest.mark.parametrize(
    ("name", "old", "new", "gate"),
    [
        ("pyproject.toml", ">=3.11", ">=3.10", test_lowest_python_is_the_same_everywhere),
        ("pyproject.toml", "Python :: 3.12", "Python :: 3.13", test_lowest_python_is_the_same_everywhere),
        ("Cargo.toml", "abi3-py311", "abi3-py310", test_lowest_python_is_the_same_everywhere),
        ("Cargo.toml", "abi3t-py315", "abi3t-py316", test_lowest_python_is_the_same_everywhere),
        ("noxfile.py", '"3.14t"', '"3.13t"', test_lowest_python_is_the_same_everywhere),
        ("noxfile.py", "nox[uv]>=", "nox[uv]>=9", test_noxfile_requires_nox_of_the_facts),
        (
            "Cargo.toml",
            'criterion = { version = "',
            'criterion = { version = "1',
            test_crates_have_versions_of_the_facts,
        ),
        ("Cargo.toml", 'rust-version = "1.', 'rust-version = "2.', test_rust_has_version_of_the_facts),
        ("pyproject.toml", "ruff>=", "ruff>=1", test_tools_have_versions_of_the_facts),
        ("pyproject.toml", "maturin>=1.14", "maturin>=1.12", test_maturin_knows_both_stable_abis),
        ("pyproject.toml", "maturin>=1.14,<2", "maturin>=1.14", test_maturin_knows_both_stable_abis),
    ],
)
def test_render_against_the_facts_is_found(
    default: Project, name: str, old: str, new: str, gate: Callable[[Project], None]
) -> None:
    plant(default.folder, name, old, new)
    with pytest.raises(AssertionError):
        gate(default)
