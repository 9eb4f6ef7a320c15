"""`ports:` and `mounts:` of a node: what of the host it has a part in."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from lab.base.errors import WrongError
from lab.base.messages import shown
from lab.topology import values
from lab.topology.model import Mount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lab.base.yaml_files import Problems, Value
    from lab.topology.values import Section

HOST_PORTS = (1024, 65_535)
"""As loadbalancer.host_port: ports below need privilege; 0 means any free one."""
MAX_PORT = 65_535
MODES = {"ro": False, "rw": True}
"""A mount's last word → whether the node may write."""

HOST_WHOLE = ("/", "/home", "/root", "/usr", "/var", "/var/lib")
"""Folders of the host that hold more than anybody means; what is inside may be mounted."""
HOST_TREES = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run"),
    *("/sbin", "/sys", "/usr/bin", "/usr/lib", "/usr/sbin", "/var/run", "/var/lib/docker"),
    "/var/lib/containerd",
)
"""Folders of the host that are its own, and all in them: devices, secrets, the engine."""
NODE_WHOLE = ("/", "/opt", "/var")
NODE_TREES = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/opt/cni"),
    *("/proc", "/root", "/run", "/sbin", "/sys", "/tmp", "/usr", "/var/lib", "/var/lock"),  # noqa: S108 (of nodes)
    *("/var/log", "/var/run"),
)
"""Folders of a node that it boots and works from; /run and /tmp are empty at each boot."""


def read_ports(section: Section) -> tuple[tuple[int, int], ...]:
    """Read a node's ports: host, node."""
    entry = section.find_all("ports", _port, ())
    ports = entry.value if entry else ()
    if entry and len({inside for _, inside in ports}) < len(ports):
        name = section.name("ports")
        section.problems.add(entry.at, f"`{name}` has one of the node's ports twice", "keep one")
    return ports


def read_mounts(section: Section, base: Path) -> tuple[Mount, ...]:
    """Read a node's mounts; `base` is the folder that paths start from."""
    entry = section.find_all("mounts", _mount(base), ())
    mounts = entry.value if entry else ()
    if entry and len({mount.path for mount in mounts}) < len(mounts):
        name = section.name("mounts")
        section.problems.add(entry.at, f"`{name}` has one of the node's paths twice", "keep one")
    return mounts


def _port(value: Value) -> tuple[int, int]:
    text = values.text(value)
    parts = text.split(":")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):  # noqa: PLR2004 (two)
        hint = "HOST:NODE, for example 8080:30080; TCP, on the host's 127.0.0.1 only"
        raise WrongError(f"has `{shown(text)}`", hint)
    host, inside = (int(part) if len(part) <= len(str(MAX_PORT)) else -1 for part in parts)
    low, high = HOST_PORTS
    if host and not low <= host <= high:
        hint = f"it must be {low} to {high}, or 0 for any free one"
        raise WrongError(f"has the host's port {shown(parts[0])}", hint)
    if not 1 <= inside <= MAX_PORT:
        raise WrongError(f"has the node's port {shown(parts[1])}", f"it must be 1 to {MAX_PORT}")
    return host, inside


def _mount(base: Path) -> Callable[[Value], Mount]:
    def parse(value: Value) -> Mount:
        text = values.text(value)
        folder, colon, rest = text.partition(":")
        path, _, mode = rest.partition(":")
        if not (folder and colon and path) or (mode or "ro") not in MODES:
            hint = "FOLDER:PATH, or FOLDER:PATH:rw where the node may write"
            raise WrongError(f"has `{shown(text)}`, which is not a mount", hint)
        return Mount(folder=_folder(base, folder), path=_path(path), writable=MODES[mode or "ro"])

    return parse


def _folder(base: Path, name: str) -> str:
    """Return the host's folder, links followed: what is judged is what is mounted."""
    hint = "relative paths start from the topology file's folder"
    try:
        path = os.path.realpath(base / Path(name).expanduser())
        there = Path(path).is_dir()
    except (OSError, ValueError, RuntimeError):  # a NUL, a loop of links, no home
        there = False
    if not there:
        raise WrongError(f"names no folder: {shown(name)}", hint)
    if _whole_or_in(path, HOST_WHOLE, HOST_TREES) or _holds_a_socket(path):
        raise WrongError(
            f"names {shown(path)}, a folder of the host's own system",
            "mount a folder of yours; the engine's socket would make nodes root on the host",
        )
    return path


def _path(name: str) -> str:
    """Return the node's path. No part may be a link in the image: engines refuse to follow it."""
    path = PurePosixPath(name)
    if not path.is_absolute() or ".." in path.parts or not name.isprintable():
        raise WrongError(f"has `{shown(name)}`, no path of a node", "for example /mnt/data")
    if _whole_or_in(str(path), NODE_WHOLE, NODE_TREES):
        hint = "for example /mnt/data"
        raise WrongError(f"names the node's {shown(str(path))}, which it works from", hint)
    return str(path)


def _whole_or_in(path: str, whole: Iterable[str], trees: Iterable[str]) -> bool:
    return path in whole or any(PurePosixPath(path).is_relative_to(tree) for tree in trees)


def _holds_a_socket(path: str) -> bool:
    """Whether the engine's socket is in a folder: Docker's own place, a user's, or a named one."""
    named = os.environ.get("DOCKER_HOST", "")
    places = [Path("/var/run/docker.sock")]
    if named.startswith("unix://"):
        places.append(Path(named.removeprefix("unix://")))
    home = Path("~").expanduser()
    places += [home / ".docker/run/docker.sock", home / ".docker/desktop/docker.sock"]
    there = [place for place in places if place.exists() or str(place) in named]
    return any(Path(os.path.realpath(place)).is_relative_to(path) for place in there)


def check(
    nodes: Iterable[tuple[str, Value, tuple[tuple[int, int], ...]]],
    balancer: int,
    problems: Problems,
) -> None:
    """Refuse a port of the host that is published twice; `balancer` is the load balancer's."""
    taken = {balancer: "loadbalancer.host_port"} if balancer else {}
    for name, at, ports in nodes:
        for host, _ in ports:
            if host in taken:
                message = f"`{name}` has the host's port {host}, as `{taken[host]}`"
                problems.add(at, message, "take another one, or 0 for any free one")
            elif host:
                taken[host] = name
