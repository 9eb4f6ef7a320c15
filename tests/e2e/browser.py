"""A real browser without a screen, that reaches the lab and nothing else."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE_S = 120


def find() -> str:
    """The browser's program; skips where there is none."""
    for name in NAMES:
        if tool := shutil.which(name):
            return tool
    pytest.skip("no Chromium here: `apt-get install chromium`")


def through_bridge(address: str, subnet: str) -> bool:
    """Whether this machine reaches an address by the lab's own bridge, and not by a router."""
    route = subprocess.run(
        ["ip", "-4", "route", "get", address], capture_output=True, text=True, check=True
    ).stdout
    device = route.split(" dev ", 1)[1].split()[0]
    routes = subprocess.run(
        ["ip", "-4", "route", "show", subnet], capture_output=True, text=True, check=True
    ).stdout
    return " via " not in route and f"dev {device} " in routes and device.startswith("br-")


def page(address: str, path: str, profile: Path, screenshot: Path | None = None) -> str:
    """Open a page and let its scripts run for some seconds.

    Returns what the browser then shows, as HTML.
    """
    argv = [
        find(),
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        f"--user-data-dir={profile}",
        "--window-size=1400,900",
        # Nothing but this address: no proxy, no updates, no other name or address is ever resolved.
        "--no-proxy-server",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--disable-default-apps",
        "--disable-domain-reliability",
        "--disable-client-side-phishing-detection",
        f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {address.split(':', maxsplit=1)[0]}",
        "--virtual-time-budget=15000",
        "--timeout=60000",
        f"--screenshot={screenshot}" if screenshot else "--dump-dom",
        f"http://{address}{path}",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
