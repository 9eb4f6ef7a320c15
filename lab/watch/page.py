"""The page of a watch: one file without references, served or exported with a run inside."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lab.watch.reducer import CELLS, WINDOW_CELL_S

FILE = Path(__file__).with_name("page.html")
STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
POLICY_PLACE, RUN_PLACE = "<!-- policy -->", "<!-- run -->"
"""Where an exported page has its policy, and its run."""
NEVER_FRAMED = "; frame-ancestors 'none'"
"""Only a header can say it; a course page may frame an exported run."""


@dataclass(frozen=True, slots=True)
class PageSize:
    """A page's strips: two minutes. Where there is little room the page draws two cells as one."""

    cells: int = CELLS
    cell_s: float = WINDOW_CELL_S


@cache
def text() -> str:
    """Return the page without any lab's data."""
    return FILE.read_text(encoding="utf-8")


def policy(connect: str) -> str:
    """Return the Content-Security-Policy: the page's own style and script, and nothing else.

    `connect` says whom the script may ask (CSP level 3, 6.1.2).
    """
    page = text()
    scripts = " ".join(_hash(script) for script in SCRIPT.findall(page))
    styles = " ".join(_hash(style) for style in STYLE.findall(page))
    return (
        f"default-src 'none'; script-src {scripts}; style-src {styles}; connect-src {connect}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def with_run(run: dict[str, Any]) -> str:
    """Return a page that plays a run (recording.py) by itself."""
    # Nothing in the data may end its element (HTML, 13.2.5.4 and after).
    data = json.dumps(run, separators=(",", ":")).replace("<", "\\u003c")
    own = policy("'none'")
    meta = f'<meta http-equiv="Content-Security-Policy" content="{own}">'
    block = f'<script type="application/json" id="run">{data}</script>'
    return text().replace(POLICY_PLACE, meta).replace(RUN_PLACE, block)
