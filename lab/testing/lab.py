"""A lab for a test: started, used, broken, measured, and removed again.

In the style of testcontainers: `with HalabLab("1m1w") as lab:`. pytest's fixtures lend the same.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from lab.base.errors import InputError, LabError
from lab.base.wait import tried, until
from lab.engine import client
from lab.kube import kubeconfig
from lab.lifecycle import removal
from lab.lifecycle.start import start
from lab.lifecycle.start_context import START_TIMEOUT_S
from lab.live import export, image_load
from lab.live import lab as labs
from lab.testing import kubectl, sessions, waiting
from lab.testing.broken import Faults
from lab.testing.log import LOG, LogReporter
from lab.testing.measuring import Measuring
from lab.testing.node import LabNode
from lab.testing.spec import DEFAULT, LabSpec, differences, overrides

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from lab.analysis.verdicts import Verdict
    from lab.base.progress import Reporter
    from lab.engine.client import Engine
    from lab.lifecycle.reset_result import ResetResult
    from lab.live.lab import Lab
    from lab.testing.broken import Broken
    from lab.testing.measurement import Measurement
    from lab.testing.sessions import Claim
    from lab.testing.waiting import WaitStrategy
    from lab.topology.model import Topology

WAIT_S = 120.0


class HalabLab:
    """A lab from `start` to `stop`; a `with` block calls both.

    If the process is killed in between, the next one removes the lab: see lab/testing/sessions.py.
    """

    def __init__(
        self,
        topology: str = "",
        *,
        name: str = "",
        distribution: str = "",
        set: Mapping[str, object] | None = None,  # noqa: A002 (the command line's word)
        keep: bool = False,
        timeout_s: float = START_TIMEOUT_S,
        reporter: Reporter | None = None,
    ) -> None:
        """Describe a lab: a shipped topology or a file; nothing is made yet.

        `name`: another than the first free one of `test-3m3w`, `test-3m3w-2`, …. `set`: values of
        the topology to change. `keep`: `stop` leaves it running.
        """
        self.spec = LabSpec(topology, distribution, overrides(set or {}), keep)
        self.timeout_s = timeout_s
        self.measurements: list[Measurement] = []
        """Of all that was measured, the newest last."""
        self._name = name
        self._reuse = False
        self._default = DEFAULT
        self._conditions: list[WaitStrategy] = []
        self._reporter: Reporter = reporter or LogReporter()
        self._claim: Claim | None = None
        self._lab: Lab | None = None
        self._faults: Faults | None = None
        self._open = contextlib.ExitStack()
        self._cluster: Any = None

    @classmethod
    def attach(cls, name: str, spec: LabSpec | None = None, default: LabSpec = DEFAULT) -> Self:
        """Describe a lab that is there already, or is started as `spec` says; it is never removed.

        A lab that is there must be what the spec says; what `default` says counts for one that is
        started. Processes that share it take turns by `sessions.shared`.
        """
        made = cls(name=name)
        made.spec, made._reuse, made._default = spec or LabSpec(), True, default
        return made

    # --- start and stop ---

    def waiting_for(self, *conditions: WaitStrategy | Callable[[HalabLab], object]) -> Self:
        """Add conditions that `start` waits for once the lab is ready."""
        self._conditions += [waiting.strategy(one) for one in conditions]
        return self

    def start(self) -> Self:
        """Bring the lab up and wait until it works; labs that killed sessions left are removed.

        Raises LabError; then, and on ^C, nothing is left behind.
        """
        if self._lab is not None:
            return self
        engine = client.connect()
        sessions.remove_abandoned(engine, self._reporter, keep=self._name if self._reuse else "")
        try:
            if self._reuse:
                self._attach(engine)
            else:
                self._make(engine)
            for condition in self._conditions:
                self.wait_for(condition, timeout_s=self.timeout_s)
        except BaseException:
            self._undo(engine)
            raise
        return self

    def _make(self, engine: Engine) -> None:
        topology = self.spec.load()
        self._claim, settings = sessions.claim(engine, topology, self._name)
        self._start(engine, self.spec.load(self._claim.name, settings))

    def _attach(self, engine: Engine) -> None:
        with sessions.shared(self._name):
            if self._name in engine.labs():
                lab = labs.find(engine, self._name, self._reporter)
                distribution = labs.distribution_of(lab.observe())
                if different := differences(self.spec, lab.topology, distribution):
                    hint = "run that test without --halab-reuse, or name another lab"
                    raise InputError("; ".join(different), hint)
                self._hold(lab)
                if not waiting.steady().observe(self).ok:
                    self.make_whole()
                return
            spec = self.spec.or_else(self._default)
            claim, settings = sessions.claim(engine, spec.load())
            try:
                self._start(engine, spec.load(self._name, settings))
            finally:
                claim.release()

    def _start(self, engine: Engine, topology: Topology) -> None:
        lab = labs.Lab(engine, topology, self._reporter)
        start(lab, self.spec.distribution, self.timeout_s)
        self._hold(lab)

    def _hold(self, lab: Lab) -> None:
        self._lab = lab
        self._faults = Faults(lab, self._reporter)

    def _undo(self, engine: Engine) -> None:
        self._close()
        if self._claim is not None:
            try:
                removal.destroy(engine, self._claim.name, self._reporter)
            except LabError as error:
                LOG.warning("lab %s is not removed: %s", self._claim.name, error)
                self._claim.lock.release()  # its record stays: the next session tries again
            else:
                self._claim.release()
            self._claim = None

    def _close(self) -> None:
        self._open.close()
        self._cluster = self._lab = self._faults = None

    def stop(self) -> None:
        """Remove the lab, unless it is to be kept or was there before."""
        if self._lab is None:
            return
        engine = self._lab.engine
        if self._claim is not None and self.spec.keep:
            self._close()
            self._claim.release()
            self._claim = None
            return
        self._undo(engine)

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, whatever happened."""
        self.stop()

    def __repr__(self) -> str:
        """Return what a failed assertion shows."""
        return f"<HalabLab {self._lab.name if self._lab else '(not started)'}>"

    # --- what there is ---

    @property
    def handle(self) -> Lab:
        """The lab as halab's own code has it. Raises LabError while it is not started."""
        if self._lab is None:
            raise LabError("this lab is not started", "use it in a `with` block, or call start()")
        return self._lab

    @property
    def started(self) -> bool:
        """Whether it was started, and not stopped since."""
        return self._lab is not None

    @property
    def kept(self) -> bool:
        """Whether `stop` leaves it running."""
        return self._reuse or self.spec.keep

    @property
    def name(self) -> str:
        """The lab's name, for `halab` commands."""
        return self.handle.name

    @property
    def topology(self) -> Topology:
        """What it was made of."""
        return self.handle.topology

    @property
    def vip(self) -> str:
        """The floating address."""
        return str(self.topology.network.vip)

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig for other tools: helm, chainsaw, pytest-kubernetes; removed by `stop`."""
        path = kubeconfig.own_path(self.name)
        kubeconfig.write(path, self.handle.access().kubeconfig(self.name))
        return path

    @property
    def client(self) -> Any:  # noqa: ANN401 (no types are published for the package)
        """The kubernetes package's ApiClient: `kubernetes.client.CoreV1Api(lab.client)`."""
        if self._cluster is None:
            self._cluster = self._open.enter_context(self.handle.cluster())
        return self._cluster.client

    def node(self, target: str) -> LabNode:
        """Return the machine that a name or target (`@leader`) means now."""
        names = self._breaking.targets(target)
        if len(names) != 1:
            raise InputError(f"`{target}` means {', '.join(names)}", "name one of them")
        return LabNode(self.handle.node(names[0]))

    @property
    def nodes(self) -> tuple[LabNode, ...]:
        """All nodes of the cluster: masters, then workers, as the topology has them."""
        return tuple(LabNode(self.handle.node(node.name)) for node in self.topology.nodes)

    def resolved(self, url: str) -> str:
        """Return a URL whose host `vip`, or a machine's name, is replaced by its address."""
        parts = urlsplit(url)
        known = {node.name: str(node.ip) for node in self.topology.machines} | {"vip": self.vip}
        host = known.get(parts.hostname or "")
        if host is None:
            return url
        port = f":{parts.port}" if parts.port else ""
        return parts._replace(netloc=f"{host}{port}").geturl()

    def service_url(self, name: str, namespace: str = "default", scheme: str = "http") -> str:
        """Return the URL of a Service from outside: its LoadBalancer's address, or a NodePort.

        Raises LabError where it has neither.
        """
        service = self.kubectl("get", "service", name, "-n", namespace)
        address = kubectl.outside_address(service, self.vip)
        return f"{scheme}://{address}"

    @contextlib.contextmanager
    def lent(self) -> Iterator[str]:
        """Let another process of the same user test on this lab for a block; return its name.

        For tests that call pytest, or a program that does: `--halab-reuse NAME` would wait for this
        session's end. After the block it is waited for until the other is done.
        """
        with sessions.lent(self.name, self._claim):
            yield self.name

    # --- use ---

    def kubectl(self, *arguments: str, stdin: bytes | None = None) -> Any:  # noqa: ANN401 (JSON or text)
        """Run kubectl on a master; `get` returns the objects as a dict, all else text.

        Raises CommandFailed with what it printed.
        """
        return kubectl.run(self.handle, arguments, stdin, avoid=self._breaking.nodes)

    def apply(self, what: str | Path | Mapping[str, Any]) -> str:
        """Apply a manifest: a file, a folder of *.yaml, *.yml and *.json, or an object."""
        return str(self.kubectl("apply", "-f", "-", stdin=kubectl.manifest(what)))

    def load_image(self, image: str) -> tuple[str, ...]:
        """Bring an image of the local engine, or a tar, to all nodes that run; return their names.

        Pods use it with `imagePullPolicy: Never` or `IfNotPresent`. Raises InputError where there
        is no such image, LabError where a node cannot take it.
        """
        loaded = image_load.load(self.handle, [image], progress=LogReporter())
        return tuple(dict.fromkeys(each.node for each in loaded if each.state != image_load.OFF))

    def wait_for(
        self,
        condition: WaitStrategy | Callable[[HalabLab], object],
        timeout_s: float = WAIT_S,
    ) -> str:
        """Wait until a condition holds; return the detail of its last observation.

        Raises WaitTimeout with that detail.
        """
        strategy = waiting.strategy(condition)
        return until(
            strategy.what, lambda: tried(lambda: strategy.observe(self)), timeout_s=timeout_s
        ).detail

    # --- break and measure ---

    @property
    def _breaking(self) -> Faults:
        if self._faults is None:
            raise LabError("this lab is not started", "use it in a `with` block, or call start()")
        return self._faults

    @contextlib.contextmanager
    def fault(
        self,
        name: str,
        target: str,
        *,
        set: Mapping[str, object] | None = None,  # noqa: A002 (the command line's word)
    ) -> Iterator[Broken]:
        """Break the lab for a block: `with lab.fault("power-cut", "@vip-holder"):`.

        The lab is steady before, and steady again afterwards, also when the block raised.
        """
        options = dict(setting.split("=", 1) for setting in overrides(set or {}))
        with self._breaking.fault(name, target, options) as broken:
            yield broken

    def make_whole(self) -> str:
        """Heal every fault, power on what is off, wait until the lab is steady."""
        return self._breaking.make_whole()

    def reset(self) -> ResetResult:
        """Go back to what was there after the start: objects, add-ons, faults, machines.

        Not within `measure`. Raises LabError for a lab that an older halab started.
        """
        # Imported late, as the API's client is.
        from lab.lifecycle.reset import reset

        return reset(self.handle)

    @contextlib.contextmanager
    def measure(
        self,
        url: str = "",
        name: str = "url",
        *,
        urls: Mapping[str, str] | None = None,
        probes: tuple[str, ...] | None = None,
    ) -> Iterator[Measurement]:
        """Measure the lab, and services of one's own, for a block.

        `url` is asked under `name`, every 20 or 40 ms, from outside the cluster; `urls` are more of
        them. `probes` are those of halab's own that run; all where none is named.
        """
        asked = {**({name: url} if url else {}), **(urls or {})}
        measuring = Measuring(self.handle, self._breaking, self._reporter)
        with measuring.run(asked, probes, self.measurements) as measurement:
            yield measurement

    def expect(self, text: str) -> Verdict:
        """Judge an expectation over the last measurement: `outage(api.vip) <= 5s`.

        Raises ExpectationNotMet, an AssertionError.
        """
        if not self.measurements:
            raise LabError("nothing was measured yet", "`with lab.measure(): …` first")
        return self.measurements[-1].expect(text)

    def export(self, folder: Path | str) -> Path:
        """Write the lab's state as `halab export` does: journals, objects, no secrets."""
        root = Path(folder)
        for name, content in export.collect(self.handle).items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return root
