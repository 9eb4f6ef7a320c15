"""The node image with upstream Kubernetes: binaries, and the pods' images in containerd's store."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lab.base.errors import ImageError
from lab.engine.files import File
from lab.engine.fitness import privileged
from lab.engine.labels import LABEL_HELPER
from lab.images.pods import pods

if TYPE_CHECKING:
    from lab.images.workbench import Workbench

IMPORT_TIMEOUT_S = 300
KUBERNETES = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubectl",
    "etcd",
)
"""The programs that units call. Downloaded, each is a file of its own."""
IMPORT = """
mount -o remount,rw /sys 2>/dev/null; mount --make-rshared /
containerd >/tmp/containerd.log 2>&1 & pid=$!
for i in $(seq 100); do ctr version >/dev/null 2>&1 && break; sleep 0.1; done
for tar in /images/*.tar; do
  ctr -n k8s.io images import --compress-blobs "$@" "$tar" || { tail /tmp/containerd.log; exit 1; }
done
ctr -n k8s.io images ls -q; kill $pid; wait $pid
store=/var/lib/containerd shared=/usr/lib/halab/store; mkdir -p $shared
for path in $store/*.snapshotter.v1.overlayfs/snapshots/*/fs $store/*.content.v1.content/blobs/*/*
do
  name=$(tar -c --sort=name -C "${path%/*}" "${path##*/}" | sha256sum | cut -c1-32) || exit 1
  [ -e $shared/$name ] || cp -a "$path" $shared/$name || exit 1
  rm -r "$path" && ln -s $shared/$name "$path" || exit 1
done
"""
"""Unpacks the images, then puts what never changes outside the volume, with links in its place.

The engine copies what is in the image at a volume's place into each node's volume: 100 MB for each
node, a second of processor time at a start of 3m3w. Outside, all nodes read the same files.
overlayfs permits its lower layers, but not the upper one, to lie on another overlayfs. A file's
name says what is in it: no link ever leads to other content.
"""
STORES = {"containerd.tar": "/var/lib/containerd", "store.tar": "/usr/lib/halab/store"}
"""What the image gets of the helper's: archive → folder."""


def one_platform(arch: str) -> tuple[str, ...]:
    """Return the options that make `ctr images import` take one platform of an image and no other.

    Without `--platform` it also wants what else this machine could run (386 on amd64, arm/v7 on
    arm64) if an index names it, but the tar holds one platform: "content digest … not found"
    (containerd 6441). `--platform` works only for an import by the client itself (`--local`).
    """
    return ("--local", "--platform", f"linux/{arch}")


def build_upstream(bench: Workbench) -> None:
    """Make the image. Raises ImageError if a part cannot be made."""
    with tempfile.TemporaryDirectory(dir=bench.sources.cache) as folder:
        context = Path(folder)
        shutil.copy(bench.sources.folder / "upstream" / "Dockerfile", context)
        _binaries(bench, context)
        pods(bench, context)
        _store(bench, context)
        bench.docker_build("upstream", context, NODE=bench.tags["node"])


def _binaries(bench: Workbench, context: Path) -> None:
    (context / "bin").mkdir()
    (context / "cni").mkdir()
    for name in ("kubernetes", "containerd", "flannel"):
        for path in bench.obtain(name).values():
            shutil.copy(path, context / "bin")
    for path in bench.obtain("cni-plugins").values():
        shutil.copy(path, context / "cni")
    if (context / "bin" / "kube").exists():  # built: one program, which acts by its name
        for name in KUBERNETES:
            (context / "bin" / name).symlink_to("kube")


def _store(bench: Workbench, context: Path) -> None:
    """Let containerd unpack the pods' images in a helper machine; keep its store as a tar."""
    engine = bench.engine
    bench.reporter.say("upstream", "unpacking the pods' images")
    # The store needs a volume: overlayfs cannot write to the container's overlayfs.
    host = engine.machine(privileged=privileged(engine, bench.tags["node"]))
    host["Mounts"] = [{"Type": "volume", "Target": "/var/lib/containerd"}]
    command = ["bash", "-o", "pipefail", "-c", IMPORT, "bash", *one_platform(bench.sources.arch)]
    helper = engine.create_helper(bench.tags["node"], command, LABEL_HELPER, host)
    try:
        for tar in sorted((context / "images").glob("*.tar")):
            _put(bench, helper, tar, "/images")
        for name in ("containerd", "ctr", "containerd-shim-runc-v2"):
            _put(bench, helper, context / "bin" / name, "/usr/local/bin")
        engine.start(helper)
        code = engine.wait(helper, IMPORT_TIMEOUT_S)
        if code != 0:
            raise ImageError(
                f"containerd could not unpack the pods' images:\n{engine.logs(helper)}"
            )
        for archive, path in STORES.items():
            (context / archive).write_bytes(engine.read(helper, path))
    finally:
        engine.remove_container(helper)
    shutil.rmtree(context / "images")


def _put(bench: Workbench, helper: str, source: Path, folder: str) -> None:
    path = f"{folder}/{source.name}"
    bench.engine.put(helper, [File(path=path, content=source.read_bytes(), mode=0o755)])
