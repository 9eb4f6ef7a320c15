"""A place for add-ons to be rendered and used in, without a lab."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from lab.addons.addon import AddonContext
from lab.base import paths
from lab.engine.commands import Result
from lab.images import versions
from lab.kube import pki
from lab.live.access import Access, Credentials
from lab.nodes import distributions

if TYPE_CHECKING:
    from lab.kube.api import KubeApi
    from lab.topology.model import Topology


SECRETS = pki.new_secrets("test")


TABLE = versions.read(paths.shipped("images"))


def site(
    topology: Topology, distribution: str = "upstream", cluster: object = None, memory: str = ""
) -> AddonContext:
    """A site that renders; a node of it says how much memory is free, if anything."""

    def node(name: str) -> Any:
        if not memory:
            raise AssertionError(f"rendering asked for node {name}")
        return FakeNode(memory)

    chosen = distributions.find(distribution)
    access = Access(chosen, Credentials.of_secrets(chosen, SECRETS), 6443)
    return AddonContext(topology, access, cast("KubeApi", cluster), node)


@dataclass
class FakeNode:
    says: str

    def run(self, argv: list[str]) -> Result:
        return Result(0, self.says)


@dataclass
class RecordApi:
    """Keeps objects by path, and what was asked of it; a double of the API server."""

    objects: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def find(self, place: str) -> Any:
        return self.objects.get(place)

    def request(self, method: str, place: str, body: Any = None, **_: Any) -> None:
        self.asked.append((method, place))
        if method == "POST":
            self.objects[f"{place}/{body['metadata']['name']}"] = body
        else:
            merged = self.objects[place].get("data", {}) | body["data"]
            self.objects[place]["data"] = {
                key: value for key, value in merged.items() if value is not None
            }

    def nodes(self) -> dict[str, Any]:
        condition = {"type": "Ready", "status": "True"}
        return {name: {"status": {"conditions": [condition]}} for name in ("m", "w1")}
