"""Where the engine is, which machine it runs on, and what it says about itself."""

from __future__ import annotations

import os
import platform
import socket
from functools import cached_property
from typing import Any

import docker.errors
from docker.context import ContextAPI

from lab.engine.errors import engine_errors
from lab.engine.privileges import SOCKET


def address() -> str:
    """Return the engine's URL: DOCKER_HOST's, else that of Docker's current context.

    Without either, it is Docker's usual socket.
    """
    if named := os.environ.get("DOCKER_HOST"):
        return named
    try:
        context = ContextAPI.kwargs_from_context(environment=os.environ)
    except (docker.errors.DockerException, OSError, ValueError):  # a broken ~/.docker names none
        context = {}
    return str(context.get("base_url") or f"unix://{SOCKET}").replace("http+unix://", "unix://")


def startable() -> bool:
    """Whether an engine of this machine is meant, so that starting one here would help."""
    return platform.system() == "Linux" and address().startswith("unix://")


class AboutCalls:
    """The calls that tell where the engine is; a part of Engine."""

    _api: Any

    def info(self) -> dict[str, Any]:
        """Return the engine's own description (`docker info`)."""
        with engine_errors("asking the engine about itself"):
            return {**self._api.info(), "ApiVersion": self._api.api_version}

    @cached_property
    def about(self) -> dict[str, Any]:
        """The engine's own description, asked once: for what stays while a command runs."""
        return self.info()

    @property
    def socket(self) -> str:
        """The path of the UNIX socket that leads to the engine from here; "" for TCP and SSH."""
        return str(getattr(self._api.get_adapter(self._api.base_url), "socket_path", ""))

    @property
    def local(self) -> bool:
        """Whether the engine uses this machine's own kernel and disk.

        A socket alone does not tell: those of Docker Desktop and Colima lead into a machine of
        their own, one of `ssh -L` leads to another host. The same kernel release under the same
        host name is taken for the same machine.
        """
        if not self.socket or platform.system() != "Linux":
            return False
        if "Docker Desktop" in str(self.about.get("OperatingSystem", "")):
            return False
        own = platform.release(), socket.gethostname()
        return (self.about.get("KernelVersion"), self.about.get("Name")) == own

    @property
    def api(self) -> tuple[int, ...]:
        """The version of the API that is spoken, as numbers."""
        return tuple(int(part) for part in str(self._api.api_version).split("."))

    def socket_path(self) -> str:
        """Return the engine's socket as the engine's own machine has it.

        On this machine, it is the socket by which we reach the engine (DOCKER_HOST, a context). An
        engine with a machine of its own has Docker's usual one there, whatever the socket here is
        called.
        """
        return self.socket if self.local else SOCKET
