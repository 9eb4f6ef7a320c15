from __future__ import annotations

import json

from probed import GROUND, ROOT

from lab.images import versions
from lab.measure import manifests, probe, probes


def test_pods_ask_from_their_node_without_secrets() -> None:
    config, daemons = manifests.askers(probes.rows(GROUND), "run1")
    assert set(config["data"]) == {"w1.json", "w2.json", "w3.json"}
    first = json.loads(config["data"]["w1.json"])
    assert [row["name"] for row in first["questions"]] == ["dns.pod.w1", "service.pod.w1"]
    assert first["output"] == "/var/lib/halab/probe/run1.jsonl"
    assert "PRIVATE" not in json.dumps(config)
    spec = daemons["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert manifests.askers(probes.rows(GROUND, ["api"]), "run1") == ()


def test_the_pods_image_is_the_one_in_the_table() -> None:
    assert versions.read(ROOT / "images").pods["toolbox"] == manifests.IMAGE
    for item in (
        *manifests.web(),
        *manifests.askers(probes.rows(GROUND), "run1"),
        *manifests.registers(),
    ):
        assert item["metadata"]["namespace"] == probe.SPACE
