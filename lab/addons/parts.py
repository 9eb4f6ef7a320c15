"""What an add-on brings to a lab: images, objects, a chart.

Nothing if the distribution includes the add-on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.addons import helm, published
from lab.base.hashing import digest

if TYPE_CHECKING:
    from lab.addons.addon import Addon, AddonContext, Chart, Object, PodImage
    from lab.images.builder import Builder


def packaged(addon: Addon, context: AddonContext) -> bool:
    """Whether the lab's distribution includes the add-on."""
    return context.distribution.name in addon.packaged


@dataclass(frozen=True, slots=True)
class Parts:
    """Asks add-ons what they consist of. `cache` keeps published objects by add-on."""

    builder: Builder
    cache: dict[str, tuple[Object, ...]] = field(default_factory=dict)

    def images(self, addon: Addon, context: AddonContext) -> tuple[PodImage, ...]:
        """Return the images of its pods."""
        return () if packaged(addon, context) else addon.images(context)

    def once(self, addon: Addon, context: AddonContext) -> tuple[Object, ...]:
        """Return the objects that are made if they are missing, and never replaced."""
        return () if packaged(addon, context) else addon.once(context)

    def objects(self, addon: Addon, context: AddonContext) -> tuple[Object, ...]:
        """Return the objects to apply, published ones first. Raises ImageError."""
        if packaged(addon, context):
            return ()
        bundled = published.read(self.builder, addon, self.cache)
        return (*bundled, *addon.manifests(context))

    def chart(self, addon: Addon, context: AddonContext) -> Chart | None:
        """Return its Helm release, if there is one."""
        return None if packaged(addon, context) else addon.chart(context)

    def nodes_by_image(self, addon: Addon, context: AddonContext) -> dict[str, list[str]]:
        """Return the names of the nodes that need each image: workers, or all nodes."""
        workers = [node.name for node in context.topology.workers]
        everywhere = [node.name for node in context.topology.nodes]
        return {
            image.name: everywhere if image.masters or not workers else workers
            for image in self.images(addon, context)
        }

    def fingerprint(self, addon: Addon, context: AddonContext) -> str:
        """Hash everything that is applied: the same hash if `enable` would change nothing."""
        tags = [self.builder.tags[f"pods/{image.name}"] for image in self.images(addon, context)]
        chart = self.chart(addon, context)
        content = [
            self.objects(addon, context),
            tags,
            helm.fingerprint(chart) if chart else "",
        ]
        return digest(json.dumps(content, sort_keys=True, default=str))
