"""The loader's other inputs: --set, --name, and files as they may lie on a disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from topology_text import TEXT, changed, problems

from lab.base.errors import InputError, TopologyError
from lab.topology.loader import load, parse

FOLDER = Path(__file__).parents[3] / "topologies"

SETS = [
    ("ha.tokn=1s", "--set ha.tokn: unknown key `tokn` in `ha`", "did you mean `token`?"),
    ("he.token=1s", "--set he.token: unknown key `he`", "did you mean `ha`?"),
    (
        "ha.token=1",
        "--set ha.token: `ha.token` is `1`, a number without a unit",
        "write 1ms, 1s or 1m",
    ),
    ("ha.token=", "--set ha.token: `ha.token` has no value", ""),
    ("ha.token={", "--set ha.token: not valid YAML", ""),
    ("ha.token=&a 1s", "--set ha.token: anchors and aliases (`&`, `*`) are not used here", ""),
    (
        "ha.token",
        "--set ha.token: not of the form key.path=value",
        "for example --set ha.token=400ms",
    ),
    ("=1", "--set =1: not of the form key.path=value", ""),
    ("ha..token=1s", "--set ha..token=1s: not of the form key.path=value", ""),
    ("name.x=1", "--set name.x: `name` is not a section, it has no keys", ""),
    ("addons.0=dns", "--set addons.0: `addons` is not a section, it has no keys", ""),
    ("nodes.m9.role=worker", "--set nodes.m9.role: `ip` is missing in `nodes.m9`", ""),
    (
        "network.vip=172.30.0.49",
        "--set network.vip: `network.vip` 172.30.0.49 is also `nodes.m.ip`",
        "take 172.30.0.2",
    ),
    (
        "network.subnet=10.43.0.0/24",
        "--set network.subnet: `kubernetes.service_cidr` 10.43.0.0/16 overlaps `network.subnet`",
        "",
    ),
    ("loadbalancer.name=m", "--set loadbalancer.name: node `m` has the load balancer's name", ""),
    (
        "addons=[dns]",
        "--set addons: `addons` has `dns`, which is not known",
        "did you mean `dns-ha`?",
    ),
]


@pytest.mark.parametrize(("setting", "message", "hint"), SETS)
def test_a_wrong_override(setting: str, message: str, hint: str) -> None:
    first = min(problems(TEXT, setting))
    assert first[0] == 0
    assert first[1].startswith(message)
    assert hint in first[2]


def test_overrides() -> None:
    bare = changed("ha:\n  token: 1s\n", "")
    sets = (
        "ha.token=400ms",
        "loadbalancer.host_port=0",
        "nodes.w2={role: worker, ip: 172.30.0.42}",
        "addons=[]",
        "ha.token=500ms",
    )
    topology = parse(bare, "f.yaml", sets, "other").topology
    assert (topology.ha.token_ms, topology.loadbalancer.host_port, topology.name) == (
        500,
        0,
        "other",
    )
    assert [node.name for node in topology.nodes] == ["m", "w1", "w2"]
    assert topology.addons == ()
    assert (
        parse(
            changed("ha:\n  token: 1s\n", "ha:\n"), "f.yaml", ("ha.token=2s",)
        ).topology.ha.token_ms
        == 2000
    )


def test_several_wrong_overrides_are_told_together_with_the_file() -> None:
    assert [
        line
        for line, *_ in problems(
            changed("version: 1", "version: 2"), "x", "ha.token={", "ha.tokn=1"
        )
    ] == [0, 0, 0, 1]


def test_the_name_given_is_judged() -> None:
    assert problems(TEXT, name="No Way") == [
        (
            0,
            "--name: `name` `No Way` is not a hostname (RFC 1123)",
            "use a-z, 0-9 and -, beginning and ending with a letter or digit: `no-way`",
        )
    ]
    assert parse(changed("name: demo\n", ""), "f.yaml", (), "given").topology.name == "given"


def test_messages_carry_no_control_characters() -> None:
    text = changed("name: demo", 'name: "\\e[31m\\ud800"\n"\\e[2J": 1')
    assert all(char.isprintable() for _, message, hint in problems(text) for char in message + hint)


def test_images_are_files_beside_the_topology(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "k3s").write_text("x")
    path = tmp_path / "lab.yaml"
    path.write_text(TEXT + "images: {k3s_binary: bin/k3s}\n")
    assert load(path).topology.images.k3s_binary == str(tmp_path / "bin" / "k3s")
    text = TEXT + "images:\n  k3s_binary: bin\n  k3s_images: none.tar\n"
    with pytest.raises(TopologyError) as caught:
        parse(text, "elsewhere/f.yaml", base=tmp_path)
    assert [
        (problem.line, problem.message.partition(":")[0]) for problem in caught.value.problems
    ] == [
        (24, "`images.k3s_binary` names no file"),
        (25, "`images.k3s_images` names no file"),
    ]


@pytest.mark.parametrize("path", ['"a\\0b"', "x" * 5000, '"\\ud800"', "~nobody/x", "/"])
def test_absurd_paths_are_problems(path: str) -> None:
    assert problems(f"{TEXT}images: {{k3s_binary: {path}}}\n")[0][0] == 23


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    with pytest.raises(InputError) as caught:
        load(path)
    assert caught.value.message == f"{path}: there is no such file"
    assert caught.value.hint == "`halab init` writes one, `halab start 3m3w` uses a shipped one"
    with pytest.raises(InputError, match="there is no such file"):
        load(FOLDER / "3m3w.yaml" / "below")


def test_no_usable_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        load(Path("a\0b"))
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / ("x" * 300))
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(InputError, match="cannot be read"):
        load(loop)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(TEXT)
    path.chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        load(path)


@pytest.mark.parametrize(
    ("raw", "line", "message"),
    [
        (b"version: 1\nname: \xff\n", 2, "not UTF-8 text"),
        (TEXT.encode("utf-16"), 1, "not UTF-8 text"),
        (b"# " + b"x" * 1024 * 1024, 0, "the file is larger than 64 KiB"),
    ],
)
def test_bytes(tmp_path: Path, raw: bytes, line: int, message: str) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(raw)
    with pytest.raises(TopologyError) as caught:
        load(path)
    assert [(problem.line, problem.message) for problem in caught.value.problems] == [
        (line, message)
    ]


def test_windows_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    assert load(path) == parse(TEXT, "f.yaml")
