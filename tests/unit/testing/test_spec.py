"""A marker's words become a lab that is wanted, or an error that names what is wrong."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from lab.base import paths
from lab.base.errors import InputError
from lab.testing.spec import LabSpec, differences, read

if TYPE_CHECKING:
    from pathlib import Path


def test_spec_takes_values_of_the_topology_as_the_command_line_does() -> None:
    spec = read({"topology": "1m1w", "set": {"ha.token": "400ms", "addons": ["metrics-server"]}})
    loaded = spec.load("mine")
    assert (loaded.name, loaded.ha.token_ms) == ("mine", 400)
    assert loaded.addons == ("metrics-server",)


def test_spec_prefers_its_own_values_to_those_that_are_added() -> None:
    spec = read({"topology": "1m1w", "set": {"loadbalancer.host_port": 7443}})
    loaded = spec.load("x", ("loadbalancer.host_port=0", "network.subnet=172.30.9.0/24"))
    assert loaded.loadbalancer.host_port == 7443
    assert str(loaded.network.vip) == "172.30.9.50"


def test_specs_that_differ_in_keeping_alone_share_a_lab() -> None:
    assert read({"keep": True}) == LabSpec()


def test_spec_finds_a_file_beside_the_test(tmp_path: Path) -> None:
    shutil.copy(paths.shipped("topologies") / "1m1w.yaml", tmp_path / "mine.yaml")
    assert read({"topology": "mine.yaml"}, tmp_path).topology == str(tmp_path / "mine.yaml")


def test_spec_fits_a_lab_in_what_it_names() -> None:
    there = read({"topology": "1m1w"}).load("mine", ("network.subnet=172.30.9.0/24",))
    assert not differences(read({"topology": "1m1w", "distribution": "k3s"}), there, "k3s")
    assert not differences(read({"set": {"ha.token": "400ms"}}), there, "k3s")
    wrong = read({"topology": "3m3w", "distribution": "k3s", "set": {"ha.token": "400ms"}})
    assert differences(wrong, there, "upstream") == [
        "lab mine runs upstream, not k3s",
        "lab mine is 1m1w, not 3m3w",
        "lab mine has other values in `ha`",
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"topologie": "3m3w"}, "did you mean `topology`"),
        ({"topology": "3m3"}, "did you mean `3m3w`"),
        ({"topology": 3}, "not a text"),
        ({"topology": "./none.yaml"}, "no such file"),
        ({"distribution": "k8s"}, "did you mean `k3s`"),
        ({"set": ["ha.token=400ms"]}, "not a mapping"),
        ({"set": {"ha.tokn": "400ms"}}, "tokn"),
        ({"set": {"ha.token": 1}}, "ha.token"),
        ({"keep": "yes"}, "neither True nor False"),
    ],
)
def test_spec_refuses_and_says_what_is_wrong(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        read(given)
    assert said in str(caught.value)
