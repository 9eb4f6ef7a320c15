"""A double of the engine: dicts of containers, volumes and networks, a table of answers.

What a test needs beside that (ports that are taken, an engine that is late) is a subclass.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.base.errors import EngineError
from lab.engine.commands import Result
from lab.engine.files import pack
from lab.engine.labels import LABEL
from lab.engine.spec import Observed, ObservedContainer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lab.engine.files import File
    from lab.engine.spec import ContainerSpec


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


@dataclass
class FakeEngine:
    """The double. `calls` keeps what changed anything: `start halab-x-m`."""

    containers: dict[str, FakeContainer] = field(default_factory=dict)
    volumes: dict[str, str] = field(default_factory=dict)
    """Name → lab."""
    networks: dict[str, str] = field(default_factory=dict)
    """Name → lab."""
    topologies: dict[str, str] = field(default_factory=dict)
    """Lab → its topology as JSON, which the engine keeps as a label of the lab's network."""
    answers: dict[str, Result] = field(default_factory=dict)
    """A part of `container: command line` → what it prints. The first that fits; else nothing."""
    calls: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    """What was run: `container: command line`."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, lab: str = "x", state: str = "running", **labels: str) -> None:
        """Add a container of a lab."""
        self.containers[name] = FakeContainer(labels={LABEL: lab, **labels}, state=state)

    # --- looking ---

    def labs(self) -> dict[str, Observed]:
        owners = {item.labels.get(LABEL, "") for item in self.containers.values()}
        names = {*owners, *self.volumes.values(), *self.networks.values(), *self.topologies}
        return {name: self.observe(name) for name in sorted(names - {""})}

    def observe(self, lab: str) -> Observed:
        return Observed(
            lab=lab,
            topology=self.topologies.get(lab, ""),
            networks=tuple(name for name, owner in self.networks.items() if owner == lab),
            volumes=tuple(name for name, owner in self.volumes.items() if owner == lab),
            containers=tuple(
                ObservedContainer(
                    id=name,
                    name=name,
                    state=item.state,
                    labels=item.labels,
                    image=item.image,
                    ports=item.ports,
                )
                for name, item in self.containers.items()
                if item.labels.get(LABEL) == lab
            ),
        )

    def owner(self, container: str) -> str | None:
        item = self.containers.get(container)
        return None if item is None else item.labels.get(LABEL, "")

    def inspect(self, container: str) -> dict[str, Any]:
        state = self._container(container).state
        return {
            "State": {
                "Status": state,
                "Running": state in {"running", "paused"},
                "Paused": state == "paused",
            }
        }

    def labelled(self, label: str) -> tuple[list[str], list[str], list[str]]:
        key, _, value = label.partition("=")
        names = [name for name, item in self.containers.items() if key in item.labels]
        return [name for name in names if value in {"", self.containers[name].labels[key]}], [], []

    # --- making and removing ---

    def create_container(
        self, spec: ContainerSpec, labels: dict[str, str], *, privileged: bool
    ) -> None:
        assert spec.name not in self.containers
        self.containers[spec.name] = FakeContainer(
            labels={**spec.labels, **labels},
            state="created",
            image=spec.image,
            ports=dict(spec.ports),
            privileged=privileged,
        )
        self._call("create", spec.name)

    def create_helper(
        self,
        image: str,
        command: Sequence[str],
        labels: dict[str, str],
        host: dict[str, Any] | None = None,
    ) -> str:
        name = f"helper-{len(self.calls)}"
        self.containers[name] = FakeContainer(labels, "created", image, host=host or {})
        self._call("create", name)
        return name

    def connect(self, spec: ContainerSpec) -> None:
        self._container(spec.name)
        self._call("connect", spec.name)

    def create_volume(self, name: str, labels: dict[str, str]) -> None:
        self.volumes.setdefault(name, labels.get(LABEL, ""))

    def remove_container(self, container: str) -> None:
        self.containers.pop(container, None)
        self._call("remove", container)

    def remove_volume(self, volume: str) -> None:
        self.volumes.pop(volume, None)

    def remove_network(self, network: str) -> None:
        self.networks.pop(network, None)

    # --- power ---

    def start(self, container: str) -> None:
        self._power("start", container, "running")

    def stop(self, container: str, timeout_s: int = 0) -> None:
        self._power("stop", container, "exited")

    def kill(self, container: str) -> None:
        self._power("kill", container, "exited")

    def pause(self, container: str) -> None:
        self._power("pause", container, "paused")

    def unpause(self, container: str) -> None:
        self._power("unpause", container, "running")

    # --- files and commands ---

    def put(self, container: str, files: Iterable[File]) -> None:
        self._container(container).files.update({file.path: file for file in files})
        self._call("put", container)

    def read(self, container: str, path: str) -> bytes:
        files = self._container(container).files
        return pack(file for place, file in files.items() if place.startswith(path))

    def has(self, container: str, path: str) -> bool:
        return path in self._container(container).files

    def run(self, container: str, argv: Sequence[str], **_: object) -> Result:
        if self._container(container).state != "running":
            raise EngineError(f"{container} is not running")
        line = f"{container}: {' '.join(argv)}"
        self.commands.append(line)
        return next(
            (answer for part, answer in self.answers.items() if part in line), Result(0, "")
        )

    # --- within ---

    def _container(self, name: str) -> FakeContainer:
        if name not in self.containers:
            raise EngineError(f"No such container: {name}")
        return self.containers[name]

    def _power(self, verb: str, container: str, state: str) -> None:
        self._container(container).state = state
        self._call(verb, container)

    def _call(self, verb: str, container: str) -> None:
        with self._lock:
            self.calls.append(f"{verb} {container}")
