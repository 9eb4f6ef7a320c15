"""A service of the user's own, asked at its URL from outside the cluster or from its workers. Pure.

The agent stands on the lab's bridge and nowhere else it could reach directly. So a target must be
an address of the lab's own subnet, or a Service that the lab's cluster has: then no router, and
nobody else's network, is asked 50 times a second.

A certificate is not checked: nobody's names these addresses, and what is measured is whether the
service answers. The question says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from lab.base.errors import InputError
from lab.base.suggest import did_you_mean
from lab.measure.probe import ProbeSpec
from lab.topology.expectation import ExpectationError, parse
from lab.topology.schema import PLACES

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.topology.model import Topology

VIP = "vip"
"""The floating address's name in a URL, where machines go by theirs."""
OUTSIDE, WORKERS = PLACES
PORTS = {"http": 80, "https": 443, "tcp": None, "grpc": None}
"""Scheme → the port of a URL that names none."""
EXAMPLE = "for example http://vip:30080/healthz or tcp://w1:30432"
CONTROL = " "
"""The last character that a request line may not have in its path (RFC 9112, section 3)."""
SUFFIXES = (".cluster.local", ".svc")
"""What may stand behind NAME.NAMESPACE, as in the cluster's DNS."""


@dataclass(frozen=True, slots=True)
class UrlTarget:
    """Where a URL leads: an address inside the lab, and what is asked there."""

    scheme: str
    address: str
    path: str
    """With its query; "/" if there is none."""

    @property
    def url(self) -> str:
        """The URL with the address in it."""
        return f"{self.scheme}://{self.address}{self.path if self.path != '/' else ''}"

    def settings(self) -> dict[str, Any]:
        """Return the agent's settings for a question to it."""
        made: dict[str, Any] = {"kind": self.scheme, "addresses": [self.address]}
        if self.scheme in {"http", "https"}:
            made |= {"path": self.path, "codes": [200]}
        if self.scheme == "https":
            made["unverified"] = True
        if self.scheme == "grpc":
            made["service"] = self.path.removeprefix("/")
        return made

    def question(self) -> str:
        """Return what is asked, in words for people."""
        http = f"GET {self.scheme}://{self.address}{self.path}"
        service = self.path.removeprefix("/")
        about = f" of {service}" if service else ""
        return {
            "http": http,
            "https": f"{http}, its certificate unchecked,",
            "tcp": f"connect to {self.address}",
            "grpc": f"grpc.health.v1.Health/Check{about} at {self.address}",
        }[self.scheme]


@dataclass(frozen=True, slots=True)
class ServiceNames:
    """Resolves `NAME.NAMESPACE` to a Service's address, as the cluster's own API knows it."""

    find: Callable[[str, str], dict[str, Any]]
    """(namespace, name) → the Service. Raises LabError if there is none."""

    def address(self, host: str, place: str, topology: Topology) -> IPv4Address:
        """Return its cluster IP for workers, and its load balancer's address for outside.

        Raises InputError for a Service without one, or with one that is not in the lab.
        """
        for suffix in SUFFIXES:
            host = host.removesuffix(suffix)
        name, _, namespace = host.partition(".")
        service = self.find(namespace, name)
        if place == WORKERS:
            text, within = service["spec"].get("clusterIP", ""), topology.kubernetes.service_cidr
            hint = "a headless Service has none: name a Service with a cluster IP"
        else:
            ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or [{}]
            text, within = ingress[0].get("ip", ""), topology.network.subnet
            hint = "give the Service the type LoadBalancer (and enable the add-on `loadbalancer`)"
        try:
            address = IPv4Address(text)
        except AddressValueError:
            raise InputError(
                f"Service {namespace}/{name} has no address {_side(place)}", hint
            ) from None
        if address not in within:
            raise InputError(f"Service {namespace}/{name}: {address} is not in {within}", hint)
        return address


def _side(place: str) -> str:
    return "inside the cluster" if place == WORKERS else "outside the cluster"


def spec(name: str, url: str, topology: Topology) -> ProbeSpec:
    """Return the probe that asks a URL from outside.

    HOST is `vip`, a machine's name, or an address of the lab's subnet. HTTP's good answer is 200;
    redirects are not followed. Raises InputError.
    """
    check_name(name)
    return outside(name, target(url, topology))


def outside(name: str, where: UrlTarget) -> ProbeSpec:
    """Return the probe that asks a target from outside the cluster."""
    return _spec(name, where, "from outside", "")


def from_workers(name: str, where: UrlTarget, topology: Topology) -> tuple[ProbeSpec, ...]:
    """Return a probe for each node with pods, `NAME.NODE`: a pod there asks."""
    nodes = topology.workers or topology.nodes
    return tuple(
        _spec(f"{name}.{node.name}", where, f"from a pod on {node.name}", node.name)
        for node in nodes
    )


def _spec(name: str, where: UrlTarget, asker: str, pod: str) -> ProbeSpec:
    return ProbeSpec(
        name=name,
        settings=where.settings(),
        question=f"{where.question()} {asker}, on a new connection each time",
        connection="new",
        pod=pod,
    )


def target(
    url: str, topology: Topology, place: str = OUTSIDE, services: ServiceNames | None = None
) -> UrlTarget:
    """Return where a URL leads.

    HOST is `vip`, a machine's name, an address of the lab's subnet, or, with `services`,
    NAME.NAMESPACE of a Service. Raises InputError for anything else.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket without its other half
        raise InputError(f"{url}: it is not a URL", EXAMPLE) from None
    port = _port(parts, url)
    host = parts.hostname or ""
    if services and _names_a_service(host):
        ip = services.address(host, place, topology)
    else:
        ip = _ip(host, url, topology)
    path = f"{parts.path or '/'}{parts.query and '?'}{parts.query}"
    return UrlTarget(parts.scheme, f"{ip}:{port}", path)


def check_name(name: str) -> None:
    """Raise InputError for a name that no expectation could have in its brackets."""
    try:
        parse(f"outages({name}) == 0")
    except ExpectationError as error:
        raise InputError(
            f"`{name}` cannot name a probe: {error.message}", "for example shop, shop.cart"
        ) from None


def _names_a_service(host: str) -> bool:
    """Whether a host is NAME.NAMESPACE, and no address."""
    try:
        IPv4Address(host)
    except AddressValueError:
        return "." in host
    return False


def _ip(host: str, url: str, topology: Topology) -> IPv4Address:
    names = {node.name: node.ip for node in topology.machines} | {VIP: topology.network.vip}
    if host in names:
        return names[host]
    try:
        address = IPv4Address(host)
    except AddressValueError:
        raise InputError(f"{url}: no machine `{host}`", did_you_mean(host, names)) from None
    if address not in topology.network.subnet:
        subnet = topology.network.subnet
        raise InputError(
            f"{url}: {host} is not in the lab's subnet {subnet}, and nothing else is asked",
            "take the VIP or a node with a NodePort, or an address of a LoadBalancer",
        )
    return address


def _port(parts: SplitResult, url: str) -> int:
    if parts.scheme not in PORTS:
        known = ", ".join(f"{scheme}://" for scheme in PORTS)
        raise InputError(f"{url}: only {known} and kubectl:// can be measured", EXAMPLE)
    if parts.username is not None or any(char <= CONTROL for char in url):
        raise InputError(f"{url}: neither a user nor white space may stand in it", EXAMPLE)
    try:
        port = parts.port or PORTS[parts.scheme]
    except ValueError:
        port = None
    if port is None:
        raise InputError(f"{url}: it has no port", EXAMPLE)
    return port
