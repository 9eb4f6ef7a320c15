"""Add-ons without a cluster: what they render, what the table of versions says, what is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from addon_site import TABLE, site

from lab.addons import catalog
from lab.addons.catalog import loadbalancer, local_storage, metrics_server
from lab.kube.objects import path

if TYPE_CHECKING:
    from lab.addons.addon import AddonContext
    from lab.topology.model import Topology


def rendering(topology: Topology, name: str) -> AddonContext:
    """A site to render an add-on for. Ceph chooses nodes that are Ready and run: here all do."""
    if name != "ceph":
        return site(topology, cluster=SimpleNamespace(release=lambda: "v1.36.3"))
    condition = {"type": "Ready", "status": "True"}
    rows = {node.name: {"status": {"conditions": [condition]}} for node in topology.nodes}
    cluster = SimpleNamespace(find=lambda _: None, nodes=lambda: rows)
    return replace(site(topology, cluster=cluster), node=lambda _: SimpleNamespace(running=True))


def named_images(value: Any) -> set[str]:
    """Every image that objects name, in pods' templates inside of text, too."""
    return set(
        re.findall(r'"image": "([^"]+)"', json.dumps(value).replace("\\\\", "").replace("\\", ""))
    )


@pytest.mark.parametrize("name", [name for name in catalog.names() if name != "prometheus"])
def test_every_image_of_the_manifests_is_in_the_table_and_loaded(
    topology: Topology, name: str
) -> None:
    addon = catalog.find(name)
    images = named_images(addon.manifests(rendering(topology, name)))
    brought = {TABLE.addons[image.name] for image in addon.images(site(topology))}
    assert images
    assert images <= brought | set(TABLE.pods.values())
    assert brought <= images


def test_constants_are_the_tables() -> None:
    assert TABLE.addons["metrics-server"] == metrics_server.IMAGE
    assert {local_storage.IMAGE, local_storage.HELPER_IMAGE} == {
        TABLE.addons["local-path-provisioner"],
        TABLE.pods["toolbox"],
    }
    assert TABLE.addons["metallb-speaker"].endswith(loadbalancer.VERSION)


@pytest.mark.parametrize("name", catalog.names())
def test_manifests_are_the_same_twice_and_have_paths(topology: Topology, name: str) -> None:
    addon = catalog.find(name)
    first = addon.manifests(rendering(topology, name))
    assert first == addon.manifests(rendering(topology, name))
    assert len({path(item) for item in first}) == len(first)
