"""Downloads: complete or not at all, checked by checksum, patient with busy servers."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from filelock import FileLock

from lab.base import whole_file
from lab.base.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT_S = (10, 60)
"""To connect, and between two chunks: a minute of silence in a file means a dead connection."""
TRIES = 4
RETRY_STATUS = {429, 500, 502, 503, 504}
"""HTTP's codes of servers that may answer later."""
MAX_PAUSE_S = 60.0
"""A server may ask for patience (Retry-After), but for no more than a minute at a time."""


def fetch(
    url: str,
    dest: Path,
    *,
    sha256: str = "",
    sha256_url: str = "",
    name: str = "",
    remedy: str = "",
    pause: Callable[[float], None] | None = None,
) -> Path:
    """Download `url` to `dest`, unless that is there with the right checksum; return `dest`.

    The SHA-256 is `sha256`, or else what the file at `sha256_url` lists for `name`. `pause` waits
    between two tries, for so many seconds; by default it is time.sleep.

    Raises ImageError, which names the address and the remedy. No part of a file stays.
    """
    pause = pause or time.sleep
    with FileLock(f"{dest}.lock"):
        expected = sha256
        if sha256_url and not expected:
            checksums = _get(sha256_url, remedy, pause).text
            expected = _listed(checksums, name or dest.name, sha256_url)
        if dest.exists() and expected and _sha256(dest) == expected:
            return dest
        with whole_file.replacing(dest, whole_file.PUBLIC) as file:
            _stream(url, Path(file.name), remedy, pause)
            actual = _sha256(Path(file.name))
            if expected and actual != expected:
                raise ImageError(
                    f"{url}: wrong checksum: it is {actual}, but {expected} is published",
                    remedy or "try again; if it happens again, do not use the file",
                )
    return dest


def _listed(text: str, name: str, url: str) -> str:
    """Return a file's checksum from lines `<hex>  <name>`; a single line needs no name."""
    rows = [line.split() for line in text.splitlines() if line.strip()]
    digests = {row[-1].lstrip("*").rsplit("/", 1)[-1]: row[0].lower() for row in rows}
    digest = digests.get(name) or (rows[0][0].lower() if len(rows) == 1 else "")
    if len(digest) != hashlib.sha256().digest_size * 2:
        raise ImageError(f"{url} lists no checksum for {name}")
    return digest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _get(
    url: str, remedy: str, pause: Callable[[float], None], *, stream: bool = False
) -> requests.Response:
    problem = ""
    for attempt in range(TRIES):
        try:
            response = requests.get(url, timeout=TIMEOUT_S, stream=stream)
        except requests.RequestException as error:
            problem, wait = str(error), 2.0**attempt
        else:
            if response.ok:
                return response
            problem = f"the server answers {response.status_code} {response.reason}"
            if response.status_code not in RETRY_STATUS:
                break
            asked = response.headers.get("Retry-After", "")
            wait = float(asked) if asked.isdigit() else 2.0**attempt
        if attempt + 1 < TRIES:
            pause(min(wait, MAX_PAUSE_S))
    raise ImageError(f"cannot download {url}: {problem}", remedy)


def _stream(url: str, part: Path, remedy: str, pause: Callable[[float], None]) -> None:
    for attempt in range(TRIES):
        if attempt:
            pause(2.0 ** (attempt - 1))
        response = _get(url, remedy, pause, stream=True)
        try:
            with part.open("wb") as file:
                for chunk in response.iter_content(1024 * 1024):
                    file.write(chunk)
        except requests.RequestException:
            continue
        length = response.headers.get("Content-Length")
        if (
            length is None
            or response.headers.get("Content-Encoding")
            or part.stat().st_size == int(length)
        ):
            return
    raise ImageError(
        f"{url}: the connection was cut off at each try before the file's end",
        remedy or "try again later",
    )
