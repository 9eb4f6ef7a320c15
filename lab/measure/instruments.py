"""Runs the instrument: an agent beside the nodes, and pods on them that ask.

Everything they see goes into the run's history. All traffic stays inside the lab's networks. What a
killed run leaves behind has the lab's label (the agent's container, which ends with its reader), or
lives in one namespace and in one folder of the nodes. The next start removes it.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.analysis.history import events
from lab.analysis.history.events import Event, History
from lab.base.errors import EngineError, LabError
from lab.base.parallel import run_all
from lab.base.progress import Silent
from lab.base.wait import Observation, tried, until
from lab.engine.files import File, unpack
from lab.engine.labels import LABEL, LABEL_HELPER, LABEL_INSTRUMENT, network_name
from lab.measure import (
    agent_config,
    journals,
    leftovers,
    manifests,
    pod_asker,
    probes,
    target_service,
)
from lab.measure.connection_trace import ConnectionTraces, addresses
from lab.measure.journal_events import events as milestones
from lab.measure.listener import Listener, shifted
from lab.measure.probe import REGISTERS, ProbeContext, ProbeSpec

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import TextIO

    from lab.base.progress import Reporter
    from lab.kube.api import KubeApi
    from lab.live.lab import Lab
    from lab.measure.pod_asker import PodAsker

CONFIGURATION = "/etc/halab/probe.json"
SAMPLES_S = 30.0
"""For the first samples of everything: they come at once, or something is wrong."""
FINISH_S = 60.0
"""For the agent to read everything back: it tries for half a minute."""
ALONE_S = 45.0
"""For the agent of a killed run to end: it reads back for half a minute at most."""
JOURNAL_MARGIN_S = 5.0


@dataclass(slots=True)
class Instruments:
    """One run's instrument.

    Times in the history are seconds since `begin` (this process's monotonic clock).
    """

    lab: Lab
    folder: Path
    reporter: Reporter = field(default_factory=Silent)
    pace: float = 1.0
    """2 asks half as often. At full pace all questions cost a lab about one core; a machine that
    lacks it would measure itself."""
    more: tuple[ProbeSpec, ...] = ()
    """Probes beside those of lab/measure/probes: the user's own services."""
    begin: float = field(default_factory=time.monotonic)
    left: tuple[str, ...] = ()
    """What could not be cleaned up; the next start tries again."""
    _wall: float = field(default_factory=time.time)
    _run: str = field(default_factory=lambda: secrets.token_hex(4))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _rows: tuple[ProbeSpec, ...] = ()
    _agent: str = ""
    _listener: Listener | None = None
    _pod_askers: tuple[PodAsker, ...] = ()
    _traces: ConnectionTraces | None = None
    _file: TextIO | None = None

    # --- the history ---

    def note(self, event: Event) -> None:
        """Add an event: of the run, a fault, a step."""
        self._write([event])

    def _write(self, new: Iterable[Event]) -> None:
        with self._lock:
            if self._file is None:
                self._file = (self.folder / "history.jsonl").open("a", encoding="utf-8")
            events.write(self._file, new)

    # --- start ---

    def start(self, names: Iterable[str] | None = None) -> None:
        """Begin to sample: everything, or these probes. Return when all have sampled.

        Raises InputError for an unknown name, and WaitTimeout with what is missing. Then, and on
        ^C, nothing is left behind.
        """
        # A wrong name is refused before anything is made.
        probes.rows(ProbeContext(topology=self.lab.topology), names)
        what = f"no other run samples lab {self.lab.name}"
        until(what, lambda: tried(self._alone), timeout_s=ALONE_S, on_change=self._say)
        try:
            self._clear()
            self._start(names)
        except BaseException:
            self._abandon()
            raise

    def _alone(self) -> Observation:
        """Whether no agent of another run samples. The agent of a killed run ends by itself."""
        engine = self.lab.engine
        agents = leftovers.agents(self.lab)
        running = [agent for agent in agents if engine.inspect(agent)["State"]["Running"]]
        others = ", ".join(agent[:12] for agent in running)
        return Observation(ok=not running, detail=f"another run's agent does: container {others}")

    def _start(self, names: Iterable[str] | None) -> None:
        with self.lab.cluster() as cluster:
            context = self._target(cluster)
            rows = (*probes.rows(context, names), *self.more)
            self._rows = tuple(row.slowed(self.pace) for row in rows)
            self._trace(cluster, context)
            cluster.apply(manifests.askers(self._rows, self._run))
            now = time.monotonic() - self.begin
            self._write(
                Event(now, "instrument", row.instrument()) for row in self._rows if row.question
            )
            self._listen()
            commands = [row for row in self._rows if row.by_engine]
            self._pod_askers = pod_asker.started(commands, self.lab, self.begin, self._write)
            target_service.await_askers(cluster, len(self._pods()), self._say)
        until(
            "the first samples",
            self._sampled,
            timeout_s=SAMPLES_S,
            every_s=0.1,
            on_change=self._say,
        )
        self.reporter.done("probes", f"{len(self._rows)} sample")

    def _trace(self, cluster: KubeApi, context: ProbeContext) -> None:
        """Trace which pods the askers' questions go to."""
        nodes = [self.lab.node(name) for name in self._pods()]
        self._traces = ConnectionTraces(nodes, self._run, addresses(context))
        try:
            begun = self._traces.start(cluster, time.monotonic() - self.begin)
        except LabError as error:  # a run goes on without it: the report says nothing of causes
            self._say(f"connections are not traced: {error.message}")
            return
        self._write(begun)

    def _pods(self) -> list[str]:
        """Return the nodes in whose pods something is asked."""
        return sorted({row.pod for row in self._rows if row.pod})

    def _target(self, cluster: KubeApi) -> ProbeContext:
        """Make the test Service. Its registers' first values are recorded like other writes."""
        begin = time.monotonic()
        context = target_service.make(cluster, self.lab.topology, self._say)
        end = round(time.monotonic() - self.begin, 6)
        creation = {"client": "setup", "op": "create", "end": end, "outcome": "ok"}
        self._write(
            Event(
                begin - self.begin,
                "op",
                {**creation, "key": key, "value": manifests.initial(key)},
            )
            for key in REGISTERS
        )
        return context

    def _say(self, text: str) -> None:
        self.reporter.say("probes", text)

    def _listen(self) -> None:
        """Start the agent, and the thread that records what it says."""
        lab, engine = self.lab, self.lab.engine
        identities = agent_config.identities(lab.secrets(), lab.distribution())
        own = [row for row in self._rows if not row.pod and not row.by_engine]
        configuration = agent_config.configuration(own, identities, attached=True)
        content = json.dumps(configuration).encode()
        labels = {LABEL: lab.name, LABEL_INSTRUMENT: self._run, **LABEL_HELPER}
        command, ip = [manifests.PROGRAM, CONFIGURATION], target_service.agent_ip(lab.topology)
        network = network_name(lab.name)
        self._agent = engine.create_agent(self._image(), command, network, ip, labels)
        engine.put(self._agent, [File(path=CONFIGURATION, content=content, mode=0o600)])
        conversation = engine.converse(self._agent)
        self._listener = Listener(conversation, self.begin, self._write, self._macs)
        engine.start(self._agent)
        self._write([Event(time.monotonic() - self.begin, "agent", {"state": "begin"})])

    def _image(self) -> str:
        """Return the image of the lab's load balancer, which has the agent and journalctl.

        The lab's own: it may be older than this halab.
        """
        loadbalancer = self.lab.observe().container(self.lab.topology.loadbalancer.name)
        if loadbalancer is None:
            raise LabError(
                f"lab {self.lab.name} has no load balancer",
                f"`halab start {self.lab.name}` makes it",
            )
        return loadbalancer.image

    def _macs(self) -> dict[str, str]:
        """Return the running machines by their MAC addresses."""
        nodes = {}
        for node in self.lab.topology.machines:
            with contextlib.suppress(EngineError):
                settings = self.lab.engine.inspect(self.lab.node(node.name).container)
                networks = settings["NetworkSettings"]["Networks"]
                nodes[networks[network_name(self.lab.name)]["MacAddress"]] = node.name
        return nodes

    def _sampled(self) -> Observation:
        """Whether everything has sampled."""
        listener = self._listener
        if listener is None:
            raise LabError("the instrument was not started")
        if not listener.alive:
            raise LabError(
                f"the agent ended: {listener.complaints or 'without a word'}",
                "what an older lab's agent does not know yet, a new lab's does"
                if self.more
                else "",
            )
        outside = [row for row in self._rows if not row.pod and not row.by_engine]
        expected = {row.probe or row.name for row in outside if row.settings["kind"] != "list"}
        missing = expected - listener.heard
        missing |= {asker.row.name for asker in self._pod_askers if not asker.heard}
        # Reading the nodes' disks takes time: it comes when all else has sampled.
        if not missing:
            for name in self._pods():
                expected = {row.name for row in self._rows if row.pod == name}
                missing |= expected - {sample.get("probe") for sample in self._asked(name)}
        if missing:
            return Observation(
                ok=False, detail=f"nothing yet from {', '.join(sorted(missing)[:5])}"
            )
        return Observation(ok=True, detail="all sample")

    def _asked(self, node: str) -> list[dict[str, Any]]:
        """Return what the pod on a node has written so far.

        It is read from the node's disk, whether the node runs or not.
        """
        path = f"{manifests.FOLDER}/{self._run}.jsonl"
        try:
            files = unpack(self.lab.engine.read(self.lab.node(node).container, path))
        except EngineError:
            return []
        lines = [line for content in files.values() for line in content.splitlines()]
        return [sample for sample in map(_json, lines) if sample]

    # --- stop ---

    def stop(self) -> History:
        """End sampling, collect everything, clean up, and return the whole history.

        Everything: the samples of the pods, the journals, and what the clients read back. What
        cannot be collected or removed is reported and kept in `left`: the history matters more.
        """
        problems: list[str] = []
        clock = self._listener.offset if self._listener else 0.0
        try:
            with _kept(problems):
                self._finish()
            # Pods go on asking until they are removed, but after the agent's last question nothing
            # else is measured.
            last = (self._listener.last if self._listener else 0.0) or float("inf")
            for name in self._pods():
                probed = [row for row in self._asked(name) if row.get("kind") == "probe"]
                samples = [row for row in probed if row["t"] <= last]
                self._write(shifted(row, clock - self.begin) for row in samples)
            self._write(self._traced(clock - self.begin, last))
            with _kept(problems):
                problems += self._journals(clock)
        finally:
            with _kept(problems):
                self._clear()
            if self._file is not None:
                self._file.close()
                self._file = None
        self.left = tuple(problems)
        for problem in problems:
            self._say(problem)
        return events.read(self.folder / "history.jsonl")

    def _traced(self, shift: float, last: float) -> Iterable[Event]:
        """Return what the traces saw until the agent's last question, at `last` on its clock."""
        epoch = self._listener.epoch if self._listener else None
        if self._traces is None or epoch is None:
            return ()
        return self._traces.read(shift - epoch, last + shift)

    def _finish(self) -> None:
        """Let the agent end: it reads back what was written.

        Its last line says how well it kept its schedule.
        """
        if self._listener is None:
            return
        for asker in self._pod_askers:
            asker.stop()
        self._say("reading back what was written")
        self.lab.engine.stop(self._agent, int(FINISH_S))
        self._listener.join(FINISH_S)
        # After the agent's end: a series that ends long before the run counts as a stall.
        run_all([asker.read_back for asker in self._pod_askers])
        (self.folder / "instruments.json").write_text(
            json.dumps(self._listener.statistics, indent=1) + "\n", encoding="utf-8"
        )
        self._note_end(self._listener)
        if self._listener.error is not None:
            raise LabError(f"reading what the agent said failed: {self._listener.error}")

    def _note_end(self, listener: Listener) -> None:
        """Note how the agent ended. If it was killed, its samples look complete.

        All its series end together: no hole shows that it was gone for the rest.
        """
        code: int | None = None  # also if its container is gone
        try:
            state = self.lab.engine.inspect(self._agent)["State"]
            code = None if state["Running"] else int(state["ExitCode"])
        finally:
            about = {"state": "end", "code": code, "told": bool(listener.statistics)}
            self._write([Event(time.monotonic() - self.begin, "agent", about)])
        if code != 0 or not listener.statistics:
            why = listener.complaints or "without a word"
            raise LabError(f"the agent died before its time (exit code {code}): {why}")

    def _journals(self, clock: float) -> tuple[str, ...]:
        """Keep all journals, and those of their lines that matter as events."""
        self._say("collecting the machines' journals")
        nodes = [self.lab.node(node.name) for node in self.lab.topology.machines]
        begin = self.begin - clock  # on the machines' clock
        collected = journals.collect(
            self.lab.engine,
            nodes,
            self._image(),
            self._wall - JOURNAL_MARGIN_S,
            begin - JOURNAL_MARGIN_S,
        )
        collected.save(self.folder / "logs", begin)
        self._write(milestones(collected.entries, begin))
        return collected.problems

    # --- clean-up ---

    def _abandon(self) -> None:
        """Leave nothing of a failed start; its error is the one to report."""
        for asker in self._pod_askers:
            asker.stop()
        with contextlib.suppress(LabError):
            self._clear()
        self._listener = None

    def _clear(self) -> None:
        """Remove the agents, the namespace and the nodes' files of this lab's runs.

        Raises LabError if the cluster does not answer.
        """
        leftovers.remove(self.lab, self._say)
        self._agent = ""


@contextlib.contextmanager
def _kept(problems: list[str]) -> Any:  # noqa: ANN401 (contextlib's own type)
    """Go on after an error; keep its message."""
    try:
        yield
    except LabError as error:
        problems.append(error.message)


def _json(line: bytes) -> dict[str, Any]:
    """Return a line of the agent; empty if it was cut off."""
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}
