"""Do the repository's own tools do what their sessions promise?"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from releases import PRESENT, Releases
from template import ROOT, run

sys.path.insert(0, str(ROOT / "tools"))

import bump

README = (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("session", ["demo", "test"])
def test_readme_gives_one_command_for(session: str) -> None:
    commands = re.findall(rf"^python3 -m venv .*nox -s {session}$", README, re.MULTILINE)
    assert len(commands) == 1


def test_ci_takes_its_command_out_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    pattern = re.search(r"grep --max-count=1 '(.+)' README.md", script)
    assert pattern
    assert re.findall(rf"^.*{pattern[1]}", README, re.MULTILINE)[0].startswith("python3 -m venv")


def test_bump_raises_every_kind_of_fact_and_keeps_comments() -> None:
    text = (ROOT / "copier.yml").read_text("utf-8")
    raised, changes = bump.raise_versions(text, {"pyo3": "9.9.9", "rayon": "8.8.8", "check-wheel-contents": "7.7.7"})
    assert [change.split()[0] for change in changes] == ["pyo3", "rayon", "check-wheel-contents"]
    assert 'pyo3: "9.9.9"' in raised
    assert 'rayon: { crate: "8.8.8"' in raised
    assert 'check-wheel-contents: "7.7.7"' in raised
    assert raised.count("#") == text.count("#")
    assert raised.count("\n") == text.count("\n")


def test_bump_refuses_a_name_that_the_facts_lack() -> None:
    with pytest.raises(AssertionError, match="no nonsense"):
        bump.raise_versions((ROOT / "copier.yml").read_text("utf-8"), {"nonsense": "1"})


def test_bump_changes_nothing_when_all_is_new() -> None:
    text = (ROOT / "copier.yml").read_text("utf-8")
    version = re.search(r'pyo3: "(.+?)"', text)
    assert version
    assert bump.raise_versions(text, {"pyo3": version[1]}) == (text, [])


def test_unknown_variant_is_refused_with_the_list() -> None:
    for tool in ("render", "diff"):
        done = run(sys.executable, ROOT / "tools" / f"{tool}.py", "nonsense", cwd=ROOT, check=False)
        assert done.returncode == 1
        assert "workspace-numpy-rayon" in done.stdout


def test_render_and_diff_show_variants(tmp_path: Path) -> None:
    run(sys.executable, ROOT / "tools" / "render.py", "pure", tmp_path / "tally", cwd=ROOT)
    assert (tmp_path / "tally" / "tally.pyi").exists()
    shown = run(sys.executable, ROOT / "tools" / "diff.py", "default", "numpy", cwd=ROOT).stdout
    assert "+[dependencies.numpy]" in shown


@pytest.mark.slow
@pytest.mark.parametrize(("session", "asked"), [("render", ["workspace"]), ("diff", ["default", "numpy"])])
def test_session_has_what_it_needs(session: str, asked: list[str], tmp_path: Path) -> None:
    run("nox", "--envdir", tmp_path, "--session", session, "--", *asked, cwd=ROOT)


@pytest.mark.slow
def test_demo_says_what_it_made_and_how_long_it_took() -> None:
    shown = run(sys.executable, ROOT / "tools" / "demo.py", cwd=ROOT).stdout
    assert "src/summary.rs" in shown
    assert re.search(r"together +\d+ files, from [\d,]+ to [\d,]+ bytes", shown)
    assert re.search(r"\d s  Build the Rust code", shown)
    assert Path(shown.rpartition("The project lies in ")[2].strip()).is_dir()


@pytest.mark.slow
def test_the_example_project_goes_from_release_to_release(releases: Releases, tmp_path: Path) -> None:
    def bring(tag: str) -> str:
        script = ROOT / "tools" / "example.py"
        return run(sys.executable, script, tmp_path / "example", releases.folder, tag, cwd=tmp_path).stdout

    assert "The example is at v0.3.0." in bring("v0.3.0")
    assert f"The example is at {PRESENT}." in bring(PRESENT)
    assert f"The example was at {PRESENT} already." in bring(PRESENT)
    told = run("git", "log", "--format=%s", cwd=tmp_path / "example").stdout.splitlines()
    assert told == [f"Take release {tag} of the template" for tag in (PRESENT, "v0.3.0")]
    assert run("git", "status", "--porcelain", cwd=tmp_path / "example").stdout == ""
