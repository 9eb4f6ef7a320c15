from __future__ import annotations

import json

import pytest
from probed import GROUND, ROOT

from lab.kube.pki import new_secrets
from lab.measure import agent_config, probes
from lab.nodes import distributions


@pytest.mark.parametrize("name", ["k3s", "upstream"])
def test_the_agents_configuration_holds_all_it_needs(name: str) -> None:
    secrets = new_secrets("x")
    known = agent_config.identities(secrets, distributions.find(name))
    rows = [row for row in probes.rows(GROUND) if not row.pod]
    found = json.loads(json.dumps(agent_config.configuration(rows, known, attached=True)))
    assert {
        row["identity"] for row in found["questions"] + found["clients"] if "identity" in row
    } == set(found["identities"])
    assert all(
        "PRIVATE KEY" in row["key"] and "CERTIFICATE" in row["ca"]
        for row in found["identities"].values()
    )
    assert len(found["questions"]) + len(found["clients"]) == len(rows)
    assert found["attached"] is True


def test_the_agent_knows_every_word_of_its_configuration() -> None:
    source = (ROOT / "images" / "tools" / "probe" / "config.go").read_text()
    found = agent_config.configuration(probes.rows(GROUND))
    words = {*found, *(key for row in found["questions"] + found["clients"] for key in row)}
    assert [word for word in sorted(words) if f'`json:"{word}"`' not in source] == []
