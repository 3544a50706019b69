"""The template's releases, and clones of its repository that hold them: what an update goes from and to.

Run as a script, it makes the tags of all releases in the repository itself, where they are missing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from copier import run_update

from template import PARTS, ROOT, Project, facts, render, run, snapshot

OLDER = "v998.0.0"  # a scratch release: the working tree with a few lines changed, so that there always is an older one
PRESENT = "v999.0.0"  # the working tree


RECORD = tomllib.loads((ROOT / "tests" / "releases.toml").read_text("utf-8"))
COMMITS = {f"v{version}": commit for version, commit in RECORD["commits"].items()}


def tag(repository: Path, commits: dict[str, str] = COMMITS) -> None:
    """Make the tags that are missing. A missing commit, or a tag that stands elsewhere, is an error."""
    for name, commit in commits.items():
        if git(repository, "cat-file", "-e", f"{commit}^{{commit}}").returncode:
            shallow = git(repository, "rev-parse", "--is-shallow-repository").stdout.strip() == "true"
            fetch = "git fetch --unshallow" if shallow else f"git fetch origin {commit}"
            raise LookupError(f"the commit of {name}, {commit}, is not here. Run `{fetch}`, then try again.")
        present = git(repository, "rev-parse", "--quiet", "--verify", f"refs/tags/{name}^{{commit}}").stdout.strip()
        if present and present != commit:
            raise LookupError(f"the tag {name} stands at {present}, but releases.toml says {commit}")
        if not present:
            run("git", "tag", name, commit, cwd=repository)


def git(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask git something that may fail."""
    return run("git", *arguments, cwd=repository, check=False)


@dataclass(frozen=True)
class Releases:
    """A clone of the template's repository that a test may add releases to."""

    folder: Path

    def edit(self, path: str, old: str, new: str) -> None:
        """Change a file of the template; the old text must be there."""
        file = self.folder / path
        text = file.read_text("utf-8")
        if old not in text:
            raise ValueError(f"{path} has no {old!r}")
        file.write_text(text.replace(old, new), "utf-8", newline="\n")

    def append(self, path: str, text: str) -> None:
        """Add text at the end of a file of the template, or make that file."""
        with (self.folder / path).open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)

    def release(self, name: str) -> None:
        """Commit what was changed, and tag it."""
        run("git", "add", "--all", cwd=self.folder)
        run("git", "commit", "--quiet", "--allow-empty", "--message", name, cwd=self.folder)
        run("git", "tag", name, cwd=self.folder)

    def copy(self, folder: Path) -> Releases:
        """Give a clone of the clone, for a test that adds a release of its own."""
        shutil.copytree(self.folder, folder)
        return Releases(folder)

    def show(self, name: str, path: str) -> str:
        """Read a file of a release."""
        return run("git", "show", f"{name}:{path}", cwd=self.folder).stdout

    def configuration(self, name: str) -> dict[str, Any]:
        """Read copier.yml of a release."""
        return dict(yaml.safe_load(self.show(name, "copier.yml")))

    def knows(self, name: str, answers: dict[str, object]) -> bool:
        """Tell whether a release asks for these answers and takes them."""
        questions = self.configuration(name)
        return all(key in questions and takes(questions[key], answer) for key, answer in answers.items())

    def project(self, name: str, folder: Path, answers: dict[str, object] | None = None) -> Project:
        """Render a project from a release, and commit it."""
        return begin(render(self.folder, folder, answers, vcs_ref=name))


def begin(folder: Path) -> Project:
    """Commit a rendered project."""
    project = Project(folder, {})
    project.run("git", "init", "--quiet", "--initial-branch=main")
    project.commit("Begin")
    return project


def takes(question: dict[str, Any], answer: object) -> bool:
    """Tell whether a question has these choices, or none to choose from."""
    choices = question.get("choices")
    offered = choices.values() if isinstance(choices, dict) else choices
    return offered is None or set(answer if isinstance(answer, list) else [answer]) <= set(offered)


