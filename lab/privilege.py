"""Whether this engine starts privileged containers: asked once by starting one, remembered for this engine in the cache."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lab import data
from lab.errors import EngineError

if TYPE_CHECKING:
    from lab.engine import Engine

PROBE_TIMEOUT_S = 30


def privileged(engine: Engine, image: str) -> bool:
    """Tell whether `--privileged` starts here; else nodes get the capabilities that this engine can give."""
    info = engine.info()
    # The same engine on the same kernel gives the same answer; another kernel or engine is asked anew.
    key = f"{info.get('ID')} {info.get('KernelVersion')} {info.get('ServerVersion')}"
    cache = data.cache() / "privilege.json"
    known = json.loads(cache.read_text()) if cache.exists() else {}
    if key not in known:
        known = {key: probe(engine, image)}
        cache.write_text(json.dumps(known))
    return bool(known[key])


def probe(engine: Engine, image: str) -> bool:
    """Start a privileged container that ends at once. False where the engine cannot."""
    helper = engine.create_helper(image, ["true"], {"halab.helper": "1"}, engine.machine(privileged=True))
    try:
        engine.start(helper)
        return engine.wait(helper, PROBE_TIMEOUT_S) == 0
    except EngineError:
        return False
    finally:
        engine.remove_container(helper)
