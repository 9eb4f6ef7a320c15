"""Each image on its own.

Machines boot, nginx balances, masters form a cluster and move the address.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lab.base import paths
from lab.engine.files import File, unit_links
from lab.engine.privileges import MACHINE_OPTIONS, PRIVILEGED, SOCKET_INSIDE
from lab.images import versions
from lab.kube.pki import issue, new_secrets
from lab.lifecycle import desired_state
from lab.measure import journal_events, journals
from lab.nodes import distributions, roles
from lab.nodes import files as nodefiles
from lab.nodes.distributions import HealthCheck
from lab.nodes.ha import cib, nginx

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Ground
    from machines import Machine

    from lab.kube.secrets import Secrets
    from lab.topology.model import Node

    Make = Callable[..., Machine]

HEALTH = HealthCheck(
    url="http://127.0.0.1:8080/",
    ca="/etc/hostname",
    certificate="/etc/hostname",
    key="/etc/hostname",
)


def httpd(port: int) -> tuple[File, ...]:
    """A web server that answers with the machine's name."""
    unit = f"""[Service]
ExecStartPre=/bin/sh -c 'mkdir -p /www && hostname > /www/index.html'
ExecStart=/usr/bin/busybox httpd -f -p {port} -h /www
"""
    return (
        File(path="/etc/systemd/system/web.service", content=unit.encode()),
        *unit_links("web.service"),
    )


@pytest.mark.parametrize("word", ["base", "node", "loadbalancer", "upstream"])
def test_an_image_is_a_machine(machine: Make, word: str) -> None:
    node = machine(word)
    node.await_boot()
    assert node.run("cat", "/proc/1/comm")[1].strip() == "systemd"
    assert node.run("systemctl", "list-units", "--failed", "--no-legend")[1].strip() == ""
    assert len(node.run("cat", "/etc/machine-id")[1].strip()) == 32
    node.get_wrapped_container().stop(timeout=30)
    node.get_wrapped_container().reload()
    assert (
        node.get_wrapped_container().attrs["State"]["ExitCode"] != 137
    )  # it shut down, nobody had to kill it


def test_a_nodes_rules_see_bridged_packets(machine: Make) -> None:
    """Else Services lose the answers of pods on the asker's own node."""
    node = machine("node")
    assert node.run("cat", "/proc/sys/net/bridge/bridge-nf-call-iptables") == (0, "1\n")


@pytest.mark.parametrize("node", ["m", "w1", "lb", "bmc"])
def test_nothing_is_mounted_or_laid_down_behind_a_symbolic_link(
    machine: Make, ground: Ground, node: str
) -> None:
    """Docker 28 refuses to lay files down in a container with a mount behind one."""
    upstream, secrets = distributions.find("upstream"), new_secrets("test")
    wanted = desired_state.desired(ground.topology, upstream, ground.tags, 0)
    spec = next(spec for spec in wanted.containers if spec.hostname == node)
    described = ground.topology.node(node)
    files = roles.find(described.role).files(ground.topology, described, secrets, upstream)
    mounts = {*MACHINE_OPTIONS["tmpfs"], *spec.volumes.values()}
    if spec.engine_socket:
        mounts.add(SOCKET_INSIDE)
    if spec.machine:
        mounts |= {mount["Target"] for mount in PRIVILEGED["mounts"]}
    places = sorted({*mounts, *(file.path.rsplit("/", 1)[0] for file in files)})
    look = 'for path; do [ "$(realpath -m "$path")" = "$path" ] || echo "$path"; done'
    # The image of the controllers has no systemd; the others are asked as machines.
    word = spec.image.split("/")[1].split(":")[0]
    asked = machine("base" if word == "bmc" else word)
    assert asked.run("sh", "-c", look, "sh", *places)[1] == ""


