"""The engine's power button: on, off, frozen, throttled."""

from __future__ import annotations

import contextlib
from typing import Any

import docker.errors

from lab.engine.told import told


class PowerCalls:
    """What switches containers; a part of Engine."""

    _api: Any

    def start(self, container: str) -> None:
        """Power on. A running container stays as it is."""
        with told(f"starting {container}"):
            self._api.start(container)

    def stop(self, container: str, timeout_s: int) -> None:
        """Shut down; after `timeout_s` seconds the power is cut."""
        with told(f"stopping {container}"):
            self._api.stop(container, timeout=timeout_s)

    def kill(self, container: str) -> None:
        """Cut the power."""
        with told(f"killing {container}"):
            self._api.kill(container)

    def pause(self, container: str) -> None:
        """Freeze all its processes. Raises EngineError where it does not run."""
        with told(f"pausing {container}"):
            self._api.pause(container)

    def limit(self, container: str, **limits: int) -> None:
        """Set limits of its cgroup, by the API's names (cpu_period, cpu_quota)."""
        with told(f"setting limits of {container}"):
            self._api.update_container(container, **limits)

    def unpause(self, container: str) -> None:
        """Wake a paused container; others stay as they are."""
        with told(f"waking {container}"), contextlib.suppress(docker.errors.APIError):
            self._api.unpause(container)