def clone(folder: Path) -> Releases:
    """Clone the repository, with its releases, the working tree as the newest, and an older one made from that."""
    run("git", "clone", "--quiet", "--no-tags", ROOT, folder, cwd=ROOT)
    tag(folder)
    releases = Releases(folder)
    lay_out_working_tree(folder)
    releases.edit("copier.yml", f'pyo3: "{facts()["crates"]["pyo3"]}"', 'pyo3: "0.29.0"')
    releases.edit("template/justfile.jinja", "# List the recipes", "# List all recipes")
    (folder / "template" / ".gitattributes").unlink()
    releases.release(OLDER)
    lay_out_working_tree(folder)
    releases.release(PRESENT)
    return releases


def lay_out_working_tree(folder: Path) -> None:
    """Replace what Copier reads of a clone by what stands in the working tree, committed or not."""
    for part in PARTS:
        shutil.rmtree(folder / part, ignore_errors=True)
    snapshot(folder)


def update(project: Project, **options: Any) -> Project:
    """Update to the newest release, trusting nothing."""
    run_update(project.folder, defaults=True, overwrite=True, quiet=True, unsafe=False, **options)
    return project


def tree(folder: Path) -> dict[str, tuple[str, bool]]:
    """Read each file of a project: its text and executable bit; not where and when it was rendered."""

    def content(file: Path) -> tuple[str, bool]:
        text = re.sub(r"^_(commit|src_path):.*\n", "", file.read_text("utf-8"), flags=re.MULTILINE)
        return text, os.access(file, os.X_OK)

    paths = {file.relative_to(folder): file for file in folder.rglob("*") if file.is_file()}
    return {path.as_posix(): content(file) for path, file in paths.items() if ".git" not in path.parts}


def unmerged(project: Project) -> set[str]:
    """Name the files that git knows to be in conflict; each is marked, and no other is."""
    known = {line.split("\t")[1] for line in project.run("git", "ls-files", "--unmerged").stdout.splitlines()}
    marked = project.run("git", "grep", "--untracked", "--files-with-matches", "^<<<<<<< ", check=False).stdout
    assert known == set(marked.splitlines())
    return known


def work(project: Project) -> None:
    """Edit a project where users do, and as `cargo add` and `uv add` do."""

    def replace(path: str, old: str, new: str) -> None:
        edited, count = re.subn(old, new, project.read(path), count=1, flags=re.MULTILINE)
        assert count, f"{path} has no {old}"
        (project.folder / path).write_text(edited, "utf-8")

    def write(path: str, text: str) -> None:
        (project.folder / path).parent.mkdir(exist_ok=True)
        (project.folder / path).write_text(text, "utf-8")

    binding = next(project.folder.glob("crates/*-py"), project.folder).relative_to(project.folder).as_posix()
    write(f"{binding}/src/own.rs", "//! Own words.\n")
    replace(f"{binding}/src/lib.rs", "^mod errors", r"mod own;\n\g<0>")
    replace(f"{binding}/Cargo.toml", r"^\[dependencies\]\n|^(?=\[dependencies[.])", '[dependencies]\nitoa = "1"\n')
    replace("pyproject.toml", r"^dependencies = \[", r'\g<0>\n    "tomli>=2",\n    ')
    replace("README.md", "^## Develop", r"Own words.\n\n\g<0>")
    write("tests/test_own.py", '"""Own words."""\n')
    for package in project.folder.glob("python/*/__init__.py"):
        replace(package.relative_to(project.folder).as_posix(), r"\Z", 'OWN = "words"\n')
    if (project.folder / ".github").exists():
        replace(".github/workflows/ci.yml", r"^\n  test:", r"      - run: echo own\n\g<0>")
    project.commit("Work")


if __name__ == "__main__":
    try:
        tag(ROOT)
    except LookupError as error:
        sys.exit(str(error))
