"""The loader's judgement: each problem in its line, all of them at once."""

from __future__ import annotations

import pytest
from topology_text import TEXT, changed, problems

from lab.base.errors import TopologyError
from lab.topology.loader import parse


def warnings(text: str) -> list[tuple[int, str, str]]:
    return [
        (problem.line, problem.message, problem.hint) for problem in parse(text, "f.yaml").warnings
    ]


def masters(count: int) -> str:
    rows = "".join(f"  m{i}: {{role: master, ip: 172.30.0.{100 + i}}}\n" for i in range(count))
    return changed("  m: {role: master, ip: 172.30.0.49}\n", rows)


ONE = [
    # the file's keys
    ("version: 1", "version: 2", 1, "`version` is 2", "it must be 1"),
    (
        "version: 1",
        "version: '1'",
        1,
        "`version` is `1`, not a whole number",
        "1, digits only, without quotes",
    ),
    ("name: demo", "nmae: demo", 2, "unknown key `nmae`", "did you mean `name`?"),
    (
        "  vip: 172.30.0.50\n",
        "",
        3,
        "`vip` is missing in `network`",
        "`halab schema` says what it means",
    ),
    ("  token: 1s", "  tokn: 1s", 17, "unknown key `tokn` in `ha`", "did you mean `token`?"),
    (
        "  token: 1s",
        "  token:",
        17,
        "`ha.token` has no value",
        "give one, or leave the key out if it has a default",
    ),
    (
        "  token: 1s",
        "  token: [1s]",
        17,
        "`ha.token` must be a single value",
        "remove the brackets, dashes or keys",
    ),
    ("ha:\n  token: 1s", "ha: 1s", 16, "`ha` must have keys with values", "the keys are token"),
    # names
    ("name: demo", "name: Demo_1", 2, "`name` `Demo_1` is not a hostname (RFC 1123)", "`demo-1`"),
    ("name: demo", "name: -demo", 2, "`name` `-demo` is not a hostname (RFC 1123)", "`demo`"),
    (
        "name: demo",
        "name: " + "a" * 31,
        2,
        "`name` `" + "a" * 31 + "` has 31 characters",
        "at most 30",
    ),
    (
        "name: demo",
        "name: yes",
        2,
        "`name` is `yes`, which means true or false in YAML 1.1",
        'write it in quotes: "yes"',
    ),
    (
        "  w1:",
        "  no:",
        15,
        "`no` as a key means true or false in YAML 1.1",
        'write it in quotes: "no"',
    ),
    (
        "  w1:",
        "  localhost:",
        15,
        "the node's name `localhost` is every machine's name for itself",
        "another",
    ),
    (
        "  w1:",
        "  10:",
        15,
        "the node's name `10` is a number, which programs take for an IP address",
        "for example `w10`",
    ),
    (
        "  w1:",
        "  lb:",
        15,
        "node `lb` has the load balancer's name",
        "rename it, or set `loadbalancer.name`",
    ),
    ("  w1:", "  m:", 15, "`m` stands here a second time", "first in line 14; keep one of them"),
    # nodes
    (
        "worker",
        "workr",
        15,
        "`nodes.w1.role` is `workr`, which is not a role",
        "did you mean `worker`?",
    ),
    (
        "worker",
        "agent",
        15,
        "`nodes.w1.role` is `agent`, which is not a role",
        "did you mean `worker`?",
    ),
    (
        "worker",
        "loadbalancer",
        15,
        "`nodes.w1.role` is `loadbalancer`, which is not a role",
        "own section",
    ),
    (
        "role: master",
        "role: worker",
        13,
        "`nodes` has no master",
        "give at least one node `role: master`",
    ),
    (
        "role: worker, ",
        "",
        15,
        "`role` is missing in `nodes.w1`",
        "`halab schema` says what it means",
    ),
    (
        "{role: worker, ip: 172.30.0.41}",
        "",
        15,
        "`nodes.w1` must have keys with values",
        "the keys are role, ip",
    ),
    # addresses
    (
        "172.30.0.41",
        "172.30.0.049",
        15,
        "`nodes.w1.ip` is `172.30.0.049`, not an IPv4 address",
        "for example 172.30.0.49",
    ),
    (
        "172.30.0.41",
        "127.0.0.1",
        15,
        "`nodes.w1.ip` is 127.0.0.1, an address of special use",
        "for example 172.30.0.49",
    ),
    (
        "172.30.0.41",
        "172.30.1.41",
        15,
        "`nodes.w1.ip` 172.30.1.41 is outside `network.subnet` 172.30.0.0/24",
        "172.30.0.2",
    ),
    (
        "172.30.0.41",
        "172.30.0.0",
        15,
        "`nodes.w1.ip` 172.30.0.0 is the network address of 172.30.0.0/24",
        "172.30.0.2",
    ),
    (
        "172.30.0.41",
        "172.30.0.255",
        15,
        "`nodes.w1.ip` 172.30.0.255 is the broadcast address of 172.30.0.0/24",
        "172.30.0.2",
    ),
    ("172.30.0.41", "172.30.0.1", 15, "`nodes.w1.ip` 172.30.0.1 is the gateway", "take 172.30.0.2"),
    (
        "172.30.0.41",
        "172.30.0.49",
        15,
        "`nodes.w1.ip` 172.30.0.49 is also `nodes.m.ip`",
        "take 172.30.0.2",
    ),
    (
        "172.30.0.50",
        "172.30.0.41",
        5,
        "`network.vip` 172.30.0.41 is also `nodes.w1.ip`",
        "take 172.30.0.2",
    ),
    (
        "172.30.0.40",
        "172.30.0.50",
        19,
        "`loadbalancer.ip` 172.30.0.50 is also `network.vip`",
        "take 172.30.0.2",
    ),
    (
        "  vip:",
        "  gateway: 172.31.0.1\n  vip:",
        5,
        "`network.gateway` 172.31.0.1 is outside `network.subnet`",
        "172.30.0.1",
    ),
    (
        "  vip:",
        "  gateway: 172.30.0.49\n  vip:",
        15,
        "`nodes.m.ip` 172.30.0.49 is the gateway",
        "take 172.30.0.1",
    ),
    # ranges
    (
        "172.30.0.0/24",
        "172.30.0.9/24",
        4,
        "`network.subnet` is 172.30.0.9/24, which has host bits set",
        "did you mean 172.30.0.0/24?",
    ),
    (
        "172.30.0.0/24",
        "172.30.0.0",
        4,
        "`network.subnet` is `172.30.0.0`, not an IPv4 network",
        "address/prefix length",
    ),
    (
        "172.30.0.0/24",
        "172.30.0.0/29",
        4,
        "`network.subnet` is 172.30.0.0/29, a prefix of the wrong length",
        "it must be /16 to /28",
    ),
    (
        "172.30.0.0/24",
        "172.0.0.0/8",
        4,
        "`network.subnet` is 172.0.0.0/8, a prefix of the wrong length",
        "it must be /16 to /28",
    ),
    (
        "10.42.0.0/16",
        "172.30.0.0/16",
        8,
        "`kubernetes.pod_cidr` 172.30.0.0/16 overlaps `network.subnet` 172.30.0.0/24",
        "no address",
    ),
    (
        "10.42.0.0/16",
        "10.43.0.0/17",
        9,
        "`kubernetes.service_cidr` 10.43.0.0/16 overlaps `kubernetes.pod_cidr` 10.43.0.0/17",
        "",
    ),
    (
        "10.42.0.0/16",
        "10.42.0.0/24",
        8,
        "`kubernetes.pod_cidr` 10.42.0.0/24 has a /24 for 1 of 2 nodes",
        "take /23 or wider",
    ),
    (
        "10.42.0.0/16",
        "10.42.0.0/25",
        8,
        "`kubernetes.pod_cidr` is 10.42.0.0/25, a prefix of the wrong length",
        "it must be /8 to /24",
    ),
    (
        "10.42.0.0/16",
        "127.42.0.0/16",
        8,
        "`kubernetes.pod_cidr` is 127.42.0.0/16, a range of special use",
        "",
    ),
    (
        "10.43.0.0/16",
        "10.43.0.0/25",
        9,
        "`kubernetes.service_cidr` is 10.43.0.0/25, a prefix",
        "it must be /12 to /24",
    ),
    (
        "10.43.0.0/16",
        "11.1.0.0/12",
        9,
        "`kubernetes.service_cidr` is 11.1.0.0/12, which has host bits set",
        "did you mean 11.0.0.0/12?",
    ),
    (
        "10.43.0.0/16",
        "10.0.0.0/11",
        9,
        "`kubernetes.service_cidr` is 10.0.0.0/11, a prefix",
        "it must be /12 to /24",
    ),
    (
        "10.43.0.99",
        "10.44.0.99",
        10,
        "`kubernetes.cluster_dns` 10.44.0.99 is outside `kubernetes.service_cidr`",
        "to 10.43.0.10",
    ),
    (
        "10.43.0.99",
        "10.43.0.1",
        10,
        "`kubernetes.cluster_dns` 10.43.0.1 is the address of the service `kubernetes`",
        "10.43.0.10",
    ),
    (
        "10.43.0.99",
        "10.43.0.0",
        10,
        "`kubernetes.cluster_dns` 10.43.0.0 is the first or last",
        "10.43.0.10",
    ),
    (
        "9.9.9.9",
        "10.43.0.99",
        11,
        "`kubernetes.dns_forward` has the cluster's own DNS 10.43.0.99: a loop",
        "outside",
    ),
    (
        "[9.9.9.9]",
        "[9.9.9.9, 9.9.9.9]",
        11,
        "`kubernetes.dns_forward` has 9.9.9.9 twice",
        "keep one of them",
    ),
    (
        "[9.9.9.9]",
        "[127.0.0.53]",
        11,
        "`kubernetes.dns_forward` is 127.0.0.53, an address of special use",
        "",
    ),
    # words
    (
        "[k3s, upstream]",
        "[k3s, upstrem]",
        7,
        "`kubernetes.distributions` has `upstrem`, which is not known",
        "did you mean `upstream`?",
    ),
    (
        "[k3s, upstream]",
        "[k3s, k3s]",
        7,
        "`kubernetes.distributions` has k3s twice",
        "keep one of them",
    ),
    ("[k3s, upstream]", "[]", 7, "`kubernetes.distributions` is empty", "known: k3s, upstream"),
    (
        "[k3s, upstream]",
        "k3s",
        7,
        "`kubernetes.distributions` must be a list",
        "for example distributions: [k3s]",
    ),
    (
        "[dns-ha]",
        "[dnsha]",
        22,
        "`addons` has `dnsha`, which is not known",
        "did you mean `dns-ha`?",
    ),
    # durations
    (
        "token: 1s",
        "token: 1000",
        17,
        "`ha.token` is `1000`, a number without a unit",
        "write 1000ms, 1000s or 1000m",
    ),
    (
        "token: 1s",
        "token: 399ms",
        17,
        "`ha.token` is 399ms, outside 400ms to 30s",
        "corosync does not start below 400ms",
    ),
    ("token: 1s", "token: 30.001s", 17, "`ha.token` is 30.001s, outside 400ms to 30s", ""),
    (
        "token: 1s",
        "token: 1000.5ms",
        17,
        "`ha.token` is `1000.5ms`, not a duration of whole milliseconds",
        "2.5s or 1m",
    ),
    ("token: 1s", "token: 1:30", 17, "`ha.token` is `1:30`, not a duration", ""),
    (
        "grace: 20s",
        "grace: 9.999s",
        12,
        "`kubernetes.node_monitor_grace` is 9.999s, outside 10s to 5m",
        "",
    ),
    # numbers
    (
        "6443",
        "1023",
        20,
        "`loadbalancer.host_port` is 1023",
        "it must be a number from 1024 to 65535, or 0",
    ),
    (
        "6443",
        "65536",
        20,
        "`loadbalancer.host_port` is 65536",
        "it must be a number from 1024 to 65535, or 0",
    ),
    (
        "6443",
        "-1",
        20,
        "`loadbalancer.host_port` is -1",
        "it must be a number from 1024 to 65535, or 0",
    ),
    ("6443", "6_443", 20, "`loadbalancer.host_port` is `6_443`, not a whole number", "digits only"),
    (
        "6443",
        "0x192b",
        20,
        "`loadbalancer.host_port` is `0x192b`, not a whole number",
        "digits only",
    ),
    (
        "6443",
        "1:47:23",
        20,
        "`loadbalancer.host_port` is `1:47:23`, not a whole number",
        "digits only",
    ),
    # YAML
    (
        "name: demo",
        "name: &a demo",
        2,
        "anchors and aliases (`&`, `*`) are not used here",
        "write the value out",
    ),
    (
        "name: demo",
        "name: *a",
        2,
        "anchors and aliases (`&`, `*`) are not used here",
        "write the value out",
    ),
    (
        "name: demo",
        "name: !!python/name:os.system",
        2,
        "tags (`tag:yaml.org,2002:python/name:os.system`) are not used here",
        "",
    ),
    (
        "name: demo",
        "name: demo\n---\na: b",
        3,
        "a second document (`---`)",
        "one file, one topology",
    ),
    (
        "name: demo",
        "name: " + "[" * 5000,
        2,
        "nested too deeply",
        "a topology is at most four levels deep",
    ),
    ("name: demo", "name: " + "[" * 21 + "]" * 21, 2, "nested too deeply", ""),
    ("name: demo", "name: de\0mo", 2, "the character U+0000 is not allowed in YAML", "plain UTF-8"),
    ("name: demo", 'name: "\\UFFFFFFFF"', 2, "an escape or number is out of range", "escapes"),
    (
        "name: demo",
        "name: [",
        4,
        "not valid YAML: expected ',' or ']', but got ':'",
        "look at this line and at line 2",
    ),
    (
        "  token: 1s",
        "\ttoken: 1s",
        17,
        "not valid YAML: found character '\\t' that cannot start any token",
        "not with tabs",
    ),
    ("name: demo", "[a]: demo\nname: x", 2, "a key must be a word", ""),
]


