"""The image of kubeadm's nodes: halab's own, with kubeadm and the images of its static pods.

They are made of the programs that halab's node image holds, and lie unpacked in containerd's
store, as in kind's node image. Made once; a second run finds the image.
"""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from kubeadm_config import IMAGE_TAG, REPOSITORY

from lab.base.hashing import digest
from lab.images import components, upstream
from lab.images.pods import build_pod

if TYPE_CHECKING:
    from lab.images.versions import Component
    from lab.images.workbench import Workbench

PROGRAM = {"kubeadm": "k8s.io/kubernetes/cmd/kubeadm"}
SYSTEM_POD = """# The programs of Kubernetes' own pods. kube-proxy and flannel call iptables.
ARG NODE
FROM ${NODE} AS machine
RUN set -eu; out=/slim/usr/local/sbin; mkdir -p $out /slim/etc /slim/tmp /slim/run; \\
    for program in busybox xtables-nft-multi; do \\
        path=$(readlink -f "$(command -v $program)"); cp "$path" $out; \\
    done; \\
    ldd $out/* /usr/lib/*/xtables/*.so | grep -o '=> /[^ ]*\\|/lib[^ ]*/ld-[^ ]*' | sed 's/=> //' \\
        | sort -u | xargs -I{} cp --parents -L {} /slim; \\
    cp --parents -r /usr/lib/*/xtables /slim; \\
    mkdir -p /slim/bin; ln -s /usr/local/sbin/busybox /slim/bin/sh; \\
    for name in cat mkdir mv sleep; do ln -s busybox $out/$name; done; \\
    for name in iptables ip6tables; do for more in '' -save -restore; do \\
        ln -s xtables-nft-multi $out/$name$more; done; done; \\
    cp /usr/local/sbin/halab-cni $out
FROM scratch
COPY --from=machine /slim/ /
COPY bin/ /usr/local/bin/
ENV PATH=/usr/local/bin:/usr/local/sbin:/bin
"""
SYSTEM_PODS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
"""Those whose images have Kubernetes' version as their tag."""


def kubeadm(kubernetes: Component) -> Component:
    """Return kubeadm as a component: built from the module that halab's Kubernetes is built from.

    It is not downloaded even where Kubernetes is: it is no part of what halab ships.
    """
    return dataclasses.replace(kubernetes, name="kubeadm", binaries=PROGRAM, published=())


def names(version: str) -> tuple[str, ...]:
    """Return the names of the one image that all of Kubernetes' own pods run."""
    versioned = [f"{REPOSITORY}/{name}:{version}" for name in SYSTEM_PODS]
    return (*versioned, *(f"{REPOSITORY}/{name}:{IMAGE_TAG}" for name in ("etcd", "flannel")))


def image(bench: Workbench) -> str:
    """Return the image's tag; make it if the engine has none."""
    program = kubeadm(bench.versions.components["kubernetes"])
    own = digest(" ".join((bench.tags["upstream"], repr(program), Path(__file__).read_text())))
    tag = f"halab/kubeadm:{own}"
    if not bench.engine.has_image(tag):
        with tempfile.TemporaryDirectory(dir=bench.sources.cache) as folder:
            _build(bench, Path(folder), program, tag)
    return tag


def _build(bench: Workbench, context: Path, program: Component, tag: str) -> None:
    shutil.copy(bench.sources.folder / "upstream" / "Dockerfile", context)
    upstream._binaries(bench, context)
    _pods(bench, context)
    upstream._store(bench, context)
    sources = bench.sources
    made = components.obtain(program, sources.cache, sources.folder, sources.arch, bench.reporter)
    shutil.copy(made["kubeadm"], context / "bin")
    bench.docker_build("kubeadm", context, tag=tag, NODE=bench.tags["node"])


def _pods(bench: Workbench, context: Path) -> None:
    """Save the pods' images to images/pods.tar of the context."""
    system = names(bench.versions.components["kubernetes"].version)
    coredns, pause = (bench.versions.pods[name] for name in ("coredns", "pause"))
    for name, own in (("coredns", coredns), ("pause", pause)):
        if not bench.engine.has_image(own):
            build_pod(bench, name, own)
    dns = f"{REPOSITORY}/coredns:{IMAGE_TAG}"
    with tempfile.TemporaryDirectory(dir=bench.sources.cache) as folder:
        _system_pod(bench, Path(folder), context / "bin", system[0])
    more = [(system[0], name) for name in system[1:]] + [(coredns, dns)]
    for old, new in more:
        subprocess.run(["docker", "tag", old, new], check=True)
    (context / "images").mkdir()
    with (context / "images" / "pods.tar").open("wb") as tar:
        for chunk in bench.engine.save([*system, dns, pause], bench.sources.arch):
            tar.write(chunk)
    for name in (*system, dns):
        bench.engine.remove_image(name)


def _system_pod(bench: Workbench, context: Path, programs: Path, tag: str) -> None:
    (context / "bin").mkdir()
    (context / "Dockerfile").write_text(SYSTEM_POD)
    wanted = {*upstream.KUBERNETES, "kube", "flannel"} - {"kubelet", "kubectl"}
    for path in programs.iterdir():
        if path.name in wanted:
            shutil.copy(path, context / "bin", follow_symlinks=False)
    bench.docker_build("kubeadm-pods", context, tag=tag, NODE=bench.tags["node"])
