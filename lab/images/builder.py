"""The images of a lab: what they are made of, their tags (hashes of all that goes in), and building them.

rootfs ← base ← node ← upstream | k3s;  base ← loadbalancer, bmc;  the pods' images go into `upstream`, unpacked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.base.parallel import run_all
from lab.images import k3s, rootfs, upstream, workbench
from lab.images.sources import BESIDE, POD_PARTS, UPSTREAM_PARTS
from lab.images.workbench import Workbench

if TYPE_CHECKING:
    from collections.abc import Callable


class Builder(Workbench):
    """Builds what is missing, independent parts side by side."""

    def build(self, distribution: str) -> None:
        """Make the images of a distribution and the load balancer; what is here already is left alone."""
        wanted = self.missing(*BESIDE, distribution)
        if not wanted:
            return
        if distribution == "k3s" and self.missing("k3s"):
            k3s.binary(self)  # first: what cannot be had must not cost minutes of building
        # The machine part (packages) waits for the network, the binaries for the processor: side by
        # side.
        run_all([lambda: self._machines(distribution), lambda: self._parts(distribution)])
        if distribution == "k3s":
            self._ensure("k3s", lambda: k3s.build(self))
        else:
            self._ensure("upstream", lambda: upstream.build_upstream(self))

    def build_base(self) -> None:
        """Make the Debian that everything stands on."""
        self._ensure("rootfs", lambda: rootfs.make_rootfs(self))
        self._ensure("base", lambda: self.docker_build("base", ROOTFS=self.tags["rootfs"]))

    def _machines(self, distribution: str) -> None:
        self.build_base()
        self._ensure("loadbalancer", lambda: workbench.build_with_tools(self, "loadbalancer"))
        self._ensure("bmc", lambda: self.docker_build("bmc", BASE=self.tags["base"]))
        if self.missing(distribution):
            self._ensure("node", lambda: workbench.build_with_tools(self, "node"))

    def _parts(self, distribution: str) -> None:
        parts = {"upstream": UPSTREAM_PARTS, "k3s": POD_PARTS}[distribution]
        for name in parts if self.missing(distribution) else ():
            self.obtain(name)

    def _ensure(self, word: str, make: Callable[[], None]) -> None:
        if self.missing(word):
            self.reporter.say(word, "building")
            make()
        self.reporter.done(word, self.tags[word])
