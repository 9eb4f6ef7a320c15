"""The pytest plug-in as other projects use it: a pytest run of its own, on the shared lab."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labs import Cli, Distribution, Inside

    from lab.testing import HalabLab

ROOT = Path(__file__).parents[2]
SHOP = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: plugin}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: shop
          image: halab/toolbox:1.0.0
          imagePullPolicy: Never
          command: [sh, -c, "echo shop > /www/index.html; exec httpd -f -p 8080 -h /www"]
          readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
          resources: {requests: {cpu: 50m}}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: plugin}
spec: {type: NodePort, selector: {app: shop}, ports: [{port: 8080}]}
"""
TESTS = """
import json
from pathlib import Path

import pytest
from kubernetes.client import CoreV1Api

from lab.testing.measurement import ExpectationNotMet
from lab.testing.waiting import http_answers, pods_ready, rolled_out


@pytest.fixture(scope="session")
def shop(halab_lab):
    lab = halab_lab
    lab.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "plugin"}})
    lab.apply(Path(__file__).parent / "shop.yaml")
    lab.wait_for(rolled_out("deployment/shop", "plugin"), timeout_s=180)
    lab.wait_for(pods_ready("app=shop", 2, "plugin"))
    url = lab.service_url("shop", "plugin")
    lab.wait_for(http_answers(url))
    yield url
    lab.kubectl("delete", "namespace", "plugin", "--wait=false")


def test_lab_is_used(halab_lab, shop):
    lab = halab_lab
    names = {node["metadata"]["name"] for node in lab.kubectl("get", "nodes")["items"]}
    assert names == {node.metadata.name for node in CoreV1Api(lab.client).list_node().items}
    assert lab.node("@leader").exec("hostname").strip() == lab.node("@leader").name
    assert lab.kubeconfig.stat().st_mode & 0o077 == 0


def test_service_is_measured_while_the_vip_moves(halab_lab, shop):
    lab = halab_lab
    holder = lab.node("@vip-holder").name
    with lab.measure(url=shop, name="shop", probes=("api.vip", "vip")) as m:
        with lab.fault("power-cut", "@vip-holder") as broken:
            assert broken.nodes == (holder,)
            assert lab.kubectl("get", "nodes")["items"]
            lab.wait_for(lambda lab: lab.node("@vip-holder").name != holder)
    assert m.outage("shop") <= 60
    assert m.outage("api.vip") > 0
    lab.expect("outage(api.vip) <= 60s")
    with pytest.raises(ExpectationNotMet):
        lab.expect("outage(api.vip) <= 1ms")
    assert {"report.html", "logs/all.log"} <= set(m.files)
    Path("measured.json").write_text(json.dumps({"folder": str(m.folder)}))


def test_that_fails_in_the_middle_of_a_fault(halab_lab):
    with halab_lab.measure(probes=("api.vip",)), halab_lab.fault("loss", "w1", set={"percent": 5}):
        pytest.fail("on purpose")


def test_next_one_finds_a_whole_lab(halab_lab):
    words = ("get", "namespace", "halab-probe", "--ignore-not-found", "-o", "name")
    assert not halab_lab.kubectl(*words)
"""


def command(cli: Cli, folder: Path, *options: str) -> dict[str, Any]:
    """Return what runs pytest in a folder of its own, as the installed halab's user."""
    known = any(point.name == "halab" for point in entry_points(group="pytest11"))
    plugin = () if known else ("-p", "lab.testing.plugin")
    return {
        "args": [sys.executable, "-m", "pytest", *plugin, "-p", "no:cacheprovider", *options],
        "cwd": folder,
        "env": {
            **cli.environment,
            "PYTHONPATH": str(ROOT),
            "XDG_DATA_HOME": str(folder / "data"),
        },
    }


