"""Do the repository's own tools do what their sessions promise?"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from releases import OLDER, PRESENT, Releases
from template import ROOT, run

sys.path.insert(0, str(ROOT / "tools"))

import bump

README = (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("session", ["demo", "test"])
def test_readme_has_one_command_for(session: str) -> None:
    commands = re.findall(rf"^python3 -m venv .*nox -s {session}$", README, re.MULTILINE)
    assert len(commands) == 1


def test_ci_runs_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    pattern = re.search(r"grep --max-count=1 '(.+)' README.md", script)
    assert pattern
    assert re.findall(rf"^.*{pattern[1]}", README, re.MULTILINE)[0].startswith("python3 -m venv")


def test_bump_raises_versions_and_keeps_comments() -> None:
    text = (ROOT / "copier.yml").read_text("utf-8")
    raised, changes = bump.raise_versions(text, {"pyo3": "9.9.9", "rayon": "8.8.8", "check-wheel-contents": "7.7.7"})
    assert [change.split()[0] for change in changes] == ["pyo3", "rayon", "check-wheel-contents"]
    assert 'pyo3: "9.9.9"' in raised
    assert 'crates: { rayon: "8.8.8" }' in raised
    assert 'check-wheel-contents: "7.7.7"' in raised
    assert raised.count("#") == text.count("#")
    assert raised.count("\n") == text.count("\n")


def test_bump_refuses_unknown_name() -> None:
    with pytest.raises(ValueError, match="no version of nonsense"):
        bump.raise_versions((ROOT / "copier.yml").read_text("utf-8"), {"nonsense": "1"})


def test_bump_keeps_newest_versions() -> None:
    text = (ROOT / "copier.yml").read_text("utf-8")
    version = re.search(r'pyo3: "(.+?)"', text)
    assert version
    assert bump.raise_versions(text, {"pyo3": version[1]}) == (text, [])


def test_unknown_variant_lists_the_variants() -> None:
    for tool in ("render", "diff"):
        done = run(sys.executable, ROOT / "tools" / f"{tool}.py", "nonsense", cwd=ROOT, check=False)
        assert done.returncode == 1
        assert "workspace" in done.stdout


def test_render_and_diff_show_variants(tmp_path: Path) -> None:
    run(sys.executable, ROOT / "tools" / "render.py", "pure", tmp_path / "tally", cwd=ROOT)
    assert (tmp_path / "tally" / "tally.pyi").exists()
    shown = run(sys.executable, ROOT / "tools" / "diff.py", "default", "gitlab", cwd=ROOT).stdout
    assert "+[dependencies.numpy]" in shown


@pytest.mark.slow
@pytest.mark.parametrize(("session", "asked"), [("render", ["workspace"]), ("diff", ["default", "gitlab"])])
def test_session_installs_its_requirements(session: str, asked: list[str], tmp_path: Path) -> None:
    run("nox", "--envdir", tmp_path, "--session", session, "--", *asked, cwd=ROOT)


@pytest.mark.slow
def test_demo_prints_files_result_and_times() -> None:
    shown = run(sys.executable, ROOT / "tools" / "demo.py", cwd=ROOT).stdout
    assert "src/summary.rs" in shown
    assert re.search(r"together +\d+ files, from [\d,]+ to [\d,]+ bytes", shown)
    assert re.search(r"\d s  Build the Rust code", shown)
    assert Path(shown.rpartition("The project lies in ")[2].strip()).is_dir()


@pytest.mark.slow
def test_example_project_follows_the_releases(releases: Releases, tmp_path: Path) -> None:
    def bring(tag: str) -> str:
        script = ROOT / "tools" / "example.py"
        return run(sys.executable, script, tmp_path / "example", releases.folder, tag, cwd=tmp_path).stdout

    assert f"The example is at {OLDER}." in bring(OLDER)
    assert f"The example is at {PRESENT}." in bring(PRESENT)
    assert f"The example was at {PRESENT} already." in bring(PRESENT)
    told = run("git", "log", "--format=%s", cwd=tmp_path / "example").stdout.splitlines()
    assert told == [f"Take release {tag} of the template" for tag in (PRESENT, OLDER)]
    assert run("git", "status", "--porcelain", cwd=tmp_path / "example").stdout == ""
