"""Labs in other people's tests: a pytest plug-in, and the class that it uses.

`from lab.testing import HalabLab` imports it when it is asked for: pytest loads the plug-in, and so
this package, in every run of everybody who has halab installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.testing.lab import HalabLab

__all__ = ["HalabLab"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 (a module's own attributes)
    """Import the class late."""
    if name in __all__:
        from lab.testing.lab import HalabLab

        return HalabLab
    raise AttributeError(name)
