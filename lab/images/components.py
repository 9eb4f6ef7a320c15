"""The binaries that go into images: downloaded if possible, else built from their Go modules.

The cache keeps each by component, version and architecture, with a note of its origin, which is
also shown.
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
"""A source that does not begin to answer within five seconds counts as unreachable: building
instead takes minutes, not hours."""
REACH_PAUSES_S = (1.0, 2.0)
"""Between tries: a hiccup of the network must not lead to another distribution."""
AVAILABLE = {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}
"""What a server answers if it has the file."""
STREAMS = 4
"""How many files of a component are fetched at once: enough to fill a line, too few to be
throttled."""
ORIGIN_FILE = "way"
"""In a component's folder of the cache."""
DOWNLOADED = "downloaded"
"""The origin of a component whose files have the publisher's names."""
_silent: set[str] = set()
"""Hosts that did not answer several tries of this process; from then on they are asked once."""


def reachable(url: str) -> bool:
    """Whether a URL's file is available, after several tries if need be."""
    return answer(url) in AVAILABLE


def answer(url: str) -> int:
    """Return the HTTP status of a request for a file's first byte; 0 for no answer.

    It asks several times if need be. It does not use HEAD, which some proxies refuse, as does
    storage that is signed for GET.
    """
    host, status = urlsplit(url).netloc, 0
    for pause in (0.0,) if host in _silent else (0.0, *REACH_PAUSES_S):
        time.sleep(pause)
        status = ask(url)
        if status and status not in RETRY_STATUS:
            break
    if status:
        _silent.discard(host)
    else:
        _silent.add(host)
    return status


def ask(url: str, timeout_s: float = REACH_TIMEOUT_S) -> int:
    """Return the HTTP status as `answer` does, but ask only once."""
    first = {"Range": "bytes=0-0"}
    try:
        with requests.get(url, headers=first, timeout=timeout_s, stream=True) as response:
            return response.status_code
    except requests.RequestException:
        return 0


def home_of(component: Component, cache: Path, images: Path, arch: str) -> Path:
    """Return the folder of the cache that keeps a component, whether it is there or not."""
    # Our own sources change while their version stays: they are kept by their hash, too.
    own = f"-{folder_hash(images / component.directory)}" if component.directory else ""
    return cache / "bin" / f"{component.name}-{component.version}{own}-{arch}"


def origin(home: Path) -> str:
    """Return the origin of a component in the cache; "" for one that is not there, complete.

    Its file is written last.
    """
    return (home / ORIGIN_FILE).read_text() if (home / ORIGIN_FILE).exists() else ""


def obtain(
    component: Component, cache: Path, images: Path, arch: str, reporter: Reporter
) -> dict[str, Path]:
    """Return a component's binaries, name → path, making them if the cache has none.

    Downloaded ones may have other names than built ones (Component.names). Raises ImageError, with
    the log's tail if a build fails.
    """
    home = home_of(component, cache, images, arch)
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{home}.lock"):
        if not origin(home):
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            (home / ORIGIN_FILE).write_text(_make(component, home, cache, images, arch, reporter))
    reporter.done(component.name, f"{component.version}, {origin(home)}")
    names = component.names(downloaded=origin(home) == DOWNLOADED)
    return {name: home / name for name in names}


def _make(
    component: Component, home: Path, cache: Path, images: Path, arch: str, reporter: Reporter
) -> str:
    """Make a component's files in its folder; return their origin."""
    if can_download(component, arch):
        _download(component, home, cache, arch, reporter)
        return DOWNLOADED
    reporter.say(component.name, f"building {component.version} from its Go module")
    go_build.build(component, home, cache, images, arch)
    if not component.binaries:
        return "taken from its Go module"
    return "built from its Go module" if component.module else "built from images/"


def can_download(component: Component, arch: str) -> bool:
    """Whether all that is published of a component can be downloaded here.

    Raises ImageError if the user names a version that is not published.
    """
    for row in component.published:
        url = component.address(row, row.url, arch, row.binaries[0])
        status = answer(url)
        if status == HTTPStatus.NOT_FOUND and component.wished and not row.version:
            message = f"{component.name} {component.version} is not published: there is no {url}"
            raise ImageError(message, "`halab versions` lists those that are")
        if status not in AVAILABLE:
            return False
    return bool(component.published)


@dataclass(frozen=True, slots=True)
class _Job:
    """A file to fetch."""

    row: Published
    binary: str
    """Its binary; of an archive, the first."""
    url: str
    target: Path


def _jobs(component: Component, folder: Path, arch: str) -> list[_Job]:
    jobs = []
    for row in component.published:
        for binary in row.binaries[:1] if row.archive else row.binaries:
            url = component.address(row, row.url, arch, binary)
            # Versions of a file share its name; in the cache they must not.
            suffix = "" if row.archive else f"-{component.version}-{arch}"
            jobs.append(_Job(row, binary, url, folder / f"{url.rsplit('/', 1)[1]}{suffix}"))
    return jobs


def _download(component: Component, home: Path, cache: Path, arch: str, reporter: Reporter) -> None:
    """Fetch what is published, check it, and lay the binaries down.

    After a failure, the files that came stay for a retry.
    """
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
    for future in futures:  # all end before a failure is raised
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
