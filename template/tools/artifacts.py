"""What must hold of an sdist and of wheels before anybody gets them."""

from __future__ import annotations

import email
import json
import re
import tarfile
import zipfile
from dataclasses import dataclass
from email.message import Message
from functools import cache
from pathlib import Path
from typing import Any

from verify import FailedError, call
from wheels import ROOT, cargo_home, host, settings


@dataclass(frozen=True)
class Wheel:
    """A built wheel, and what is in it."""

    path: Path
    files: dict[str, bytes]

    @classmethod
    def read(cls, path: Path) -> Wheel:
        """Read a wheel from its file."""
        with zipfile.ZipFile(path) as archive:
            return cls(path, {name: archive.read(name) for name in archive.namelist()})

    def of_metadata(self, pattern: str) -> list[str]:
        """Name the files of the metadata that match."""
        return [name for name in self.files if re.search(rf"\.dist-info/{pattern}$", name)]

    @property
    def metadata(self) -> Message:
        """Give what the wheel says of itself."""
        (name,) = self.of_metadata("METADATA")
        return email.message_from_string(self.files[name].decode())


def tags_of(wheel: Path) -> tuple[str, str, str]:
    """Give the tags of a wheel's name: Python, ABI, platform."""
    python, abi, platform = wheel.stem.split("-")[-3:]
    return python, abi, platform


@cache
def crates() -> list[dict[str, Any]]:
    """Ask cargo for the project's own crates; the lock must be up to date."""
    told = call("cargo", "metadata", "--quiet", "--no-deps", "--format-version", "1")
    return list(json.loads(told)["packages"])


def binding() -> dict[str, Any]:
    """Find the crate that Python imports."""
    kinds = {"cdylib"}
    return next(
        crate for crate in crates() if any(kinds & {*target["kind"]} for target in crate["targets"])
    )


def feature_options() -> list[str]:
    """Give cargo the features that maturin builds with."""
    chosen = settings()["tool"]["maturin"]
    names = [
        each if isinstance(each, str) else each["feature"] for each in chosen.get("features", [])
    ]
    options = [f"--{key}" for key in ("all-features", "no-default-features") if chosen.get(key)]
    return [*options, *(["--features", ",".join(names)] if names else [])]


def demand_no_path_of_the_builder(wheel: Wheel) -> None:
    """Look for the builder's folders in everything that a wheel holds."""
    folders = (Path.home(), ROOT, cargo_home())
    names = {str(folder).encode() for folder in folders if folder != folder.parent}
    for name, content in wheel.files.items():
        for folder in names:
            if folder in content:
                raise FailedError(
                    f"{name} holds the path {folder.decode()}. Build with `just wheel`, "
                    "which replaces such paths; a plain `maturin build` does not."
                )


def demand_licences(wheel: Wheel) -> None:
    """Compare the licence files of the project with those in a wheel."""
    wanted = {path.name for path in ROOT.glob("LICENSE*")}
    carried = {name.rpartition("/")[2] for name in wheel.of_metadata("licenses/.*")}
    if not wanted or not wanted <= carried:
        raise FailedError(
            f"the wheel lacks {', '.join(sorted(wanted - carried)) or 'a licence'}: "
            "name the files under license-files in pyproject.toml."
        )


def demand_no_direct_reference(wheel: Wheel) -> None:
    """Refuse a dependency that names an address: an index refuses the whole upload for it."""
    for requirement in wheel.metadata.get_all("Requires-Dist", []):
        if "@" in requirement.partition(";")[0]:
            raise FailedError(
                f"the dependency {requirement} names an address, which PyPI refuses: "
                "depend on a version that is on the index."
            )


def demand_the_crates_of_the_sbom(wheel: Wheel, target: str) -> None:
    """Compare the wheel's bill of materials with what cargo builds for its target."""
    names = wheel.of_metadata(r"sboms/.*\.cyclonedx\.json")
    if not names:
        raise FailedError("the wheel has no bill of materials: let [tool.maturin.sbom] have it.")
    listed = json.loads(wheel.files[names[0]])["components"]
    told = call(
        *("cargo", "tree", "--quiet", "--locked", "--edges", "normal,build", "--target", target),
        *(
            "--package",
            binding()["name"],
            *feature_options(),
            "--prefix",
            "none",
            "--format",
            "{p}",
        ),
    )
    own = {crate["name"] for crate in crates()}
    built = {tuple(line.split()[:2]) for line in told.splitlines() if line}
    named = {(part["name"], f"v{part['version']}") for part in listed}
    differing = sorted(crate for crate in built ^ named if crate[0] not in own)
    if differing:
        which = ", ".join(" ".join(crate) for crate in differing)
        raise FailedError(f"the bill of materials and `cargo tree` do not agree on {which}.")


def demand_the_tags(wheel: Wheel) -> None:
    """Let abi3audit and auditwheel judge what the file's name claims."""
    _, abi, platform = tags_of(wheel.path)
    if abi == "abi3":
        call("abi3audit", "--strict", wheel.path)  # it cannot read abi3t yet
    if platform.startswith("manylinux"):
        # It reports and never fails: what it found must be what the name claims.
        report = call("auditwheel", "show", wheel.path)
        if not any(f'"{tag}"' in report for tag in platform.split(".")):
            raise FailedError(f"{wheel.path.name} claims what auditwheel does not find:\n{report}")


def demand_the_version(wheel: Wheel, version: str) -> None:
    """Compare what a wheel says of itself with the release that it is for."""
    if wheel.metadata["Version"] != version:
        raise FailedError(f"{wheel.path.name} is not of the release {version}.")


def check_wheel(path: Path, version: str, target: str) -> None:
    """Check all that must hold of a wheel."""
    wheel = Wheel.read(path)
    demand_the_version(wheel, version)
    call("twine", "check", "--strict", path)
    call("check-wheel-contents", path)
    demand_licences(wheel)
    demand_no_direct_reference(wheel)
    demand_no_path_of_the_builder(wheel)
    demand_the_crates_of_the_sbom(wheel, target)
    demand_the_tags(wheel)


def check_sdist(path: Path, version: str) -> None:
    """Check all that must hold of an sdist; what it builds is checked as wheels."""
    if not path.name.endswith(f"-{version}.tar.gz"):
        raise FailedError(f"{path.name} is not of the release {version}.")
    call("twine", "check", "--strict", path)
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    missing = {"Cargo.lock", "PKG-INFO", "pyproject.toml"} - names
    if missing:
        raise FailedError(f"the sdist lacks {', '.join(sorted(missing))}.")


def check(path: Path, version: str) -> str:
    """Check an artifact that was built on this machine for it, and say what is wrong, if anything."""
    try:
        if path.suffix == ".whl":
            check_wheel(path, version, host())
        else:
            check_sdist(path, version)
    except FailedError as error:
        return f"{path.name}: {error}"
    return ""
