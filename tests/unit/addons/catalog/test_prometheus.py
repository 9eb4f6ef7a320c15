from __future__ import annotations

from typing import TYPE_CHECKING

from addon_site import TABLE, site

from lab.addons import catalog
from lab.addons.catalog.prometheus import chart_values
from lab.addons.catalog.prometheus import rules as _prometheus_rules

if TYPE_CHECKING:
    from lab.topology.model import Topology


def test_prometheus_values_name_the_tables_images(topology: Topology) -> None:
    named = {f"{name}:{tag}" for name, tag in chart_values.IMAGES.values()}
    assert named == {
        TABLE.addons[image.name] for image in catalog.find("prometheus").images(site(topology))
    }


def test_alerts_have_names_of_the_mixins_and_a_labs_times() -> None:
    rules = [rule for group in _prometheus_rules.GROUPS for rule in group["rules"]]
    names = {rule["alert"] for rule in rules}
    assert len(names) == len(rules)
    assert names >= {
        "etcdMembersDown",
        "etcdInsufficientMembers",
        "etcdNoLeader",
        "KubeNodeNotReady",
        "KubeletDown",
        "KubeAPIDown",
    }
    assert all(10 <= int(rule["for"].removesuffix("s")) <= 30 for rule in rules)


def test_scrape_jobs_do_not_meet_those_of_the_public_chart(topology: Topology) -> None:
    jobs = chart_values.jobs(topology)
    names = [job["job_name"] for job in jobs]
    assert len(set(names)) == len(names)
    assert not [name for name in names if name.startswith(("kubernetes-", "prometheus"))]
    etcd = next(job for job in jobs if job["job_name"] == "etcd")
    assert [row["targets"] for row in etcd["static_configs"]] == [
        ["172.30.0.49:2381"],
        ["172.30.0.48:2381"],
        ["172.30.0.47:2381"],
    ]
