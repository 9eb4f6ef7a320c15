"""Where the e2e tests' K3s comes from.

A real one where there is one, else the strict double in tests/k3s_double, which is built here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from labs import docker

from lab.base import paths
from lab.base.hashing import folder_hash
from lab.base.progress import Silent
from lab.images import components, go_build, k3s_release, versions
from lab.images.sources import architecture

SOURCE = Path(__file__).parents[1] / "k3s_double"
PROGRAMS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubectl",
    "etcd",
)
IMAGES = {
    "pause": "rancher/mirrored-pause:3.10.2",
    "coredns": "rancher/mirrored-coredns-coredns:1.14.6",
}
"""The names in K3s's own archive of what the double runs itself: in the double's, halab's own
images stand under them."""
DOUBLE = "K3s double, not K3s"


@dataclass(frozen=True)
class K3s:
    """The values of a topology that name it, and whether they name the double."""

    settings: dict[str, str]
    double: bool


def find() -> K3s:
    """Return what HALAB_K3S_BINARY names, the release where it can be reached, or the double.

    HALAB_K3S_IMAGES names the images that go with a binary.
    """
    if binary := os.environ.get("HALAB_K3S_BINARY"):
        settings = {"images.k3s_binary": binary}
        if archive := os.environ.get("HALAB_K3S_IMAGES"):
            settings["images.k3s_images"] = archive
        return K3s(settings, double=False)
    table = versions.read(paths.shipped("images"))
    if components.reachable(
        k3s_release.binary(table.components["k3s"].version, architecture()).url
    ):
        return K3s({}, double=False)
    folder = paths.cache() / "k3s-double"
    folder.mkdir(exist_ok=True)
    program, archive = _program(folder, table), _archive(folder, table)
    settings = {"images.k3s_binary": str(program), "images.k3s_images": str(archive)}
    return K3s(settings, double=True)


def _program(folder: Path, table: versions.Versions) -> Path:
    """Build the double with the upstream programs in it, as K3s's release file holds its own.

    It is kept by the hash of what goes in.
    """
    shipped, arch = paths.shipped("images"), architecture()
    parts = [
        path
        for name in ("kubernetes", "containerd", "flannel", "cni-plugins")
        for path in components.obtain(
            table.components[name], paths.cache(), shipped, arch, Silent()
        ).values()
    ]
    rows = [repr(table.components[path.parent.name.rsplit("-v", 1)[0]]) for path in parts]
    key = hashlib.sha256(" ".join([folder_hash(SOURCE), arch, *rows]).encode()).hexdigest()[:12]
    program = folder / f"k3s-{key}"
    if not program.exists():
        for old in folder.glob("k3s-*"):
            old.unlink()
        with tempfile.TemporaryDirectory(dir=folder) as place:
            source = Path(shutil.copytree(SOURCE, Path(place) / "src"))
            environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod"}
            go = go_build.find_go(paths.cache())
            for name, package in (("double", "."), ("pack", "./pack")):
                argv = [
                    go,
                    "build",
                    "-trimpath",
                    "-ldflags",
                    "-s -w",
                    "-o",
                    str(Path(place) / name),
                    package,
                ]
                subprocess.run(argv, cwd=source, env=environment, check=True)
            one = any(path.name == "kube" for path in parts)  # else each was downloaded
            links = [f"{name}=kube" for name in PROGRAMS] if one else []
            subprocess.run(
                [f"{place}/pack", str(program), f"{place}/double", *map(str, parts), *links],
                check=True,
            )
    return program


def _archive(folder: Path, table: versions.Versions) -> Path:
    """Make the archive of images that goes with it.

    The sandbox's and the packaged DNS's, under K3s's own names.
    """
    ours = {table.pods[part]: name for part, name in IMAGES.items()}
    known = {tag: docker("images", "-q", tag).strip() for tag in ours}
    if missing := sorted(tag for tag, identity in known.items() if not identity):
        raise AssertionError(f"{', '.join(missing)}: not here, `halab images build` makes them")
    archive = folder / f"images-{'-'.join(known[tag] for tag in sorted(known))}.tar"
    if not archive.exists():
        for tag, name in ours.items():
            docker("tag", tag, name)
        docker("save", "-o", f"{archive}.part", *ours.values())
        docker("rmi", *ours.values())
        Path(f"{archive}.part").rename(archive)
    return archive
