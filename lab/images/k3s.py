"""The node image with K3s: the binary, its release and its images, all checked."""

from __future__ import annotations

import shutil
import tempfile
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from lab.base.errors import ImageError, Unreached
from lab.engine import labels
from lab.engine.files import File
from lab.engine.fitness import privileged
from lab.images import k3s_release, pods
from lab.images.components import AVAILABLE, answer
from lab.images.download import fetch
from lab.topology import releases

if TYPE_CHECKING:
    from lab.images.workbench import Workbench

ASK_TIMEOUT_S = 60
REMEDY = "give `images: {k3s_binary: PATH}` in the topology"
ARCHIVE = "try again, or give `images: {k3s_images: PATH}` in the topology"


def build(bench: Workbench) -> None:
    """Make the image.

    It holds the user's binary, else the release's; the images of K3s's packaged components; and the
    images of halab's own pods. Raises ImageError, and Unreached if K3s cannot be downloaded here.
    """
    with tempfile.TemporaryDirectory(dir=bench.sources.cache) as folder:
        context = Path(shutil.copytree(bench.sources.folder / "k3s", Path(folder) / "context"))
        shutil.copy(binary(bench), context / "k3s")
        (context / "k3s").chmod(0o755)
        release = version(bench, context / "k3s")
        bench.reporter.say("k3s", release)
        tag = k3s_release.tag(release)
        check(bench, tag)
        pods.pods(bench, context)
        _packaged(bench, context / "images", tag)
        bench.docker_build("k3s", context, NODE=bench.tags["node"], RELEASE=release)


def check(bench: Workbench, tag: str) -> None:
    """Raise ImageError if the binary's release, `tag`, is not the wished one or cannot run here."""
    wished = dict(bench.sources.wished).get("k3s", "")
    origin = bench.sources.k3s_binary or f"the release {wished or tag}"
    if wished and tag != wished:
        hint = f"give another binary, or `kubernetes: {{k3s: {tag}}}` in the topology"
        raise ImageError(f"{origin} is K3s {tag}, not {wished}", hint)
    if releases.too_old("k3s", tag):
        oldest = releases.oldest("k3s")
        raise ImageError(f"{origin}: K3s {tag} is too old", f"take {oldest} or newer")
    if not k3s_release.reads_drop_ins(tag) and not privileged(bench.engine, bench.tags["node"]):
        # Without CAP_SYS_RESOURCE, no pod runs unless containerd reads halab's settings (CONTAINERD
        # of lab/nodes/distributions/k3s/config.py).
        raise ImageError(
            f"{origin}: K3s {tag} cannot run where containers are not privileged",
            "take v1.34.6, v1.35.3, v1.36.0 or newer, or upstream's Kubernetes",
        )


def binary(bench: Workbench) -> Path:
    """Return the path of K3s: the user's file, else the release's, downloaded and checked.

    Raises ImageError for a wished version that is not published, and Unreached if the release
    cannot be downloaded here.
    """
    if bench.sources.k3s_binary:
        return Path(bench.sources.k3s_binary)
    release = k3s_release.binary(bench.versions.components["k3s"].version, bench.sources.arch)
    status = answer(release.url)
    if status == HTTPStatus.NOT_FOUND and (wished := dict(bench.sources.wished).get("k3s")):
        message = f"K3s {wished} cannot be downloaded: there is no {release.url}"
        raise ImageError(message, f"`halab versions` lists the versions that exist; or {REMEDY}")
    if status not in AVAILABLE:
        raise Unreached(f"K3s cannot be downloaded here ({release.url} is not reached)", REMEDY)
    return _download(bench, release, REMEDY)


def _download(bench: Workbench, asset: k3s_release.Asset, remedy: str) -> Path:
    # A folder for each release: another version's file has the same name.
    target = bench.sources.cache / "download" / asset.folder / asset.name
    target.parent.mkdir(parents=True, exist_ok=True)
    bench.reporter.say("k3s", f"downloading {asset.name}")
    return fetch(asset.url, target, sha256_url=asset.sha256_url, name=asset.name, remedy=remedy)


def version(bench: Workbench, program: Path) -> str:
    """Return the first line of `k3s --version`, run on the node image.

    Raises ImageError if the file is no K3s for the engine's architecture.
    """
    engine = bench.engine
    helper = engine.create_helper(bench.tags["node"], ["/k3s", "--version"], labels.LABEL_HELPER)
    try:
        engine.put(helper, [File(path="/k3s", content=program.read_bytes(), mode=0o755)])
        engine.start(helper)
        code, output = engine.wait(helper, ASK_TIMEOUT_S), engine.logs(helper).strip()
    finally:
        engine.remove_container(helper)
    first = output.splitlines()[0] if output else ""
    if code != 0 or not first.startswith("k3s version "):
        raise ImageError(
            f"{program}: `k3s --version` ended with {code} and printed: {first or 'nothing'}",
            f"it must be a K3s program for linux/{bench.sources.arch}",
        )
    return first


def _packaged(bench: Workbench, images: Path, tag: str) -> None:
    """Lay down the images of K3s's packaged components, so that no node pulls any.

    Six nodes would run into the registry's rate limit. The node image's tag promises that they are
    inside, so it is built without them only for a release that has none (404). Raises ImageError if
    they cannot be downloaded.
    """
    if bench.sources.k3s_images:
        shutil.copy(bench.sources.k3s_images, images)
        return
    asset = k3s_release.images(tag, bench.sources.arch)
    status = answer(asset.url)
    if status == HTTPStatus.NOT_FOUND:
        missing = f"no images of its packaged components ({asset.url} is not published)"
        bench.reporter.say("k3s", f"{missing}: nodes will pull them")
        return
    if status not in AVAILABLE:
        problem = f"answers {status}" if status else "is not reached"
        raise ImageError(f"no images of K3s's packaged components ({asset.url} {problem})", ARCHIVE)
    shutil.copy(_download(bench, asset, ARCHIVE), images)
