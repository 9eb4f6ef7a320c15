"""Events of a lab that lives, as they come: from the engine, the nodes and samplers of its own.

It only asks. Kubernetes' API is one voice among others: nothing else waits for it. Whatever is
lost (machines, the API, the engine itself) is asked again until it is back.
"""

from __future__ import annotations

import contextlib
import shlex
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from lab.analysis.history.events import Event
from lab.base.errors import EngineError, LabError
from lab.kube.objects import node_ready
from lab.live import active_faults
from lab.nodes.ha import ipmi
from lab.topology.model import Role
from lab.watch.agent import NodeAgent, OutsideAgent
from lab.watch.node_talk import CONTROLLER, COROSYNC, FAULTS, PROGRAM, NodeTalk
from lab.watch.source import Arrivals
from lab.watch.state import pod_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from lab.engine.agents import Conversation
    from lab.live.lab import Lab
    from lab.measure.probe import ProbeSpec
    from lab.topology.model import Node

ENGINE_S = 1.0
"""Between two looks at the engine; a conversation that ends is a reason to look at once."""
ASK = {FAULTS: 1.0, COROSYNC: 2.0, CONTROLLER: 10.0}
"""Between two questions to a node, seconds: what is cheap is asked more often."""
POWER_S, POWER_TIMEOUT_S = 15.0, 20.0
PODS_S, PODS_SOON_S = 10.0, 2.0
"""Between two lists of pods; soon while a node is in trouble."""
AGAIN_S = 3.0
"""Until something that could not be started is tried again."""
END_S = 3.0
"""For a conversation that is being started when the watch ends."""


