"""A database and a shop of the user's own are measured beside the API while their node dies.

PostgreSQL is Debian's, with a volume behind a Service; what it acknowledged must be there.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from labs import TOPOLOGIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labs import Cli, Inside

pytestmark = pytest.mark.services
SERVICES = TOPOLOGIES / "services"
IMAGE = "shop/postgres:1"
TABLE = "create table kept (key text primary key)"
PSQL = ("exec", "-n", "db", "postgres-0", "--", "/pg/psql", "-h", "/tmp", "-U", "postgres")
HELD_S = 20
"""For so long the scenario leaves the node without power."""


@pytest.fixture(scope="module")
def image(halab: Cli) -> str:
    """PostgreSQL's image, built on an image of halab's: no registry is needed."""
    tags = {row["image"]: row["tag"] for row in halab.json("images", "list")}
    base = ("--build-arg", f"BASE={tags['loadbalancer']}")
    with (SERVICES / "postgres.Dockerfile").open("rb") as file:
        subprocess.run(
            ["docker", "build", "--quiet", "--network", "host", *base, "--tag", IMAGE, "-"],
            stdin=file,
            check=True,
            timeout=600,
        )
    return IMAGE


@pytest.fixture
def services(inside: Inside, halab: Cli, image: str) -> Iterator[None]:
    """The shop of three replicas and the database with its table, both ready."""
    halab("image", "load", inside.lab, image, "--node", "w1")
    try:
        for name in ("shop", "postgres"):
            inside.kubectl("apply", "-f", str(SERVICES / f"{name}.yaml"))
        for space, name in (("shop", "deployment/web"), ("db", "statefulset/postgres")):
            inside.kubectl("rollout", "status", name, "-n", space, "--timeout=180s")
        inside.kubectl(*PSQL, "-c", TABLE)
        yield
    finally:
        inside.kubectl("delete", "namespace", "db", "shop", "--ignore-not-found")
        inside.kubectl("delete", "persistentvolume", "postgres", "--ignore-not-found")
        inside.run("w1", "rm", "-rf", "/var/lib/shop-postgres")


@pytest.mark.parametrize("fault", ["power-cut", "crash"])
@pytest.mark.usefixtures("services")
def test_own_services_are_measured_while_their_node_dies(
    inside: Inside, halab: Cli, tmp_path: Path, fault: str
) -> None:
    file = tmp_path / "scenario.yaml"
    text = (SERVICES / "postgres-power-cut.yaml").read_text()
    file.write_text(text.replace("fault: power-cut", f"fault: {fault}"))
    done = halab("scenario", "run", inside.lab, str(file), "-o", "json", timeout=900)
    run = json.loads(done.stdout)["runs"][0]
    rows = {row["name"]: row for row in run["report"]["rows"]}
    assert run["outcome"] == "pass", rows
    # The database has one pod: it was away for as long as its node was.
    assert rows["outage(db) <= 120s"]["figures"][0]["value"] > HELD_S / 2
    # Rows were written before the cut and after it, and all that was acknowledged is there.
    kept = int(inside.kubectl(*PSQL, "-Atc", "select count(*) from kept"))
    folder = Path(run["folder"])
    events = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    fired = next(e["t"] for e in events if e["kind"] == "fault" and e["action"] == "fire")
    rows_of = [e for e in events if e["kind"] == "user_op" and e["client"] == "rows"]
    wrote = [e["t"] for e in rows_of if e["op"] == "create" and e["outcome"] == "ok"]
    assert min(wrote) < fired < fired + HELD_S < max(wrote)
    assert kept > 1
    report = (folder / "report.txt").read_text()
    assert all(lane in report for lane in ("api.vip", "db", "shop", "rows"))
