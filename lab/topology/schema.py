"""The topology file's JSON Schema: what an editor shows and completes.

The loader alone judges, and knows more.
"""

from __future__ import annotations

from typing import Any

from lab.topology.known_names import ADDONS, DISTRIBUTIONS, FENCING
from lab.topology.releases import K3S, UPSTREAM

_IPV4 = r"^((25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(\.(?!$)|$)){4}$"
_CIDR = r"^([0-9]{1,3}\.){3}[0-9]{1,3}/[0-9]{1,2}$"
_DURATION = r"^[0-9]{1,9}(\.[0-9]{1,3})?(ms|s|m)$"
_LABEL = r"^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$"


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a topology file."""
    properties = {
        "version": _described("The format of this file.", const=1),
        "name": _text("The lab's name; --name overrides it.", _LABEL),
        "network": _network(),
        "kubernetes": _kubernetes(),
        "nodes": _nodes(),
        "ha": _object(
            "Corosync and Pacemaker.",
            {
                "token": _duration(
                    "How long a silent master is believed in: 400ms to 30s.", "1000ms"
                ),
                "fencing": _described(
                    "A lost master's power is cut before another takes its address: it stays off "
                    "(off-stays, also true), or is powered on again (reboot). "
                    "With none, also false, it is not cut.",
                    enum=[*FENCING, True, False],
                    default=FENCING[0],
                ),
            },
        ),
        "loadbalancer": _loadbalancer(),
        "addons": _words("What runs in the cluster once it is ready.", ADDONS, ["dns-ha"]),
        "images": _images(),
        "scenarios": _scenarios(),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "halab topology",
        **_object(
            "A high-availability Kubernetes lab.",
            properties,
            "version",
            "name",
            "network",
            "nodes",
            "loadbalancer",
        ),
    }


def _network() -> dict[str, Any]:
    properties = {
        "subnet": _text(
            "The lab's bridge: a private network from /16 to /28 that the host does not use otherwise.",
            _CIDR,
        ),
        "vip": _text("The floating API address, held by one master at a time.", _IPV4),
        "gateway": _text(
            "The host's end of the bridge; by default the subnet's first address.", _IPV4
        ),
        "pool": _text(
            "Addresses inside subnet for Services of type LoadBalancer; by default the last /28, without those in use.",
            _CIDR,
        ),
        "management": _text(
            "The baseboard controllers' own network, /16 to /26; by default a free one.",
            _CIDR,
        ),
    }
    return _object("The lab's own network.", properties, "subnet", "vip")


def _kubernetes() -> dict[str, Any]:
    servers = {
        "type": "array",
        "items": {"type": "string", "pattern": _IPV4},
        "uniqueItems": True,
        "default": [],
    }
    properties = {
        "distributions": _words(
            "In order of preference: the first that can be had is used.",
            DISTRIBUTIONS,
            [*DISTRIBUTIONS],
            1,
        ),
        "version": _text(
            "Upstream's version, for example v1.35.4, from v1.31 on; by default halab's own.",
            UPSTREAM,
        ),
        "k3s": _text(
            "K3s's version, for example v1.34.3+k3s1, from v1.32 on; by default halab's own.",
            K3S,
        ),
        "pod_cidr": _text("The pods' network; each node gets a /24 of it.", _CIDR, "10.42.0.0/16"),
        "service_cidr": _text("The services' network, from /12 to /24.", _CIDR, "10.43.0.0/16"),
        "cluster_dns": _text(
            "The DNS service's address, low in service_cidr.", _IPV4, "10.43.0.99"
        ),
        "dns_forward": _described(
            "Name servers that are asked about names outside the cluster; none by default.",
            **servers,
        ),
        "node_monitor_grace": _duration(
            "How long a silent node counts as ready: 10s to 5m.", "20s"
        ),
    }
    return _object("What all nodes agree on.", properties)


def _nodes() -> dict[str, Any]:
    properties = {
        "role": _described("What the node is for.", enum=["master", "worker"]),
        "ip": _text("The node's address inside network.subnet.", _IPV4),
    }
    node = _object("A machine; its name is its hostname.", properties, "role", "ip")
    return {
        "description": "The machines by name: one to nine masters, an odd number of them, and any workers; at most fifty.",
        "type": "object",
        "patternProperties": {_LABEL: node},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 50,
    }


def _loadbalancer() -> dict[str, Any]:
    port = {
        "type": "integer",
        "anyOf": [{"const": 0}, {"minimum": 1024, "maximum": 65535}],
        "default": 6443,
    }
    properties = {
        "ip": _text("Its address inside network.subnet.", _IPV4),
        "host_port": _described("The port on the host's 127.0.0.1; 0 takes any free one.", **port),
        "name": _text("Its name; no node may have the same.", _LABEL, "lb"),
    }
    return _object("nginx in front of the masters.", properties, "ip")


def _images() -> dict[str, Any]:
    properties = {
        "k3s_binary": _described(
            "A k3s program used instead of a download.", type="string", minLength=1
        ),
        "k3s_images": _described(
            "The archive of K3s' images used instead of a download.", type="string", minLength=1
        ),
    }
    return _object("Files of yours, relative to this file's folder.", properties)


def _scenarios() -> dict[str, Any]:
    texts = {"type": "array", "items": {"type": "string"}}
    step = _described("A verb with a value, and what goes with it.", type="object", minProperties=1)
    properties = {
        "name": _text("Its name.", _LABEL),
        "summary": _described("What happens, in a sentence.", type="string"),
        "settle": _duration("How long the steady lab is measured before the first step.", "5s"),
        "steps": _described("What is done, in this order.", type="array", items=step, minItems=1),
        "expect": _described("What must hold, for example outage(api.vip) <= 5s.", **texts),
        "repeats": _described("How often it is run.", type="integer", minimum=1, maximum=100),
        "seed": _described("Decides every random choice.", type="integer", minimum=0),
        "probes": _described("What is measured; everything by default.", **texts),
    }
    scenario = _object("A scenario.", properties, "name", "steps", "expect")
    return _described(
        "What can be done to the lab with `halab scenario run FILE NAME`.",
        type="array",
        items=scenario,
    )


def _described(description: str, **rest: Any) -> dict[str, Any]:  # noqa: ANN401 (any keyword of JSON Schema)
    return {"description": description, **rest}


def _object(description: str, properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return _described(
        description,
        type="object",
        properties=properties,
        required=[*required],
        additionalProperties=False,
    )


def _text(description: str, pattern: str, default: str = "") -> dict[str, Any]:
    return _described(
        description, type="string", pattern=pattern, **({"default": default} if default else {})
    )


def _duration(description: str, default: str) -> dict[str, Any]:
    return _text(description, _DURATION, default)


def _words(
    description: str, words: tuple[str, ...], default: list[str], least: int = 0
) -> dict[str, Any]:
    items = {"enum": [*words]}
    return _described(
        description, type="array", items=items, uniqueItems=True, minItems=least, default=default
    )
