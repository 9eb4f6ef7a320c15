"""Machines for tests of single images: testcontainers' containers, run as halab runs nodes."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

os.environ.setdefault(
    "TESTCONTAINERS_RYUK_DISABLED", "true"
)  # its reaper is an image that cannot be pulled everywhere; labels serve

from testcontainers.core.container import DockerContainer

from lab import engine
from lab.engine.files import pack
from lab.engine.privileges import MACHINE_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lab.engine.client import Engine
    from lab.engine.files import File

LABEL = {"halab.test": "docker"}
BOOT_S = 90
COMMAND_S = 120


class Machine(DockerContainer):
    """One of halab's images with systemd as PID 1.

    Made with the engine's own settings for machines.
    """

    def __init__(
        self,
        engine_: Engine,
        image: str,
        *,
        privileged: bool,
        files: Sequence[File] = (),
        network: str = "",
        ip: str = "",
        name: str = "m",
    ) -> None:
        super().__init__(image)
        self._engine, self._files = engine_, files
        self._settings: dict[str, Any] = {"privileged": privileged}
        self._place = (network, ip, name)

    def start(self) -> Machine:
        network, ip, name = self._place
        api = self.get_docker_client().client.api
        host = self._engine.machine(
            privileged=self._settings["privileged"],
            **({"network_mode": network} if network else {}),
        )
        endpoint = (
            api.create_networking_config({network: api.create_endpoint_config(ipv4_address=ip)})
            if network
            else None
        )
        made = self._engine._create(
            self.image,
            host,
            hostname=name,
            labels=LABEL,
            networking_config=endpoint,
            stop_signal="SIGRTMIN+3",
            volumes=["/var/lib/containerd"],
            environment={"container": "docker"},
        )
        self._container = self.get_docker_client().client.containers.get(made)
        if self._files:
            api.put_archive(made, "/", pack(self._files))
        self._container.start()
        return self

    def run(self, *argv: str) -> tuple[int, str]:
        """Run a command by halab's engine: docker's own reader may lose a quick one's output."""
        result = self._engine.run(self._container.id, argv, timeout_s=COMMAND_S)
        return result.code, result.output

    def eventually(self, what: str, ask: Callable[[], bool], seconds: float = BOOT_S) -> None:
        begin = time.monotonic()
        while not ask():
            if time.monotonic() - begin > seconds:
                journal = self.run("journalctl", "--no-pager", "-n", "30")[1]
                raise AssertionError(f"{what}: not within {seconds} s\n{journal}")
            time.sleep(0.3)

    def await_boot(self) -> None:
        self.eventually(
            "systemd is up",
            lambda: (
                self.run("systemctl", "is-system-running")[1].strip() in {"running", "degraded"}
            ),
        )


__all__ = ["LABEL", "MACHINE_OPTIONS", "Machine", "engine"]
