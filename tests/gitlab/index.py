"""An index on loopback that takes uploads as PyPI does: from who proves with an identity that it may."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from checks import find_tool
from servers import Quiet
from template import run

IDENTITY = "identity-of-the-job-41c7"  # what GitLab would sign
TOKEN = "pypi-for-a-quarter-of-an-hour"  # what the index gives for it


@dataclass
class Trusting:
    """What the index has, and what it was asked for to give a token."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    minted: int = 0
    broken_after: int | None = None  # so many uploads go well, and then the line is cut

    def page(self) -> bytes:
        """Give the page of the one project, with the hash of each file."""
        links = (
            f'<a href="/files/{name}#sha256={hashlib.sha256(content).hexdigest()}">{name}</a>'
            for name, content in sorted(self.files.items())
        )
        return "<!DOCTYPE html><html><body>{}</body></html>".format("\n".join(links)).encode()


def upload(kind: str, body: bytes) -> tuple[str, bytes]:
    """Take the file, with its name, out of the form of an upload."""
    boundary = kind.partition("boundary=")[2].strip('"').encode()
    for part in body.split(b"--" + boundary):
        head, _, content = part.partition(b"\r\n\r\n")
        if b'name="content"' in head:
            name = head.partition(b'filename="')[2].partition(b'"')[0].decode()
            return name, content.removesuffix(b"\r\n")
    raise ValueError("the form has no file")


def certificate(folder: Path) -> Path:
    """Make a key and a certificate for loopback: nobody shows an identity where others can read it."""
    path = folder / "loopback.pem"
    subject = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    run(find_tool("openssl"), "req", "-x509", *key, *subject, "-keyout", path, "-out", path, cwd=folder)
    return path


@contextmanager
def trusting_index(folder: Path, identity: str = IDENTITY) -> Iterator[Trusting]:
    """Run the index, which knows one publisher: https://docs.pypi.org/trusted-publishers/using-a-publisher/."""
    index = Trusting()
    allowed = "Basic " + base64.b64encode(f"__token__:{TOKEN}".encode()).decode()

    class Handler(Quiet):
        def do_GET(self) -> None:
            if self.path == "/_/oidc/audience":
                return self.answer(200, b'{"audience": "pypi"}')
            name = unquote(self.path.rpartition("/files/")[2])
            if name in index.files:
                return self.answer(200, index.files[name], "application/octet-stream")
            if self.path.startswith("/simple/") and index.files:
                return self.answer(200, index.page(), "text/html")
            return self.answer(404, b"")

        def do_HEAD(self) -> None:
            return self.answer(405, b"")  # so that whole files are asked for

        def do_POST(self) -> None:
            body = self.body()
            if self.path.startswith("/_/oidc/mint-token"):
                if json.loads(body) != {"token": identity}:
                    return self.answer(422, b'{"message": "invalid-publisher", "errors": []}')
                index.minted += 1
                return self.answer(200, json.dumps({"success": True, "token": TOKEN}).encode())
            if self.path.startswith("/_/oidc/burn-token"):
                return self.answer(200, b"{}")
            if self.headers.get("Authorization") != allowed:
                return self.answer(403, b"who are you?")
            if index.broken_after is not None and len(index.files) >= index.broken_after:
                return self.answer(400, b"the line was cut")
            name, content = upload(self.headers["Content-Type"], body)
            if index.files.setdefault(name, content) != content:
                return self.answer(400, b"File already exists")
            return self.answer(200, b"")

    secured = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    secured.load_cert_chain(certificate(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = secured.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        index.url = f"https://127.0.0.1:{server.server_address[1]}"
        yield index
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
