"""The schema and the loader tell the same story."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from lab.base.errors import InputError
from lab.topology.loader import KEYS, load, parse
from lab.topology.schema import schema

SHIPPED = sorted((Path(__file__).parents[3] / "topologies").glob("*.yaml"))
REFERENCE = next(path for path in SHIPPED if path.stem == "3m3w").read_text()
VALIDATOR = jsonschema.Draft202012Validator(schema())


def sections() -> dict[str, dict[str, Any]]:
    """Find the schema of each section of the loader's table."""
    top = schema()
    (node,) = top["properties"]["nodes"]["patternProperties"].values()
    named = {name: part for name, part in top["properties"].items() if "properties" in part}
    return {"": top, "nodes.*": node, **named}


def test_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


def test_has_the_loaders_keys() -> None:
    found = {
        path: {key: key in part["required"] for key in part["properties"]}
        for path, part in sections().items()
    }
    assert found == KEYS


def test_every_key_is_described_and_no_other_taken() -> None:
    for path, part in sections().items():
        assert part["additionalProperties"] is False, path
        for key, value in part["properties"].items():
            assert value["description"].endswith("."), f"{path}.{key}"
    assert schema()["properties"]["nodes"]["additionalProperties"] is False


def test_defaults_are_the_loaders() -> None:
    """Written out, the defaults change nothing."""
    sets = []
    for path, part in sections().items():
        for key, value in part["properties"].items():
            if "default" in value:
                default = value["default"]
                shown = (
                    f"[{', '.join(default)}]"
                    if isinstance(default, list)
                    else str(default).lower()
                    if isinstance(default, bool)
                    else default
                )
                sets.append(f"{f'{path}.' if path else ''}{key}={shown}")
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
