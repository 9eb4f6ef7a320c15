"""Corosync's and Pacemaker's configuration, written before the first boot; and reading what they say. Pure text.

Measured on the development machine: a CIB on disk brings the address 17 s earlier than `crm configure` after the boot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from lab.engine.files import File
from lab.nodes.ha import fencings, realtime
from lab.nodes.ha.corosync import corosync_conf
from lab.nodes.ha.ipmi import IPMI_USER, ipmi_password

if TYPE_CHECKING:
    from lab.kube.pki import Secrets
    from lab.nodes.distributions import HealthCheck
    from lab.topology.model import Topology

VIP_RESOURCE = "FAILOVER-ADDR"
"""The reference installation's name for the floating address."""
HEALTH_RESOURCE = "apiserver-health"
ATTRIBUTE = "apiserver"
FENCE_PREFIX = "fence-"
"""Of the fencing devices' names: this and their master's."""
FENCING_OPTION = "opt-stonith-enabled"
"""The id of the setting that turns fencing on."""
OPERATION = "40s"
"""What starting, stopping and watching a resource may take, some 50 ms of a core each.

At a load of 90 on two cores a monitor took more than ten seconds, and the address was moved; for a
stop that takes too long a master even loses its power. A machine that hangs is Corosync's to find.
"""
FORGOTTEN = "60s"
"""After so long a failure counts no more: longer than any operation (Pacemaker Explained)."""
HACLUSTER = 189
"""The uid and gid that images/node gives hacluster, who owns the CIB."""


def _fencing(topology: Topology, password: str) -> str:
    """Render a fencing device for each master: its baseboard controller, by the stock agent.

    There when fencing is off, too.
    """
    devices = []
    for node in topology.masters:
        parameters = {
            "ip": str(topology.bmc.ip), "ipport": str(topology.ipmi_port(node.name)), "username": IPMI_USER, "password": password,
            # IPMI 2.0 with cipher suite 3: what the controllers speak; ipmitool would try 17 first
            # and fail (its issue 363).
            "lanplus": "1", "cipher": "3",
            # The controllers answer when it is done; the agent's default is to sleep two seconds
            # before it looks.
            "power_wait": "0", "power_timeout": "10", "login_timeout": "5", "shell_timeout": "5",
            "pcmk_host_list": node.name, "pcmk_host_check": "static-list",
        }  # fmt: skip
        name = f"{FENCE_PREFIX}{node.name}"
        devices.append(
            f'<primitive id="{name}" class="stonith" type="fence_ipmilan"><instance_attributes id="{name}-params">{_nvpairs(name, parameters)}'
            # A look each minute finds a dead controller before it is needed; each costs three
            # masters a Python and an ipmitool.
            f'</instance_attributes><operations><op id="{name}-start" name="start" interval="0s" timeout="30s"/>'
            f'<op id="{name}-monitor" name="monitor" interval="60s" timeout="30s"/></operations></primitive>\n'
        )
    return "".join(devices)


def _address_first(topology: Topology) -> str:
    """Start the address before the devices that ran on the lost master: they are only watched there; any other master may use them meanwhile."""
    return "".join(
        f'<rsc_order id="address-before-{node.name}" first="{VIP_RESOURCE}" then="fence-{node.name}" kind="Optional" symmetrical="false"/>'
        for node in topology.masters
    )


def _not_itself(topology: Topology) -> str:
    """Keep each device off the machine that it switches: nobody is asked to shoot himself."""
    names = [node.name for node in topology.masters]
    return "".join(
        f'<rsc_location id="not-on-{name}" rsc="fence-{name}" node="{name}" score="-INFINITY"/>'
        for name in names
    )


