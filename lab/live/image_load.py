"""The user's images, brought to nodes from the engine or from a tar, where they are missing.

What a node was given is remembered on the node, by a further name with the image's id in it. So an
image that was built anew under the same name is distinguished from the one that the node has.
"""

from __future__ import annotations

import contextlib
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lab.base.errors import InputError
from lab.base.parallel import attempt_all, raise_together
from lab.images import archive
from lab.images.archive import NamedImage, with_tag
from lab.images.sources import sources_for
from lab.live import node_images
from lab.nodes.handles import handle
from lab.topology.model import Role

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lab.base.progress import Reporter
    from lab.engine.client import Engine
    from lab.engine.node import NodeHandle
    from lab.live.lab import Lab

LOADED, PRESENT, OFF = "loaded", "present", "off"
MARK = "docker.io/halab/loaded"
"""The repository of the further names; the tag is the id."""
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


@dataclass(frozen=True, slots=True)
class NodeImage:
    """What became of an image on a node. `state`: loaded, present (nothing was done), off."""

    node: str
    image: str
    state: str


@dataclass(frozen=True, slots=True)
class Source:
    """Where images come from: the engine, or a tar."""

    reference: str
    """A name or a path, as the user gave it."""
    images: tuple[NamedImage, ...]
    tar: Path | None = None

    @property
    def marks(self) -> dict[str, str]:
        """The further names that say which image it was: mark → name."""
        return {f"{MARK}:{image.id}": image.name for image in self.images}


def load(
    lab: Lab,
    images: Sequence[str],
    nodes: Sequence[str] = (),
    progress: Reporter | None = None,
) -> tuple[NodeImage, ...]:
    """Bring images to nodes, by default to all masters and workers; quick where they are already.

    An image is a name in the engine, or the path of a tar. Nodes that are off are left out and say
    so in the answer. Raises InputError, before anything is done, for an image that is not there, a
    tar that holds none, and a name that is no node's; LabError for a node that cannot take them.
    """
    report = progress or lab.reporter
    targets = _targets(lab, nodes)
    sources = [find(lab.engine, reference) for reference in dict.fromkeys(images)]
    results: list[NodeImage] = []
    for source in sources:
        states = _bring(lab, source, targets, report)
        results += [
            NodeImage(node, image.name, state)
            for node, state in states.items()
            for image in source.images
        ]
    return tuple(results)


def find(engine: Engine, reference: str) -> Source:
    """Return what the user means: an image of the engine, else a tar. Raises InputError."""
    path = Path(reference).expanduser()
    is_path = reference.startswith((".", "/", "~")) or reference.endswith(TARS)
    known = None if is_path else engine.image(reference)
    if known is not None:
        image = _of_engine(reference, known.get("Id", ""), known.get("RepoTags"))
        return Source(reference, (image,))
    if path.is_file():
        return Source(reference, archive.read(path), path)
    if is_path:
        raise InputError(
            f"there is no file {reference}", "`docker save -o app.tar IMAGE` writes one"
        )
    raise InputError(
        f"the engine has no image `{reference}`, and there is no file of that name",
        "`docker images` lists those that it has",
    )


def _of_engine(reference: str, id_: str, tags: list[str] | None) -> NamedImage:
    """Return the image under the name it was given by; pods can use an image by its name only."""
    name = with_tag(reference)
    if name in {with_tag(tag) for tag in tags or ()}:
        return NamedImage(name, id_.rpartition(":")[2])
    own = f"its names: {', '.join(tags)}" if tags else "`docker tag` gives it one"
    raise InputError(f"`{reference}` is an image, but not by its name", own)


def _targets(lab: Lab, names: Sequence[str]) -> list[NodeHandle]:
    """Return the nodes' handles. Raises InputError for what is no master or worker of the lab."""
    own = {node.name: node for node in lab.topology.nodes}
    for name in names:
        if name in own:
            continue
        lab.node(name)
        kind = Role.LOADBALANCER if name == lab.topology.loadbalancer.name else Role.BMC
        raise InputError(
            f"{name} is the {kind.value} of lab {lab.name}, and runs no pods",
            f"its nodes: {', '.join(own)}",
        )
    return [handle(lab.engine, lab.name, own[name]) for name in dict.fromkeys(names or own)]


def _bring(
    lab: Lab, source: Source, nodes: Sequence[NodeHandle], report: Reporter
) -> dict[str, str]:
    """Return each node's state after a source's images were brought to those that lack them."""
    answers, errors = attempt_all([partial(_state, source, node) for node in nodes])
    raise_together(errors)
    states = {node.name: state for node, state in zip(nodes, answers, strict=True)}
    for name, state in states.items():
        if state == PRESENT:
            report.done(name, f"has {source.reference} already")
        elif state == OFF:
            report.done(name, f"is off, and does not get {source.reference}")
    lacking = [node for node in nodes if not states[node.name]]
    return states | (_import_all(lab, source, lacking, report) if lacking else {})


def _state(source: Source, node: NodeHandle) -> str:
    """Return PRESENT, OFF, or nothing for a node that lacks an image."""
    if not node.running:
        return OFF
    digests = node_images.digests(node)
    if digests is None:
        return OFF
    same = (
        name in digests and digests[name] == digests.get(mark)
        for mark, name in source.marks.items()
    )
    return PRESENT if all(same) else ""


def _import_all(
    lab: Lab, source: Source, nodes: Sequence[NodeHandle], report: Reporter
) -> dict[str, str]:
    arch = sources_for(lab.engine).arch

    def bring(node: NodeHandle, tar: Path) -> str:
        report.say(node.name, f"loading {source.reference} ({tar.stat().st_size / 1e6:.0f} MB)")
        there = node_images.put(node, tar, arch, source.marks)
        outcome = "has" if there else "stopped before it had"
        report.done(node.name, f"{outcome} {source.reference}")
        return LOADED if there else OFF

    with _tar(lab, source, arch, report) as tar, ThreadPoolExecutor(node_images.AT_ONCE) as pool:
        jobs = {node.name: pool.submit(bring, node, tar) for node in nodes}
    raise_together([error for job in jobs.values() if (error := job.exception())])
    return {name: job.result() for name, job in jobs.items()}


@contextlib.contextmanager
def _tar(lab: Lab, source: Source, arch: str, report: Reporter) -> Iterator[Path]:
    """Lend a source's tar; one of the engine's image is saved once, however many nodes want it."""
    if source.tar:
        yield source.tar
        return
    report.say(lab.name, f"taking {source.reference} out of the engine")
    with tempfile.NamedTemporaryFile(dir=sources_for(lab.engine).cache, suffix=".tar") as file:
        # With its tag: a name without one would be all images of that name.
        for chunk in lab.engine.save([image.name for image in source.images], arch):
            file.write(chunk)
        file.flush()
        report.done(lab.name, f"took {source.reference} out of the engine")
        yield Path(file.name)
