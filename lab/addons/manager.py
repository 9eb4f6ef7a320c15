"""Add-ons on a running lab: enable, disable, status.

lab/addons/record.py knows which ones are enabled.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from lab.addons import addon, catalog, helm
from lab.addons import record as addonrecord
from lab.addons.parts import Parts, packaged
from lab.addons.pod_images import PodImages
from lab.addons.record import AddonState, Record, is_stamped, stamped
from lab.addons.requirements import check
from lab.base.errors import InputError, LabError, WaitTimeout
from lab.base.locks import exclusive
from lab.base.suggest import did_you_mean
from lab.base.wait import Observation, tried, until
from lab.kube.objects import node_ready, path

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator

    from lab.addons.addon import Addon, AddonContext, Object
    from lab.base.progress import Reporter
    from lab.images.builder import Builder
    from lab.live.lab import Lab

API_TIMEOUT_S = 20
"""For the first answer: a failover takes two to five seconds."""
GONE_TIMEOUT_S = 180
"""Until objects are gone: pods have 30 s to end by default, and the API server takes seconds for
each definition (for all of Rook's 36 s on a quiet lab, and over 60 s on a busy one)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddonStatus:
    """An add-on of a lab. `named`: the topology has it.

    `seen`: what was last observed. `images`: the origin of each: built, pulled, or missing.
    """

    name: str
    summary: str
    enabled: bool
    named: bool
    working: bool
    seen: str
    images: dict[str, str]


@dataclass(frozen=True, slots=True)
class AddonResult:
    """What `enable` or `disable` did.

    Whether anything was changed, how long it took, and what was observed at the end.
    """

    name: str
    changed: bool
    seconds: float
    seen: str


def known(name: str) -> Addon:
    """Return an add-on by its name. Raises InputError with a suggestion."""
    try:
        return catalog.find(name)
    except KeyError:
        raise InputError(f"no add-on `{name}`", did_you_mean(name, catalog.names())) from None


@dataclass(slots=True)
class AddonManager:
    """Enables, disables and observes a lab's add-ons; the caller holds the lab's lock."""

    builder: Builder
    site: AddonContext
    reporter: Reporter
    cancelled: threading.Event
    _published: dict[str, tuple[Object, ...]] = field(default_factory=dict)

    @property
    def parts(self) -> Parts:
        """What add-ons bring to this lab."""
        return Parts(self.builder, self._published)

    @property
    def record(self) -> Record:
        """What the cluster remembers of add-ons."""
        return Record(self.site.cluster)

    def enabled(self, rows: dict[str, AddonState] | None = None) -> tuple[str, ...]:
        """Return the names of the enabled add-ons."""
        return addonrecord.enabled(
            self.site.topology.addons, self.record.rows() if rows is None else rows
        )

    # --- look ---

    def status(self, *names: str) -> tuple[AddonStatus, ...]:
        """Return the status of the named add-ons, or of all."""
        rows = self.record.rows()
        on = self.enabled(rows)
        return tuple(
            self._look(known(name), name in on, rows.get(name, AddonState()))
            for name in names or catalog.names()
        )

    def _look(self, addon: Addon, enabled: bool, row: AddonState) -> AddonStatus:  # noqa: FBT001
        site = self._site(row.options)
        observation = Observation(ok=False, detail="not enabled")
        if enabled:
            observation = self._ask(addon, site)
        images = PodImages(self.builder)
        names = [image.name for image in self.parts.images(addon, site)]
        return AddonStatus(
            name=addon.name,
            summary=addon.summary,
            enabled=enabled,
            named=addon.name in self.site.topology.addons,
            working=observation.ok,
            seen=observation.detail,
            images={name: images.origin(name) for name in names},
        )

    def _site(self, options: dict[str, str]) -> AddonContext:
        return replace(self.site, options=options)

    def _ask(self, addon: Addon, site: AddonContext) -> Observation:
        return tried(lambda: addon.ready(site))

    # --- enable ---

    def ensure(self) -> tuple[AddonResult, ...]:
        """Enable every add-on that should be on, one after the other.

        Nothing is changed if all work.
        """
        return tuple(self.enable(name) for name in self.enabled() if not known(name).core)

    def images(self, *nodes: str) -> None:
        """Bring the images of all enabled add-ons to these nodes: a recreated node has none."""
        rows = self.record.rows()
        nodes_by_image: dict[str, list[str]] = {}
        for name in self.enabled(rows):
            site = self._site(rows.get(name, AddonState()).options)
            nodes_by_image |= self.parts.nodes_by_image(known(name), site)
        PodImages(self.builder).load(nodes_by_image, [self.site.node(name) for name in nodes])

    def enable(self, name: str, options: dict[str, str] | None = None) -> AddonResult:
        """Enable an add-on and wait until it works. One that works already stays as it is.

        Raises InputError before anything is changed, WaitTimeout or another LabError afterwards;
        the next `enable` continues from there.
        """
        begin = time.monotonic()
        addon, row = known(name), self.record.rows().get(name, AddonState())
        if unknown := sorted(set(options or {}) - set(addon.options)):
            raise InputError(f"add-on {name} takes no --{unknown[0]}")
        site = self._site(row.options if options is None else options)
        fingerprint = self.parts.fingerprint(addon, site)
        check(addon, site, running=row.enabled)
        PodImages(self.builder).make(image.name for image in self.parts.images(addon, site))
        loaded = PodImages(self.builder, set()).load(
            self.parts.nodes_by_image(addon, site), self._nodes()
        )
        observation = Observation(ok=False, detail="")
        if row.digest == fingerprint:
            observation = self._ask(addon, site)
        if observation.ok:
            self.reporter.done(name, observation.detail)
            return AddonResult(name, bool(loaded), time.monotonic() - begin, observation.detail)
        # Recorded before the first object is made: so `disable` finds what a killed run left.
        self.record.write(name, AddonState(enabled=True, options=site.options))
        self._apply(addon, site)
        observation = self._await(addon, site)
        self.record.write(name, AddonState(enabled=True, options=site.options, digest=fingerprint))
        self.reporter.done(name, observation.detail)
        return AddonResult(
            name, changed=True, seconds=time.monotonic() - begin, seen=observation.detail
        )

    def _nodes(self) -> Iterable[Any]:
        return [self.site.node(node.name) for node in self.site.topology.nodes]

    def _apply(self, addon: Addon, site: AddonContext) -> None:
        self.reporter.say(addon.name, "applying")
        if not packaged(addon, site):
            addon.prepare(site)
        objects = self.parts.objects(addon, site)
        spaces = [item for item in objects if item["kind"] == "Namespace"]
        for item in spaces:
            site.cluster.apply([stamped(addon.name, item)])
        for item in self.parts.once(addon, site):
            if site.cluster.find(path(item)) is None:
                site.cluster.apply([stamped(addon.name, item)])
        for item in objects:
            site.cluster.apply_patiently(stamped(addon.name, item))
        chart = self.parts.chart(addon, site)
        if chart:
            self.reporter.say(addon.name, f"helm upgrade --install {chart.release} {chart.source}")
            self._helm(site).install(chart, addon.timeout_s)

    def _helm(self, site: AddonContext) -> helm.Helm:
        program = helm.on_a_master(site)
        program.lay_down(self.builder.obtain("helm")["helm"])
        return program

    def _await(self, addon: Addon, site: AddonContext) -> Observation:
        try:
            return until(
                f"add-on {addon.name} works",
                lambda: self._ask(addon, site),
                timeout_s=addon.timeout_s,
                on_change=partial(self.reporter.say, addon.name),
                cancelled=self.cancelled,
            )
        except WaitTimeout as error:
            hint = (
                f"`halab kubectl {site.topology.name} -- get pods -A` shows more; "
                "`halab addon enable` again goes on from here"
            )
            raise WaitTimeout(error.what, error.seconds, error.last, hint) from error

    # --- disable ---

    def disable(self, name: str) -> AddonResult:
        """Remove what the add-on made. One that is not enabled stays so.

        Raises InputError for a core add-on, WaitTimeout if something stays.
        """
        begin, addon, rows = time.monotonic(), known(name), self.record.rows()
        self._check_removable(addon)
        if name not in self.enabled(rows):
            return AddonResult(name, changed=False, seconds=0, seen="was not enabled")
        site = self._site(rows.get(name, AddonState()).options)
        self.reporter.say(name, "removing")
        chart = self.parts.chart(addon, site)
        if chart:
            self._helm(site).uninstall(chart)
        if not packaged(addon, site):
            addon.retire(site)
        try:
            left = self._remove(addon, site)
        finally:
            addon.clean(site)  # what it had on nodes goes even if objects stay
        self.record.write(
            name, AddonState(disabled=True) if name in self.site.topology.addons else None
        )
        detail = f"removed; its images stay on the nodes{left}"
        self.reporter.done(name, detail)
        return AddonResult(name, changed=True, seconds=time.monotonic() - begin, seen=detail)

    def _check_removable(self, addon: Addon) -> None:
        if addon.core:
            raise InputError(
                f"add-on {addon.name} cannot be disabled: the cluster was made with it",
                "start a lab from a topology without it",
            )
        if packaged(addon, self.site):
            distribution = self.site.distribution.name
            raise InputError(
                f"add-on {addon.name} cannot be disabled: {distribution} brings it itself"
            )

    def _remove(self, addon: Addon, site: AddonContext) -> str:
        """Delete the add-on's objects, last first, and wait until they are gone.

        Return what waits for dead nodes: objects with pods there go when these return.
        """
        paths = [path(item) for item in (*addon.once(site), *self.parts.objects(addon, site))]
        mine = [
            place for place in reversed(paths) if is_stamped(addon.name, site.cluster.find(place))
        ]
        for place in mine:
            site.cluster.delete(place)

        def gone() -> Observation:
            left = [place for place in mine if site.cluster.find(place) is not None]
            return Observation(ok=not left, detail=f"still there: {', '.join(left[:3])}")

        try:
            until(
                f"add-on {addon.name} is gone",
                gone,
                timeout_s=GONE_TIMEOUT_S,
                cancelled=self.cancelled,
            )
        except WaitTimeout as error:
            dead = [name for name, item in site.cluster.nodes().items() if not node_ready(item)[0]]
            if not dead:
                raise WaitTimeout(
                    error.what,
                    error.seconds,
                    error.last,
                    "`halab addon disable` again goes on from here",
                ) from error
            return f"; {error.last} (waits for {', '.join(dead)}, not Ready)"
        return ""


@contextlib.contextmanager
def open_manager(lab: Lab) -> Iterator[AddonManager]:
    """Open the manager of a lab's add-ons, holding the lab's lock.

    Raises LabError if the API does not answer.
    """
    with exclusive(lab.name, lab.reporter):
        access = lab.access()
        with access.cluster() as cluster:
            # A master may have died just now, and the load balancer may not know it yet.
            try:
                until(
                    "API",
                    lambda: Observation(ok=cluster.readyz(), detail="no answer"),
                    timeout_s=API_TIMEOUT_S,
                )
            except WaitTimeout:
                raise LabError(
                    f"the API of lab {lab.name} does not answer",
                    f"`halab status {lab.name}` shows why",
                ) from None
            site = addon.AddonContext(lab.topology, access, cluster, lab.node)
            yield AddonManager(lab.builder(), site, lab.reporter, lab.cancelled)
