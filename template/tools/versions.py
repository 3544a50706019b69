"""One version in two spellings: Cargo's `1.2.3-alpha.1` is Python's `1.2.3a1`.

`to_python` takes just what `to_cargo` writes. Whatever else Cargo knows, such as `1.2.3-0`, means
something else to Python, and is refused. The two put versions into another order where `post` and
`dev` are in them: Cargo takes both for what comes before the version, and `dev` for what follows
`alpha`, `beta` and not `rc`.
"""

from __future__ import annotations

from packaging.version import InvalidVersion, Version

STAGES = {"a": "alpha", "b": "beta", "rc": "rc"}
SPELLINGS = (
    "1.2.3, 1.2.3-alpha.1, 1.2.3-beta.1, 1.2.3-rc.1, 1.2.3-post.1 or 1.2.3-dev.1; "
    "of Python 1.2.3, 1.2.3a1, 1.2.3b1, 1.2.3rc1, 1.2.3.post1 or 1.2.3.dev1"
)


def parse(text: str) -> Version:
    """Read a version as Python does, with an error that says what can be read."""
    try:
        return Version(text)
    except InvalidVersion:
        raise ValueError(
            f"{text!r} is no version that Python and Cargo share: {SPELLINGS}"
        ) from None


def to_cargo(text: str) -> str:
    """Spell a version of Python as Cargo does."""
    version = parse(text)
    if version.epoch or len(version.release) > 3:
        raise ValueError(f"{text!r} is no version for Cargo, which has three numbers and no epoch")
    stages = [f"{STAGES[version.pre[0]]}.{version.pre[1]}"] if version.pre else []
    stages += [f"post.{version.post}"] if version.post is not None else []
    stages += [f"dev.{version.dev}"] if version.dev is not None else []
    spelt = f"{version.major}.{version.minor}.{version.micro}"
    spelt += f"-{'.'.join(stages)}" if stages else ""
    return spelt + (f"+{version.local}" if version.local else "")


def to_python(text: str) -> str:
    """Spell a version of Cargo as Python does."""
    version = str(parse(text))
    if to_cargo(version) != text:
        raise ValueError(
            f"{text!r} is ambiguous: for Python's {version} Cargo has {to_cargo(version)}"
        )
    return version


def from_either(text: str) -> str:
    """Spell a version as Cargo does, in whichever of the two spellings it comes."""
    return to_cargo(to_python(text) if "-" in text else text)
