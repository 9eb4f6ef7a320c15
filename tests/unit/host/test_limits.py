from __future__ import annotations

from lab.host import limits


def test_small_inotify_limits_are_told_with_the_command() -> None:
    finding = limits.inotify("max_user_instances", 128, 512)
    assert finding.state == "warning"
    assert "sysctl -w fs.inotify.max_user_instances=512" in finding.remedy
    assert limits.inotify("max_user_instances", 512, 512).state == "ok"
