"""A Python that does not stand where it was built for, as uv's own: python-build-standalone is unpacked anywhere."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path

BUILT = Path(sys.base_prefix)


def relocate(folder: Path) -> str:
    """Copy the Python that runs the tests, and give what a PATH begins with that finds the copy, but not as `python3`.

    What is compiled into it names a folder that does not exist, and what sysconfig says names the new one, as in
    python-build-standalone. The executable finds its modules beside itself; a program that embeds it does not.
    """
    version = f"python3.{sys.version_info.minor}"
    standard = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(standard, folder / "lib" / version, ignore=shutil.ignore_patterns("site-packages", "test"))
    (folder / "lib" / version / "site-packages").mkdir()
    shutil.copytree(BUILT / "include", folder / "include")
    (folder / "bin").mkdir()
    shutil.copy(BUILT / "bin" / version, folder / "bin" / version)
    # An embedded Python looks for its modules above the first `python3` on PATH: not above this one.
    other = folder.parent / "other" / "python3"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\nexit 1\n", "utf-8")
    other.chmod(0o755)
    for library in (BUILT / "lib").glob("libpython3*"):
        shutil.copy(library, folder / "lib" / library.name, follow_symlinks=False)
    prefix = str(BUILT)
    hidden = f"/_{prefix[2:]}"  # its end may be the end of other texts too
    for binary in [folder / "bin" / version, *(folder / "lib").glob("libpython3*")]:
        if not binary.is_symlink():
            binary.write_bytes(rpath_kept(binary.read_bytes(), prefix, hidden))
    for text in folder.glob("lib/*/_sysconfigdata*.py"):
        text.write_text(text.read_text("utf-8").replace(prefix, str(folder)), "utf-8")
    return f"{folder / 'bin'}{os.pathsep}{other.parent}"


def rpath_kept(content: bytes, prefix: str, hidden: str) -> bytes:
    """Hide a prefix in a binary; its run-time path follows the executable, as in python-build-standalone."""
    origin = b"$ORIGIN/../lib"
    rpath = f"{prefix}/lib\0".encode()
    content = content.replace(b"\0" + rpath, b"\0" + origin + b"\0" * (len(rpath) - len(origin)))
    return content.replace(prefix.encode(), hidden.encode())
