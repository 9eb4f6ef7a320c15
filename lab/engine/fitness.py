"""What this engine can give to machines: what it says about itself, and what starting one shows.

The answer about `--privileged` is kept in the cache, for each engine.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from lab.base import kernel, paths, whole_file
from lab.base.errors import EngineError
from lab.engine.labels import LABEL_HELPER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.engine.client import Engine

PROBE_TIMEOUT_S = 30
CACHE = "privilege.json"
_SIGNS = " ".join(f"/{sign}" for sign in kernel.BRIDGED)
LOAD = f"ls -d {_SIGNS} 2>/dev/null | grep -q . || modprobe -q br_netfilter"
"""modprobe exits with 0 if the module is loaded already, too."""
BRIDGE_REMEDY = (
    "sudo modprobe br_netfilter && echo br_netfilter | sudo tee /etc/modules-load.d/halab.conf"
)
LACKS = "nodes would lack what kubelet needs of the kernel"


def unfit(info: dict[str, Any]) -> tuple[str, str]:
    """Return why no lab can run on the engine with this description, and the remedy; or two "".

    kubelet wants /dev/kmsg, the host's sysctls and all cgroups, which a user namespace refuses.
    Podman's Docker API is not Docker's: a machine that is off is `stopped` instead of `exited`, so
    no fault could prove that it acts, and images are listed as `localhost/…` (seen on 5.4.2).
    """
    if "BuildahVersion" in info:  # only Podman has it
        return (
            "Podman answers here, not Docker: it names images and states in its own way",
            "start Docker (`sudo systemctl start docker`), or name it by DOCKER_HOST",
        )
    options = {str(option).split(",")[0] for option in info.get("SecurityOptions") or []}
    if "name=rootless" in options:
        remedy = (
            "use Docker as root runs it: `sudo systemctl start docker`"
            " and `docker context use default`"
        )
        return f"Docker runs rootless here: {LACKS}", remedy
    if "name=userns" in options:
        remedy = "take `userns-remap` out of /etc/docker/daemon.json and restart Docker"
        return f"Docker maps users here (userns-remap): {LACKS}", remedy
    return "", ""


def require_fit(engine: Engine) -> None:
    """Raise EngineError for an engine on which no lab can run."""
    why, remedy = unfit(engine.about)
    if why:
        raise EngineError(f"{why}; nothing was changed", remedy)


def require_bridge(engine: Engine, image: str, *, privileged: bool) -> None:
    """Make the kernel's rules see bridged packets: load br_netfilter if it is not loaded yet.

    Without it, a pod's answer to a pod of the same node comes from the pod's address instead of the
    Service's, and is dropped. Raises EngineError, with the command, if no container can load it.
    """
    if engine.about.get("BridgeNfIptables") or (engine.local and kernel.bridged()):
        return  # engines up to API 1.49 report it; their `false` may also be somebody's sysctl
    if _ends_well(engine, image, ["sh", "-c", LOAD], privileged=privileged):
        return
    raise EngineError(
        "br_netfilter is not loaded on the engine's machine: Services would lose the answers"
        " of pods on the asker's own node; nothing was started",
        f"run this on that machine: `{BRIDGE_REMEDY}`",
    )


def privileged(engine: Engine, image: str) -> bool:
    """Whether a container with `--privileged` starts here.

    Otherwise nodes get the capabilities that this engine can give.
    """
    info = engine.info()
    # The same engine on the same kernel gives the same answer; any other is asked anew.
    key = f"{info.get('ID')} {info.get('KernelVersion')} {info.get('ServerVersion')}"
    answers = _remembered()
    if key not in answers:
        answer = _ends_well(engine, image, ["true"], privileged=True)
        answers = {**_remembered(), key: answer}  # another halab may have asked another engine
        _remember(answers)
    return bool(answers[key])


def _remembered() -> dict[str, bool]:
    """Return the cached answers by engine; none if the file cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        answers = json.loads((paths.cache() / CACHE).read_text())
        return answers if isinstance(answers, dict) else {}
    return {}


def _remember(answers: dict[str, bool]) -> None:
    """Replace the file in one move: another halab may read it at any moment."""
    with whole_file.replacing(paths.cache() / CACHE) as file:
        file.write(json.dumps(answers).encode())


def _ends_well(engine: Engine, image: str, command: Sequence[str], *, privileged: bool) -> bool:
    """Whether a command succeeds in a machine of its own; not, if that cannot be started."""
    machine = engine.machine(privileged=privileged)
    helper = engine.create_helper(image, command, LABEL_HELPER, machine)
    try:
        engine.start(helper)
        return engine.wait(helper, PROBE_TIMEOUT_S) == 0
    except EngineError:
        return False
    finally:
        engine.remove_container(helper)
