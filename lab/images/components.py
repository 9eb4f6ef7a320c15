"""The binaries that go into images: downloaded where that can be reached, else built from their Go modules.

Each is kept in the cache under component, version and architecture; which way it came is written beside it and said.
"""

from __future__ import annotations

import shutil
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from filelock import FileLock

from lab.base.errors import ImageError
from lab.base.hashing import folder_hash
from lab.images import go_build
from lab.images.download import RETRY_STATUS, fetch

if TYPE_CHECKING:
    from lab.base.progress import Reporter
    from lab.images.versions import Component, Published

REACH_TIMEOUT_S = 5
"""A source that does not begin to answer in five seconds is not reached: the other way takes
minutes, not hours."""
REACH_PAUSES_S = (1.0, 2.0)
"""Between the tries: a hiccup of the network must not choose another distribution."""
GIVEN = {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}
STREAMS = 4
"""Files of one component that are fetched at once: enough for a line, too few to be throttled."""
DOWNLOADED = "downloaded"
"""The way that a component came; files of it have the publisher's names then."""
_silent: set[str] = set()
"""Hosts that did not answer to several tries of this process; they are asked once from then on."""


def reachable(url: str) -> bool:
    """Whether a URL's file can be had."""
    return answer(url) in GIVEN


def answer(url: str) -> int:
    """Return what a URL's server answers to a question for the file's first byte; 0 for no answer.

    Not HEAD: some proxies refuse it, and storage that is signed for GET does.
    """
    host, found = urlsplit(url).netloc, 0
    for pause in (0.0,) if host in _silent else (0.0, *REACH_PAUSES_S):
        time.sleep(pause)
        found = ask(url)
        if found and found not in RETRY_STATUS:
            break
    (_silent.discard if found else _silent.add)(host)
    return found


def ask(url: str, timeout_s: float = REACH_TIMEOUT_S) -> int:
    """Ask once, as `answer` does."""
    first = {"Range": "bytes=0-0"}
    try:
        with requests.get(url, headers=first, timeout=timeout_s, stream=True) as response:
            return response.status_code
    except requests.RequestException:
        return 0


def home_of(component: Component, cache: Path, images: Path, arch: str) -> Path:
    """Return the folder of the cache that keeps a component."""
    # Sources of ours change without their version: they are kept by their hash, too.
    own = f"-{folder_hash(images / component.directory)}" if component.directory else ""
    return cache / "bin" / f"{component.name}-{component.version}{own}-{arch}"


def way(home: Path) -> str:
    """Return which way a component in the cache came; empty for one that is not there."""
    return (home / "way").read_text() if (home / "way").exists() else ""


def obtain(
    component: Component, cache: Path, images: Path, arch: str, reporter: Reporter
) -> dict[str, Path]:
    """Return a component's binaries, making them where the cache has none.

    Raise ImageError with the log's tail. Downloaded ones may have other names than built ones
    (Component.names).
    """
    home = home_of(component, cache, images, arch)
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{home}.lock"):
        if not way(home):
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            (home / "way").write_text(_make(component, home, cache, images, arch, reporter))
    reporter.done(component.name, f"{component.version}, {way(home)}")
    names = component.names(downloaded=way(home) == DOWNLOADED)
    return {name: home / name for name in names}


def _make(
    component: Component, home: Path, cache: Path, images: Path, arch: str, reporter: Reporter
) -> str:
    if can_download(component, arch):
        _download(component, home, cache, arch, reporter)
        return DOWNLOADED
    reporter.say(component.name, f"building {component.version} from its Go module")
    go_build.build(component, home, cache, images, arch)
    return (
        "taken from its Go module"
        if not component.binaries
        else "built from its Go module"
        if component.module
        else "built from images/"
    )


def can_download(component: Component, arch: str) -> bool:
    """Whether every publisher of a component gives it here.

    Raise ImageError where the user names a version that is not published.
    """
    for row in component.published:
        url = component.address(row, row.url, arch, row.binaries[0])
        found = answer(url)
        if found == HTTPStatus.NOT_FOUND and component.wished and not row.version:
            message = f"{component.name} {component.version} is not published: there is no {url}"
            raise ImageError(message, "`halab versions` lists what can be had")
        if found not in GIVEN:
            return False
    return bool(component.published)


@dataclass(frozen=True, slots=True)
class _Job:
    """A file to fetch: whose, which binary (an archive: the first), from where, where to."""

    row: Published
    binary: str
    url: str
    target: Path


def _jobs(component: Component, folder: Path, arch: str) -> list[_Job]:
    found = []
    for row in component.published:
        for binary in row.binaries[:1] if row.archive else row.binaries:
            url = component.address(row, row.url, arch, binary)
            # Files of one name and several versions lie apart.
            suffix = "" if row.archive else f"-{component.version}-{arch}"
            found.append(_Job(row, binary, url, folder / f"{url.rsplit('/', 1)[1]}{suffix}"))
    return found


def _download(component: Component, home: Path, cache: Path, arch: str, reporter: Reporter) -> None:
    """Fetch what is published, check it, lay the binaries down. What came stays for a retry."""
    folder = cache / "download"
    folder.mkdir(exist_ok=True)
    jobs = _jobs(component, folder, arch)
    reporter.say(component.name, f"downloading {component.version}")

    def one(job: _Job) -> None:
        file = job.url.rsplit("/", 1)[1]
        pinned = job.row.sha256.get(arch, {}).get(file, "")
        listed = component.address(job.row, job.row.sha256_url, arch, job.binary)
        fetch(job.url, job.target, sha256=pinned, sha256_url=listed, name=file)
        reporter.say(component.name, f"downloaded {file}")

    with ThreadPoolExecutor(STREAMS) as pool:
        futures = [pool.submit(one, job) for job in jobs]
    for future in futures:  # all end before a failure is told
        future.result()
    for job in jobs:
        if job.row.archive:
            _unpack(job.target, job.url, job.row.binaries, home)
        else:
            shutil.move(job.target, home / job.binary)
            (home / job.binary).chmod(0o755)


def _unpack(archive: Path, url: str, binaries: tuple[str, ...], home: Path) -> None:
    with tarfile.open(archive) as tar:
        members = {Path(member.name).name: member for member in tar.getmembers() if member.isfile()}
        for name in binaries:
            content = tar.extractfile(members[name]) if name in members else None
            if content is None:
                raise ImageError(
                    f"{url} holds no `{name}`", "its layout has changed: see images/versions.yaml"
                )
            with (home / name).open("wb") as target:
                shutil.copyfileobj(content, target)
            (home / name).chmod(0o755)
