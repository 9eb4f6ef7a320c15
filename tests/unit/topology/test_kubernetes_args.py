"""`kubernetes.args`: what may be set, in which forms, and what is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from topology_text import SHORT

from lab.base.errors import TopologyError
from lab.nodes.distributions.k3s import config, keys
from lab.nodes.distributions.upstream import units
from lab.topology.kubernetes_args import COMPONENTS, K3S_OPEN, OWN
from lab.topology.loader import Loaded, load, parse
from lab.topology.model import Args, Topology, from_json, to_json

REFERENCE = Path(__file__).parents[3] / "topologies" / "1m1w.yaml"
TEXT = f"{SHORT}kubernetes:\n  args:\n"
FIRST = TEXT.count("\n") + 1


def loaded(args: str) -> Loaded:
    return parse(TEXT + "".join(f"    {line}\n" for line in args.splitlines()), "f.yaml")


def args(text: str) -> Args:
    return loaded(text).topology.kubernetes.args


def problems(text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(TopologyError) as caught:
        loaded(text)
    return [(problem.line, problem.message, problem.hint) for problem in caught.value.problems]


def test_a_mapping_and_a_list_say_the_same() -> None:
    found = args("apiserver: {v: 2, profiling: true}\nscheduler: [v: 2, profiling: true]\n")
    assert found.apiserver == found.scheduler == (("v", "2"), ("profiling", "true"))


def test_an_option_can_be_repeated() -> None:
    wanted = (("feature-gates", "A=true"), ("feature-gates", "B=false"))
    assert args("kubelet: [feature-gates: A=true, feature-gates: B=false]").kubelet == wanted
    assert args("kubelet: {feature-gates: [A=true, B=false]}").kubelet == wanted


def test_they_come_back_from_the_label_and_are_not_in_it_without_need() -> None:
    plain = load(REFERENCE).topology
    assert '"args"' not in to_json(plain)
    topology = loaded("controller-manager: {v: 2}\nk3s: {disable: [servicelb, x]}").topology
    assert from_json(to_json(topology)) == topology
    assert topology.kubernetes.args.controller_manager == (("v", "2"),)


def test_one_can_be_set_from_the_command_line() -> None:
    topology = load(REFERENCE, ("kubernetes.args.kubelet.max-pods=200",)).topology
    assert topology.kubernetes.args.kubelet == (("max-pods", "200"),)


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        (
            "apiserver:\n  v: 2\n  etcd-servers: https://x",
            2,
            "`kubernetes.args.apiserver.etcd-servers` is halab's own",
            "each API server asks the etcd of its own master",
        ),
        (
            "controller-manager: {service-cluster-ip-range: 10.0.0.0/16}",
            0,
            "`kubernetes.args.controller-manager.service-cluster-ip-range` is halab's own",
            "`kubernetes.service_cidr` says it",
        ),
        (
            "k3s: {kubelet-arg: v=2}",
            0,
            "`kubernetes.args.k3s.kubelet-arg` is halab's own",
            "write it under `kubernetes.args.kubelet`",
        ),
        (
            "kubelet: {--max_pods: 2}",
            0,
            "`kubernetes.args.kubelet.--max_pods` is not an option's name",
            "write max-pods: VALUE",
        ),
        (
            "kubelet: [--max-pods=2]",
            0,
            "`kubernetes.args.kubelet` must have options with values",
            "for example {v: 2}, or [feature-gates: A=true]",
        ),
        (
            "k3s: {snapshoter: native}",
            0,
            "`kubernetes.args.k3s.snapshoter` is no key of K3s's configuration",
            "did you mean `snapshotter`?",
        ),
        (
            "scheduler: {v: }",
            0,
            "`kubernetes.args.scheduler.v` has no value",
            "give one, or leave the key out if it has a default",
        ),
        (
            'scheduler: {v: "2\\n3"}',
            0,
            "`kubernetes.args.scheduler.v` has a character that cannot be printed",
            "write one line of text",
        ),
        (
            "kube-proxy: {v: 2}",
            0,
            "unknown key `kube-proxy` in `kubernetes.args`",
            "known: apiserver, controller-manager, scheduler, kubelet, k3s",
        ),
    ],
)
def test_what_cannot_be_set_is_refused_with_line_and_reason(
    text: str, line: int, message: str, hint: str
) -> None:
    assert problems(text) == [(FIRST + line, message, hint)]


def test_k3s_own_options_without_k3s_are_hardly_meant() -> None:
    text = TEXT.replace(
        "  args:\n", "  distributions: [upstream]\n  args:\n    k3s: {debug: true}\n"
    )
    (warning,) = parse(text, "f.yaml").warnings
    assert warning.message == "`kubernetes.args.k3s` is not used"


def test_every_key_of_k3s_is_open_or_halabs_own() -> None:
    assert set(OWN) == set(COMPONENTS)
    assert not set(OWN["k3s"]) & K3S_OPEN
    assert set(OWN["k3s"]) | K3S_OPEN == keys.SERVER
    assert config.LISTS <= K3S_OPEN


@pytest.fixture(scope="module")
def plain() -> Topology:
    return load(REFERENCE).topology


HARMLESS = {
    "apiserver": {
        "enable-admission-plugins",
        "endpoint-reconciler-type",
        "default-not-ready-toleration-seconds",
        "default-unreachable-toleration-seconds",
        "profiling",
    },
    "controller-manager": {"node-monitor-period", "kube-api-qps", "kube-api-burst"},
    "scheduler": set(),
    "kubelet": set(),
}


@pytest.mark.parametrize("component", ["apiserver", "controller-manager", "scheduler", "kubelet"])
def test_what_upstreams_units_set_is_refused_or_harmless(plain: Topology, component: str) -> None:
    render = getattr(units, COMPONENTS[component])
    words = render(plain, plain.nodes[0]).decode().split()
    own = {word[2:].partition("=")[0] for word in words if word.startswith("--")}
    # Options of curl, which waits for the API server.
    own -= {"rate", "max-time", "cacert"}
    own -= {"leader-elect-lease-duration", "leader-elect-renew-deadline"}
    assert own - set(OWN[component]) == HARMLESS[component]