def test_nginx_balances_and_a_dead_backend_costs_no_request(machine: Make, ground: Ground) -> None:
    topology = ground.topology
    backends = {
        node.name: machine(
            "base", files=httpd(6443), network=ground.network, ip=str(node.ip), name=node.name
        )
        for node in topology.masters
    }
    conf = File(path="/etc/nginx/nginx.conf", content=nginx.conf(topology).encode())
    backs = File(path=nginx.UPSTREAM, content=nginx.upstream(topology).encode())
    links = unit_links("/usr/lib/systemd/system/nginx.service")
    balancer = machine(
        "loadbalancer",
        files=(conf, backs, *links),
        network=ground.network,
        ip=str(topology.balancer.ip),
        name="lb",
    )
    ask = ("curl", "-s", "--max-time", "5", "http://127.0.0.1:6443/")
    for backend in backends.values():
        backend.await_boot()
    seen: set[str] = set()

    def all_seen() -> bool:
        seen.add(balancer.run(*ask)[1].strip())
        return seen >= set(backends)

    balancer.eventually("all backends are used", all_seen)
    backends["m"].get_wrapped_container().kill()
    answers = [balancer.run(*ask)[1].strip() for _ in range(20)]
    assert set(answers) == {"m2", "m3"}


def api(node: Node, secrets: Secrets) -> tuple[File, ...]:
    """A double of an API server: /readyz says 200 to whom the lab's client authority knows."""
    own = issue(secrets.authority("ca"), node.name, names=(node.name, str(node.ip)))
    conf = b"""events {}
http {
    server {
        listen 6443 ssl;
        ssl_certificate /etc/api.crt;
        ssl_certificate_key /etc/api.key;
        ssl_client_certificate /etc/client-ca.crt;
        ssl_verify_client optional;
        location / {
            if ($ssl_client_verify != SUCCESS) {
                return 401;
            }
            return 200;
        }
    }
}
"""
    return (
        File(path="/etc/nginx/nginx.conf", content=conf),
        File(path="/etc/api.crt", content=own.certificate),
        File(path="/etc/api.key", content=own.key, mode=0o600),
        File(path="/etc/client-ca.crt", content=secrets.authority("client-ca").certificate),
        *unit_links("/usr/lib/systemd/system/nginx.service"),
    )


def test_who_refuses_the_balancers_certificate_gets_no_turn(machine: Make, ground: Ground) -> None:
    topology, secrets = ground.topology, new_secrets("test")

    def make(node: Node, files: tuple[File, ...]) -> Machine:
        place = {"network": ground.network, "ip": str(node.ip), "name": node.name}
        return machine("loadbalancer", files=files, **place)

    masters = {node.name: make(node, api(node, secrets)) for node in topology.masters}
    balancer = topology.balancer
    role, k3s = roles.find(balancer.role), distributions.find("k3s")
    asker = make(balancer, role.files(topology, balancer, secrets, k3s))
    down = f"server {topology.masters[0].ip}:6443 down"

    def turns() -> str:
        return asker.run("cat", nginx.UPSTREAM)[1]

    def turn(node: Machine, old: str, new: str) -> None:
        edit = f"s/ssl_verify_client {old}/ssl_verify_client {new}/"
        assert node.run("sed", "-i", edit, "/etc/nginx/nginx.conf")[0] == 0
        assert node.run("nginx", "-s", "reload")[0] == 0

    for node in masters.values():
        node.await_boot()
    # Now everybody is a stranger to m, as while K3s boots.
    turn(masters["m"], "optional", "off")
    asker.eventually("m is out of the turns", lambda: down in turns())
    asker.eventually("no other is", lambda: turns().count(" down;") == 1)
    turn(masters["m"], "off", "optional")
    asker.eventually("m is back", lambda: "down" not in turns())


FLOOD = 30_000
"""Lines that a unit writes at once, many times what the journal keeps of it in five seconds."""


