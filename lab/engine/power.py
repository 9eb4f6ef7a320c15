"""The engine's power button: on, off, frozen, throttled."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import docker.errors

from lab.base.errors import PortTaken
from lab.engine.errors import engine_errors

FREEZE_AGAIN_S = 0.1
"""Between two tries to freeze a container."""
PORT_TAKEN = dict.fromkeys(
    ("port is already allocated", "address already in use", "Ports are not available"), PortTaken
)
"""What engines say of a port that another container has, that another program has, and what Docker
Desktop says."""


class PowerCalls:
    """The calls that switch containers; a part of Engine."""

    _api: Any

    def start(self, container: str) -> None:
        """Power on a container. A running one stays as it is, a frozen one is woken.

        Raises PortTaken if its port on the host is taken.
        """
        # The engine refuses to start a frozen one ("cannot start a paused container").
        self.unpause(container)
        with engine_errors(f"starting {container}", kinds=PORT_TAKEN):
            self._api.start(container)

    def stop(self, container: str, timeout_s: int) -> None:
        """Shut a container down; after `timeout_s` seconds its power is cut."""
        with engine_errors(f"stopping {container}"):
            self._api.stop(container, timeout=timeout_s)

    def kill(self, container: str) -> None:
        """Cut a container's power."""
        with engine_errors(f"killing {container}"):
            self._api.kill(container)

    def pause(self, container: str) -> None:
        """Freeze all of a container's processes. Raises EngineError if it does not run."""
        with engine_errors(f"pausing {container}"):
            for last in (False, False, True):
                try:
                    self._api.pause(container)
                except docker.errors.APIError as error:
                    # The kernel's freezer may miss a process that forks meanwhile (cgroup v1, a
                    # busy machine). The runtime gives up then; we ask again.
                    if last or "unable to freeze" not in str(error):
                        raise
                    time.sleep(FREEZE_AGAIN_S)
                else:
                    return

    def limit(self, container: str, **limits: int) -> None:
        """Set limits of a container's cgroup, by the API's names (cpu_period, cpu_quota)."""
        with engine_errors(f"setting limits of {container}"):
            self._api.update_container(container, **limits)

    def unpause(self, container: str) -> None:
        """Wake a frozen container; others stay as they are."""
        with engine_errors(f"waking {container}"), contextlib.suppress(docker.errors.APIError):
            self._api.unpause(container)
