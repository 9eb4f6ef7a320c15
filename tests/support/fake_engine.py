"""A double of the engine: dicts of containers, volumes, networks and images, a table of answers.

It refuses what lab/engine's client refuses, in the same classes of error. What a test needs beside
that (ports that are taken, an engine that is late) is a subclass.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

from lab.base.errors import EngineError, InUse, SubnetTaken
from lab.engine.commands import Result
from lab.engine.files import pack
from lab.engine.labels import LABEL, LABEL_SNAPSHOT, LABEL_TOPOLOGY, OF_CONTAINERS
from lab.engine.spec import Observed, ObservedContainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from lab.engine.files import File
    from lab.engine.spec import Bind, ContainerSpec, Desired, NetworkSpec

ACTIVE = {"running", "paused"}
ANY_PORT = 49153
"""What a container gets that asks for any port."""


@dataclass
class FakeContainer:
    """A container: its state in the engine's word, and what lies on its disk."""

    labels: dict[str, str] = field(default_factory=dict)
    state: str = "running"
    image: str = "halab/x:1"
    files: dict[str, File] = field(default_factory=dict)
    ports: dict[int, int] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)
    privileged: bool = False
    mounts: dict[str, str] = field(default_factory=dict)
    """Volume → where it is mounted."""
    networks: set[str] = field(default_factory=set)


@dataclass
class FakeVolume:
    """A volume, and what lies in it, by the paths of its users."""

    labels: dict[str, str] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)


@dataclass
class FakeNetwork:
    """A network; one without a subnet meets none."""

    labels: dict[str, str] = field(default_factory=dict)
    subnet: str = ""


@dataclass
class FakeImage:
    """An image that was made of a container: its labels, and the files of its own disk."""

    labels: dict[str, str] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)


