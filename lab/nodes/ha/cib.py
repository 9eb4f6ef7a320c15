"""The files of a master's cluster stack, above all Pacemaker's configuration (the CIB). Pure text.

They are written before the first boot: a CIB on disk brings the floating address 17 s earlier than
`crm configure` after the boot (measured on the development machine).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from lab.engine.files import File
from lab.nodes.ha import fencings, realtime
from lab.nodes.ha.corosync import corosync_conf
from lab.nodes.ha.ipmi import IPMI_USER, ipmi_password

if TYPE_CHECKING:
    from lab.kube.secrets import Secrets
    from lab.nodes.distributions import HealthCheck
    from lab.topology.model import Topology

VIP_RESOURCE = "FAILOVER-ADDR"
"""The reference installation's name for the floating address."""
HEALTH_RESOURCE = "apiserver-health"
ATTRIBUTE = "apiserver"
"""The watcher's verdict: 1 serves, 0 does not, late."""
FENCE_PREFIX = "fence-"
"""A fencing device is named by this prefix and its master's name."""
FENCING_OPTION = "opt-stonith-enabled"
"""The id of the setting that turns fencing on."""
OPERATION = "40s"
"""How long starting, stopping or watching a resource may take; each costs some 50 ms of a core.

At a load of 90 on two cores a monitor took more than ten seconds, and the address was moved. For a
stop that takes too long, a master even loses its power. Finding a machine that hangs is Corosync's
business.
"""
FORGOTTEN = "60s"
"""When a failure stops counting; must be longer than any operation (Pacemaker Explained)."""
HACLUSTER = 189
"""The uid and gid that images/node gives to hacluster, who owns the CIB."""
NO_SYNC = b"Environment=LD_PRELOAD=libeatmydata.so\n"
"""Pacemaker does not wait until the disk has its files: all machines share the host's disk.

The host outlives its machines, so what is written is there after a power failure without it. With
it, a disk that stores nothing for some seconds (16 s seen) stops the scheduler, which stores each
plan before it tells it. And pacemaker-based takes a whole processor on each master meanwhile: its
main loop does not sleep while one process writes the CIB and another is to follow (crm_trigger in
lib/common/mainloop.c; seen for 17 s). etcd does wait for its disk, for that is what it is about.
"""


def cib(topology: Topology, health: HealthCheck, password: str) -> str:
    """Render the CIB.

    It holds the floating address; the watcher of the API server, on which the address depends
    through a node attribute; and the fencing devices, whose `password` is the controllers'.
    """
    # The address stays where it is when a node returns: going back would be a second outage.
    stays = {"resource-stickiness": "100", "migration-threshold": "3", "failure-timeout": FORGOTTEN}
    defaults = _nvpairs("rsc", stays)
    versions = 'crm_feature_set="3.0.0" validate-with="pacemaker-3.0"'
    return f"""<cib {versions} epoch="1" num_updates="0" admin_epoch="1"><configuration>
<crm_config>{_properties(topology)}</crm_config>
<nodes/>
<resources>
{_watcher(health)}
{_address(topology)}
{_fencing(topology, password)}</resources>
<constraints>{_not_itself(topology)}{_address_first(topology)}
{_needs_apiserver()}</constraints>
<rsc_defaults><meta_attributes id="rsc-defaults">{defaults}</meta_attributes></rsc_defaults>
{fencings.ALERT}
</configuration><status/></cib>
"""


def _properties(topology: Topology) -> str:
    options = {
        # Off (`ha: {fencing: none}`), a lost master's address is taken over on the guess that it is
        # dead: a lesson, not a way to run.
        "stonith-enabled": str(topology.ha.fencing).lower(),
        # Off and not on again: a fenced machine stays down until somebody has looked at it, as
        # every other one of the lab. With `ha: {fencing: reboot}` it is powered on again: the agent
        # switches off, looks, and switches on (its method onoff); it is content if the first two
        # worked.
        "stonith-action": "reboot" if topology.ha.reboot else "off",
        # The machines of a lab boot seconds apart: one that is slow to join must not be fenced.
        "startup-fencing": "false",
        # How long the first node waits for another's election. The default is 20 s, but all masters
        # boot together; a lone one waits for nobody.
        "dc-deadtime": "2s" if len(topology.masters) > 1 else "100ms",
        "no-quorum-policy": "stop",
        # Pacemaker's controller sleeps a whole second, often twice, if it asks the scheduler while
        # a dead node's last updates of the CIB are still on their way (do_pe_invoke_callback in its
        # daemons/controld). A quarter of a second lets them arrive (measured: membership to address
        # 2.1 s without it, 1.3 s with 100 ms, 0.5 to 0.65 s with 300 ms).
        "transition-delay": "250ms",
        # By default (80 %) Pacemaker does one thing at a time on a machine with a high load. The
        # load that it reads is the whole host's, which is high above all when a master has just
        # died (measured: 0.28 s of 2.0 s spent on waiting for another resource).
        "load-threshold": "1000%",
    }
    pairs = _nvpairs("opt", options)
    return f'<cluster_property_set id="cib-bootstrap-options">{pairs}</cluster_property_set>'