def test_a_flood_of_lines_is_cut_and_told(machine: Make) -> None:
    """An API server without quorum. journald tells once the unit speaks again.

    The shell itself writes the lines, as an API server does. journald looks at a writer when it
    reads its lines; one that has ended by then has no control group, and no patterns.
    """
    flood = (
        "n=0; "
        "while [ $$n -lt 9000 ]; do "
        "echo 'watch chan error: etcdserver: no leader'; n=$$((n + 1)); done; "
        f"seq -f 'line %%.0f' {FLOOD}; "
        "until journalctl -q -o cat -t systemd-journald | grep -q Suppressed; "
        "do sleep 1; echo on; done"
    )
    limits = (*nodefiles.LOG_LIMIT, nodefiles.NO_LEADER)
    lines = ("[Service]", *limits, f'ExecStart=/bin/sh -c "{flood}"')
    unit = File(path="/etc/systemd/system/flood.service", content="\n".join([*lines, ""]).encode())
    node = machine("base", files=(unit, *unit_links("flood.service")))
    journal = ("journalctl", "-q", "--no-pager", "-o", "json")

    def told() -> tuple[str, ...]:
        return journals.suppressed(journal_events.entries("m", node.run(*journal)[1].splitlines()))

    node.eventually("journald tells", lambda: bool(told()))
    (said,) = told()
    # How many depends on how long a busy machine takes to write them: more are kept then.
    assert re.fullmatch(r"journal of m: \d+ lines of flood.service were too many .*", said)
    kept = node.run("journalctl", "-q", "--no-pager", "-o", "cat", "-u", "flood")[1]
    assert "no leader" not in kept
    assert 500 <= kept.count("line ") < FLOOD


def holders(machines: dict[str, Machine], vip: str) -> list[str]:
    return [
        name
        for name, node in machines.items()
        if f" {vip}/" in node.run("ip", "-4", "-o", "addr")[1]
    ]


def test_masters_form_a_cluster_and_the_address_follows_health_and_quorum(
    machine: Make, ground: Ground
) -> None:
    # The machines alone, without the lab's baseboard controllers: nobody can be fenced
    # (tests/e2e/test_fencing.py is about that).
    secrets, topology = (
        new_secrets("test"),
        replace(ground.topology, ha=replace(ground.topology.ha, fencing=False)),
    )
    vip = str(topology.network.vip)
    units = unit_links(
        "/usr/lib/systemd/system/corosync.service", "/usr/lib/systemd/system/pacemaker.service"
    )
    files = (*cib.files(topology, secrets, HEALTH), *units, *httpd(8080))
    machines = {
        node.name: machine(
            "node", files=files, network=ground.network, ip=str(node.ip), name=node.name
        )
        for node in topology.masters
    }
    first = machines["m"]
    first.eventually("one master holds the address", lambda: len(holders(machines, vip)) == 1)
    first.eventually(
        "all are members", lambda: "Online: [ m m2 m3 ]" in first.run("crm_mon", "-1")[1]
    )

    without_sync = "grep -l libeatmydata /proc/$(pgrep -x pacemaker-based)/maps"
    assert first.run("sh", "-c", without_sync)[0] == 0, "Pacemaker waits for the disk"

    def judge(name: str, verdict: str) -> None:
        change = ("attrd_updater", "-n", cib.ATTRIBUTE, "-U", verdict, "-d", "0", "-N", name)
        assert machines[name].run(*change)[0] == 0

    def idle() -> None:
        """Wait until Pacemaker has nothing to do. One wait was seen not to end in two minutes."""
        wait = ("crm_resource", "--wait", "--timeout=30")
        first.eventually("Pacemaker has nothing to do", lambda: first.run(*wait)[0] == 0)

    late = holders(machines, vip)[0]
    judge(late, "late")
    first.eventually(
        "the address leaves a late master", lambda: holders(machines, vip) not in ([late], [])
    )
    prompt = holders(machines, vip)
    for name in machines:
        judge(name, "late")
    idle()
    assert holders(machines, vip) == prompt, "nobody is better: the address stays"
    for name in machines:
        judge(name, "1")
    idle()
    assert holders(machines, vip) == prompt, "it stays where it is when others are prompt again"

    sick = holders(machines, vip)[0]
    machines[sick].run("systemctl", "stop", "web")
    first.eventually(
        "the address leaves a sick master", lambda: holders(machines, vip) not in ([sick], [])
    )
    assert machines[sick].run("systemctl", "is-active", "pacemaker")[1].strip() == "active"
    machines[sick].run("systemctl", "start", "web")

    dead = holders(machines, vip)[0]
    machines.pop(dead).get_wrapped_container().kill()
    left = next(iter(machines.values()))
    left.eventually("the address leaves a dead master", lambda: len(holders(machines, vip)) == 1)

    machines.pop(holders(machines, vip)[0]).get_wrapped_container().kill()
    ((name, last),) = machines.items()
    last.eventually("without quorum", lambda: "WITHOUT quorum" in last.run("crm_mon", "-1")[1])
    assert holders({name: last}, vip) == []


