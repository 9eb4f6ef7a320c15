"""Manifests that others publish, as an add-on uses them.

They are components of images/versions.yaml.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.base.yaml_files import documents

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.addons.addon import Addon, Object
    from lab.images.builder import Builder


def obtain(builder: Builder, chosen: Iterable[Addon]) -> None:
    """Download or build what add-ons need besides their pods' images: published manifests, Helm.

    Raises ImageError.
    """
    bundles = (name for addon in chosen for name in addon.bundles)
    for component in dict.fromkeys(("helm", *bundles)):
        builder.obtain(component)


def read(
    builder: Builder, addon: Addon, cache: dict[str, tuple[Object, ...]]
) -> tuple[Object, ...]:
    """Return an add-on's published objects.

    `cache` keeps them by add-on: a megabyte of YAML takes a second. Raises ImageError.
    """
    if addon.name not in cache:
        files = [path for name in addon.bundles for path in builder.obtain(name).values()]
        items = [addon.bundled(item) for file in files for item in documents(file.read_text())]
        cache[addon.name] = tuple(item for item in items if item is not None)
    return cache[addon.name]
