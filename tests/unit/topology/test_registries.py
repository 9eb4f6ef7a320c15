"""`kubernetes.registries`: what is read, what is refused, and that passwords do not get out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from topology_text import SHORT

from lab.base.errors import TopologyError
from lab.base.redaction import without_secrets
from lab.topology.loader import load, parse
from lab.topology.model import Registry, Topology, from_json, to_json, without_passwords

REFERENCE = Path(__file__).parents[3] / "topologies" / "1m1w.yaml"
TEXT = f"{SHORT}kubernetes:\n  registries:\n"
FIRST = TEXT.count("\n") + 1
PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
SECRET = 'hunter2, "so" said; he'


def topology(text: str, base: Path) -> Topology:
    lines = "".join(f"    {line}\n" for line in text.splitlines())
    return parse(TEXT + lines, str(base / "f.yaml")).topology


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ca.crt").write_text(PEM)
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    (tmp_path / "key.pem").write_text("-----BEGIN RSA PRIVATE KEY-----\n")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "large").write_text("x" * 70_000)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    return tmp_path


FULL = """docker.io: {mirrors: [https://mirror.example, "http://172.30.0.1:5000/v2/hub"]}
mirror.example: {username: ci, password_file: secret, ca: ca.crt}
"172.30.0.1:5000": {insecure: true}
"*": {mirrors: [https://mirror.example]}"""


def test_the_whole_of_it(folder: Path) -> None:
    found = topology(FULL, folder)
    assert found.kubernetes.registries == (
        Registry(
            host="docker.io", mirrors=("https://mirror.example", "http://172.30.0.1:5000/v2/hub")
        ),
        Registry(host="mirror.example", username="ci", password=SECRET, ca=PEM),
        Registry(host="172.30.0.1:5000", insecure=True),
        Registry(host="*", mirrors=("https://mirror.example",)),
    )
    assert from_json(to_json(found)) == found


def test_a_topology_without_is_as_before() -> None:
    assert "registries" not in to_json(load(REFERENCE).topology)


def test_a_password_is_in_nothing_that_is_shown(folder: Path) -> None:
    found = topology(FULL, folder)
    assert "hunter2" in to_json(found)
    assert "hunter2" not in repr(found)
    assert "hunter2" not in to_json(without_passwords(found))
    text = without_secrets(to_json(found))
    assert "hunter2" not in text
    assert " said" not in text
    assert json.loads(text)["name"] == "demo"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[docker.io]", "`kubernetes.registries` must have a key for each registry", "for example"),
        ("https://x: {insecure: true}", "is not a registry's name", "without https://"),
        ("x.y: {}", "says nothing", "mirrors, username"),
        ("x.y: {mirror: [https://a]}", "unknown key `mirror`", "did you mean `mirrors`?"),
        ("x.y: {mirrors: https://a}", "must be a list", "mirrors: [https://a]"),
        ("x.y: {mirrors: [a.b]}", "which is not a registry's address", "http:// or https://"),
        ("x.y: {mirrors: ['https://a?b=c']}", "which is not a registry's address", ""),
        ("x.y: {mirrors: ['https://a:99999']}", "has an address that is none", ""),
        ("x.y: {mirrors: ['https://u:p@a']}", "with credentials in it", "mirror's own name"),
        ("x.y: {username: u}", "one half of the credentials", "password or password_file"),
        ("x.y: {password: p}", "one half of the credentials", "give username"),
        (
            "x.y: {username: u, password: p, password_file: secret}",
            "has a password and a file with one",
            "keep one of them",
        ),
        ("x.y: {username: u, password_file: none}", "names no file", "topology file's folder"),
        ("x.y: {username: u, password_file: empty}", "holds no password", ""),
        ("x.y: {ca: secret}", "without a certificate", "PEM"),
        ("x.y: {ca: key.pem}", "with a private key", ""),
        ("x.y: {ca: large}", "larger than 64 KiB", ""),
        ("x.y: {ca: binary}", "cannot be read", ""),
        ("x.y: {insecure: maybe}", "not true or false", ""),
        ("'*': {insecure: true}", "can have mirrors only", "by its name"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    folder: Path, text: str, message: str, hint: str
) -> None:
    with pytest.raises(TopologyError) as caught:
        topology(text, folder)
    assert [problem.line for problem in caught.value.problems] in ([FIRST], [FIRST - 1])
    (problem,) = caught.value.problems
    assert message in problem.message
    assert hint in problem.hint
