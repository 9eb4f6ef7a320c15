"""The steps of image building that are more than a `docker build`: root file system, pods' images, containerd's store."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lab.base.errors import EngineError, ImageError
from lab.engine.files import File
from lab.engine.fitness import privileged
from lab.engine.labels import LABEL_HELPER

if TYPE_CHECKING:
    from lab.images import Builder

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
"""What units call; downloaded they are files of their own."""
IMPORT = """
mount -o remount,rw /sys 2>/dev/null; mount --make-rshared /
containerd >/tmp/containerd.log 2>&1 & pid=$!
for i in $(seq 100); do ctr version >/dev/null 2>&1 && break; sleep 0.1; done
for tar in /images/*.tar; do
  ctr -n k8s.io images import --compress-blobs "$@" "$tar" || { tail /tmp/containerd.log; exit 1; }
done
ctr -n k8s.io images ls -q; kill $pid; wait $pid; exit 0
"""


def one_platform(arch: str) -> tuple[str, ...]:
    """Give the options that make `ctr images import` take one platform of an image and no other.

    Without `--platform` it wants what this machine could also run (386 on amd64, arm/v7 on arm64),
    where an index names it, and the tar holds one: "content digest … not found" (containerd 6441).
    `--platform` is for an import by the client itself only (`--local`).
    """
    return ("--local", "--platform", f"linux/{arch}")


def proxies() -> dict[str, str]:
    """Give the proxy settings of this process as build arguments; `docker build` predefines these names."""
    words = ("http_proxy", "https_proxy", "no_proxy")
    return {word: value for word in (*words, *map(str.upper, words)) if (value := os.environ.get(word))}


def make_rootfs(builder: Builder) -> None:
    """Get Debian: by digest from an image registry where that can be reached, else by debootstrap from Debian's packages."""
    table, tag = builder.versions, builder.tags["rootfs"]
    reference = f"{table.image.split(':')[0]}@{table.digest}"
    try:
        builder.reporter.say("rootfs", f"fetching {reference}")
        builder.engine.pull(reference, tag)
        builder.reporter.say("rootfs", "downloaded by digest")
    except EngineError as error:
        builder.reporter.say("rootfs", "no image registry reached; debootstrap from Debian's packages")
        _debootstrap(builder, tag, str(error))


def _debootstrap(builder: Builder, tag: str, reason: str) -> None:
    tool = shutil.which("debootstrap") or shutil.which("/usr/sbin/debootstrap")
    if tool is None or os.geteuid() != 0:
        hint = "connect to the Internet; or, on Debian as root, `apt-get install debootstrap`"
        raise ImageError(f"no Debian to build on: {reason}", hint)
    with tempfile.TemporaryDirectory(dir=builder.sources.cache) as folder:
        root = Path(folder) / "root"
        argv = [tool, f"--arch={builder.sources.arch}", "--variant=minbase", builder.versions.release, str(root)]
        result = subprocess.run(argv, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise ImageError(f"debootstrap failed:\n{result.stdout[-1500:]}", "see whether Debian's packages can be reached")
        for waste in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
            shutil.rmtree(root / waste, ignore_errors=True)
        tar = Path(folder) / "rootfs.tar"
        subprocess.run(["tar", "--numeric-owner", "-C", str(root), "-cf", str(tar), "."], check=True)
        builder.engine.import_rootfs(str(tar), tag)


def build_with_tools(builder: Builder, word: str) -> None:
    """Build images/<word> with halab's own programs in its context: bin/halab-probe, which samples, and those of faults."""
    with tempfile.TemporaryDirectory(dir=builder.sources.cache) as folder:
        context = Path(shutil.copytree(builder.sources.folder / word, Path(folder) / "context"))
        (context / "bin").mkdir()
        for path in builder.obtain("tools").values():
            shutil.copy(path, context / "bin")
        builder.docker_build(word, context, BASE=builder.tags["base"])


def build_upstream(builder: Builder) -> None:
    """Make the node image with upstream Kubernetes: binaries, and containerd's store with the pods' images."""
    with tempfile.TemporaryDirectory(dir=builder.sources.cache) as folder:
        context = Path(folder)
        shutil.copy(builder.sources.folder / "upstream" / "Dockerfile", context)
        _binaries(builder, context)
        pods(builder, context)
        _store(builder, context)
        builder.docker_build("upstream", context, NODE=builder.tags["node"])


def _binaries(builder: Builder, context: Path) -> None:
    (context / "bin").mkdir()
    (context / "cni").mkdir()
    for name in ("kubernetes", "containerd", "flannel"):
        for path in builder.obtain(name).values():
            shutil.copy(path, context / "bin")
    for path in builder.obtain("cni-plugins").values():
        shutil.copy(path, context / "cni")
    if (context / "bin" / "kube").exists():  # built: one for all, by the name it is called by
        for word in KUBERNETES:
            (context / "bin" / word).symlink_to("kube")


def pods(builder: Builder, context: Path) -> None:
    """Build each pod's image and save it under the name that manifests use."""
    (context / "images").mkdir()
    for word, name in builder.versions.pods.items():
        build_pod(builder, word, name)
        with (context / "images" / f"{word}.tar").open("wb") as tar:
            for chunk in builder.engine.save([name], builder.sources.arch):
                tar.write(chunk)


def build_pod(builder: Builder, word: str, tag: str) -> None:
    """Build one pod's image from images/pods/<word> and the binaries of the component of that name, if there is one."""
    with tempfile.TemporaryDirectory(dir=builder.sources.cache) as folder:
        pod = Path(shutil.copytree(builder.sources.folder / "pods" / word, Path(folder) / "context"))
        if word in builder.versions.components:
            for path in builder.obtain(word).values():
                shutil.copy(path, pod)
        builder.reporter.say(word, f"building {tag}")
        under = {"BASE": builder.tags["base"]}
        if other := builder.stands_on(word):
            under = {other.upper(): builder.tags[f"pods/{other}"]}
        builder.docker_build(f"pods/{word}", pod, tag=tag, **under)


def _store(builder: Builder, context: Path) -> None:
    """Let containerd unpack the pods' images in a helper machine and take its store along."""
    engine = builder.engine
    builder.reporter.say("upstream", "unpacking the pods' images")
    # The store on a volume: overlayfs cannot stand on the container's overlayfs.
    host = engine.machine(privileged=privileged(engine, builder.tags["node"]))
    host["Mounts"] = [{"Type": "volume", "Target": "/var/lib/containerd"}]
    command = ["sh", "-c", IMPORT, "sh", *one_platform(builder.sources.arch)]
    helper = engine.create_helper(builder.tags["node"], command, LABEL_HELPER, host)
    try:
        tars = sorted((context / "images").glob("*.tar"))
        binaries = [context / "bin" / name for name in ("containerd", "ctr", "containerd-shim-runc-v2")]
        for path, place in [*((tar, "/images") for tar in tars), *((binary, "/usr/local/bin") for binary in binaries)]:
            engine.put(helper, [File(path=f"{place}/{path.name}", content=path.read_bytes(), mode=0o755)])
        engine.start(helper)
        code = engine.wait(helper, IMPORT_TIMEOUT_S)
        if code != 0:
            raise ImageError(f"containerd could not unpack the pods' images:\n{engine.logs(helper)}")
        (context / "containerd.tar").write_bytes(engine.read(helper, "/var/lib/containerd"))
    finally:
        engine.remove_container(helper)
    shutil.rmtree(context / "images")