@pytest.mark.parametrize(("old", "new", "line", "message", "hint"), ONE)
def test_one_problem(old: str, new: str, line: int, message: str, hint: str) -> None:
    rows = [row for row in problems(changed(old, new)) if row[:2] != (1, "`name` is missing")]
    assert len(rows) == 1, rows
    assert rows[0][0] == line
    assert rows[0][1].startswith(message)
    assert hint in rows[0][2]
    assert rows[0][2]


def test_all_problems_at_once_in_the_order_of_lines() -> None:
    text = (
        changed("version: 1", "version: 3")
        .replace("worker", "slave")
        .replace("token: 1s", "token: 5ms")
        .replace("6443", "x")
    )
    assert [line for line, *_ in problems(text.replace("demo", "demo\nname: again"))] == [
        1,
        3,
        16,
        18,
        21,
    ]


def test_the_message_has_file_line_and_hint() -> None:
    with pytest.raises(TopologyError) as caught:
        parse(changed("version: 1", "version: 2"), "my/lab.yaml")
    assert str(caught.value) == "my/lab.yaml:1: `version` is 2 (it must be 1)"
    assert caught.value.exit_code == 2


def test_a_public_subnet_is_refused() -> None:
    text = TEXT.replace("172.30.0.", "8.8.8.")
    assert problems(text) == [
        (
            4,
            "`network.subnet` 8.8.8.0/24 is not private",
            "take one inside 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 (RFC 1918)",
        )
    ]


