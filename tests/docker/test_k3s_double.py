"""The K3s double is strict: it refuses on its own what the real one refuses.

Joins and restarts are shown by tests/e2e/test_k3s.py.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import k3s_source
import pytest
from the_double import CONFIG

from lab.engine.files import File

if TYPE_CHECKING:
    from collections.abc import Callable

    from machines import Machine


@pytest.fixture
def node(machine: Callable[..., Machine], double: tuple[bytes, bytes]) -> Machine:
    made = machine("node", files=(File(path="/usr/local/bin/k3s", content=double[0], mode=0o755),))
    made.await_boot()
    return made


def try_with(node: Machine, role: str, *words: str, **files: str) -> tuple[int, str]:
    """Lay configuration down and run `k3s server|agent` for eight seconds at most."""
    node.run("sh", "-c", f"rm -rf {CONFIG} {CONFIG}.d; mkdir -p {CONFIG}.d")
    for name, content in files.items():
        path = CONFIG if name == "main" else f"{CONFIG}.d/{name}.yaml"
        node.run("sh", "-c", f"printf '%b' {json.dumps(content)} > {path}")
    return node.run("timeout", "8", "k3s", role, *words)


def test_configuration_is_judged_as_k3s_does(node: Machine) -> None:
    code, said = try_with(
        node, "agent", main="server: https://127.0.0.1:1\ntoken: x\ntls-san: [a]\n"
    )
    assert (code, "flag provided but not defined: -tls-san" in said) == (1, True)
    code, said = try_with(node, "server", main="no-such-thing: 1\nserver: http://x\n")
    assert (code, "Unknown flag --no-such-thing found in config.yaml, skipping" in said) == (
        1,
        True,
    )
    assert "only https:// URLs are supported" in said
    for role in ("server", "agent"):
        code, said = try_with(
            node, role, main="server: https://127.0.0.1:1\ntoken: x\nselinux: perhaps\n"
        )
        assert (code, 'invalid value "perhaps"' in said.replace("\\", "")) == (1, True)
    assert try_with(node, "agent", main="token: x\n")[0] == 1
    assert "--token is required" in try_with(node, "agent", main="server: https://127.0.0.1:1\n")[1]
    code, said = try_with(node, "server", main="token: x\n")
    assert (code, "SQLite" in said) == (1, True)
    assert try_with(node, "server", "--bogus", main="")[0] == 1
    assert "mapping" in try_with(node, "server", main="token: {a: b}\n")[1]


def test_later_files_replace_and_plus_appends(node: Machine) -> None:
    common = (
        "token: abc\ncluster-init: true\ndata-dir: /x\ntls-san: [one.example]\nnode-ip: 127.0.0.1\n"
    )
    try_with(
        node,
        "server",
        main=common,
        a="tls-san+: [two.example]\nnode-name: n1\n",
        b="node-name: n2\n",
    )
    certificate = "/var/lib/rancher/k3s/server/tls/serving-kube-apiserver.crt"
    show = f"openssl x509 -noout -ext subjectAltName -in {certificate}"
    names = node.run("sh", "-c", f"{show} 2>/dev/null || cat /etc/hostname")[1]
    assert (
        all(word in names for word in ("one.example", "two.example", "n2")) or names.strip() == "m"
    )
    assert node.run("sh", "-c", "cat /var/lib/rancher/k3s/server/db/etcd/name")[1].startswith("n2-")
    token = node.run("cat", "/var/lib/rancher/k3s/server/token")[1]
    assert token.startswith("K10")
    assert token.strip().endswith("::server:abc")
    assert (
        node.run("readlink", "/var/lib/rancher/k3s/server/node-token")[1].strip()
        == "/var/lib/rancher/k3s/server/token"
    )


def test_a_key_that_does_not_fit_its_authority_is_refused(node: Machine) -> None:
    files = {"main": "token: abc\ncluster-init: true\nnode-ip: 127.0.0.1\n"}
    try_with(node, "server", **files)
    node.run("sh", "-c", "cd /var/lib/rancher/k3s/server/tls && cp client-ca.key server-ca.key")
    code, said = try_with(node, "server", **files)
    assert (code, "does not match" in said) == (1, True)


def test_it_says_what_it_is(node: Machine) -> None:
    assert k3s_source.DOUBLE in node.run("k3s", "--version")[1]
    assert node.run("k3s", "bogus")[0] == 3
