"""What `halab doctor` says about one thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination. `fixable`: `doctor --fix` can do it, most of it as root."""

    name: str
    state: Literal["ok", "warning", "failed"]
    seen: str
    remedy: str = ""
    fixable: bool = False