@pytest.mark.parametrize(
    ("text", "message"), [("", "the file is empty"), ("# only this\n", "the file is empty")]
)
def test_empty(text: str, message: str) -> None:
    assert problems(text) == [(0, message, "`halab init` writes a file to begin with")]


@pytest.mark.parametrize("text", ["- a", "word", "~", "42", "---\n"])
def test_no_mapping(text: str) -> None:
    rows = problems(text, "ha.token=1s", name="x")
    assert [message for _, message, _ in rows] == ["the file must have keys with values"]


def test_required_sections() -> None:
    assert [message for _, message, _ in problems("ha: {}")] == [
        f"`{key}` is missing" for key in ("loadbalancer", "name", "network", "nodes", "version")
    ]


def test_defaults() -> None:
    text = "\n".join(
        line
        for line in TEXT.splitlines()
        if not line.startswith(("ha", "addons", "kube", "  host_port", "  name"))
    )
    for key in (
        "distributions",
        "pod_cidr",
        "service_cidr",
        "cluster_dns",
        "dns_forward",
        "node_monitor_grace",
        "token",
    ):
        text = "\n".join(line for line in text.splitlines() if f"  {key}:" not in line)
    topology = parse(text, "f.yaml").topology
    full = parse(TEXT.replace("[9.9.9.9]", "[]"), "f.yaml").topology
    assert topology == full


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [
        ("400ms", 400),
        ("1000ms", 1000),
        ("2.5s", 2500),
        ("0.5s", 500),
        ("30s", 30_000),
        ("0.5m", 30_000),
    ],
)
def test_durations(value: str, milliseconds: int) -> None:
    assert parse(TEXT, "f.yaml", (f"ha.token={value}",)).topology.ha.token_ms == milliseconds


