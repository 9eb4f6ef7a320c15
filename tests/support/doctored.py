"""A machine that `halab doctor` examines: its engine, and what it answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NoReturn

from lab.base.errors import EngineError, LabError
from lab.base.sizes import GIB
from lab.engine.spec import Observed, ObservedContainer

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.host.findings import Finding


INFO = {
    "ServerVersion": "28.0",
    "ApiVersion": "1.48",
    "CgroupVersion": "2",
    "CgroupDriver": "systemd",
    "MemTotal": 16 * GIB,
    "OperatingSystem": "Debian",
    "DockerRootDir": "/",
}
DESKTOP = {**INFO, "OperatingSystem": "Docker Desktop"}
NOT_THERE = EngineError("no Docker engine answers", "start Docker")


class Machine:
    """An engine with some helpers and a lab."""

    def __init__(
        self, ages_s: tuple[int, ...] = (), subnets: dict[str, str] | None = None, port: int = 0
    ) -> None:
        self.helpers = {
            f"helper{age:012}": datetime.now(UTC) - timedelta(seconds=age) for age in ages_s
        }
        self.networks, self.port, self.told = subnets or {}, port, INFO
        self.removed: list[str] = []
        self.sick = False
        self.local = True

    def info(self) -> dict[str, object]:
        return self.told

    @property
    def about(self) -> dict[str, object]:
        return self.told

    def images(self) -> dict[str, object]:
        return {}

    def labelled(self, label: str) -> tuple[list[str], list[str], list[str]]:
        if self.sick:
            raise EngineError("listing what bears it: broken", "restart it")
        assert label == "halab.helper=1"
        return list(self.helpers), [], []

    def inspect(self, helper: str) -> dict[str, str]:
        return {"Created": f"{self.helpers[helper]:%Y-%m-%dT%H:%M:%S}.123456789Z"}

    def remove_container(self, helper: str) -> None:
        self.removed.append(helper)
        del self.helpers[helper]

    def labs(self) -> dict[str, Observed]:
        return {}

    def subnets(self) -> dict[str, str]:
        return self.networks

    def observe(self, lab: str) -> Observed:
        balancer = ObservedContainer(
            id="x", name="lb", state="running", labels={}, ports={6443: self.port}
        )
        return Observed(lab=lab, containers=(balancer,) if self.port else ())


def by_name(findings: tuple[Finding, ...]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def refuse(error: LabError) -> Callable[..., NoReturn]:
    def fail(*_: object) -> NoReturn:
        raise error

    return fail
