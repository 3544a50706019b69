"""Upload file by file, as package indexes expect it; a file that the index has is an error, unless it is skipped."""

import json
import os
import sys
from base64 import b64encode
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

BOUNDARY = "boundary-of-the-sandbox"
FIELD = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{{}}"'


def upload(url: str, file: Path) -> int:
    """Upload a file, and give the status of the answer."""
    action = FIELD.format(":action") + "\r\n\r\nfile_upload\r\n"
    head = FIELD.format("content") + f'; filename="{file.name}"\r\nContent-Type: application/octet-stream\r\n\r\n'
    body = b"".join([action.encode(), head.encode(), file.read_bytes(), f"\r\n--{BOUNDARY}--\r\n".encode()])
    user = f"{os.environ.get('TWINE_USERNAME')}:{os.environ.get('TWINE_PASSWORD')}"
    headers = {
        "Authorization": f"Basic {b64encode(user.encode()).decode()}",
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
    }
    try:
        with build_opener(ProxyHandler({})).open(Request(url, body, headers)) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def main() -> None:
    """Publish."""
    indexes = json.loads(os.environ["SANDBOX_INDEXES"])
    address = os.environ["ADDRESS"]
    if address not in indexes:
        sys.exit(f"::error::no index on loopback replaces {address}")
    files = sorted(Path(os.environ["FOLDER"]).glob("*"))
    if not files:
        sys.exit(f"::error::there are no distributions in {os.environ['FOLDER']}")
    others = [file.name for file in files if not file.name.endswith((".whl", ".tar.gz"))]
    if others:
        sys.exit(f"::error::InvalidDistribution: Unknown distribution format: {others}")
    for file in files:
        try:
            status = upload(f"{indexes[address].rstrip('/')}/", file)
        except (URLError, ConnectionError) as error:
            sys.exit(f"::error::{file.name} was not uploaded: {error}")
        if status != 200 and not (status == 409 and os.environ["SKIP"] == "true"):
            sys.exit(f"::error::{file.name} was not uploaded: {status}")
        print(f"{'uploaded' if status == 200 else 'skipped'} {file.name}", flush=True)


main()