def test_counts() -> None:
    assert parse(masters(9), "f.yaml").warnings == ()
    assert problems(masters(10))[0][:2] == (13, "`nodes` has 10 masters")
    rows = "".join(f"  x{i}: {{role: worker, ip: 172.30.0.{100 + i}}}\n" for i in range(49))
    more = changed("ha:\n", rows + "ha:\n")
    assert problems(more) == [(13, "`nodes` has 51 nodes", "at most 50")]
    assert (
        len(
            parse(
                more.replace("  w1: {role: worker, ip: 172.30.0.41}\n", ""), "f.yaml"
            ).topology.nodes
        )
        == 50
    )


@pytest.mark.parametrize("count", [2, 4, 8])
def test_an_even_number_of_masters_is_a_warning(count: int) -> None:
    hint = f"{count - 1} masters survive as many losses, {count + 1} one more (etcd's FAQ)"
    assert warnings(masters(count)) == [(13, f"`nodes` has {count} masters, an even number", hint)]


@pytest.mark.parametrize(
    ("cidr", "safe", "unsafe"),
    [
        ("10.43.0.0/16", "10.43.1.0", "10.43.1.1"),  # 256 of 65536
        (
            "10.96.0.0/20",
            "10.96.1.0",
            "10.96.1.1",
        ),  # 256 of 4096: the documentation's second example
        ("10.96.0.0/21", "10.96.0.128", "10.96.0.129"),  # 2048 / 16
        ("10.96.0.0/24", "10.96.0.16", "10.96.0.17"),  # the documentation's first example
    ],
)
def test_the_static_band(cidr: str, safe: str, unsafe: str) -> None:
    text = changed("10.43.0.0/16", cidr)
    assert warnings(text.replace("10.43.0.99", safe)) == []
    first = cidr.partition("/")[0].removesuffix(".0")
    message = (
        f"`kubernetes.cluster_dns` {unsafe} is one that Kubernetes may give to another service "
        "first"
    )
    assert warnings(text.replace("10.43.0.99", unsafe)) == [
        (10, message, f"{first}.2 to {safe} are safe")
    ]


