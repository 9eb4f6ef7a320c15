"""The smallest part of halab that shows whether an engine can hold labs.

On a lab of one master and one worker, in the order of its life.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import registry
from labs import Cli, Inside, command, docker

from lab.addons.pod_images import PodImages
from lab.engine import client
from lab.live import lab as labs_of_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "e2e-smoke"
NODES = ("m", "w1", "lb", "bmc")


@pytest.fixture(scope="module")
def halab(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    return command(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def lab(halab: Cli) -> Iterator[Inside]:
    halab("destroy", NAME)
    halab("start", "1m1w", "--name", NAME, "--distribution", "upstream")
    yield Inside(halab, NAME)
    halab("destroy", NAME)
    assert left() == ""


def left() -> str:
    mark = f"label=halab.lab={NAME}"
    return (
        docker("ps", "-aq", "--filter", mark)
        + docker("volume", "ls", "-q", "--filter", mark)
        + docker("network", "ls", "-q", "--filter", mark)
    )


def whole(lab: Inside) -> bool:
    status = lab.status()
    nodes = [row for row in status["nodes"] if row["role"] != "loadbalancer"]
    return (
        all(row["kubernetes"] == "Ready" for row in nodes)
        and status["vip_holders"] == ["m"]
        and not status["faults"]
    )


def test_a_lab_starts_and_verifies(lab: Inside) -> None:
    checks = lab.cli.json("verify", lab.lab)["checks"]
    assert [row for row in checks if not row["ok"]] == []
    assert lab.status()["vip_holders"] == ["m"]


def test_the_engine_counts_the_traffic_of_every_node(lab: Inside) -> None:
    names = [f"halab-{lab.lab}-{name}" for name in NODES]
    counted = docker(
        "stats", "--no-stream", "--format", "{{.Name}} {{.NetIO}}", *names
    ).splitlines()
    assert len(counted) == len(NODES)
    assert [line for line in counted if line.endswith(" 0B / 0B")] == []


def test_the_controllers_reach_the_engine(lab: Inside) -> None:
    assert lab.cli("power", lab.lab, "w1").stdout == "w1: Chassis Power is on\n"
    assert lab.cli.json("power", lab.lab, "w1", "off")["power"] == "off"
    lab.cli("start", lab.lab)
    lab.eventually("the lab is whole again", lambda: whole(lab))


@pytest.mark.parametrize(
    ("fault", "target"), [("hang", "w1"), ("partition", "w1"), ("crash", "lb")]
)
def test_faults_act_and_heal(lab: Inside, fault: str, target: str) -> None:
    try:
        done = lab.cli.json("fault", "inject", lab.lab, fault, target)
        assert all(effect["proof"] for effect in done["effects"])
    finally:
        lab.cli("fault", "heal", lab.lab)
    lab.eventually("the lab is whole again", lambda: whole(lab))


def test_an_add_on_brings_its_images_to_nodes(lab: Inside) -> None:
    (done,) = json.loads(lab.cli("addon", "enable", lab.lab, "local-storage", "-o", "json").stdout)
    assert done["changed"] is True
    image = lab.kubectl(
        "get",
        "pods",
        "-A",
        "-l",
        "app=local-path-provisioner",
        "-o",
        "jsonpath={.items[*].spec.containers[*].image}",
    )
    assert image.startswith("rancher/local-path-provisioner:")


def test_an_image_of_many_platforms_reaches_a_node(lab: Inside) -> None:
    """Where containerd keeps the images, an image that was pulled is an index.

    Only one of its platforms is here.
    """
    word, tag = (
        "metrics-server",
        "halab/pod-e2e-platforms:1",
    )  # any word: the test gives it another image
    connected = client.connect()
    found = labs_of_engine.find(connected, lab.lab)
    builder = found.builder()
    with registry.served() as address:
        public = f"{address}/halab/platforms:1"
        builder.versions = replace(
            builder.versions, addons={**builder.versions.addons, word: public}
        )
        builder.tags = {**builder.tags, f"pods/{word}": tag}
        try:
            assert PodImages(builder).load({word: ["w1"]}, [found.node("w1")]) == ("w1",)
        finally:
            for made in (tag, public):
                connected.remove_image(made)
    lab.run("w1", "mkdir", "-p", "/run/e2e-platforms")
    lab.run("w1", "ctr", "-n", "k8s.io", "images", "mount", public, "/run/e2e-platforms")
    platform = lab.run("w1", "cat", "/run/e2e-platforms/platform")
    lab.run("w1", "ctr", "-n", "k8s.io", "images", "unmount", "--rm", "/run/e2e-platforms")
    assert platform == builder.sources.arch


def test_a_stopped_lab_comes_back(lab: Inside) -> None:
    assert len(lab.cli.json("stop", lab.lab)["stopped"]) == len(NODES)
    lab.cli("start", lab.lab)
    lab.eventually("the lab is whole again", lambda: whole(lab))
    assert lab.kubectl("get", "--raw", "/readyz").strip() == "ok"