def _watcher(health: HealthCheck) -> str:
    """Render the watcher of the API server, which runs on every master.

    It is a process of its own that asks every second over a kept connection. Two bad answers take
    the address away. Three late ones, nine seconds of a server that answers nobody while its
    machine lives, move it to a master that is prompt; on a busy host, where healthy servers are
    late, it takes ten. Pacemaker's monitor only looks whether the watcher lives, since each
    question of Pacemaker's own costs 25 ms of a core on each master.
    """
    parameters = {
        "url": health.url,
        "cacert": health.ca,
        "cert": health.certificate,
        "key": health.key,
        "attribute": ATTRIBUTE,
    }
    kind = 'class="ocf" provider="halab" type="apiserver"'
    return f"""<clone id="{HEALTH_RESOURCE}-clone"><primitive id="{HEALTH_RESOURCE}" {kind}>
<instance_attributes id="health-params">{_nvpairs("health", parameters)}</instance_attributes>
<operations>{_operations("health", "10s")}</operations></primitive></clone>"""


def _address(topology: Topology) -> str:
    # A /32: the address must never become the primary one of its subnet, nor vanish with it.
    parameters = {"ip": str(topology.network.vip), "cidr_netmask": "32", "nic": "eth0"}
    return f"""<primitive id="{VIP_RESOURCE}" class="ocf" provider="heartbeat" type="IPaddr2">
<instance_attributes id="vip-params">{_nvpairs("vip", parameters)}</instance_attributes>
<operations>{_operations("vip", "5s")}</operations></primitive>"""


def _fencing(topology: Topology, password: str) -> str:
    """Render a fencing device for each master: its baseboard controller, by the stock agent.

    The devices are there even when fencing is off.
    """
    return "".join(_device(topology, node.name, password) for node in topology.masters)


def _device(topology: Topology, master: str, password: str) -> str:
    parameters = {
        "ip": str(topology.bmc.ip),
        "ipport": str(topology.ipmi_port(master)),
        "username": IPMI_USER,
        "password": password,
        # The controllers speak IPMI 2.0 with cipher suite 3; ipmitool would try 17 first and fail
        # (its issue 363).
        "lanplus": "1",
        "cipher": "3",
        # The controllers answer when they are done; by default the agent sleeps two seconds before
        # it looks.
        "power_wait": "0",
        "power_timeout": "10",
        "login_timeout": "5",
        "shell_timeout": "5",
        "pcmk_host_list": master,
        "pcmk_host_check": "static-list",
    }
    name = f"{FENCE_PREFIX}{master}"
    return (
        f'<primitive id="{name}" class="stonith" type="fence_ipmilan">'
        f'<instance_attributes id="{name}-params">{_nvpairs(name, parameters)}'
        "</instance_attributes><operations>"
        f'<op id="{name}-start" name="start" interval="0s" timeout="30s"/>'
        # A look each minute finds a dead controller before it is needed. Each costs three masters a
        # Python and an ipmitool.
        f'<op id="{name}-monitor" name="monitor" interval="60s" timeout="30s"/>'
        "</operations></primitive>\n"
    )


def _address_first(topology: Topology) -> str:
    """Start the address before the devices that ran on the lost master.

    Devices are only watched there; any other master may use them meanwhile.
    """
    return "".join(
        f'<rsc_order id="address-before-{node.name}" first="{VIP_RESOURCE}"'
        f' then="fence-{node.name}" kind="Optional" symmetrical="false"/>'
        for node in topology.masters
    )


def _not_itself(topology: Topology) -> str:
    """Keep each device off the machine that it switches: no master is asked to fence itself."""
    names = [node.name for node in topology.masters]
    return "".join(
        f'<rsc_location id="not-on-{name}" rsc="fence-{name}" node="{name}" score="-INFINITY"/>'
        for name in names
    )


def _needs_apiserver() -> str:
    """Keep the address off masters whose API server is not known to serve; prefer a prompt one.

    A late server's master may hold the address: if all are late, because the host is busy, taking
    it from everybody would help nobody. A preference, not a negative score for the late one, which
    Pacemaker takes for a ban. It is greater than the stickiness.
    """
    return (
        f'<rsc_location id="vip-needs-apiserver" rsc="{VIP_RESOURCE}">'
        '<rule id="vip-rule" score="-INFINITY" boolean-op="or">\n'
        f'<expression id="vip-unknown" attribute="{ATTRIBUTE}" operation="not_defined"/>\n'
        f'<expression id="vip-unhealthy" attribute="{ATTRIBUTE}" operation="eq" value="0"/>'
        "</rule></rsc_location>\n"
        f'<rsc_location id="vip-prefers-prompt" rsc="{VIP_RESOURCE}">'
        '<rule id="vip-prompt-rule" score="1000">'
        f'<expression id="vip-prompt" attribute="{ATTRIBUTE}" operation="eq" value="1"/>'
        "</rule></rsc_location>"
    )


def _operations(prefix: str, every: str) -> str:
    """Render a resource's operations; `every` is how often its monitor runs.

    A monitor that finds nothing says so at once: `every` alone decides how soon a loss is found.
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
    """Return the files of a master's cluster stack; its units are Debian's own."""
    password = ipmi_password(secrets)
    # Failures at boot are normal (a peer is not there yet) and must not end a unit for good.
    restart = b"[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestart=on-failure\nRestartSec=1\n"
    # Corosync goes before everything else on the machine: a token that is late, because something
    # else had the processor, costs a healthy master its power. Without real time it has the
    # greatest weight among the machine's units (systemd.resource-control(5): 1 to 10000, others
    # have 100), and niceness where the machine has no controller for processors.
    urgent = restart + b"Nice=-20\nCPUWeight=10000\n" + realtime.UNIT.encode()
    stack = b"Nice=-10\nCPUWeight=1000\n" + NO_SYNC
    if topology.ha.reboot:
        # A container boots before the others have told each other that it was fenced. Its Pacemaker
        # then ends for good, with CRM_EX_FATAL (membership.py says why), and nobody is there to
        # start it again.
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
