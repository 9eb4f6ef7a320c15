"""The baseboard controllers: real IPMI, real power, and nothing but the lab's own nodes."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from machines import LABEL
from testcontainers.core.container import DockerContainer

from lab.engine.labels import LABEL as LABEL_LAB
from lab.engine.labels import LABEL_NODE
from lab.kube.pki import new_secrets
from lab.nodes.ha.ipmi import command, ipmi_password
from lab.nodes.roles.bmc import ROLE
from lab.topology.model import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Ground

LAB = "docker-bmc"


class Rack:
    """A container with the controllers, and containers that stand for nodes.

    Some of them bear the lab's label.
    """

    def __init__(self, ground: Ground) -> None:
        topology = replace(ground.topology, name=LAB)
        self.topology = replace(
            topology, network=replace(topology.network, management=topology.network.subnet)
        )
        self.image, self.ground, self.made = ground.tags["bmc"], ground, []
        self.secrets = new_secrets(LAB)

    def node(self, name: str, labels: dict[str, str]) -> DockerContainer:
        container = DockerContainer(self.image).with_name(f"halab-{LAB}-{name}")
        container.with_kwargs(entrypoint=["sleep", "600"], labels={**LABEL, **labels}, init=True)
        self.made.append(container)
        return container.start()

    def controllers(self) -> DockerContainer:
        node = self.topology.bmc
        assert node.role is Role.BMC
        files = ROLE.files(self.topology, node, self.secrets, None)  # type: ignore[arg-type]
        api = self.ground.engine._api
        host = self.ground.engine.plain({}, engine_socket=True, network_mode=self.ground.network)
        endpoint = api.create_networking_config(
            {self.ground.network: api.create_endpoint_config(ipv4_address=str(node.ip))}
        )
        made = api.create_container(
            self.image, labels=LABEL, host_config=host, networking_config=endpoint
        )
        self.ground.engine.put(made["Id"], files)
        api.start(made["Id"])
        container = DockerContainer(self.image)
        container._container = container.get_docker_client().client.containers.get(made["Id"])
        self.made.append(container)
        return container

    def run(self, container: DockerContainer, *argv: str) -> tuple[int, str]:
        """Run a command by halab's engine: docker's own reader may lose a quick one's output."""
        result = self.ground.engine.run(container._container.id, argv)
        return result.code, result.output

    def remove(self) -> None:
        for container in self.made:
            container.stop()


@pytest.fixture
def rack(ground: Ground) -> Iterator[Rack]:
    if not ground.engine.has_image(ground.tags["bmc"]):
        pytest.skip(f"the image {ground.tags['bmc']} is not built: `halab images build`")
    found = Rack(ground)
    yield found
    found.remove()


def asker(rack: Rack) -> Callable[..., tuple[int, str]]:
    controllers = rack.controllers()

    def ask(node: str, *words: str) -> tuple[int, str]:
        return rack.run(controllers, *command(rack.topology, node, *words))

    begin = time.monotonic()
    while ask("m", "power", "status")[0] != 0:
        assert time.monotonic() - begin < 30, controllers.get_logs()
        time.sleep(0.2)
    return ask


def state(container: DockerContainer) -> str:
    found = container.get_wrapped_container()
    found.reload()
    return str(found.status)


def test_power_goes_off_and_on_by_ipmi(rack: Rack) -> None:
    node = rack.node("m", {LABEL_LAB: LAB, LABEL_NODE: "m"})
    ask = asker(rack)
    assert ask("m", "power", "status") == (0, "Chassis Power is on\n")
    assert ask("m", "power", "off")[0] == 0
    assert (state(node), ask("m", "power", "status")[1]) == ("exited", "Chassis Power is off\n")
    assert ask("m", "power", "on")[0] == 0
    assert state(node) == "running"
    node.get_wrapped_container().pause()
    assert ask("m", "power", "status")[1] == "Chassis Power is on\n"
    assert ask("m", "power", "off")[0] == 0  # frozen: nothing inside could shut it down
    assert state(node) == "exited"


