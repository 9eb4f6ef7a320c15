"""What a scenario names of the user's own becomes rows of the instrument."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.base.errors import InputError
from lab.measure import agent_config
from lab.measure.user_probes import UserServices
from lab.topology.user_probes import UserProbe, UserWrites, of_option

if TYPE_CHECKING:
    from lab.topology.model import Topology

ROOT = Path(__file__).parents[3]
COMMAND = "kubectl://shop/db-0 -- pg_isready"


def writes(write: str, read: str, name: str = "orders") -> UserWrites:
    return UserWrites(name=name, write=write, read=read)


def test_urls_are_asked_by_the_agent_and_by_pods_and_commands_by_the_engine(
    topology: Topology,
) -> None:
    asked = [
        UserProbe(name="shop", url="http://vip:30080/"),
        UserProbe(name="inside", url="tcp://w1:30432", place="workers"),
        UserProbe(name="db", url=COMMAND),
    ]
    rows = {row.name: row for row in UserServices(topology).rows(asked, [])}
    assert list(rows) == ["shop", "inside.w1", "inside.w2", "inside.w3", "db"]
    assert [row.by_engine for row in rows.values()] == [False, False, False, False, True]
    assert rows["inside.w2"].pod == "w2"
    assert rows["db"].question == "`pg_isready` in shop/db-0, run on its node"


def test_the_agent_knows_every_word_of_writes(topology: Topology) -> None:
    row = writes("PUT http://vip:30080/o/{key}", "https://w1:30443/o?all=1")
    asked = [
        UserProbe(name="tls", url="https://vip/"),
        UserProbe(name="health", url="grpc://vip:30090/a.B"),
    ]
    rows = UserServices(topology).rows(asked, [row])
    found = agent_config.configuration(rows)
    (client,) = found["clients"]
    assert client["read"] == {"scheme": "https", "address": "172.30.0.41:30443", "path": "/o?all=1"}
    assert (client["kind"], client["method"], client["path"]) == ("keep", "PUT", "/o/{key}")
    assert client["prefix"] != UserServices(topology).rows([], [row])[0].settings["prefix"]
    source = (ROOT / "images" / "tools" / "probe" / "config.go").read_text()
    words = {key for each in (*found["questions"], client, client["read"]) for key in each}
    assert [word for word in sorted(words) if f'`json:"{word}"`' not in source] == []


def test_commands_write_and_read(topology: Topology) -> None:
    row = writes("kubectl://shop/db-0 -- put {key}", "kubectl://shop/db-0 -- get {key}")
    (made,) = UserServices(topology).rows([], [row])
    assert (made.by_engine, made.client, made.probe) == (True, True, "orders")
    assert made.settings["read"].argv == ("get", "{key}")


@pytest.mark.parametrize(
    ("probe", "said"),
    [
        (UserProbe(name="api.x", url="http://vip/"), "probe of halab's own"),
        (UserProbe(name="write", url="http://vip/"), "probe of halab's own"),
        (UserProbe(name="a b", url="http://vip/"), "cannot name a probe"),
        (UserProbe(name="db", url=COMMAND, place="workers"), "runs in its pod"),
        (UserProbe(name="db", url="http://10.43.0.7/", place="workers"), "not in the lab's subnet"),
        (UserProbe(name="db", url="http://[x/"), "it is not a URL"),
    ],
)
def test_probes_that_cannot_be_are_told(topology: Topology, probe: UserProbe, said: str) -> None:
    with pytest.raises(InputError, match=said):
        UserServices(topology).rows([probe], [])


@pytest.mark.parametrize(
    ("write", "read", "said"),
    [
        ("http://vip/o", "http://vip/o", "no {key} to write"),
        ("http://vip/o/{key}", COMMAND, "the same for both"),
        ("FETCH http://vip/o/{key}", "http://vip/o", "no method `FETCH`"),
        ("tcp://vip:1/{key}", "tcp://vip:1", "http:// or https:// alone"),
        ("http://8.8.8.8/{key}", "http://vip/", "not in the lab's subnet"),
        ("http://vip/{key}", "http://8.8.8.8/", "not in the lab's subnet"),
    ],
)
def test_writes_that_cannot_be_are_told(
    topology: Topology, write: str, read: str, said: str
) -> None:
    with pytest.raises(InputError) as caught:
        UserServices(topology).rows([], [writes(write, read)])
    assert said in f"{caught.value.message} {caught.value.hint}"


def test_no_two_have_one_name(topology: Topology) -> None:
    probe = UserProbe(name="shop", url="http://vip/")
    with pytest.raises(InputError, match="two probes are named `shop`"):
        UserServices(topology).rows([probe], [writes("http://vip/{key}", "http://vip/", "shop")])


def test_an_option_names_a_probe() -> None:
    assert of_option("shop=http://vip/?a=b") == UserProbe(name="shop", url="http://vip/?a=b")
    for wrong in ("shop", "=http://vip/", "shop="):
        with pytest.raises(InputError, match="NAME=URL"):
            of_option(wrong)


def test_names_that_would_share_a_figure_are_refused(topology: Topology) -> None:
    asked = [
        UserProbe(name="shop", url="http://vip/", place="workers"),
        UserProbe(name="shop.w1", url="http://vip/"),
    ]
    with pytest.raises(InputError, match="a figure of the shorter name would have both"):
        UserServices(topology).rows(asked, [])
