"""The container engine: the only door to Docker. Everything it makes bears the lab's label, everything it removes must.

Each privilege that a node gets is explained here, at PRIVILEGED and CAPABILITIES.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import docker
import docker.errors
import requests.exceptions
from docker.types import EndpointConfig, IPAMConfig, IPAMPool

from lab.errors import EngineError
from lab.spec import LABEL, LABEL_TOPOLOGY, File, Observed, ObservedContainer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lab.spec import ContainerSpec, NetworkSpec

API_TIMEOUT_S = 600
"""For one answer of the engine: an image build may be silent for minutes, and a stop on a busy machine is slow."""

COMMON: dict[str, Any] = {
    # Its own view of cgroups: systemd and kubelet then manage a tree that begins at the node.
    "cgroupns": "private",
    # systemd wants both empty at boot; /tmp must be executable for installers.
    "tmpfs": {"/run": "", "/tmp": "exec"},  # noqa: S108 (a mount point in the node, not a file of ours)
    # Corosync's IPC keeps rings of 1 MiB per client in /dev/shm; Docker's 64 MiB are too few (corosync issue 455).
    "shm_size": 256 * 1024 * 1024,
    # Nothing restarts a node but halab: a node that fails must stay failed until somebody looks.
    "restart_policy": {"Name": "no"},
}
PRIVILEGED: dict[str, Any] = {
    # What kind and K3s's own tests use: systemd mounts cgroups, kubelet mounts volumes, containerd makes namespaces,
    # flannel and kube-proxy change routes, rules and sysctls.
    "privileged": True,
}
CAPABILITIES: dict[str, Any] = {
    # For engines whose own bounding set lacks CAP_SYS_RESOURCE (nested and sandboxed ones): there `--privileged` fails.
    "cap_add": ["ALL"],
    "cap_drop": ["SYS_RESOURCE"],
    # seccomp and AppArmor profiles forbid mount(2).
    "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
    # Pods get devices; the engine's default allows only a few.
    "device_cgroup_rules": ["a *:* rwm"],
    # kubelet's watcher of out-of-memory kills reads the kernel's log.
    "devices": ["/dev/kmsg:/dev/kmsg:rwm"],
}


@dataclass(frozen=True, slots=True)
class Result:
    """What a command on a node gave: its exit code and what it printed, both streams together."""

    code: int
    output: str


@contextlib.contextmanager
def _told(what: str, hint: str = "") -> Iterator[None]:
    """Turn the docker library's errors into ours; the engine's own words stay in the message."""
    try:
        yield
    except docker.errors.APIError as error:
        raise EngineError(f"{what}: {error.explanation or error}", hint) from error
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise EngineError(f"{what}: {error}", hint) from error


def connect() -> Engine:
    """Connect to the engine that the environment names (DOCKER_HOST, else the local socket). Raises EngineError where none answers."""
    try:
        client = docker.from_env(version="auto", timeout=API_TIMEOUT_S, max_pool_size=32)
    except docker.errors.DockerException as error:
        text = str(error)
        if "Permission denied" in text or "PermissionError" in text:
            hint = "your user may not use Docker: `sudo usermod -aG docker $USER`, log in again; or run halab with sudo"
            raise EngineError("Docker refuses this user (permission denied on its socket)", hint) from error
        hint = "start Docker (`sudo systemctl start docker`, or Docker Desktop), or let `halab doctor --fix` do it"
        raise EngineError("no Docker engine answers", hint) from error
    return Engine(client)


class Engine:
    """Docker's API in the words of a lab."""

    def __init__(self, client: docker.DockerClient) -> None:
        """Use a connected client."""
        self._client = client
        self._api: Any = client.api
        self._local = threading.local()

    # --- looking ---

    def info(self) -> dict[str, Any]:
        """Give the engine's own description (`docker info`)."""
        with _told("asking the engine about itself"):
            return {**self._api.info(), "ApiVersion": self._api.api_version}

    def labs(self) -> dict[str, Observed]:
        """Give everything that bears a lab's label, by lab."""
        with _told("listing labs"):
            found = {
                "networks": self._api.networks(filters={"label": LABEL}),
                "volumes": self._api.volumes(filters={"label": LABEL})["Volumes"] or [],
                "containers": self._api.containers(all=True, filters={"label": LABEL}),
            }
        names = {item["Labels"][LABEL] for items in found.values() for item in items}
        return {name: _observed(name, found) for name in sorted(names)}

    def observe(self, lab: str) -> Observed:
        """Give what bears this lab's label."""
        return self.labs().get(lab, Observed(lab=lab))

    def subnets(self) -> dict[str, str]:
        """Give the IPv4 subnets of all the engine's networks, subnet → network name."""
        with _told("listing networks"):
            networks = self._api.networks()
        pools = ((pool.get("Subnet", ""), net["Name"]) for net in networks for pool in (net["IPAM"].get("Config") or []))
        return {subnet: name for subnet, name in pools if subnet and ":" not in subnet}

    def owner(self, container: str) -> str | None:
        """Give the lab that a container of this name belongs to; "" for one that is not ours, None where there is none."""
        try:
            labels = self._api.inspect_container(container)["Config"]["Labels"] or {}
        except docker.errors.NotFound:
            return None
        return str(labels.get(LABEL, ""))

    def inspect(self, container: str) -> dict[str, Any]:
        """Give the engine's full description of a container."""
        with _told(f"inspecting {container}"):
            return dict(self._api.inspect_container(container))

    # --- making ---

    def create_network(self, spec: NetworkSpec, labels: dict[str, str]) -> None:
        """Make the lab's bridge. No address outside is needed, but users' pods may want one, so it is not internal."""
        pool = IPAMPool(subnet=spec.subnet, gateway=spec.gateway)
        with _told(f"making network {spec.name} ({spec.subnet})", "see `halab doctor` for subnets in use"):
            self._api.create_network(
                spec.name, driver="bridge", ipam=IPAMConfig(pool_configs=[pool]), labels={**spec.labels, **labels}, check_duplicate=True
            )

    def create_volume(self, name: str, labels: dict[str, str]) -> None:
        """Make a volume; one that is there already is left as it is."""
        with _told(f"making volume {name}"):
            self._api.create_volume(name, labels=labels)

    def create_container(self, spec: ContainerSpec, labels: dict[str, str], *, privileged: bool) -> None:
        """Make a node's container, not started."""
        ports = {f"{inside}/tcp": ("127.0.0.1", outside or None) for inside, outside in spec.ports.items()}
        host = self.machine(
            privileged=privileged,
            binds={volume: {"bind": path, "mode": "rw"} for volume, path in spec.volumes.items()},
            port_bindings=ports,
            network_mode=spec.network,
        )
        # The alias lets nodes call each other by name, through the engine's resolver.
        endpoint = EndpointConfig(self._api.api_version, ipv4_address=spec.ip, aliases=[spec.hostname])
        hint = "a container of that name that is not this lab's is never touched: remove or rename it" if self.owner(spec.name) == "" else ""
        with _told(f"making container {spec.name}", hint):
            self._api.create_container(
                spec.image,
                name=spec.name,
                hostname=spec.hostname,
                labels={**spec.labels, **labels},
                host_config=host,
                networking_config=self._api.create_networking_config({spec.network: endpoint}),
                ports=[int(inside) for inside in spec.ports],
                environment={"container": "docker"},
                stop_signal="SIGRTMIN+3",
            )

    def machine(self, *, privileged: bool, **more: Any) -> dict[str, Any]:  # noqa: ANN401 (docker's own options)
        """Give the host configuration of a container that is a machine."""
        host = self._api.create_host_config(**COMMON, **(PRIVILEGED if privileged else CAPABILITIES), **more)
        # Docker hides and write-protects parts of /proc (`systempaths`); kubelet and kube-proxy write /proc/sys.
        return {**host, "MaskedPaths": [], "ReadonlyPaths": []}

    def put(self, container: str, files: Iterable[File]) -> None:
        """Lay files down in a container, running or not; existing ones are replaced."""
        with _told(f"writing files into {container}"):
            self._api.put_archive(container, "/", pack(files))

    def read(self, container: str, path: str) -> bytes:
        """Give a directory or file of a container as tar. Raises EngineError where it is not there."""
        with _told(f"reading {path} from {container}"):
            stream, _ = self._api.get_archive(container, path)
            return b"".join(stream)

    # --- running ---

    def start(self, container: str) -> None:
        """Power on. A running container stays as it is."""
        with _told(f"starting {container}"):
            self._api.start(container)

    def stop(self, container: str, timeout_s: int) -> None:
        """Shut down; after `timeout_s` seconds the power is cut."""
        with _told(f"stopping {container}"):
            self._api.stop(container, timeout=timeout_s)

    def kill(self, container: str) -> None:
        """Cut the power."""
        with _told(f"killing {container}"):
            self._api.kill(container)

    def unpause(self, container: str) -> None:
        """Wake a paused container; others stay as they are."""
        with _told(f"waking {container}"), contextlib.suppress(docker.errors.APIError):
            self._api.unpause(container)

    def run(self, container: str, argv: Sequence[str], *, stdin: bytes | None = None, timeout_s: float = 30) -> Result:
        """Run a command in a running container. After `timeout_s` seconds it is ended there and the code is 124 (timeout(1))."""
        bounded = ["timeout", "-k", "2", str(timeout_s), *argv]
        with _told(f"running `{' '.join(argv)}` in {container}"):
            made = self._api.exec_create(container, bounded, stdin=stdin is not None)
            if stdin is None:
                output = self._api.exec_start(made["Id"])
            else:
                output = self._feed(made["Id"], stdin)
            code = self._api.exec_inspect(made["Id"])["ExitCode"]
        return Result(-1 if code is None else int(code), output.decode(errors="replace"))

    def _feed(self, exec_id: str, data: bytes) -> bytes:
        """Write to the command's standard input, close it, read what it prints."""
        from docker.utils.socket import frames_iter  # noqa: PLC0415 (only this rare path needs it)

        sock = self._api.exec_start(exec_id, socket=True)
        raw = getattr(sock, "_sock", sock)
        raw.sendall(data)
        with contextlib.suppress(OSError):
            raw.shutdown(1)
        output = b"".join(chunk for _, chunk in frames_iter(sock, tty=False))
        sock.close()
        return output

    def logs(self, container: str) -> str:
        """Give what PID 1 printed."""
        with _told(f"reading the log of {container}"):
            return str(self._api.logs(container, tail=200).decode(errors="replace"))

    # --- removing ---

    def remove_container(self, container: str) -> None:
        """Remove a container with its anonymous volumes; one that is gone already is fine."""
        with _told(f"removing {container}"), contextlib.suppress(docker.errors.NotFound):
            self._api.remove_container(container, v=True, force=True)

    def remove_volume(self, volume: str) -> None:
        """Remove a volume; one that is gone already is fine."""
        with _told(f"removing volume {volume}"), contextlib.suppress(docker.errors.NotFound):
            self._api.remove_volume(volume, force=True)

    def remove_network(self, network: str) -> None:
        """Remove a network; one that is gone already is fine."""
        with _told(f"removing network {network}"), contextlib.suppress(docker.errors.NotFound):
            self._api.remove_network(network)

    def labelled(self, label: str) -> tuple[list[str], list[str], list[str]]:
        """Give the ids or names of containers, volumes and networks that bear a label (`key=value`)."""
        with _told(f"listing what bears {label}"):
            containers = [str(item["Id"]) for item in self._api.containers(all=True, filters={"label": label})]
            volumes = [str(item["Name"]) for item in self._api.volumes(filters={"label": label})["Volumes"] or []]
            networks = [str(item["Id"]) for item in self._api.networks(filters={"label": label})]
        return containers, volumes, networks

    # --- images ---

    def images(self, repository: str = "halab/*") -> dict[str, dict[str, Any]]:
        """Give the images of a repository pattern, tag → the engine's description."""
        with _told("listing images"):
            found = self._api.images(filters={"reference": repository})
        return {tag: item for item in found for tag in (item.get("RepoTags") or [])}

    def has_image(self, tag: str) -> bool:
        """Tell whether an image is here."""
        try:
            self._api.inspect_image(tag)
        except docker.errors.ImageNotFound:
            return False
        return True

    def build(self, context: str, tag: str, arguments: dict[str, str], labels: dict[str, str]) -> Iterator[str]:
        """Build an image and yield the build's lines. Raises EngineError with the engine's message where a step fails."""
        with _told(f"building {tag}"):
            # Host network: package sources are then reached as the host reaches them, proxies and resolvers included.
            stream = self._api.build(path=context, tag=tag, buildargs=arguments, labels=labels, rm=True, network_mode="host", decode=True)
            for event in stream:
                if "error" in event:
                    raise EngineError(f"building {tag}: {event['error'].strip()}")
                yield from str(event.get("stream", "")).splitlines()

    def import_rootfs(self, tar: str, tag: str) -> None:
        """Make an image of a tar with a root file system."""
        repository, version = tag.rsplit(":", 1)
        with _told(f"importing {tag}"):
            self._api.import_image_from_file(tar, repository=repository, tag=version)

    def pull(self, reference: str, tag: str) -> None:
        """Fetch an image by digest and give it our tag."""
        with _told(f"fetching {reference}"):
            self._client.images.pull(reference.split("@")[0], tag=reference.split("@")[1])
            self._api.tag(reference, *tag.rsplit(":", 1))

    def save(self, tags: Sequence[str]) -> Iterator[bytes]:
        """Yield a tar with these images, shared layers once."""
        with _told("saving images"):
            response = self._api._get(self._api._url("/images/get"), params={"names": list(tags)}, stream=True)  # noqa: SLF001 (the library saves one image only)
            self._api._raise_for_status(response)  # noqa: SLF001
            yield from response.iter_content(1024 * 1024)

    def load(self, data: Any) -> Iterator[str]:  # noqa: ANN401 (anything that requests can send: a file or an iterator)
        """Load what `save` wrote; yields the names."""
        with _told("loading images"):
            for event in self._api.load_image(data):
                if "error" in event:
                    raise EngineError(f"loading images: {event['error']}")
                yield str(event.get("stream", "")).strip()

    def remove_image(self, tag: str) -> None:
        """Remove an image's tag, and its layers where nothing else needs them."""
        with _told(f"removing image {tag}"), contextlib.suppress(docker.errors.ImageNotFound):
            self._api.remove_image(tag)

    def create_helper(self, image: str, command: Sequence[str], labels: dict[str, str], host: dict[str, Any] | None = None) -> str:
        """Make a short-lived container of ours, without a network, not started; gives its id. The caller removes it."""
        with _told(f"making a helper container of {image}"):
            config = host or self._api.create_host_config()
            made = self._api.create_container(
                image, entrypoint=list(command), command=[], labels=labels, host_config=config, network_disabled=True
            )
            return str(made["Id"])

    def wait(self, container: str, timeout_s: float) -> int:
        """Wait until a container ends; gives its exit code."""
        with _told(f"waiting for {container}"):
            return int(self._api.wait(container, timeout=timeout_s)["StatusCode"])