class NodeConversation:
    """The conversation with one node, and the thread that listens."""

    def __init__(
        self, conversation: Conversation, talk: NodeTalk, write: Callable[[Iterable[Event]], None]
    ) -> None:
        """Begin to listen."""
        self.talk = talk
        self._conversation, self._write = conversation, write
        self._due = dict.fromkeys(ASK, 0.0)
        self._thread = threading.Thread(target=self._listen, name="halab-watch-node", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the node still speaks, or may speak again: a frozen one does."""
        return self._thread.is_alive()

    def ask(self, now: float, questions: Sequence[str]) -> None:
        """Ask what is due."""
        for question in questions:
            if now >= self._due[question]:
                self._due[question] = now + ASK[question]
                with contextlib.suppress(OSError):
                    self._conversation.say(question)

    def stop(self) -> None:
        """Hang up; the shell on the node ends."""
        self._conversation.close()

    def _listen(self) -> None:
        # The engine hangs up in its own ways when a machine dies.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            for output, lines in self._conversation.lines():
                if output:
                    now = time.monotonic() - self.talk.begin
                    self._write(list(self.talk.events(lines, now)))


class LiveFeed:
    """A lab's events; an EventSource."""

    def __init__(self, lab: Lab, more: tuple[ProbeSpec, ...] = ()) -> None:
        """Nothing is asked yet. `more`: the user's own probes."""
        self._arrivals = Arrivals()
        self.begin = self._arrivals.begin
        self.wall = time.time()
        self._lab = lab
        self._ended = threading.Event()
        self._poked = threading.Event()
        self._outside = OutsideAgent(lab, self.begin, self._write, more, self._ended)
        self._inside: dict[str, NodeAgent] = {}
        self._talks: dict[str, NodeConversation] = {}
        self._offline: dict[str, NodeTalk] = {}
        """What is known of the faults of machines that do not run."""
        self._states: dict[str, str] = {}
        self._problems: dict[str, str] = {}
        self._again: dict[str, float] = {}
        self._threads: list[threading.Thread] = []

    # --- EventSource ---

    def now(self) -> float:
        """Return the seconds since the watch began."""
        return self._arrivals.now()

    def due(self) -> Sequence[Event]:
        """Return what came since the last call."""
        return self._arrivals.due()

    def wait(self, timeout_s: float) -> None:
        """Wait until something has come, at most for so many seconds."""
        self._arrivals.wait(timeout_s)

    @property
    def over(self) -> bool:
        """A lab's events never end by themselves."""
        return self._arrivals.over

    # --- start and stop ---

    def __enter__(self) -> Self:
        """Begin to ask."""
        for work in (self._look_again, self._sample, self._ask_power, self._list_pods):
            thread = threading.Thread(target=work, name=f"halab-watch{work.__name__}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End all that was started."""
        self._ended.set()
        self._poked.set()
        # They may be starting conversations and agents at this moment.
        for thread in self._threads[:2]:
            thread.join(END_S)
        for talk in tuple(self._talks.values()):
            talk.stop()
        for agent in tuple(self._inside.values()):
            agent.stop()
        self._outside.stop()

    def _write(self, events: Iterable[Event]) -> None:
        self._arrivals.put(events)

    def _say(self, kind: str, **data: Any) -> None:  # noqa: ANN401 (any JSON value)
        self._arrivals.put([Event(self.now(), kind, data)])

    @contextlib.contextmanager
    def _reporting(self, what: str, before: str = "") -> Iterator[None]:
        """Report an error once, and its end; `before` if there is none."""
        text = before
        try:
            yield
        except LabError as error:
            text = error.message.splitlines()[0]
        except OSError as error:
            text = str(error)
        self._problem(what, text)

    def _problem(self, what: str, text: str) -> None:
        """Tell what cannot be asked and why, once; "" if it can be again."""
        if self._problems.get(what, "") != text:
            self._problems[what] = text
            self._say("problem", what=what, text=text)

    # --- the engine and the nodes ---

    def _look_again(self) -> None:
        while not self._ended.is_set():
            with self._reporting("engine"):
                self.look()
            self._poked.wait(ENGINE_S)
            self._poked.clear()

    def look(self) -> None:
        """Ask the engine how all machines are, and every node what is due. Raises EngineError."""
        try:
            observed = self._lab.observe()
        except EngineError:
            for node in self._lab.topology.machines:
                self._state(node.name, "")
            raise
        for node in self._lab.topology.containers:
            container = observed.container(node.name)
            self._state(node.name, container.state if container else "missing")
        self._converse()

    def _state(self, name: str, state: str) -> None:
        if self._states.get(name) != state and name != self._lab.topology.bmc.name:
            self._say("machine", node=name, state=state, resolution=ENGINE_S)
        self._states[name] = state

    def _converse(self) -> None:
        for node in self._lab.topology.machines:
            if self._states[node.name] == "running":
                self._keep_talking(node)
            elif self._states[node.name] not in {"", "missing"}:
                self._read_faults(node)

    def _keep_talking(self, node: Node) -> None:
        name, now = node.name, self.now()
        talk = self._talks.get(name)
        if talk is None or not talk.alive:
            if now < self._again.get(name, 0.0):
                return
            self._again[name] = now + AGAIN_S
            with self._reporting(f"node {name}"):
                self._talks[name] = self._talk(name)
        if talk := self._talks.get(name):
            master = node.role is Role.MASTER
            talk.ask(now, tuple(ASK) if master else (FAULTS,))

    def _talk(self, name: str) -> NodeConversation:
        known = self._offline.pop(name, None) or self._talks_of(name)
        known.clock = self._outside.clock
        container = self._lab.node(name).container
        conversation = self._lab.engine.follow(container, ["sh", "-c", PROGRAM])
        return NodeConversation(conversation, known, self._write)

    def _talks_of(self, name: str) -> NodeTalk:
        """Return what is known of a node's faults, kept over its death."""
        if name in self._talks:
            return self._talks[name].talk
        return NodeTalk(name, self.begin, wall_offset=self.wall - self.begin)

    def _read_faults(self, node: Node) -> None:
        """Read the records of a machine that does not run from its disk, now and then."""
        name, now = node.name, self.now()
        if now < self._again.get(f"disk of {name}", 0.0):
            return
        self._again[f"disk of {name}"] = now + AGAIN_S
        known = self._offline.setdefault(name, self._talks_of(name))
        records = active_faults.read_from_disk(self._lab.engine, self._lab.node(name))
        if records is not None:  # whoever cannot read heals nothing
            self._write(list(known.take_faults(records.active, now)))

    # --- samplers ---

    def _sample(self) -> None:
        while not self._ended.is_set():
            self.sample_outside()
            for node in self._lab.topology.workers or self._lab.topology.masters:
                self._sample_on(node.name)
            self._ended.wait(AGAIN_S)

    def sample_outside(self) -> None:
        """Start the agent on the lab's network if it does not run.

        Why one ended is a problem until the next one has sampled.
        """
        agent = self._outside
        if agent.alive:
            if agent.sampled:
                self._problem("probes", "")
            return
        self._say("measuring", text="")
        with self._reporting("probes", agent.complaint):
            agent.start()
            self._say("measuring", text="watch")

    def _sample_on(self, name: str) -> None:
        if self._states.get(name) != "running":
            return
        agent, what = self._inside.get(name), f"probes on {name}"
        if agent is not None and agent.alive:
            if agent.sampled:
                self._problem(what, "")
            return
        with self._reporting(what, agent.complaint if agent else ""):
            self._inside[name] = NodeAgent(self._lab, name, self.begin, self._write)

    # --- power and pods ---

    def _ask_power(self) -> None:
        while not self._ended.wait(AGAIN_S):
            self.power()
            self._ended.wait(POWER_S - AGAIN_S)

    def power(self) -> None:
        """Ask every node's baseboard controller whether its power is on."""
        lab = self._lab
        answers: dict[str, str] = {}
        asks = (
            f"echo {node.name} $("
            f"{shlex.join(ipmi.command(lab.topology, node.name, 'power', 'status'))} 2>&1)"
            for node in lab.topology.nodes
        )
        script = "; ".join(asks)
        with contextlib.suppress(LabError):
            bmc = lab.node(lab.topology.bmc.name)
            output = bmc.run(["sh", "-c", script], check=False, timeout_s=POWER_TIMEOUT_S).output
            answers = powers(output)
        for node in lab.topology.nodes:
            self._say("power", node=node.name, power=answers.get(node.name, "no answer"))

    def _list_pods(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(LabError, OSError):
                self._say("pods", pods=self._pods())
            trouble = any(state != "running" for state in self._states.values())
            self._ended.wait(PODS_SOON_S if trouble else PODS_S)

    def _pods(self) -> list[dict[str, str]]:
        with self._lab.cluster() as cluster:
            return [pod(item) for item in cluster.get("/api/v1/pods")["items"]]


def powers(output: str) -> dict[str, str]:
    """Read the answers of `ipmitool power status`, one a line after the node's name."""
    rows = {}
    for line in output.splitlines():
        node, _, answer = line.partition(" ")
        state = answer.rpartition(" is ")[2].strip()
        rows[node] = state if state in {"on", "off"} else "no answer"
    return rows


def pod(item: dict[str, Any]) -> dict[str, str]:
    """Return a pod of the API's list as the reducer takes it."""
    status, about = item.get("status", {}), item["metadata"]
    return {
        "name": about["name"],
        "namespace": about["namespace"],
        "node": str(item["spec"].get("nodeName", "")),
        "state": pod_state(
            str(status.get("phase", "")),
            ready=node_ready(item)[0],
            deleting=bool(about.get("deletionTimestamp")),
        ),
    }
