"""The topology file's JSON Schema, for editors, and the table of keys that the loader reads by.

A key's name, and whether it is required, are written here alone. What a value may be, only the
loader decides: it knows more than a schema can say.
"""

from __future__ import annotations

from typing import Any

from lab.base import durations
from lab.base.json_schema import described, keys_of, mapping
from lab.topology.known_names import ADDONS, DISTRIBUTIONS, FENCING
from lab.topology.releases import K3S, UPSTREAM

_IPV4 = r"^((25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(\.(?!$)|$)){4}$"
_CIDR = r"^([0-9]{1,3}\.){3}[0-9]{1,3}/[0-9]{1,2}$"
_DURATION = f"^{durations.NUMBER}({'|'.join(durations.UNITS)})$"
_LABEL = r"^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$"
PLACES = ("outside", "workers")
"""From where a user's service is asked; the first is the default."""


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a topology file."""
    properties = {
        "version": described("The format of this file.", const=1),
        "name": _text("The lab's name; --name overrides it.", _LABEL),
        "network": _network(),
        "kubernetes": _kubernetes(),
        "nodes": _nodes(),
        "roles": _roles(),
        "ha": mapping(
            "Corosync and Pacemaker.",
            {
                "token": _duration(
                    "How long a silent master is believed in: 400ms to 30s.", "1000ms"
                ),
                "fencing": described(
                    "A lost master's power is cut before another takes its address: it stays off "
                    "(off-stays, also true), or is powered on again (reboot). "
                    "With none, also false, it is not cut.",
                    enum=[*FENCING, True, False],
                    default=FENCING[0],
                ),
            },
        ),
        "loadbalancer": _loadbalancer(),
        "addons": _choices("What runs in the cluster once it is ready.", ADDONS, ["dns-ha"]),
        "images": _images(),
        "scenarios": _scenarios(),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "halab topology",
        **mapping(
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
            "The lab's bridge: a private network from /16 to /28 that the host does not use "
            "otherwise.",
            _CIDR,
        ),
        "vip": _text("The floating API address, held by one master at a time.", _IPV4),
        "gateway": _text(
            "The host's end of the bridge; by default the subnet's first address.", _IPV4
        ),
        "pool": _text(
            "Addresses inside subnet for Services of type LoadBalancer; by default the last /28, "
            "without those in use.",
            _CIDR,
        ),
        "management": _text(
            "The baseboard controllers' own network, /16 to /26; by default a free one.",
            _CIDR,
        ),
    }
    return mapping("The lab's own network.", properties, "subnet", "vip")


def _kubernetes() -> dict[str, Any]:
    servers = {
        "type": "array",
        "items": {"type": "string", "pattern": _IPV4},
        "uniqueItems": True,
        "default": [],
    }
    properties = {
        "distributions": _choices(
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
            "K3s's version, for example v1.34.6+k3s1, from v1.32 on; by default its newest stable.",
            K3S,
        ),
        "pod_cidr": _text("The pods' network; each node gets a /24 of it.", _CIDR, "10.42.0.0/16"),
        "service_cidr": _text("The services' network, from /12 to /24.", _CIDR, "10.43.0.0/16"),
        "cluster_dns": _text(
            "The DNS service's address, low in service_cidr.", _IPV4, "10.43.0.99"
        ),
        "dns_forward": described(
            "Name servers that are asked about names outside the cluster; none by default.",
            **servers,
        ),
        "node_monitor_grace": _duration(
            "How long a silent node counts as ready: 10s to 5m.", "20s"
        ),
        "args": _args(),
        "registries": _registries(),
    }
    return mapping("What all nodes agree on.", properties)


def _registries() -> dict[str, Any]:
    urls = {"type": "array", "items": {"type": "string", "pattern": "^https?://"}}
    properties = {
        "mirrors": described("Addresses that are asked first, in this order.", **urls),
        "username": described("As whom images are pulled.", type="string", minLength=1),
        "password": described("The user's password or token.", type="string", minLength=1),
        "password_file": described(
            "A file with it, relative to this file's folder.", type="string", minLength=1
        ),
        "ca": described(
            "A file with certificates (PEM) that the registry's is checked against.",
            type="string",
            minLength=1,
        ),
        "insecure": described("The registry's certificate is not checked.", type="boolean"),
    }
    registry = mapping("A registry; its name is host or host:port, or * for all.", properties)
    return described(
        "How nodes reach image registries.", type="object", additionalProperties=registry
    )


def _args() -> dict[str, Any]:
    value = {"type": ["string", "number", "boolean"]}
    options = {
        "type": "object",
        "additionalProperties": {"anyOf": [value, {"type": "array", "items": value}]},
    }
    either = {"anyOf": [options, {"type": "array", "items": options}]}
    programs = {
        "apiserver": "Options of kube-apiserver.",
        "controller-manager": "Options of kube-controller-manager.",
        "scheduler": "Options of kube-scheduler.",
        "kubelet": "Options of kubelet, on all nodes.",
        "k3s": "Keys of K3s's own configuration file.",
    }
    return mapping(
        "Options of Kubernetes' programs, without dashes; not those that the lab stands on.",
        {name: described(text, **either) for name, text in programs.items()},
    )


def _nodes() -> dict[str, Any]:
    properties = {
        "role": described("What the node is for.", enum=["master", "worker"]),
        "ip": _text("The node's address inside network.subnet.", _IPV4),
        "ports": described(
            "HOST:NODE, TCP: ports of the host's 127.0.0.1 that lead to the node's; 0 is any.",
            type="array",
            items={"type": "string", "pattern": "^[0-9]{1,5}:[0-9]{1,5}$"},
        ),
        "mounts": described(
            "FOLDER:PATH: folders of the host in the node, read-only without :rw.",
            type="array",
            items={"type": "string", "pattern": "^[^:]+:/[^:]+(:r[ow])?$"},
        ),
        **_size(),
    }
    node = mapping("A machine; its name is its hostname.", properties, "role", "ip")
    return {
        "description": "The machines by name: one to nine masters, an odd number of them, and any "
        "workers; at most fifty.",
        "type": "object",
        "patternProperties": {_LABEL: node},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 50,
    }


def _size() -> dict[str, Any]:
    return {
        "cpus": described(
            "How many processors it may use at most, for example 0.5.",
            type="number",
            minimum=0.1,
            maximum=512,
        ),
        "memory": _text(
            "How much memory it may use at most, for example 1.5GiB; a hard limit.",
            r"^[0-9]{1,7}(\.[0-9]{1,3})?[MG]i(B)?$",
        ),
    }


def _roles() -> dict[str, Any]:
    properties = {
        "master": mapping("What each master may use of the host.", _size()),
        "worker": mapping("What each worker may use of the host.", _size()),
    }
    return mapping("Limits of all nodes of a role; a node's own win.", properties)


def _loadbalancer() -> dict[str, Any]:
    port = {
        "type": "integer",
        "anyOf": [{"const": 0}, {"minimum": 1024, "maximum": 65535}],
        "default": 6443,
    }
    properties = {
        "ip": _text("Its address inside network.subnet.", _IPV4),
        "host_port": described("The port on the host's 127.0.0.1; 0 takes any free one.", **port),
        "name": _text("Its name; no node may have the same.", _LABEL, "lb"),
    }
    return mapping("nginx in front of the masters.", properties, "ip")


def _images() -> dict[str, Any]:
    properties = {
        "k3s_binary": described(
            "A k3s program used instead of a download.", type="string", minLength=1
        ),
        "k3s_images": described(
            "The archive of K3s' images used instead of a download.", type="string", minLength=1
        ),
        "source": described(
            "A list of node images that are pulled instead of built.", type="string", minLength=1
        ),
    }
    return mapping("Files of yours, relative to this file's folder.", properties)


def _scenarios() -> dict[str, Any]:
    texts = {"type": "array", "items": {"type": "string"}}
    step = described("A verb with a value, and what goes with it.", type="object", minProperties=1)
    properties = {
        "name": _text("Its name.", _LABEL),
        "summary": described("What happens, in a sentence.", type="string"),
        "settle": _duration("How long the steady lab is measured before the first step.", "5s"),
        "steps": described("What is done, in this order.", type="array", items=step, minItems=1),
        "expect": described("What must hold, for example outage(api.vip) <= 5s.", **texts),
        "repeats": described("How often it is run.", type="integer", minimum=1, maximum=100),
        "seed": described("Decides every random choice.", type="integer", minimum=0),
        "probes": described(
            "Which of halab's own probes are measured, by default all; and the user's own services "
            "beside them.",
            type="array",
            items={"anyOf": [{"type": "string"}, _user_probe()]},
        ),
        "writes": described(
            "Keys that are written to the user's own services and read back at the end, by name.",
            type="object",
            additionalProperties=_user_writes(),
        ),
    }
    scenario = mapping("A scenario.", properties, "name", "steps", "expect")
    return described(
        "What can be done to the lab with `halab scenario run FILE NAME`.",
        type="array",
        items=scenario,
    )


def _user_probe() -> dict[str, Any]:
    properties = {
        "name": described("Its name in reports and expectations.", type="string"),
        "url": described(
            "http://, https://, tcp://, grpc://HOST:PORT/SERVICE or "
            "kubectl://NAMESPACE/POD -- COMMAND.",
            type="string",
        ),
        "from": described(
            "Outside the cluster, or a pod on every worker.", enum=[*PLACES], default=PLACES[0]
        ),
    }
    return mapping("A service of the user's own.", properties, "name", "url")


def _user_writes() -> dict[str, Any]:
    properties = {
        "write": described(
            "How a key is written: [METHOD ]URL or kubectl://NAMESPACE/POD -- COMMAND, with {key} "
            "in it. By default the method is POST.",
            type="string",
        ),
        "read": described("How it is read. Without {key} one answer has all keys.", type="string"),
    }
    return mapping("Writes to a service of the user's own.", properties, "write", "read")


def _text(description: str, pattern: str, default: str = "") -> dict[str, Any]:
    return described(
        description, type="string", pattern=pattern, **({"default": default} if default else {})
    )


def _duration(description: str, default: str) -> dict[str, Any]:
    return _text(description, _DURATION, default)


def _choices(
    description: str, names: tuple[str, ...], default: list[str], least: int = 0
) -> dict[str, Any]:
    items = {"enum": [*names]}
    return described(
        description, type="array", items=items, uniqueItems=True, minItems=least, default=default
    )


def _sections(properties: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the schema of each section. `*` stands for any item: `nodes.*`, `scenarios.*`."""
    sections = {name: part for name, part in properties.items() if "properties" in part}
    (node,) = properties["nodes"]["patternProperties"].values()
    return {**sections, "nodes.*": node, "scenarios.*": properties["scenarios"]["items"]}


def _keys() -> dict[str, dict[str, bool]]:
    whole = schema()
    sections = {"": whole, **_sections(whole["properties"])}
    return {path: keys_of(section) for path, section in sections.items()}


KEYS = _keys()
"""Section → key → whether it is required. The section "" is the file itself."""
PROBE_KEYS, WRITES_KEYS = keys_of(_user_probe()), keys_of(_user_writes())
"""The same for an item of a scenario's `probes` that is a mapping, and for one of its `writes`."""