def pack(files: Iterable[File]) -> bytes:
    """Pack files for `put`: parents are made by the engine, owners and modes are ours."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file in files:
            info = tarfile.TarInfo(file.path.lstrip("/"))
            info.uid = info.gid = file.owner
            info.mode = file.mode
            if file.link:
                info.type, info.linkname = tarfile.SYMTYPE, file.link
                archive.addfile(info)
            else:
                info.size = len(file.content)
                archive.addfile(info, io.BytesIO(file.content))
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, bytes]:
    """Give the files of a tar that `read` gave, by their names without folders."""
    files = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive.getmembers():
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                files[member.name.rsplit("/", 1)[-1]] = content.read()
    return files


def _observed(lab: str, found: dict[str, list[dict[str, Any]]]) -> Observed:
    mine = {kind: [item for item in items if item["Labels"][LABEL] == lab] for kind, items in found.items()}
    network = next(iter(mine["networks"]), None)
    return Observed(
        lab=lab,
        network_id=network["Id"] if network else "",
        topology=network["Labels"].get(LABEL_TOPOLOGY, "") if network else "",
        volumes=tuple(sorted(item["Name"] for item in mine["volumes"])),
        containers=tuple(sorted(map(_container, mine["containers"]), key=lambda item: item.name)),
    )


def _container(item: dict[str, Any]) -> ObservedContainer:
    ports = {port["PrivatePort"]: port["PublicPort"] for port in item.get("Ports") or [] if port.get("PublicPort")}
    return ObservedContainer(
        id=item["Id"], name=item["Names"][0].lstrip("/"), state=item["State"], labels=dict(item["Labels"]), ports=ports
    )