def fake(node: DockerContainer, name: str, *lines: str) -> None:
    """Put a program in place of a real one; what it is called with is in /tmp/said."""
    body = "\n".join(("#!/bin/sh", f'echo {name} "$@" >> /tmp/said', *lines))
    made = {"SCRIPT": body, "PLACE": f"/usr/local/bin/{name}"}
    script = 'printf "%s\n" "$SCRIPT" > $PLACE && chmod 755 $PLACE'
    code, said = node.get_wrapped_container().exec_run(["sh", "-c", script], environment=made)
    assert code == 0, said


def told(node: DockerContainer) -> str:
    """Read what the programs were called with, from the disk of a machine that is off."""
    stream, _ = node.get_wrapped_container().get_archive("/tmp/said")
    return b"".join(stream).decode(errors="replace")


def test_a_machine_whose_kernel_lacks_the_hook_is_silenced_by_tc(rack: Rack) -> None:
    node = rack.node("m", {LABEL_LAB: LAB, LABEL_NODE: "m"})
    fake(node, "nft", "exit 1")
    fake(node, "tc")
    ask = asker(rack)
    assert ask("m", "power", "off")[0] == 0
    said = told(node)
    assert "nft add table netdev halab_dark" in said
    for hook in ("ingress", "egress"):
        assert f"tc filter add dev eth0 {hook} protocol all pref 1 bpf da" in said
    assert b"not silenced" not in rack.made[-1].get_logs()[0]


def test_what_kept_a_machine_from_silence_is_told_and_on_lifts_it(rack: Rack) -> None:
    node = rack.node("m", {LABEL_LAB: LAB, LABEL_NODE: "m"})
    fake(node, "nft", "echo nothing works >&2; exit 1")
    fake(node, "tc", "echo nothing works >&2; exit 1")
    ask = asker(rack)
    # As after a controller that ended between silence and kill: it runs, and is dark.
    assert ask("m", "power", "on")[0] == 0
    assert ask("m", "power", "off")[0] == 0
    said = told(node)
    assert "nft delete table netdev halab_dark" in said
    assert "tc filter del dev eth0 egress pref 1" in said
    assert said.index("delete table") < said.index("add table")
    assert b"not silenced before its end: nothing works" in rack.made[-1].get_logs()[0]


def test_a_machine_too_slow_to_be_silenced_is_switched_off_all_the_same(rack: Rack) -> None:
    node = rack.node("m", {LABEL_LAB: LAB, LABEL_NODE: "m"})
    node.exec(
        [
            "sh",
            "-c",
            "printf '#!/bin/sh\nsleep 30\n' > /usr/local/bin/nft && chmod 755 /usr/local/bin/nft",
        ]
    )
    ask = asker(rack)
    assert ask("m", "power", "off")[0] == 0
    assert state(node) == "exited"
    assert b"not silenced" in rack.made[-1].get_logs()[0]


def test_what_is_not_the_labs_is_refused(rack: Rack) -> None:
    rack.node("m", {LABEL_LAB: LAB, LABEL_NODE: "m"})
    foreign = [
        rack.node("m2", {}),
        rack.node("m3", {LABEL_LAB: "another", LABEL_NODE: "m3"}),
        rack.node("w1", {LABEL_LAB: LAB, LABEL_NODE: "w2"}),
    ]
    ask = asker(rack)
    for name in ("m2", "m3", "w1"):
        code, text = ask(name, "power", "off")
        assert code != 0, text
        assert "Insufficient privilege" in text
    assert [state(container) for container in foreign] == ["running"] * 3
    assert ask("w3", "power", "off")[0] != 0  # no such container


def test_a_stranger_without_the_password_gets_nothing(rack: Rack) -> None:
    node = rack.node("m", {LABEL_LAB: LAB, LABEL_NODE: "m"})
    ask = asker(rack)
    rack.secrets.files["corosync.authkey"] = b"another"
    wrong = ipmi_password(rack.secrets)
    controllers = rack.made[-1]
    words = [word if word != "-f" else "-P" for word in command(rack.topology, "m", "power", "off")]
    words[words.index("-P") + 1] = wrong
    words[words.index("-N") + 1] = words[words.index("-R") + 1] = "1"
    code, _ = rack.run(controllers, *words)
    assert code != 0
    assert state(node) == "running"
    settings = rack.run(controllers, "cat", "/etc/halab/bmc.json")[1]
    assert json.loads(settings)["password"] != wrong
    assert ask("m", "power", "status")[0] == 0
