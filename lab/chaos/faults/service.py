"""Faults of one service on a machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.base.errors import FaultError
from lab.chaos.fault import Base, same_life

if TYPE_CHECKING:
    from lab.chaos.fault import FaultSite
    from lab.live.active_faults import ActiveFault, Options

UNITS = {
    "etcd": {"upstream": "etcd", "k3s": "k3s"},
    "apiserver": {"upstream": "kube-apiserver", "k3s": "k3s"},
    "controller-manager": {"upstream": "kube-controller-manager", "k3s": "k3s"},
    "scheduler": {"upstream": "kube-scheduler", "k3s": "k3s"},
    "kubelet": {"upstream": "kubelet", "k3s": "k3s"},
    "kube-proxy": {"upstream": "kube-proxy", "k3s": "k3s"},
    "containerd": {"upstream": "containerd", "k3s": "k3s"},
    "flannel": {"upstream": "flannel", "k3s": "k3s"},
    "k3s": {"k3s": "k3s"},
}
"""Service → unit, by distribution; K3s is all of them in one. Anything else is a unit's own name
(corosync, pacemaker, nginx)."""


def unit(site: FaultSite, service: str) -> str:
    """Return the unit that runs a service on this node. K3s's workers have k3s-agent."""
    name = UNITS.get(service, {}).get(site.distribution, service)
    return "k3s-agent" if name == "k3s" and site.node.role == "worker" else name


@dataclass(frozen=True)
class ServiceFault(Base):
    """A service ends and stays ended, is killed and comes back by itself, or freezes."""

    name: str
    summary: str
    signal: str
    """Empty: stopped by systemd."""
    options: Options = field(default_factory=lambda: {"unit": ""})
    """`whom`, if the fault has it: `main`, the unit's own process, or `all` of its cgroup."""

    def check(self, site: FaultSite, options: Options) -> str:
        """The unit must be there and running."""
        if not options["unit"]:
            return (
                "say which: --set unit=etcd "
                "(or apiserver, kubelet, containerd, corosync, pacemaker, nginx, flannel, …)"
            )
        if options.get("whom", "main") not in {"main", "all"}:
            return f"whom={options['whom']}: main or all"
        name = unit(site, options["unit"])
        state = site.node.run(["systemctl", "is-active", name], check=False).output.strip()
        if state in {"active", "activating"}:
            return ""
        return f"{name} is {state or 'unknown'} on {site.node.name}"

    def prepare(self, site: FaultSite, options: Options) -> Options:
        """Note the process."""
        return {"pid": self._pid(site, unit(site, options["unit"]))}

    def _pid(self, site: FaultSite, name: str) -> str:
        return site.node.run(["systemctl", "show", "-P", "MainPID", name]).output.strip()

    def inject(self, site: FaultSite, active: ActiveFault) -> None:
        """Stop it, or send the signal to the processes that `whom` names (systemctl(1))."""
        name = unit(site, active.options["unit"])
        whom = f"--kill-whom={active.options.get('whom', 'all')}"
        kill = ["kill", f"--signal={self.signal}", whom]
        site.node.run(["systemctl", *(kill if self.signal else ["stop"]), name])

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """The process is gone (stopped, or another one runs), or is frozen."""
        name, pid = unit(site, active.options["unit"]), active.before["pid"]
        if self.signal == "SIGSTOP":
            stat = site.node.run(["cat", f"/proc/{pid}/stat"], check=False).output
            fields = stat.rsplit(")", 1)[-1].split()
            return f"{name} (process {pid}) is frozen" if fields[:1] == ["T"] else ""
        now = self._pid(site, name)
        return f"{name}: process {pid} is gone" if now != pid else ""

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Let it run. A machine that was powered on since has started its services itself."""
        if not same_life(site, active):
            return
        name = unit(site, active.options["unit"])
        if self.signal == "SIGSTOP":
            action = ["kill", "--signal=SIGCONT", name]
        else:
            action = ["start", "--no-block", name]
        result = site.node.run(["systemctl", *action], check=False)
        if result.code != 0:
            raise FaultError(
                f"{name} on {site.node.name} cannot be healed: {result.output.strip()}"
            )


FAULTS = (
    ServiceFault(
        "service-stop", "stop a service; it stays down until healed (--set unit=etcd)", ""
    ),
    # A daemon that crashes leaves its children: the shims of containerd and K3s, and so the pods,
    # live on in its cgroup (their units have KillMode=process).
    ServiceFault(
        "service-kill",
        "kill a service's main process; systemd brings it back "
        "(--set unit=etcd --set whom=main|all; all: its children, too, such as pods' shims)",
        "SIGKILL",
        {"unit": "", "whom": "main"},
    ),
    ServiceFault("service-hang", "freeze a service's processes (--set unit=etcd)", "SIGSTOP"),
)
