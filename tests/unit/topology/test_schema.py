"""The schema and the loader tell the same story."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from lab.base.errors import InputError, TopologyError
from lab.topology.loader import load, parse
from lab.topology.schema import KEYS, schema

SHIPPED = sorted((Path(__file__).parents[3] / "topologies").glob("*.yaml"))
REFERENCE = next(path for path in SHIPPED if path.stem == "3m3w").read_text()
VALIDATOR = jsonschema.Draft202012Validator(schema())


SCENARIO = {"name": "s", "steps": "[{wait: 1s}]", "expect": "[vip_unique]"}
KEYS_OF_VALUES = [
    (section, key)
    for section, keys in KEYS.items()
    for key in keys
    if section or (key not in KEYS and key != "nodes")
]


def sections() -> dict[str, dict[str, Any]]:
    """Find the schema of each section but the scenarios'."""
    top = schema()
    (node,) = top["properties"]["nodes"]["patternProperties"].values()
    named = {name: part for name, part in top["properties"].items() if "properties" in part}
    return {"": top, "nodes.*": node, **named}


def test_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


def setting(section: str, key: str, value: str) -> str:
    """Return what `--set` takes to give a key of the schema a value."""
    if section == "scenarios.*":
        items = {**SCENARIO, key: value}
        return f"scenarios=[{{{', '.join(f'{name}: {each}' for name, each in items.items())}}}]"
    return f"{section.replace('*', 'm')}.{key}={value}".removeprefix(".")


@pytest.mark.parametrize(("section", "key"), KEYS_OF_VALUES)
def test_every_key_of_the_schema_is_read_by_the_loader(section: str, key: str) -> None:
    with pytest.raises(TopologyError, match=rf"`([a-z.]*\.)?{key}(\.wrong)?` "):
        parse(REFERENCE, "f.yaml", (setting(section, key, "{wrong: value}"),))


def test_the_loader_requires_the_keys_that_the_schema_requires() -> None:
    bare = {section: [key for key, must in keys.items() if must] for section, keys in KEYS.items()}
    with pytest.raises(TopologyError) as caught:
        parse("network: {}\nloadbalancer: {}\nnodes: {m: {}}\nscenarios: [{}]\n", "f.yaml")
    missing = [problem.message for problem in caught.value.problems]
    assert sorted(message for message in missing if "is missing" in message) == sorted(
        [f"`{key}` is missing" for key in ("version", "name", *bare["scenarios.*"])]
        + [f"`{key}` is missing in `network`" for key in bare["network"]]
        + [f"`{key}` is missing in `loadbalancer`" for key in bare["loadbalancer"]]
        + [f"`{key}` is missing in `nodes.m`" for key in bare["nodes.*"]]
    )
    assert bare[""] == ["version", "name", "network", "nodes", "loadbalancer"]


def test_every_key_is_described_and_no_other_taken() -> None:
    for path, part in sections().items():
        assert part["additionalProperties"] is False, path
        for key, value in part["properties"].items():
            assert value["description"].endswith("."), f"{path}.{key}"
    assert schema()["properties"]["nodes"]["additionalProperties"] is False


def spelled(default: object) -> str:
    if isinstance(default, list):
        return f"[{', '.join(default)}]"
    return str(default).lower() if isinstance(default, bool) else str(default)


def test_defaults_are_the_loaders() -> None:
    """Written out, the defaults change nothing."""
    sets = []
    for path, part in sections().items():
        for key, value in part["properties"].items():
            if "default" in value:
                default = value["default"]
                sets.append(f"{f'{path}.' if path else ''}{key}={spelled(default)}")
    assert len(sets) == 11
    bare = parse(REFERENCE.split("ha:")[0] + "loadbalancer: {ip: 172.30.0.40}\n", "f.yaml")
    bare_too = parse(
        REFERENCE.split("ha:")[0] + "loadbalancer: {ip: 172.30.0.40}\n", "f.yaml", tuple(sets)
    )
    assert bare == bare_too


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_topologies_are_valid(path: Path) -> None:
    VALIDATOR.validate(yaml.safe_load(path.read_text()))
    assert load(path).warnings == ()
    assert load(path).topology.name == path.stem


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version: 1", "version: 2"),
        ("name: 3m3w", "name: 3M3W"),
        ("172.30.0.50", "172.30.0.500"),
        ("172.30.0.0/24", "172.30.0.0"),
        ("[k3s, upstream]", "[]"),
        ("[k3s, upstream]", "[k3s, k3s]"),
        ("[k3s, upstream]", "[kubeadm]"),
        ("role: worker", "role: agent"),
        ("token: 1000ms", "token: 1000"),
        ("token: 1000ms", "tokn: 1000ms"),
        ("host_port: 6443", "host_port: 80"),
        ("host_port: 6443", 'host_port: "6443"'),
        ("[dns-ha]", "[dns]"),
        ("  m2: {", "  M2: {"),
        ("  m2: { role: master, ip: 172.30.0.48 }", "  m2: { role: master }"),
    ],
)
def test_what_an_editor_underlines_the_loader_refuses(old: str, new: str) -> None:
    text = (
        REFERENCE.replace(old, new, 1)
        if old in REFERENCE
        else REFERENCE.replace(old.rstrip("{"), new.rstrip("{"), 1)
    )
    assert text != REFERENCE
    assert not VALIDATOR.is_valid(yaml.safe_load(text))
    with pytest.raises(InputError):
        parse(text, "f.yaml")


@pytest.mark.parametrize("port", ["0", "1024", "65535"])
def test_good_ports_are_good_in_both(port: str) -> None:
    text = REFERENCE.replace("host_port: 6443", f"host_port: {port}")
    assert VALIDATOR.is_valid(yaml.safe_load(text))
    assert parse(text, "f.yaml").topology.loadbalancer.host_port == int(port)
