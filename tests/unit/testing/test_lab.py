"""HalabLab: started, broken, used and removed, whatever the block does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import fake_labs
import pytest

from lab.base.errors import EngineError, InputError, LabError, WaitTimeout
from lab.engine.commands import Result
from lab.live.image_load import NodeImage
from lab.testing import HalabLab, waiting
from lab.testing.kubectl import first_object, manifest
from lab.testing.sessions import Claim
from lab.testing.spec import LabSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.live.lab import Lab

ROOT = Path(__file__).parents[3]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> fake_labs.FakeLabs:
    return fake_labs.install(monkeypatch)


@pytest.fixture
def lab(engine: fake_labs.FakeLabs) -> Iterator[HalabLab]:
    with HalabLab("3m3w") as lab:
        engine.log.clear()
        yield lab


def test_lab_lives_as_long_as_its_block(engine: fake_labs.FakeLabs) -> None:
    with pytest.raises(ZeroDivisionError), HalabLab("1m1w", distribution="k3s") as lab:
        assert lab.name == "test-1m1w"
        assert lab.topology.loadbalancer.host_port == 0
        raise ZeroDivisionError
    assert engine.log == ["start test-1m1w k3s", "destroy test-1m1w"]
    assert not fake_labs.leave_nothing()
    with pytest.raises(LabError, match="not started"):
        _ = lab.name


def test_two_labs_have_networks_of_their_own(engine: fake_labs.FakeLabs) -> None:
    with HalabLab("1m1w") as one, HalabLab("1m1w", name="other") as other:
        assert (one.name, other.name) == ("test-1m1w", "other")
        assert not one.topology.network.subnet.overlaps(other.topology.network.subnet)


def test_lab_that_does_not_start_leaves_nothing(engine: fake_labs.FakeLabs) -> None:
    engine.fails = "no room"
    with pytest.raises(EngineError, match="no room"):
        HalabLab("1m1w").start()
    assert engine.log[-1] == "destroy test-1m1w"
    assert not fake_labs.leave_nothing()


def test_lab_whose_condition_is_not_met_in_time_leaves_nothing(engine: fake_labs.FakeLabs) -> None:
    def never(_: HalabLab) -> bool:
        return False

    with pytest.raises(WaitTimeout, match="never: not after"):
        HalabLab("1m1w", timeout_s=0).waiting_for(never).start()
    assert engine.log[-1] == "destroy test-1m1w"


def test_lab_that_is_kept_is_nobodys_afterwards(engine: fake_labs.FakeLabs) -> None:
    with HalabLab("1m1w", keep=True):
        pass
    assert engine.log == ["start test-1m1w"]
    assert not fake_labs.leave_nothing()
    with HalabLab("1m1w") as second:
        assert second.name == "test-1m1w-2"


def test_lab_of_a_killed_session_is_removed_by_the_next_start(engine: fake_labs.FakeLabs) -> None:
    held = Claim.take("test-5m2w")
    assert held
    held.record()
    held.lock.release()  # as its death would
    with HalabLab("1m1w"):
        assert engine.log == ["destroy test-5m2w", "start test-1m1w"]


def test_attached_lab_is_started_once_and_never_removed(engine: fake_labs.FakeLabs) -> None:
    for _ in range(2):
        with HalabLab.attach("mine", LabSpec("1m1w")) as lab:
            assert (lab.name, lab.kept) == ("mine", True)
    assert engine.log == ["start mine"]
    assert not fake_labs.leave_nothing()


def test_attached_lab_is_made_whole_where_it_is_not(engine: fake_labs.FakeLabs) -> None:
    with HalabLab.attach("mine", LabSpec("1m1w")):
        engine.steady = False
    with HalabLab.attach("mine"):
        assert engine.log == ["start mine", "whole"]


def test_attached_lab_of_another_shape_is_refused(engine: fake_labs.FakeLabs) -> None:
    with HalabLab.attach("mine", LabSpec("1m1w")):
        pass
    with pytest.raises(InputError, match="lab mine is 1m1w, not 3m3w"):
        HalabLab.attach("mine", LabSpec("3m3w")).start()
    assert "destroy mine" not in engine.log


# --- faults ---


def test_fault_is_healed_and_the_lab_whole_after_the_block(
    lab: HalabLab, engine: fake_labs.FakeLabs
) -> None:
    with lab.fault("loss", "@vip-holder", set={"percent": 5}) as broken:
        assert broken.nodes == ("m",)
    assert engine.log == ["inject loss @vip-holder percent=5", "heal loss", "whole"]


def test_fault_is_healed_when_the_block_raises(lab: HalabLab, engine: fake_labs.FakeLabs) -> None:
    with pytest.raises(ZeroDivisionError), lab.fault("power-cut", "m"):
        raise ZeroDivisionError
    assert engine.log[-2:] == ["heal power-cut", "whole"]


def test_inner_fault_leaves_the_outer_one_on(lab: HalabLab, engine: fake_labs.FakeLabs) -> None:
    with lab.fault("loss", "m"):
        with lab.fault("hang", "m2"):
            engine.steady = False  # two faults are on: nobody waits for a steady lab
        assert engine.log[-1] == "heal hang"
    assert engine.log[-2:] == ["heal loss", "whole"]


def test_fault_that_was_healed_in_the_block_is_not_healed_again(
    lab: HalabLab, engine: fake_labs.FakeLabs
) -> None:
    with lab.fault("hang", "m") as broken:
        broken.heal()
    assert engine.log == ["inject hang m", "heal hang", "whole"]


def test_fault_waits_for_a_steady_lab(
    lab: HalabLab, engine: fake_labs.FakeLabs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.testing.broken.STEADY_BEFORE_TIMEOUT_S", 0)
    engine.steady = False
    with pytest.raises(WaitTimeout, match="steady before the fault"), lab.fault("hang", "m"):
        pytest.fail("it was injected")
    assert not engine.log


# --- use ---


def test_kubectl_get_returns_objects_and_all_else_text(
    lab: HalabLab, engine: fake_labs.FakeLabs
) -> None:
    warned = 'Warning: v1 Endpoints is deprecated\n{"items": [{"kind": "Pod"}]}\n'
    engine.answers = {"-o json": Result(0, warned), "get pods -o wide": Result(0, "text\n")}
    assert lab.kubectl("get", "pods")["items"] == [{"kind": "Pod"}]
    assert lab.kubectl("get", "pods", "-o", "wide") == "text\n"
    assert lab.kubectl("delete", "pod", "x") == ""
    assert engine.commands[-1] == "halab-test-3m3w-m: kubectl delete pod x"


def test_kubectl_runs_where_no_fault_is(lab: HalabLab, engine: fake_labs.FakeLabs) -> None:
    with lab.fault("hang", "@vip-holder"):
        lab.kubectl("version")
    engine.stop("halab-test-3m3w-m2", 1)
    with lab.fault("hang", "m"):
        lab.kubectl("version")
    nodes = [line.partition(":")[0] for line in engine.commands]
    assert nodes == ["halab-test-3m3w-m2", "halab-test-3m3w-m3"]


def test_node_is_what_a_target_means_now(lab: HalabLab, engine: fake_labs.FakeLabs) -> None:
    node = lab.node("@vip-holder")
    engine.answers = {"hostname": Result(0, "m\n")}
    assert (node.name, node.exec("hostname"), str(node)) == ("m", "m\n", "m")
    node.exec("echo a | cat")
    assert engine.commands[-1] == "halab-test-3m3w-m: sh -c echo a | cat"
    with pytest.raises(InputError, match="means m, m2, m3"):
        lab.node("role:master")


def test_manifests_are_files_folders_and_objects(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("kind: B\n")
    (tmp_path / "a.json").write_text('{"kind": "A"}')
    (tmp_path / "notes.txt").write_text("no manifest")
    assert manifest(tmp_path) == b'{"kind": "A"}\n---\nkind: B\n'
    assert manifest({"kind": "C"}) == b'{"kind": "C"}'
    with pytest.raises(InputError, match="cannot be applied"):
        manifest(tmp_path / "none.yaml")
    with pytest.raises(LabError, match="no JSON"):
        first_object("error: you must be logged in\n")


def test_urls_name_machines(lab: HalabLab, engine: fake_labs.FakeLabs) -> None:
    assert lab.resolved("http://vip:30080/x?y=1") == f"http://{lab.vip}:30080/x?y=1"
    assert lab.resolved("http://172.30.0.60/") == "http://172.30.0.60/"
    service = '{"spec": {"ports": [{"port": 80, "nodePort": 30123}]}}'
    engine.answers = {"get service shop": Result(0, service)}
    assert lab.service_url("shop") == f"http://{lab.vip}:30123"
    engine.answers = {"get service shop": Result(0, '{"spec": {"ports": [{"port": 80}]}}')}
    with pytest.raises(LabError, match="cannot be reached from outside"):
        lab.service_url("shop")


def test_waits_ask_until_it_is_so(lab: HalabLab, engine: fake_labs.FakeLabs) -> None:
    pod = '{"items": [{"status": {"conditions": [{"type": "Ready", "status": "True"}]}}]}'
    engine.answers = {
        "get pods": Result(0, pod),
        "rollout": Result(0, 'deployment "shop" successfully rolled out'),
        "curl": Result(0, "200"),
    }
    for condition in (
        waiting.steady(),
        waiting.pods_ready("app=shop"),
        waiting.rolled_out("deployment/shop"),
        waiting.http_answers("http://vip:30080/"),
    ):
        assert lab.wait_for(condition, timeout_s=0)
    engine.answers["curl"] = Result(7, "000")
    with pytest.raises(WaitTimeout, match="no answer"):
        lab.wait_for(waiting.http_answers("http://vip:30080/"), timeout_s=0)
    with pytest.raises(WaitTimeout, match="1 of 2 pods"):
        lab.wait_for(waiting.pods_ready("app=shop", 2), timeout_s=0)


def test_image_is_brought_to_every_node_that_runs(
    lab: HalabLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = {"m": "loaded", "w1": "present", "w2": "off"}

    def load(_: Lab, images: list[str], **__: object) -> tuple[NodeImage, ...]:
        return tuple(
            NodeImage(node, image, state) for image in images for node, state in states.items()
        )

    monkeypatch.setattr("lab.live.image_load.load", load)
    assert lab.load_image("myapp:dev") == ("m", "w1")


def test_plugin_imports_nothing_but_pytest() -> None:
    code = (
        "import sys, pytest, _pytest\n"
        "before = set(sys.modules)\n"
        "import lab.testing.plugin\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    own = {"lab", "lab.testing", "lab.testing.plugin"}
    assert set(done.stdout.split()) == own


def test_reset_is_that_of_the_command(lab: HalabLab, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr("lab.lifecycle.reset.reset", lambda each: done.append(each.name))
    lab.reset()
    assert done == [lab.name]
