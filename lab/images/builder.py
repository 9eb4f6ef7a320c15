"""The order in which a lab's images are built.

rootfs ← base ← node ← upstream | k3s; base ← loadbalancer, bmc. The pods' images go into `upstream`
unpacked, and into `k3s` as archives. What builds them is imported when it builds.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from lab.base.errors import ImageError
from lab.base.parallel import run_all
from lab.images import image_source, workbench
from lab.images.sources import COMMON_IMAGES, CORE_POD_COMPONENTS, UPSTREAM_COMPONENTS
from lab.images.workbench import Workbench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from filelock import FileLock

WAIT_S = 1800.0
"""Two distributions' images, one after the other: each takes up to 15 minutes. A longer wait is an
error."""


class Builder(Workbench):
    """Builds what is missing, independent parts side by side."""

    def build(self, distribution: str) -> None:
        """Make the missing ones of a distribution's image and those that every lab has.

        They are pulled if the topology says from where. Labs that start at once make them once: the
        others wait. Raises ImageError, also after a wait that is too long, and Unreached if a part
        cannot be downloaded here.
        """
        if not self.missing(distribution, *COMMON_IMAGES):
            return
        with self._alone(distribution):
            image_source.fetch(self, self.missing(distribution, *COMMON_IMAGES))
            if self.missing(distribution, *COMMON_IMAGES):
                self._build(distribution)

    @contextlib.contextmanager
    def _alone(self, distribution: str) -> Iterator[None]:
        """Hold the lock of this cache's one builder of images; wait if another halab has it."""
        from filelock import FileLock, Timeout

        lock = FileLock(self.sources.cache / "images.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            self.reporter.say(distribution, "another halab builds images; waiting for it")
            self._wait(lock)
        try:
            yield
        finally:
            lock.release()

    def _wait(self, lock: FileLock) -> None:
        from filelock import Timeout

        try:
            lock.acquire(timeout=WAIT_S)
        except Timeout:
            raise ImageError(
                f"another halab has been building images for {WAIT_S / 60:g} minutes"
                f" (it holds {lock.lock_file})",
                "look at it, or end it; then try again",
            ) from None

    def _build(self, distribution: str) -> None:
        from lab.images import k3s, upstream

        if distribution == "k3s" and self.missing("k3s"):
            k3s.binary(self)  # first: if it is not available, no minutes are lost with building
        # The machines' part (packages) waits for the network, the binaries wait for the processor.
        run_all([lambda: self._machines(distribution), lambda: self._parts(distribution)])
        if distribution == "k3s":
            self._ensure("k3s", lambda: k3s.build(self))
        else:
            self._ensure("upstream", lambda: upstream.build_upstream(self))

    def build_base(self) -> None:
        """Make the Debian image that all others are built on, if it is missing."""
        from lab.images import rootfs

        self._ensure("rootfs", lambda: rootfs.make_rootfs(self))
        self._ensure("base", lambda: self.docker_build("base", ROOTFS=self.tags["rootfs"]))

    def _machines(self, distribution: str) -> None:
        self.build_base()
        self._ensure("loadbalancer", lambda: workbench.build_with_tools(self, "loadbalancer"))
        self._ensure("bmc", lambda: self.docker_build("bmc", BASE=self.tags["base"]))
        if self.missing(distribution):
            self._ensure("node", lambda: workbench.build_with_tools(self, "node"))

    def _parts(self, distribution: str) -> None:
        parts = {"upstream": UPSTREAM_COMPONENTS, "k3s": CORE_POD_COMPONENTS}[distribution]
        for name in parts if self.missing(distribution) else ():
            self.obtain(name)

    def _ensure(self, image: str, make: Callable[[], None]) -> None:
        if self.missing(image):
            self.reporter.say(image, "building")
            make()
        self.reporter.done(image, self.tags[image])
