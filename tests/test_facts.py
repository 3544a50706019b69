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
from template import ROOT, Project, facts, questions


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
    assert minor(facts()["extras"]["numpy"]["crate"]) == minor(facts()["crates"]["pyo3"])


def test_pythons_follow_one_another_and_every_choice_is_one_of_them() -> None:
    pythons = facts()["pythons"]
    assert pythons == [f"3.{minor}" for minor in range(minor(pythons[0])[1], minor(pythons[-1])[1] + 1)]
    assert set(questions()["python"]["choices"]) <= set(pythons)


def test_the_threaded_stable_abi_is_not_below_any_choice() -> None:
    # A namesake of both kinds raises the plain stable ABI's floor, so that its wheel is not built: facts, section 13.
    assert max(map(minor, questions()["python"]["choices"])) < minor(facts()["stable_abi_threaded"])
    assert facts()["stable_abi_threaded"] in facts()["pythons"]


def test_rust_is_one_that_pyo3_and_the_edition_take() -> None:
    assert minor(facts()["rust"]) >= (1, 85)


def test_extras_are_those_that_are_offered() -> None:
    assert facts()["extras"].keys() == set(questions()["extras"]["choices"].values())


@pytest.mark.parametrize("table", ["tools", "crates"])
def test_every_fact_is_used_and_none_is_missing(table: str) -> None:
    used = re.findall(rf"facts\.{table}(?:\.(\w+)|\['([\w-]+)'\]|\[\"([\w-]+)\"\])", template_text())
    lists = [*facts()["channels"].values(), *facts()["ci"].values()] if table == "tools" else []
    assert {"".join(name) for name in used}.union(*lists) == facts()[table].keys()


def test_channels_are_those_that_are_offered() -> None:
    assert facts()["channels"].keys() == set(questions()["channels"]["choices"].values())


def test_services_are_those_that_are_offered() -> None:
    assert facts()["ci"].keys() == set(questions()["ci"]["choices"].values())


def test_nox_is_at_least_what_its_file_needs(variant: Project) -> None:
    needed = re.findall(r'nox\.needs_version = ">=([\d.]+)"', variant.read("noxfile.py"))
    assert needed and Version(needed[0]) <= Version(facts()["tools"]["nox"])


# ---- In a render.


def test_the_lowest_python_is_the_same_everywhere(variant: Project) -> None:
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


def test_crates_have_the_versions_of_the_facts(variant: Project) -> None:
    known = {**facts()["crates"], **{name: extra["crate"] for name, extra in facts()["extras"].items()}}
    known["pyo3-build-config"] = known["pyo3"]
    for table in ("dependencies", "dev-dependencies", "build-dependencies"):
        for name, asked in cargo_tables(variant, table).items():
            version = asked if isinstance(asked, str) else asked.get("version")
            assert version == known.get(name), f"{name} in {table}"


def test_rust_has_the_version_of_the_facts(variant: Project) -> None:
    manifest = tomllib.loads(variant.read("Cargo.toml"))
    package = manifest.get("package") or manifest["workspace"]["package"]
    assert package["rust-version"] == facts()["rust"]
    assert package["edition"] == "2024"


def test_tools_have_the_versions_of_the_facts(variant: Project) -> None:
    groups = tomllib.loads(variant.read("pyproject.toml"))["dependency-groups"]
    for requirement in (Requirement(text) for group in groups.values() for text in group if isinstance(text, str)):
        assert f">={facts()['tools'][requirement.name]}" in str(requirement.specifier).split(",")


def test_maturin_is_one_that_knows_both_stable_abis(variant: Project) -> None:
    (requirement,) = map(Requirement, tomllib.loads(variant.read("pyproject.toml"))["build-system"]["requires"])
    floor = next(Version(specifier.version) for specifier in requirement.specifier if specifier.operator == ">=")
    assert Version("1.14") <= floor <= Version(facts()["tools"]["maturin"])
    assert "1.13.9" not in requirement.specifier and "2.0" not in requirement.specifier


# ---- In the docs.


def test_the_page_of_options_names_the_pythons_that_can_be_chosen() -> None:
    first, *_, last = questions()["python"]["choices"]
    assert f"`{first}` to `{last}`" in (ROOT / "docs" / "options.md").read_text("utf-8")


# ---- Each gate shuts.


@pytest.mark.parametrize(
    ("table", "key", "value", "gate"),
    [
        ("crates", "pyo3", "0.31.0", test_numpy_fits_pyo3),
        ("pythons", 2, "3.11", test_pythons_follow_one_another_and_every_choice_is_one_of_them),
        ("pythons", 0, "3.9", test_pythons_follow_one_another_and_every_choice_is_one_of_them),
        (None, "stable_abi_threaded", "3.14", test_the_threaded_stable_abi_is_not_below_any_choice),
        (None, "rust", "1.84", test_rust_is_one_that_pyo3_and_the_edition_take),
        ("extras", "polars", {}, test_extras_are_those_that_are_offered),
        ("channels", "npm", [], test_channels_are_those_that_are_offered),
        ("ci", "jenkins", [], test_services_are_those_that_are_offered),
    ],
)
def test_facts_that_disagree_are_noticed(
    monkeypatch: pytest.MonkeyPatch, table: str | None, key: str | int, value: object, gate: Callable[[], None]
) -> None:
    planted: Any = deepcopy(facts())
    (planted[table] if table else planted)[key] = value
    monkeypatch.setitem(globals(), "facts", lambda: planted)
    with pytest.raises(AssertionError):
        gate()


@pytest.mark.parametrize("table", ["tools", "crates"])
def test_a_fact_that_nothing_uses_is_noticed(monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    planted = {**facts(), table: {**facts()[table], "unused": "1.0"}}
    monkeypatch.setitem(globals(), "facts", lambda: planted)
    with pytest.raises(AssertionError):
        test_every_fact_is_used_and_none_is_missing(table)


@pytest.mark.parametrize(
    ("name", "old", "new", "gate"),
    [
        ("pyproject.toml", ">=3.11", ">=3.10", test_the_lowest_python_is_the_same_everywhere),
        ("pyproject.toml", "Python :: 3.12", "Python :: 3.13", test_the_lowest_python_is_the_same_everywhere),
        ("Cargo.toml", "abi3-py311", "abi3-py310", test_the_lowest_python_is_the_same_everywhere),
        ("Cargo.toml", "abi3t-py315", "abi3t-py316", test_the_lowest_python_is_the_same_everywhere),
        ("noxfile.py", '"3.14t"', '"3.13t"', test_the_lowest_python_is_the_same_everywhere),
        ("noxfile.py", 'needs_version = ">=', 'needs_version = ">=9', test_nox_is_at_least_what_its_file_needs),
        (
            "Cargo.toml",
            'criterion = { version = "',
            'criterion = { version = "1',
            test_crates_have_the_versions_of_the_facts,
        ),
        ("Cargo.toml", 'rust-version = "1.', 'rust-version = "2.', test_rust_has_the_version_of_the_facts),
        ("pyproject.toml", "ruff>=", "ruff>=1", test_tools_have_the_versions_of_the_facts),
        ("pyproject.toml", "maturin>=1.14", "maturin>=1.12", test_maturin_is_one_that_knows_both_stable_abis),
        ("pyproject.toml", "maturin>=1.14,<2", "maturin>=1.14", test_maturin_is_one_that_knows_both_stable_abis),
    ],
)
def test_a_render_that_disagrees_is_noticed(
    default: Project, name: str, old: str, new: str, gate: Callable[[Project], None]
) -> None:
    plant(default.folder, name, old, new)
    with pytest.raises(AssertionError):
        gate(default)
