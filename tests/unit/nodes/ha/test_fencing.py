"""What becomes of a lost master: the words of `ha.fencing`, and what is written for each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree as ET

import jsonschema
import pytest
import yaml

from lab.base import paths
from lab.base.errors import TopologyError
from lab.kube.pki import new_secrets
from lab.nodes.distributions import upstream
from lab.nodes.ha import cib
from lab.topology.loader import parse
from lab.topology.model import from_json, to_json
from lab.topology.schema import schema

if TYPE_CHECKING:
    from lab.topology.model import Topology

FILE = (paths.shipped("topologies") / "3m3w.yaml").read_text()
WORDS = {"off-stays", "reboot", "none"}


class Case(NamedTuple):
    fenced: str
    enabled: str
    action: str
    label: dict[str, object]
    """What an older halab reads in the network's label, beside the token."""


OFF_STAYS = Case("off-stays", "true", "off", {"fencing": True})
CASES = {
    "": OFF_STAYS,
    "fencing: off-stays": OFF_STAYS,
    "fencing: true": OFF_STAYS,
    "fencing: reboot": Case("reboot", "true", "reboot", {"fencing": True, "reboot": True}),
    "fencing: none": Case("none", "false", "off", {"fencing": False}),
    "fencing: false": Case("none", "false", "off", {"fencing": False}),
}


def written(line: str) -> str:
    (token,) = [row for row in FILE.splitlines() if row.strip().startswith("token:")]
    return FILE.replace(token, f"{token}\n{token.partition('token')[0]}{line}")


def files(topology: Topology) -> dict[str, str]:
    made = cib.files(topology, new_secrets(topology.name), upstream.DISTRIBUTION.health)
    return {file.path: file.content.decode(errors="replace") for file in made}


@pytest.mark.parametrize(("line", "case"), CASES.items(), ids=str)
def test_each_word_is_written_for_pacemaker_and_kept(line: str, case: Case) -> None:
    text = written(line)
    jsonschema.Draft202012Validator(schema()).validate(yaml.safe_load(text))
    topology = parse(text, "f.yaml").topology
    assert topology.ha.fenced == case.fenced
    label = to_json(topology)
    assert json.loads(label)["ha"] == {"token_ms": 1000, **case.label}
    assert from_json(label) == topology
    laid_down = files(topology)
    root = ET.fromstring(laid_down["/var/lib/pacemaker/cib/cib.xml"])  # noqa: S314 (our own text)
    values = {item.attrib["name"]: item.attrib["value"] for item in root.iter("nvpair")}
    assert (values["stonith-enabled"], values["stonith-action"]) == (case.enabled, case.action)


def test_only_who_is_powered_on_again_returns_to_the_cluster_unasked() -> None:
    unit = "/etc/systemd/system/pacemaker.service.d/halab.conf"
    for line, case in CASES.items():
        text = files(parse(written(line), "f.yaml").topology)[unit]
        assert ("RestartForceExitStatus=100\n" in text) == (case.fenced == "reboot"), line


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("rebot", "did you mean `reboot`?"),
        ("off", "`none` is without fencing"),
        ("No", "`none` is without fencing"),
        ('"true"', ""),
        ("[reboot]", ""),
        ("", ""),
    ],
)
def test_another_word_is_refused_with_its_line(value: str, hint: str) -> None:
    text = written(f"fencing: {value}")
    with pytest.raises(TopologyError) as refused:
        parse(text, "f.yaml")
    (problem,) = refused.value.problems
    assert text.splitlines()[problem.line - 1].strip() == f"fencing: {value}".strip()
    assert problem.message.startswith("`ha.fencing` ")
    assert hint in problem.hint


def test_the_schema_names_all_words() -> None:
    assert set(schema()["properties"]["ha"]["properties"]["fencing"]["enum"]) > WORDS
