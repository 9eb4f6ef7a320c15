"""The engine's networks, and the containers that are on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docker.types import IPAMConfig, IPAMPool

from lab.base.errors import SubnetTaken
from lab.engine.errors import engine_errors
from lab.engine.place import placed

if TYPE_CHECKING:
    from lab.engine.spec import ContainerSpec, NetworkSpec


class NetworkCalls:
    """The calls that make networks and connect containers to them; a part of Engine."""

    _api: Any

    def create_network(self, spec: NetworkSpec, labels: dict[str, str]) -> None:
        """Make a bridge. Raises SubnetTaken if another network overlaps with it.

        The nodes' own is not internal: halab needs no address outside, but users' pods may.
        """
        kept = {f"reserved-{number}": address for number, address in enumerate(spec.reserved)}
        pool = IPAMPool(
            subnet=spec.subnet, gateway=spec.gateway or None, aux_addresses=kept or None
        )
        what = f"making network {spec.name} ({spec.subnet})"
        # "Pool overlaps with other one on this address space", "networks have overlapping IPv4"
        with engine_errors(what, "see `halab doctor` for subnets in use", {"overlap": SubnetTaken}):
            self._api.create_network(
                spec.name,
                driver="bridge",
                ipam=IPAMConfig(pool_configs=[pool]),
                internal=spec.internal,
                labels={**spec.labels, **labels},
                check_duplicate=True,
            )

    def connect(self, spec: ContainerSpec) -> None:
        """Connect a container that does not run to those of its networks that it is not on yet.

        Making it and connecting it are two calls. A halab that ends between them leaves a node
        without its management network, which boots all the same but can neither fence nor be
        fenced. And a network that was removed and made anew (`docker network prune` takes a stopped
        lab's) is another one to the engine, which then refuses to start the container.
        """
        with engine_errors(f"connecting {spec.name} to its networks"):
            settings = self._api.inspect_container(spec.name)["NetworkSettings"]
            there = {name: row["NetworkID"] for name, row in settings["Networks"].items()}
            for network, ip in {spec.network: spec.ip, **spec.more}.items():
                now = self._api.inspect_network(network)["Id"]
                # Before the container's first start, its network has no id yet.
                if network in there and there[network] in {"", now}:
                    continue
                if network in there:
                    self._api.disconnect_container_from_network(spec.name, network, force=True)
                names = [spec.hostname] if network == spec.network else []
                place = placed(self._api.api_version, ip)
                self._api.connect_container_to_network(spec.name, network, aliases=names, **place)