@dataclass
class FakeEngine:
    """The double. `calls` keeps what changed anything: `start halab-x-m`."""

    containers: dict[str, FakeContainer] = field(default_factory=dict)
    volumes: dict[str, FakeVolume] = field(default_factory=dict)
    networks: dict[str, FakeNetwork] = field(default_factory=dict)
    tags: set[str] | None = None
    """Of the images that are here; None: every image is."""
    committed: dict[str, FakeImage] = field(default_factory=dict)
    """Images that were made of containers, by tag."""
    answers: dict[str, Result] = field(default_factory=dict)
    """A part of `container: command line`, or several with `…` between → what it prints.

    The first that fits; else nothing.
    """
    about: dict[str, Any] = field(default_factory=lambda: {"Architecture": "x86_64"})
    local: bool = True
    """Whether it is on this machine's own kernel."""
    calls: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    """What was run: `container: command line`."""
    observations: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    # --- what a test sets up ---

    def add(self, name: str, lab: str = "x", state: str = "running", **labels: str) -> None:
        """Add a container of a lab."""
        self.containers[name] = FakeContainer(labels={LABEL: lab, **labels}, state=state)

    def add_volume(self, name: str, lab: str = "x") -> None:
        """Add a volume of a lab."""
        self.volumes[name] = FakeVolume({LABEL: lab})

    def add_network(self, name: str, lab: str = "", subnet: str = "", topology: str = "") -> None:
        """Add a network of a lab, or of somebody else."""
        labels = {LABEL: lab, LABEL_TOPOLOGY: topology}
        self.networks[name] = FakeNetwork(
            {key: text for key, text in labels.items() if text}, subnet
        )

    def add_lab(self, desired: Desired, state: str = "running") -> None:
        """Add all of a lab as it should be, its containers in one state."""
        for network in desired.networks:
            self.create_network(network, {})
        for name, labels in desired.volumes.items():
            self.create_volume(name, labels)
        for container in desired.containers:
            self.create_container(container, {}, privileged=False)
            self.containers[container.name].state = state
        self.calls.clear()

    def running(self) -> set[str]:
        """Return the names of the containers that run."""
        return {name for name, item in self.containers.items() if item.state == "running"}

    # --- looking ---

    def labs(self) -> dict[str, Observed]:
        everything = (*self.containers.values(), *self.volumes.values(), *self.networks.values())
        names = {item.labels.get(LABEL, "") for item in everything}
        return {name: self._observed(name) for name in sorted(names - {""})}

    def observe(self, lab: str) -> Observed:
        self.observations += 1
        return self._observed(lab)

    def _observed(self, lab: str) -> Observed:
        networks = _owned(self.networks, lab)
        containers = _owned(self.containers, lab)
        topologies = (self.networks[name].labels.get(LABEL_TOPOLOGY, "") for name in networks)
        snapshots = (self.networks[name].labels.get(LABEL_SNAPSHOT, "") for name in networks)
        return Observed(
            lab=lab,
            topology=next(filter(None, topologies), ""),
            snapshot=next(filter(None, snapshots), ""),
            networks=tuple(networks),
            volumes=tuple(_owned(self.volumes, lab)),
            containers=tuple(_shown(name, self.containers[name]) for name in containers),
        )

    def subnets(self) -> dict[str, str]:
        return {item.subnet: name for name, item in self.networks.items() if item.subnet}

    def owner(self, container: str) -> str | None:
        item = self.containers.get(container)
        return None if item is None else item.labels.get(LABEL, "")

    def published(self, container: str, port: int) -> int:
        item = self.containers.get(container)
        return item.ports.get(port, 0) if item and item.state in ACTIVE else 0

    def inspect(self, container: str) -> dict[str, Any]:
        item = self._container(container)
        bindings = {f"{port}/tcp": [{"HostPort": str(out)}] for port, out in item.ports.items()}
        mac = f"02:00:00:00:00:{len(container):02x}"
        return {
            "State": {
                "Status": item.state,
                "Running": item.state in ACTIVE,
                "Paused": item.state == "paused",
                "StartedAt": "then",
            },
            "HostConfig": {"Memory": 0, "CpuQuota": 0, "PortBindings": bindings, **item.host},
            "NetworkSettings": {
                "Networks": {name: {"MacAddress": mac} for name in sorted(item.networks)}
            },
        }

    def labelled(self, label: str) -> tuple[list[str], list[str], list[str]]:
        key, _, value = label.partition("=")
        kinds = (self.containers, self.volumes, self.networks)
        containers, volumes, networks = (_bearing(kind, key, value) for kind in kinds)
        return containers, volumes, networks

    def info(self) -> dict[str, Any]:
        return self.about

    def has_image(self, tag: str) -> bool:
        return self.tags is None or tag in self.tags or tag in self.committed

    def image(self, name: str) -> dict[str, Any] | None:
        return {"Id": name, "Size": 1_000_000} if self.has_image(name) else None

    def images_bearing(self, label: str) -> dict[str, dict[str, Any]]:
        tags = _bearing(self.committed, *label.partition("=")[::2])
        return {tag: {"Labels": self.committed[tag].labels} for tag in tags}

    def commit(self, container: str, tag: str, labels: dict[str, str]) -> None:
        item = self._container(container)
        own = {**item.labels, **dict.fromkeys(OF_CONTAINERS, ""), **labels}
        self.committed[tag] = FakeImage(own, dict(item.files))
        self._call("commit", tag)

    def images(self, repository: str = "halab/*") -> dict[str, dict[str, Any]]:
        del repository
        return {tag: {"Size": 1_000_000} for tag in sorted(self.tags or ())}

    def labels(self, tag: str) -> dict[str, str]:
        if not self.has_image(tag):
            raise EngineError(f"inspecting {tag}: No such image: {tag}")
        return {}

    # --- making and removing ---

    def create_network(self, spec: NetworkSpec, labels: dict[str, str]) -> None:
        with self._lock:
            subnet = IPv4Network(spec.subnet)
            others = [item.subnet for item in self.networks.values() if item.subnet]
            if any(subnet.overlaps(IPv4Network(other)) for other in others):
                raise SubnetTaken(f"making network {spec.name}: Pool overlaps with other one")
            self.networks[spec.name] = FakeNetwork({**spec.labels, **labels}, spec.subnet)
            self._call("network", spec.name)

    def create_volume(self, name: str, labels: dict[str, str]) -> None:
        if name not in self.volumes:
            self.volumes[name] = FakeVolume(dict(labels))
            self._call("volume", name)

    def create_container(
        self, spec: ContainerSpec, labels: dict[str, str], *, privileged: bool
    ) -> None:
        if spec.name in self.containers:
            raise EngineError(f"making container {spec.name}: the name is already in use")
        self._image(spec.image)
        item = self._made_of(spec.image, {**spec.labels, **labels})
        item.ports, item.mounts = dict(spec.ports), dict(spec.volumes)
        item.privileged = privileged
        self.containers[spec.name] = item
        self._call("create", spec.name)
        self.connect(spec)

    def create_helper(
        self,
        image: str,
        command: Sequence[str],
        labels: dict[str, str],
        host: dict[str, Any] | None = None,
    ) -> str:
        self._image(image)
        with self._lock:
            name = f"helper-{len(self.calls)}"
            mounts = (host or {}).get("Mounts", [])
            self.containers[name] = self._made_of(image, labels)
            self.containers[name].host = host or {}
            self.containers[name].mounts = {row["Source"]: row["Target"] for row in mounts}
            binds = (host or {}).get("binds", {})
            self.containers[name].mounts |= {key: row["bind"] for key, row in binds.items()}
            self._call("create", name)
        return name

    def machine(
        self, *, privileged: bool, mounts: Sequence[Bind] = (), **more: Any
    ) -> dict[str, Any]:
        return {"Privileged": privileged, "Mounts": list(mounts), **more}

    def wait(self, container: str, timeout_s: float) -> int:
        self._container(container).state = "exited"
        return 0

    def connect(self, spec: ContainerSpec) -> None:
        networks = {spec.network, *spec.more}
        if missing := networks - set(self.networks):
            raise EngineError(f"connecting {spec.name}: no such network: {sorted(missing)}")
        self._container(spec.name).networks |= networks
        self._call("connect", spec.name)

    def remove_container(self, container: str) -> None:
        self.containers.pop(container, None)
        self._call("remove", container)

    def remove_volume(self, volume: str) -> None:
        if any(volume in item.mounts for item in self.containers.values()):
            raise InUse(f"removing volume {volume}: volume is in use")
        self.volumes.pop(volume, None)
        self._call("remove", volume)

    def remove_network(self, network: str) -> None:
        active = [item for item in self.containers.values() if item.state in ACTIVE]
        if any(network in item.networks for item in active):
            raise InUse(f"removing network {network}: network has active endpoints")
        self.networks.pop(network, None)
        self._call("remove", network)

    # --- power ---

    def start(self, container: str) -> None:
        ports = self._container(container).ports
        ports.update({inside: outside or ANY_PORT for inside, outside in ports.items()})
        self._power("start", container, "running")

    def stop(self, container: str, timeout_s: int) -> None:
        self._power("stop", container, "exited")

    def kill(self, container: str) -> None:
        self._active(container)
        self._power("kill", container, "exited")

    def pause(self, container: str) -> None:
        self._active(container)
        self._power("pause", container, "paused")

    def unpause(self, container: str) -> None:
        if self._container(container).state == "paused":
            self._power("unpause", container, "running")

    # --- files and commands ---

    def put(self, container: str, files: Iterable[File]) -> None:
        self._container(container)
        for file in files:
            self._disk(container, file.path)[file.path] = file
        self._call("put", container)

    def read(self, container: str, path: str) -> bytes:
        disk = self._disk(container, path)
        found = [file for place, file in disk.items() if _within(place, path)]
        if not found and path not in self._container(container).mounts.values():
            raise EngineError(f"reading {path} from {container}: Could not find the file {path}")
        return pack(found)

    def has(self, container: str, path: str) -> bool:
        return any(_within(place, path) for place in self._disk(container, path))

    def run(
        self,
        container: str,
        argv: Sequence[str],
        *,
        stdin: bytes | Iterable[bytes] | None = None,
        timeout_s: float = 30,
        heard: Callable[[bytes], None] | None = None,
    ) -> Result:
        self._active(container)
        line = f"{container}: {' '.join(argv)}"
        with self._lock:
            self.commands.append(line)
        if stdin is not None and not isinstance(stdin, bytes):
            list(stdin)
        answers = (answer for parts, answer in self.answers.items() if _fits(line, parts))
        result = next(answers, Result(0, ""))
        if heard:
            heard(result.output.encode())
        return result

    def save(self, tags: Sequence[str], arch: str) -> Iterator[bytes]:
        self._call("save", f"{' '.join(tags)} {arch}")
        yield b"tar"

    def load(self, data: Any) -> Iterator[str]:
        yield f"Loaded {len(b''.join(data))} bytes"

    def remove_image(self, tag: str) -> None:
        if any(item.image == tag for item in self.containers.values()):
            raise EngineError(f"removing image {tag}: conflict: a container is using it")
        if self.tags is not None:
            self.tags.discard(tag)
        if self.committed.pop(tag, None):
            self._call("remove", tag)

    def logs(self, container: str) -> str:
        self._container(container)
        return ""

    # --- within ---

    def _made_of(self, image: str, labels: dict[str, str]) -> FakeContainer:
        """Return a new container: what was made of a container hands on its labels and files."""
        own = self.committed.get(image, FakeImage())
        merged = {**own.labels, **labels}
        return FakeContainer(merged, "created", image, files=dict(own.files))

    def _container(self, name: str) -> FakeContainer:
        if name not in self.containers:
            raise EngineError(f"No such container: {name}")
        return self.containers[name]

    def _active(self, name: str) -> None:
        if self._container(name).state != "running":
            raise EngineError(f"container {name} is not running")

    def _image(self, tag: str) -> None:
        if not self.has_image(tag):
            raise EngineError(f"making a container of {tag}: No such image: {tag}")

    def _disk(self, container: str, path: str) -> dict[str, File]:
        """Return the files among which a path lies: a volume's where one is mounted there."""
        item = self._container(container)
        for volume, place in item.mounts.items():
            if _within(path, place) and volume in self.volumes:
                return self.volumes[volume].files
        return item.files

    def _power(self, verb: str, container: str, state: str) -> None:
        self._container(container).state = state
        self._call(verb, container)

    def _call(self, verb: str, what: str) -> None:
        with self._lock:
            self.calls.append(f"{verb} {what}")


def _fits(line: str, parts: str) -> bool:
    return all(part in line for part in parts.split("…"))


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _owned(kind: dict[str, Any], lab: str) -> list[str]:
    return sorted(_bearing(kind, LABEL, lab))


def _bearing(kind: dict[str, Any], key: str, value: str) -> list[str]:
    """Return the names of what bears a label; with a value only those that have it."""
    bearers = {name: item.labels[key] for name, item in kind.items() if key in item.labels}
    return [name for name, text in bearers.items() if value in {"", text}]


def _shown(name: str, item: FakeContainer) -> ObservedContainer:
    return ObservedContainer(
        id=name,
        name=name,
        state=item.state,
        labels={key: text for key, text in item.labels.items() if text},
        image=item.image,
        ports=dict(item.ports) if item.state in ACTIVE else {},
    )
