"""Do the variants cover every choice, and does a variant with a slip in it test nothing unnoticed?"""

from __future__ import annotations

from pathlib import Path

import pytest

from template import questions, render
from variants import VARIANTS

Table = dict[str, dict[str, object]]


def choices(question: str) -> list[object]:
    """Give the values that a question offers; none for one of free text."""
    offered = questions()[question].get("choices", [])
    return list(offered.values() if isinstance(offered, dict) else offered)


def taken(variants: Table, question: str) -> list[object]:
    """Give what the variants answer to a question, one by one where it takes several."""
    answers = [answers.get(question, questions()[question]["default"]) for answers in variants.values()]
    return [value for answer in answers for value in (answer if isinstance(answer, list) else [answer])]


def uncovered(variants: Table) -> set[tuple[str, object]]:
    """Find the choices that no variant takes."""
    return {(key, choice) for key in questions() for choice in choices(key) if choice not in taken(variants, key)}


def test_variants_take_every_choice() -> None:
    assert not uncovered(VARIANTS)


@pytest.mark.parametrize("question", [key for key in questions() if choices(key)])
def test_choice_without_variant_is_found(question: str) -> None:
    without = {name: {k: v for k, v in answers.items() if k != question} for name, answers in VARIANTS.items()}
    assert question in {key for key, _ in uncovered(without)}


def test_variants_have_several_package_names() -> None:
    names = set(taken(VARIANTS, "package"))
    assert len(names) > 1
    assert any("_" in str(name) for name in names), "no variant has a package whose distribution is spelt otherwise"


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_state_only_differences_from_defaults(name: str) -> None:
    assert {key for key, value in VARIANTS[name].items() if value == questions()[key]["default"]} == set()


@pytest.mark.parametrize("name", VARIANTS)
def test_variant_names_are_lower_case_words(name: str) -> None:
    assert all(word.isalpha() and word.islower() for word in name.split("-"))


@pytest.mark.parametrize("name", VARIANTS)
def test_template_accepts_every_variant(source: Path, tmp_path: Path, name: str) -> None:
    render(source, tmp_path / "project", VARIANTS[name], pretend=True)


@pytest.mark.parametrize(
    "answers",
    [
        {"packages": "tally"},
        {"title": "tally"},
        {"facts": {}},
        {"layout": "mixd"},
        {"extras": ["nunpy"]},
        {"python": "3.9"},
    ],
    ids=str,
)
def test_render_refuses_unknown_answer(source: Path, tmp_path: Path, answers: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"no question|Invalid choice"):
        render(source, tmp_path / "project", answers)
    assert not (tmp_path / "project").exists()