def test_a_default_out_of_place_is_told_at_the_key_that_moved() -> None:
    text = changed("  cluster_dns: 10.43.0.99\n", "").replace("10.43.0.0/16", "10.96.0.0/16")
    assert problems(text)[0][:2] == (
        9,
        (
            "`kubernetes.cluster_dns` 10.43.0.99 (the default) is outside "
            "`kubernetes.service_cidr` 10.96.0.0/16"
        ),
    )
    moved = TEXT.replace("172.30.0.", "10.43.7.").replace("  service_cidr: 10.43.0.0/16\n", "")
    assert (4, "`kubernetes.service_cidr` 10.43.0.0/16 overlaps `network.subnet` 10.43.7.0/24") in [
        row[:2] for row in problems(moved)
    ]


def test_a_management_network_must_be_named_if_none_can_be_chosen() -> None:
    text = (
        TEXT.replace("172.30.0.0/24", "192.168.0.0/16")
        .replace("172.30.0.", "192.168.0.")
        .replace("10.42.0.0/16", "172.0.0.0/8")
        .replace("10.43.0.0/16", "10.16.0.0/12")
        .replace("10.43.0.99", "10.16.0.99")
    )
    assert problems(text) == [
        (
            3,
            (
                "no network is free for the baseboard controllers beside 192.168.0.0/16, "
                "172.0.0.0/8, 10.16.0.0/12"
            ),
            (
                "set `network.management` to a private network, /16 to /26, that meets none of "
                "these, or make them smaller"
            ),
        )
    ]
    named = parse(text, "f.yaml", ("network.management=10.0.0.0/24",)).topology
    assert str(named.network.management) == "10.0.0.0/24"