def cib(topology: Topology, health: HealthCheck, password: str) -> str:
    """Render the CIB: the floating address, the watcher of the API server it depends on through a node attribute, the fencing devices."""
    options = {
        # Off: a lost master's address is taken over on the guess that it is dead; a lesson, not a
        # way to run (`ha: {fencing: none}`).
        "stonith-enabled": str(topology.ha.fencing).lower(),
        # Off and not on again: a machine that was shot stays down until somebody has looked at it,
        # as every other one of the lab. Or on again (`ha: {fencing: reboot}`): the agent does it by
        # off, a look, and on (its method onoff), and is content when the first two worked.
        "stonith-action": "reboot" if topology.ha.reboot else "off",
        # The machines of a lab boot seconds apart; one that is slow to join must not be shot for
        # it.
        "startup-fencing": "false",
        # How long the first node waits for another's election; 20 s by default, and all masters
        # boot together.
        "dc-deadtime": "2s",
        "no-quorum-policy": "stop",
        # Pacemaker's controller sleeps a whole second, often twice, if it asks the scheduler while
        # a dead node's last updates of the CIB are still on their way (do_pe_invoke_callback in its
        # daemons/controld). A quarter of a second lets them arrive (measured: membership to address
        # 2.1 s without it, 1.3 s with 100 ms, 0.5 to 0.65 s with 300 ms).
        "transition-delay": "250ms",
        # By default (80 %) Pacemaker does one thing at a time on a machine whose load is high, and
        # what it reads as its machine's is the whole host's, most of all when a master has just
        # died (measured: 0.28 s of 2.0 s spent on waiting for another resource).
        "load-threshold": "1000%",
    }
    # The address stays where it is when a node returns: going back would be a second outage.
    stays = {"resource-stickiness": "100", "migration-threshold": "3", "failure-timeout": FORGOTTEN}
    defaults = _nvpairs("rsc", stays)
    # The watcher is a process of its own that asks every second over a kept connection. Two bad
    # answers move the address, or three that are late: nine seconds of a server that answers nobody
    # while its machine lives. The monitor here only looks whether it lives: each of Pacemaker's own
    # questions costs 25 ms of a core on each master.
    parameters = {
        "url": health.url,
        "cacert": health.ca,
        "cert": health.certificate,
        "key": health.key,
        "attribute": ATTRIBUTE,
    }
    # A /32: the address must never become the primary one of its subnet, nor vanish with it.
    address = {"ip": str(topology.network.vip), "cidr_netmask": "32", "nic": "eth0"}
    return f"""<cib crm_feature_set="3.0.0" validate-with="pacemaker-3.0" epoch="1" num_updates="0" admin_epoch="1"><configuration>
<crm_config><cluster_property_set id="cib-bootstrap-options">{_nvpairs("opt", options)}</cluster_property_set></crm_config>
<nodes/>
<resources>
<clone id="{HEALTH_RESOURCE}-clone"><primitive id="{HEALTH_RESOURCE}" class="ocf" provider="halab" type="apiserver">
<instance_attributes id="health-params">{_nvpairs("health", parameters)}</instance_attributes>
<operations>{_operations("health", "10s")}</operations></primitive></clone>
<primitive id="{VIP_RESOURCE}" class="ocf" provider="heartbeat" type="IPaddr2">
<instance_attributes id="vip-params">{_nvpairs("vip", address)}</instance_attributes>
<operations>{_operations("vip", "5s")}</operations></primitive>
{_fencing(topology, password)}</resources>
<constraints>{_not_itself(topology)}{_address_first(topology)}
<rsc_location id="vip-needs-apiserver" rsc="{VIP_RESOURCE}"><rule id="vip-rule" score="-INFINITY" boolean-op="or">
<expression id="vip-unknown" attribute="{ATTRIBUTE}" operation="not_defined"/>
<expression id="vip-unhealthy" attribute="{ATTRIBUTE}" operation="ne" value="1"/></rule></rsc_location></constraints>
<rsc_defaults><meta_attributes id="rsc-defaults">{defaults}</meta_attributes></rsc_defaults>
{fencings.ALERT}
</configuration><status/></cib>
"""


def _operations(prefix: str, every: str) -> str:
    """Render a resource's operations.

    A monitor that finds nothing says so at once: `every` alone is how soon a loss is found.
    """
    rows = {"start": "0s", "stop": "0s", "monitor": every}
    return "".join(
        f'<op id="{prefix}-{name}" name="{name}" interval="{interval}" timeout="{OPERATION}"/>'
        for name, interval in rows.items()
    )


def _nvpairs(prefix: str, values: dict[str, str]) -> str:
    return "".join(
        f'<nvpair id="{prefix}-{name}" name="{name}" value={quoteattr(value)}/>'
        for name, value in values.items()
    )


def files(topology: Topology, secrets: Secrets, health: HealthCheck) -> tuple[File, ...]:
    """Return the files of a master's cluster stack; the units are Debian's own."""
    password = ipmi_password(secrets)
    # Failures at boot are normal (a peer is not there yet) and must not end a unit for good.
    restart = b"[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestart=on-failure\nRestartSec=1\n"
    # Before everything else on the machine: a token that comes late, because something else had the
    # processor, costs a healthy master its power. Where it gets no real time, it has weight among
    # the machine's units (systemd.resource-control(5): 1 to 10000, 100 is the rest's), and niceness
    # where the machine has no controller for processors.
    urgent = restart + b"Nice=-20\nCPUWeight=10000\n" + realtime.UNIT.encode()
    stack = b"Nice=-10\nCPUWeight=1000\n"
    if topology.ha.reboot:
        # A container boots sooner than the others have told each other that it was shot. Its
        # Pacemaker then ends for good, with CRM_EX_FATAL (lab/nodes/ha/membership.py says why), and
        # nobody is there to start it again.
        stack += b"RestartForceExitStatus=100\n"
    return (
        File(path="/etc/corosync/corosync.conf", content=corosync_conf(topology).encode()),
        File(path="/etc/corosync/authkey", content=secrets.files["corosync.authkey"], mode=0o400),
        File(
            path="/var/lib/pacemaker/cib/cib.xml",
            content=cib(topology, health, password).encode(),
            mode=0o600,
            owner=HACLUSTER,
        ),
        fencings.file(),
        File(path="/etc/systemd/system/corosync.service.d/halab.conf", content=urgent),
        File(path="/etc/systemd/system/pacemaker.service.d/halab.conf", content=restart + stack),
    )
