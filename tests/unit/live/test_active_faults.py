from __future__ import annotations

import json

import pytest
from faultdoubles import FaultEngine, hit, site

from lab.engine.files import File
from lab.live import active_faults
from lab.live.active_faults import ActiveFault


def test_a_record_of_a_node_that_is_off_is_emptied() -> None:
    engine = FaultEngine(state="exited")
    place = site(engine=engine)
    active_faults.clear(engine, place.node, [hit("crash")])
    assert list(engine.containers["halab-x-m"].files) == ["/var/lib/halab/faults/00c0ffee.json"]


RECORD = {
    "id": "00c0ffee",
    "fault": "loss",
    "node": "m",
    "options": {"percent": "5"},
    "since": 7.5,
    "before": {"started": "then"},
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (json.dumps(RECORD), ActiveFault(**RECORD)),
        (json.dumps({**RECORD, "severity": 3, "by": ["x"]}), ActiveFault(**RECORD)),
        (json.dumps({"fault": "loss"}), ActiveFault(id="00c0ffee", fault="loss", node="m")),
        ('{"fault": "loss", "since": null}', ActiveFault(id="00c0ffee", fault="loss", node="m")),
        ('{"fault": "loss", "options": [1]}', ActiveFault(id="00c0ffee", fault="loss", node="m")),
        ("[]", ActiveFault(id="00c0ffee", fault="", node="m")),
        ("{", ActiveFault(id="00c0ffee", fault="", node="m")),
        (b"\xff", ActiveFault(id="00c0ffee", fault="", node="m")),
    ],
)
def test_records_of_another_halab_are_read(text: str | bytes, found: ActiveFault) -> None:
    content = text if isinstance(text, bytes) else text.encode()
    engine = FaultEngine()
    path = f"{active_faults.FOLDER}/00c0ffee.json"
    engine.put("halab-x-m", [File(path=path, content=content)])
    assert active_faults.read(engine, [site(engine=engine).node]) == (found,)
