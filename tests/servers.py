"""Servers on this machine's loopback: indexes with and without a password, folders, a registry of crates."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

USER = "publisher"
SECRET = "marked-secret-5f2c"  # what must be found in no file and in no output
PREFIX = "/artifacts/api/pypi/ours"


@contextmanager
def listening(handler: Any) -> Iterator[str]:
    """Serve with a handler of the standard library, and give the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Quiet(BaseHTTPRequestHandler):
    """Answer without a word on the screen."""

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""

    def answer(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        """Send a whole answer."""
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def body(self) -> bytes:
        """Read what came with the request."""
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))


# ---- Indexes of Python packages.


class QuietFolder(SimpleHTTPRequestHandler):
    """Do what `python -m http.server` does."""

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


@contextmanager
def folder_server(folder: Path) -> Iterator[str]:
    """Serve a folder."""
    with listening(partial(QuietFolder, directory=str(folder))) as url:
        yield url


@dataclass(frozen=True)
class Index:
    """An index with a password, at an address with a path."""

    url: str
    folder: Path

    def files(self) -> list[str]:
        """Name what was uploaded."""
        return sorted(path.name for path in self.folder.iterdir())


@contextmanager
def private_index(folder: Path) -> Iterator[Index]:
    """Run pypi-server with a password for everything, at an address with a path, as most others have it."""
    packages = folder / "packages"
    packages.mkdir()
    digest = base64.b64encode(hashlib.sha1(SECRET.encode()).digest()).decode()
    (folder / "htpasswd").write_text(f"{USER}:{{SHA}}{digest}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command: list[str | Path] = [
        *(Path(sys.executable).with_name("pypi-server"), "run", "--interface", "127.0.0.1", "--port", str(port)),
        *("--passwords", folder / "htpasswd", "--authenticate", "update,download,list"),
        *("--disable-fallback", "--server-base-url", f"{PREFIX}/", packages),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}{PREFIX}"
        wait_for(f"{url}/health")
        yield Index(url, packages)
    finally:
        process.terminate()
        process.wait()


@contextmanager
def breaking(upstream: str, after: int = 1) -> Iterator[str]:
    """Serve what another server serves, and break off after some uploads."""
    left = list(range(after))

    class Breaking(Quiet):
        def do_POST(self) -> None:
            body = self.body()
            if not left:
                self.connection.close()
                return
            left.pop()
            kept = {name: self.headers[name] for name in ("Authorization", "Content-Type")}
            self.give_on(urllib.request.Request(upstream + self.path, body, kept, method="POST"))

        def do_GET(self) -> None:
            self.give_on(urllib.request.Request(upstream + self.path))

        def give_on(self, request: urllib.request.Request) -> None:
            try:
                with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
                    self.answer(answer.status, answer.read(), answer.headers["Content-Type"])
            except HTTPError as error:
                self.answer(error.code, error.read(), "text/plain")

    with listening(Breaking) as url:
        yield url


def wait_for(url: str) -> None:
    """Wait until a server answers."""
    for _ in range(600):
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except HTTPError:
            raise
        except (URLError, ConnectionError):
            time.sleep(0.05)
    raise TimeoutError(url)


# ---- A registry of crates.


@dataclass
class Registry:
    """A registry of crates that asks for a token even to look."""

    url: str = ""
    lines: dict[str, str] = field(default_factory=dict)
    crates: dict[str, bytes] = field(default_factory=dict)


@contextmanager
def crate_registry() -> Iterator[Registry]:
    """Run a sparse registry: https://doc.rust-lang.org/cargo/reference/registry-index.html."""
    registry = Registry()

    class Handler(Quiet):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") != SECRET:
                return self.answer(401, b"", **{"WWW-Authenticate": 'Cargo login_url="https://example.org"'})
            name = self.path.rpartition("/")[2]
            if name == "config.json":
                api = {"dl": f"{registry.url}/dl", "api": registry.url, "auth-required": True}
                return self.answer(200, json.dumps(api).encode())
            if name == "download":
                _, _, crate, version, _ = self.path.split("/")
                return self.answer(200, registry.crates[f"{crate}-{version}"], "application/gzip")
            known = registry.lines.get(name)
            return self.answer(200 if known else 404, (known or "").encode(), "text/plain")

        def do_PUT(self) -> None:
            if self.headers.get("Authorization") != SECRET:
                return self.answer(403, b'{"errors": [{"detail": "who are you?"}]}')
            body = self.body()
            size = int.from_bytes(body[:4], "little")
            crate, packed = json.loads(body[4 : 4 + size]), body[8 + size :]
            cksum = hashlib.sha256(packed).hexdigest()
            line = {"name": crate["name"], "vers": crate["vers"], "deps": [], "features": {}, "yanked": False}
            registry.lines[crate["name"]] = json.dumps({**line, "cksum": cksum})
            registry.crates[f"{crate['name']}-{crate['vers']}"] = packed
            return self.answer(200, b"{}")

    with listening(Handler) as url:
        registry.url = url
        yield registry
