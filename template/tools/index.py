"""A package index on this machine's loopback, with a password: what a release is rehearsed against."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE = 30  # seconds until an index that does not answer is given up


@dataclass(frozen=True)
class Index:
    """An index that runs, the folder that it keeps its files in, and who may upload."""

    url: str
    folder: Path
    user: str = "rehearsal"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)

    def uv(self, *files: Path) -> subprocess.CompletedProcess[str]:
        """Upload with uv: what is there already is left out, if it is the same."""
        secret = {"UV_PUBLISH_USERNAME": self.user, "UV_PUBLISH_PASSWORD": self.password}
        check = ("--check-url", f"{self.url}/simple/", "--trusted-publishing", "never")
        return upload("uv", "publish", "--publish-url", self.url, *check, *files, **secret)

    def twine(self, *files: Path, password: str = "") -> subprocess.CompletedProcess[str]:
        """Upload with twine: what is there already is refused; it skips files only on PyPI."""
        secret = {"TWINE_USERNAME": self.user, "TWINE_PASSWORD": password or self.password}
        command = ("upload", "--verbose", "--non-interactive", "--disable-progress-bar")
        return upload("twine", *command, "--repository-url", self.url, *files, **secret)

    def files(self) -> dict[str, str]:
        """Give the name and the SHA-256 of each file that was uploaded."""
        return {path.name: sha256(path) for path in self.folder.iterdir() if path.suffix != ".lock"}


def sha256(path: Path) -> str:
    """Give the hash of a file as indexes give it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def upload(*command: str | Path, **secret: str) -> subprocess.CompletedProcess[str]:
    """Run an upload; its secret is in the environment, where no log and no list of processes has it."""
    return subprocess.run(
        command,
        env={**os.environ, **secret},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        check=False,
    )


def free_port() -> int:
    """Ask the system for a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until an index answers."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with direct.open(f"{url}/health", timeout=PATIENCE):
                return
        except (urllib.error.URLError, ConnectionError) as error:
            if process.poll() is not None or time.monotonic() > end:
                sys.exit(f"pypi-server does not answer at {url}: {error}")
            time.sleep(0.05)


@contextmanager
def serve() -> Iterator[Index]:
    """Run pypi-server, empty, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        index = Index(f"http://127.0.0.1:{free_port()}", Path(folder, "packages"))
        index.folder.mkdir()
        digest = base64.b64encode(hashlib.sha1(index.password.encode()).digest()).decode()
        passwords = Path(folder, "passwords")
        passwords.write_text(index.user + ":{SHA}" + digest + "\n", encoding="utf-8")
        process = subprocess.Popen(
            [
                *("pypi-server", "run", "--interface", "127.0.0.1"),
                *("--port", index.url.rpartition(":")[2], "--hash-algo", "sha256"),
                *("--authenticate", "update", "--passwords", passwords),
                *("--disable-fallback", index.folder),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(index.url, process)
            yield index
        finally:
            process.terminate()
            process.wait()
