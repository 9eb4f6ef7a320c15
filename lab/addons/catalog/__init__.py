"""All add-ons: the folder is the list. A file or folder is named with _ for -."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from lab.addons.addon import Addon


def find(name: str) -> Addon:
    """Return an add-on by its name. Raises KeyError if there is none."""
    if name not in names():
        raise KeyError(name)
    return cast("Addon", importlib.import_module(f"{__name__}.{name.replace('-', '_')}").ADDON)


def names() -> tuple[str, ...]:
    """Return the names of all add-ons; a module that begins with _ is a part of another."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name.replace("_", "-") for name in modules if not name.startswith("_")))
