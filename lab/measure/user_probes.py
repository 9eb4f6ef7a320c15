"""The user's own services as the instrument's probes: URLs, commands in pods, and writes."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lab.base.errors import InputError
from lab.kube.api import NOT_FOUND, ApiError
from lab.measure import pod_command, probes, url_probe
from lab.measure.pod_asker import KEY
from lab.measure.probe import ProbeContext, ProbeSpec
from lab.measure.url_probe import ServiceNames

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.live.lab import Lab
    from lab.measure.pod_command import PodCommand
    from lab.measure.url_probe import UrlTarget
    from lab.topology.model import Topology
    from lab.topology.user_probes import UserProbe, UserWrites

COMMAND_S = 1.0
COMMAND_TIMEOUT_S = 5.0
"""A command in a pod takes 0.3 s on two cores that are not quite quiet, and 2 s and more when they
are busy (load 20): that is no outage of the pod. Measured."""
COMMAND_SLOWED = 2.0
"""On a busy machine a command still runs every two seconds: below 20 samples there is no figure."""
WRITE_S = 0.2
"""Five keys a second: all of them are read back one by one at the end."""
METHODS = ("POST", "PUT", "PATCH", "GET")
WRITE_EXAMPLE = "for example write: PUT http://vip:30080/orders/{key}"


@dataclass(frozen=True, slots=True)
class UserServices:
    """What a scenario measures of the user's own, and the lab that it is in."""

    topology: Topology
    services: ServiceNames | None = None
    """Looks Services up; None: only machines' names and addresses are known."""

    def rows(
        self, asked: Iterable[UserProbe], written: Iterable[UserWrites]
    ) -> tuple[ProbeSpec, ...]:
        """Return the rows of all. Raises InputError for a name or a URL that cannot be."""
        asked, written = tuple(asked), tuple(written)
        names = [row.name for row in asked] + [row.name for row in written]
        check_names(names, self.topology)
        rows = [row for probe in asked for row in self._probe(probe)]
        return (*rows, *(self._writes(row) for row in written))

    def _probe(self, probe: UserProbe) -> tuple[ProbeSpec, ...]:
        if pod_command.is_command(probe.url):
            if probe.place != url_probe.OUTSIDE:
                raise InputError(
                    f"{probe.url}: it runs in its pod, from nowhere else", "leave `from` out"
                )
            return (_command(probe.name, pod_command.parse(probe.url)),)
        target = url_probe.target(probe.url, self.topology, probe.place, self.services)
        if probe.place == url_probe.WORKERS:
            return url_probe.from_workers(probe.name, target, self.topology)
        return (url_probe.outside(probe.name, target),)

    def _writes(self, row: UserWrites) -> ProbeSpec:
        if KEY not in row.write:
            raise InputError(f"{row.write}: it has no {KEY} to write", WRITE_EXAMPLE)
        kinds = {pod_command.is_command(row.write), pod_command.is_command(row.read)}
        if len(kinds) > 1:
            raise InputError(
                f"`{row.name}` writes by a URL and reads by a command, or the other way round",
                "take the same for both",
            )
        if kinds == {True}:
            return _command_writes(row)
        return self._url_writes(row)

    def _url_writes(self, row: UserWrites) -> ProbeSpec:
        method, url = _method(row.write)
        write, read = self._http(url), self._http(row.read)
        settings = {
            "kind": "keep",
            "addresses": [write.address],
            "scheme": write.scheme,
            "method": method,
            "path": write.path,
            "read": {"scheme": read.scheme, "address": read.address, "path": read.path},
            "prefix": _prefix(),
        }
        return ProbeSpec(
            name=row.name,
            settings=settings,
            question=f"{method} {write.url} from outside, a key of its own each time",
            interval=WRITE_S,
            connection="new",
            client=True,
            probe=row.name,
        )

    def _http(self, url: str) -> UrlTarget:
        target = url_probe.target(url, self.topology, services=self.services)
        if target.scheme not in {"http", "https"}:
            raise InputError(f"{url}: keys go over http:// or https:// alone", WRITE_EXAMPLE)
        return target


def of_lab(
    lab: Lab, asked: Iterable[UserProbe], written: Iterable[UserWrites] = ()
) -> tuple[ProbeSpec, ...]:
    """Return the rows of a lab's user; Services that URLs name are looked up by its API.

    Raises InputError for what cannot be measured, LabError if the API does not answer.
    """

    def find(namespace: str, name: str) -> dict[str, Any]:
        if not all(re.fullmatch(pod_command.NAME, part) for part in (namespace, name)):
            raise InputError(
                f"`{name}.{namespace}` is not the name of a Service", "for example shop.default"
            )
        try:
            with lab.cluster() as cluster:
                service: dict[str, Any] = cluster.get(
                    f"/api/v1/namespaces/{namespace}/services/{name}"
                )
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
            raise InputError(
                f"no Service {namespace}/{name}: {error.message}", "apply it to the lab first"
            ) from None
        return service

    return UserServices(lab.topology, ServiceNames(find)).rows(asked, written)


def check_names(names: Iterable[str], topology: Topology) -> None:
    """Raise InputError for a name that halab's own probes have, or that occurs twice."""
    own = probes.rows(ProbeContext(topology=topology))
    taken = {(row.probe or row.name).split(".")[0] for row in own}
    earlier: set[str] = set()
    for name in names:
        url_probe.check_name(name)
        if name.split(".")[0] in taken:
            raise InputError(f"`{name}` is a probe of halab's own", "name yours otherwise")
        for other in earlier:
            if name == other:
                raise InputError(f"two probes are named `{name}`", "give each a name of its own")
            if f"{name}.".startswith(f"{other}.") or f"{other}.".startswith(f"{name}."):
                what = f"`{name}` and `{other}`: a figure of the shorter name would have both"
                raise InputError(what, "give one of them another first word")
        earlier.add(name)


def _method(write: str) -> tuple[str, str]:
    """Return the method before a URL, POST if there is none, and the URL."""
    first, space, rest = write.partition(" ")
    if not space:
        return METHODS[0], write
    if first not in METHODS:
        raise InputError(f"{write}: no method `{first}`", f"known: {', '.join(METHODS)}")
    return first, rest.strip()


def _prefix() -> str:
    """Return what the keys of a run begin with: no other run's keys are taken for them."""
    return f"halab-{secrets.token_hex(4)}-"


def _command(name: str, command: PodCommand, **settings: Any) -> ProbeSpec:  # noqa: ANN401 (a row's settings)
    return ProbeSpec(
        name=name,
        settings={"kind": "command", "command": command, **settings},
        question=f"`{command.text()}` in {command.namespace}/{command.pod}, run on its node",
        interval=COMMAND_S,
        timeout=COMMAND_TIMEOUT_S,
        connection="new",
        by_engine=True,
        slowed_at_most=COMMAND_SLOWED,
    )


def _command_writes(row: UserWrites) -> ProbeSpec:
    write, read = pod_command.parse(row.write), pod_command.parse(row.read)
    made = _command(row.name, write, read=read, prefix=_prefix())
    return replace(made, client=True, probe=row.name)