def test_the_resource_agent_keeps_the_contract(machine: Make) -> None:
    agent = "/usr/lib/ocf/resource.d/halab/apiserver"
    script = "#!/bin/sh\nprintf '%s\\n' \"$*\" >> /tmp/told\n"
    double = File(path="/double/attrd_updater", content=script.encode(), mode=0o755)
    node = machine("node", files=(double, *httpd(8080)))
    node.await_boot()
    node.eventually("the web server answers", lambda: node.run("curl", "-sf", HEALTH.url)[0] == 0)

    def act(action: str, interval: int = 0) -> int:
        environment = (
            "PATH=/double:$PATH OCF_ROOT=/usr/lib/ocf HA_RSCTMP=/run/ra "
            f"OCF_RESKEY_CRM_meta_interval={interval}"
        )
        parameters = (
            f"OCF_RESKEY_url={HEALTH.url} OCF_RESKEY_cacert=/etc/hostname "
            "OCF_RESKEY_cert=/etc/hostname OCF_RESKEY_key=/etc/hostname"
        )
        return node.run("sh", "-c", f"{environment} {parameters} {agent} {action}")[0]

    described = ET.fromstring(node.run(agent, "meta-data")[1])  # noqa: S314 (our own text)
    names = {item.attrib["name"] for item in described.iter("action")}
    assert names == {"start", "stop", "monitor", "validate-all", "meta-data"}
    assert act("validate-all") == 0
    assert act("monitor") == 7
    assert [act("start"), act("start"), act("monitor", 1000)] == [0, 0, 0]

    def told() -> str:
        return "".join(
            re.sub(r".*-U (\d).*", r"\1", line)
            for line in node.run("cat", "/tmp/told")[1].splitlines()
        )

    assert told() == "1"
    node.run("systemctl", "stop", "web")
    node.eventually("the watcher tells of a dead server", lambda: told() == "10")
    node.run("systemctl", "start", "web")
    node.eventually("the watcher tells of its return", lambda: told() == "101")
    assert [act("stop"), act("stop"), act("monitor")] == [0, 0, 7]
    assert told() == "1010"
    # Brackets: the pattern must not match the command line that bounds pgrep's own time.
    gone = ("pgrep", "-f", "apiserver watc[h]")
    node.eventually("the watcher is gone", lambda: node.run(*gone)[0] == 1)
    assert act("nonsense") == 3


def test_the_node_image_holds_binaries_and_pods_images(machine: Make) -> None:
    table = versions.read(paths.shipped("images"))
    containerd = b"[Service]\nExecStart=/usr/local/bin/containerd\n"
    node = machine(
        "upstream",
        files=(
            File(path="/etc/systemd/system/containerd.service", content=containerd),
            *unit_links("containerd.service"),
        ),
    )
    node.await_boot()

    def has_the_pods_images() -> bool:
        listed = node.run("ctr", "-n", "k8s.io", "images", "ls", "-q")[1]
        return all(f"docker.io/{name}" in listed for name in table.pods.values())

    node.eventually("containerd answers, and has the pods' images", has_the_pods_images)
    volume = int(node.run("du", "-sm", "/var/lib/containerd")[1].split()[0])
    assert volume < 10, f"{volume} MB are copied into each node's volume"
    name = f"docker.io/{table.pods['coredns']}"
    version = ("ctr", "-n", "k8s.io", "run", "--rm", "--net-host", name, "once")
    code, answer = node.run(*version, "/coredns", "-version")
    assert code == 0, answer
    assert f"CoreDNS-{table.components['coredns'].version.lstrip('v')}" in answer
    assert table.components["kubernetes"].version in node.run("kubelet", "--version")[1]
    assert table.components["containerd"].version in node.run("containerd", "--version")[1]
