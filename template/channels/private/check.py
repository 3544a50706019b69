"""Look whether uv and cargo can read the settings of the private index, and that no secret is in them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECRET = re.compile(r"(?im)^\s*[\w.-]*(password|secret|token)\b.*=|//[^/\s\"]*@")
READERS = {
    "uv.toml": ("uv", "pip", "freeze", "--config-file"),
    "cargo.toml": ("cargo", "locate-project", "--config"),
}
NEEDED = {"uv.toml": "publish-url = ", "cargo.toml": "[registries.private]"}  # begins a line


def check() -> None:
    """Name everything that is wrong."""
    found = []
    for name, reader in READERS.items():
        text = (HERE / name).read_text("utf-8")
        if SECRET.search(text):
            found.append(f"{name} holds a secret: revoke it, and give the next by the environment")
        if f"\n{NEEDED[name]}" not in text:
            found.append(
                f"{name} has no `{NEEDED[name]}`: without it nothing can be published there"
            )
        if subprocess.run(
            [*reader, HERE / name], check=False, stdout=subprocess.DEVNULL
        ).returncode:
            found.append(f"{reader[0]} cannot read {name}: mend what it says above")
    if found:
        sys.exit("\n".join(found))
    print("private: uv and cargo can read their settings, and no secret is in them")


if __name__ == "__main__":
    check()
