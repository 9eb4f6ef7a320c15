"""What containers get of the engine's machine, by what they are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import docker
import docker.errors
import pytest

from lab.engine.client import Engine
from lab.engine.labels import LABEL
from lab.engine.privileges import MODULES, SOCKET_INSIDE
from lab.engine.spec import Bind, ContainerSpec


class FakeApi(docker.APIClient):
    """docker's own client as far as it computes; what would reach an engine is kept instead."""

    def __init__(self) -> None:
        super().__init__("unix:///nowhere", version="1.44")
        self.made: list[dict[str, Any]] = []
        self.refusal = ""
        self.there: dict[str, dict[str, str]] = {}

    def inspect_container(self, container: str) -> dict[str, Any]:
        if container not in self.there:
            raise docker.errors.NotFound(container)
        return {"Config": {"Labels": self.there[container]}}

    def create_container(self, image: str, **more: Any) -> dict[str, str]:
        self.made.append({"image": image, **more})
        mounts = more["host_config"].get("Mounts") or []
        if self.refusal and mounts:
            raise docker.errors.APIError("400", explanation=self.refusal)
        return {"Id": "abc"}


def made(monkeypatch: pytest.MonkeyPatch, api: FakeApi, **more: Any) -> dict[str, Any]:
    """Return the host configuration of a container that was made."""
    privileged = more.pop("privileged", False)
    engine = Engine(cast("docker.DockerClient", SimpleNamespace(api=api)))
    monkeypatch.setattr(engine, "connect", lambda _: None)
    monkeypatch.setattr(engine, "socket_path", lambda: "/run/engine.sock")
    values = {"name": "n", "hostname": "m", "image": "halab/x:1", "network": "x", "ip": "10.0.0.2"}
    spec = ContainerSpec(**{**values, **more})
    engine.create_container(spec, {LABEL: "x"}, privileged=privileged)
    return cast("dict[str, Any]", api.made[-1]["host_config"])


def test_create_container_makes_a_machine_privileged_when_the_engine_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = made(monkeypatch, FakeApi(), privileged=True)
    assert host["Privileged"] is True
    assert [(mount["Source"], mount["ReadOnly"]) for mount in host["Mounts"]] == [(MODULES, True)]
    assert (host["MaskedPaths"], host["ReadonlyPaths"]) == ([], [])
    assert host["RestartPolicy"]["Name"] == "no"


def test_create_container_gives_a_machine_all_capabilities_but_one_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = made(monkeypatch, FakeApi(), privileged=False)
    assert not host.get("Privileged")
    assert (host["CapAdd"], host["CapDrop"]) == (["ALL"], ["SYS_RESOURCE"])
    assert set(host["SecurityOpt"]) == {"seccomp=unconfined", "apparmor=unconfined"}
    assert not host.get("Mounts")
    assert [device["PathOnHost"] for device in host["Devices"]] == ["/dev/kmsg"]


@pytest.mark.parametrize("privileged", [True, False])
def test_create_container_mounts_folders_of_the_host_beside_the_modules(
    monkeypatch: pytest.MonkeyPatch,
    privileged: bool,  # noqa: FBT001
) -> None:
    mounts = (
        Bind(folder="/srv/a", path="/mnt/a"),
        Bind(folder="/srv/b", path="/mnt/b", writable=True),
    )
    host = made(monkeypatch, FakeApi(), privileged=privileged, mounts=mounts)
    rows = [(mount["Source"], mount["Target"], mount["ReadOnly"]) for mount in host["Mounts"]]
    assert rows[-2:] == [("/srv/a", "/mnt/a", True), ("/srv/b", "/mnt/b", False)]
    assert (rows[0][0] == MODULES) is privileged


@pytest.mark.parametrize("privileged", [True, False])
def test_create_container_gives_nothing_to_what_is_no_machine(
    monkeypatch: pytest.MonkeyPatch,
    privileged: bool,  # noqa: FBT001
) -> None:
    host = made(monkeypatch, FakeApi(), machine=False, privileged=privileged)
    assert not host.get("Privileged")
    assert host["CapDrop"] == ["ALL"]
    assert not host.get("CapAdd")
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert not host.get("Binds")
    assert "MaskedPaths" not in host


def test_create_container_mounts_the_engines_socket_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = made(monkeypatch, FakeApi(), machine=False, engine_socket=True)
    assert host["Binds"] == [f"/run/engine.sock:{SOCKET_INSIDE}:rw"]
    assert host["SecurityOpt"] == ["no-new-privileges", "label=disable"]
    assert host["CapDrop"] == ["ALL"]


def test_create_container_leaves_modules_out_when_the_engines_machine_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api = FakeApi()
    api.refusal = f"bind source path does not exist: {MODULES}"
    assert made(monkeypatch, api, privileged=True)["Mounts"] == []
    assert len(api.made) == 2


def test_create_container_publishes_ports_on_loopback_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = made(monkeypatch, FakeApi(), machine=False, ports={6443: 16443})
    assert host["PortBindings"] == {"6443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "16443"}]}


def test_create_container_says_what_to_do_when_a_foreign_one_has_the_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api = FakeApi()
    api.there["n"] = {}
    api.refusal = "Conflict. The container name is already in use"
    with pytest.raises(Exception, match="already in use") as caught:
        made(monkeypatch, api, privileged=True)
    assert "never touched" in caught.value.hint