def run(cli: Cli, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest to its end."""
    given = command(cli, folder, *options)
    return subprocess.run(capture_output=True, text=True, check=False, timeout=850, **given)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "test_shop.py").write_text(TESTS)
    (tmp_path / "shop.yaml").write_text(SHOP)
    return tmp_path


@pytest.mark.docker
def test_plugin_on_the_shared_lab(inside: Inside, halab_lab: HalabLab, folder: Path) -> None:
    with halab_lab.lent() as name:
        done = run(inside.cli, folder, f"--halab-reuse={name}", "--junit-xml=junit.xml")
    assert "3 passed" in done.stdout, done.stdout[-5000:]
    assert "1 failed" in done.stdout
    # The one that failed on purpose says where its run is.
    assert "halab: what was measured" in done.stdout
    assert 'name="halab_run"' in (folder / "junit.xml").read_text()
    measured = json.loads((folder / "measured.json").read_text())
    assert (Path(measured["folder"]) / "report.html").exists()
    # The lab was there before, and still is; nothing of the tests is on it.
    assert not inside.status()["faults"]
    assert f"lab {inside.lab} still runs" in done.stdout


@pytest.mark.docker
def test_plugin_refuses_a_lab_of_another_shape(
    inside: Inside, halab_lab: HalabLab, folder: Path
) -> None:
    text = "import pytest\n@pytest.mark.halab(topology='1m1w')\ndef test_x(halab_lab): pass\n"
    (folder / "test_shop.py").write_text(text)
    with halab_lab.lent() as name:
        done = run(inside.cli, folder, f"--halab-reuse={name}")
    assert done.returncode == 1
    assert "not 1m1w" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


LAB = "e2e-killed"
"""Labs whose names begin so are removed by the next run of these tests, if need be."""
TURNS = """
import pathlib, time
import pytest

@pytest.mark.parametrize("number", range(2))
def test_turn(halab_lab, number, worker_id):
    begin = time.time()
    time.sleep(1)  # so that two at once would be seen
    pathlib.Path(f"turn-{number}").write_text(f"{worker_id} {halab_lab.name} {begin} {time.time()}")
"""
KILLED = """
from lab.testing import HalabLab
import pathlib, time
with HalabLab("1m1w", name=NAME, distribution=DISTRIBUTION, set=SETTINGS) as lab:
    pathlib.Path("name").write_text(lab.name)
    time.sleep(900)
"""


@pytest.fixture
def killed(halab: Cli, distribution: Distribution, tmp_path: Path) -> Iterator[str]:
    """A lab whose session was killed: nobody has removed it, and its record is there."""
    values = {
        "NAME": LAB,
        "DISTRIBUTION": distribution.name,
        "SETTINGS": distribution.settings,
    }
    text = "".join(f"{name} = {value!r}\n" for name, value in values.items())
    (tmp_path / "session.py").write_text(f"{text}{KILLED}")
    (tmp_path / "test_turns.py").write_text(TURNS)
    options = command(halab, tmp_path)
    session = subprocess.Popen(**{**options, "args": [sys.executable, "session.py"]})
    try:
        deadline = time.monotonic() + 600
        while not (tmp_path / "name").exists():
            assert session.poll() is None, "the session ended by itself"
            assert time.monotonic() < deadline, "its lab does not start"
            time.sleep(0.2)
        session.kill()
        session.wait()
        yield LAB
    finally:
        session.kill()
        session.wait()
        halab("destroy", LAB)


@pytest.mark.docker
def test_lab_of_a_killed_session_is_reused_by_two_workers_that_take_turns(
    halab: Cli, killed: str, tmp_path: Path
) -> None:
    assert killed in {row["name"] for row in halab.json("list")}
    done = run(halab, tmp_path, f"--halab-reuse={killed}", "--numprocesses=2", "--dist=load")
    assert "2 passed" in done.stdout, done.stdout[-5000:] + done.stderr[-2000:]
    turns = [(tmp_path / f"turn-{number}").read_text().split() for number in range(2)]
    assert {name for _, name, *_ in turns} == {killed}
    assert len({worker for worker, *_ in turns}) == 2
    first, second = sorted((float(begin), float(end)) for *_, begin, end in turns)
    assert first[1] <= second[0]
    # It was named by the option: it runs on, and is nobody's to remove any more.
    assert killed in {row["name"] for row in halab.json("list")}
    state = Path(halab.environment["XDG_STATE_HOME"])
    assert not list(state.rglob(f"{killed}.test"))


OWN = """
import pathlib
import pytest

@pytest.fixture(scope="session")
def halab_defaults():
    return {"topology": "1m1w", "distribution": DISTRIBUTION, "set": SETTINGS}

@pytest.mark.parametrize("number", range(2))
def test_own_lab(halab_lab, number, worker_id):
    ready = halab_lab.kubectl("get", "nodes")["items"]
    subnet = halab_lab.topology.network.subnet
    pathlib.Path(f"own-{number}").write_text(f"{worker_id} {halab_lab.name} {subnet} {len(ready)}")
"""


@pytest.mark.docker
def test_each_xdist_worker_has_a_lab_of_its_own(
    halab: Cli, distribution: Distribution, tmp_path: Path
) -> None:
    values = f"DISTRIBUTION, SETTINGS = {distribution.name!r}, {distribution.settings!r}\n"
    (tmp_path / "test_own.py").write_text(values + OWN)
    done = run(halab, tmp_path, "--numprocesses=2", "--dist=load")
    assert "2 passed" in done.stdout, done.stdout[-5000:] + done.stderr[-2000:]
    rows = [(tmp_path / f"own-{number}").read_text().split() for number in range(2)]
    assert {(name, worker) for worker, name, *_ in rows} == {
        ("test-1m1w-gw0", "gw0"),
        ("test-1m1w-gw1", "gw1"),
    }
    assert len({subnet for _, _, subnet, _ in rows}) == 2
    assert {ready for *_, ready in rows} == {"2"}
    assert not {name for _, name, *_ in rows} & {row["name"] for row in halab.json("list")}
