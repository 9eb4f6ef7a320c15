"""The engine's power button: on, off, frozen, throttled."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import docker.errors

from lab.base.errors import PortTaken
from lab.engine.errors import engine_errors

FREEZE_AGAIN_S = 0.1


PORT_TAKEN = dict.fromkeys(
    ("port is already allocated", "address already in use", "Ports are not available"), PortTaken
)
"""What engines say of a port: by another container's, by another program's, Docker Desktop's."""


class PowerCalls:
    """What switches containers; a part of Engine."""

    _api: Any

    def start(self, container: str) -> None:
        """Power on. A running container stays as it is, a frozen one is woken.

        Raise PortTaken where its port is lost.
        """
        # The engine starts no frozen one ("cannot start a paused container").
        self.unpause(container)
        with engine_errors(f"starting {container}", kinds=PORT_TAKEN):
            self._api.start(container)

    def stop(self, container: str, timeout_s: int) -> None:
        """Shut down; after `timeout_s` seconds the power is cut."""
        with engine_errors(f"stopping {container}"):
            self._api.stop(container, timeout=timeout_s)

    def kill(self, container: str) -> None:
        """Cut the power."""
        with engine_errors(f"killing {container}"):
            self._api.kill(container)

    def pause(self, container: str) -> None:
        """Freeze all its processes. Raises EngineError where it does not run."""
        with engine_errors(f"pausing {container}"):
            for last in (False, False, True):
                try:
                    self._api.pause(container)
                except docker.errors.APIError as error:
                    # The kernel's freezer may miss a process that forks meanwhile (cgroup v1, a
                    # busy machine): the runtime gives up, we ask again.
                    if last or "unable to freeze" not in str(error):
                        raise
                    time.sleep(FREEZE_AGAIN_S)
                else:
                    return

    def limit(self, container: str, **limits: int) -> None:
        """Set limits of its cgroup, by the API's names (cpu_period, cpu_quota)."""
        with engine_errors(f"setting limits of {container}"):
            self._api.update_container(container, **limits)

    def unpause(self, container: str) -> None:
        """Wake a paused container; others stay as they are."""
        with engine_errors(f"waking {container}"), contextlib.suppress(docker.errors.APIError):
            self._api.unpause(container)
