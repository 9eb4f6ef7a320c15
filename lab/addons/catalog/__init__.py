"""The add-ons: the folder is the list."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from lab.addons.addon import Addon


def find(name: str) -> Addon:
    """Return the add-on of that name. Raises KeyError where there is none."""
    if name not in names():
        raise KeyError(name)
    return cast("Addon", importlib.import_module(f"{__name__}.{name.replace('-', '_')}").ADDON)


def names() -> tuple[str, ...]:
    """The folder is the list; a module that begins with _ is a part of another."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name.replace("_", "-") for name in found if not name.startswith("_")))
