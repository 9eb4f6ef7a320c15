"""kubectl on a master: its output as values, and the manifests that it reads.

A master has the kubectl of its own release, and is reached where the API is not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.base.errors import EngineError, InputError, LabError
from lab.testing.log import LOG

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from lab.live.lab import Lab

TIMEOUT_S = 120.0
OUTPUT = ("-o", "--output", "--raw", "-w", "--watch", "-h", "--help")
"""Options with which `kubectl get` prints what the caller chose, not JSON."""


def run(
    lab: Lab, arguments: tuple[str, ...], stdin: bytes | None = None, avoid: Container[str] = ()
) -> Any:  # noqa: ANN401 (JSON or text)
    """Run kubectl on the first master that runs, on one of `avoid` only if there is no other.

    `get` returns the objects as a dict, all else text. Raises CommandFailed with what it printed.
    """
    as_json = arguments[:1] == ("get",) and not any(map(_chooses_output, arguments))
    argv = ["kubectl", *arguments, *(("-o", "json") if as_json else ())]
    output = _on_a_master(lab, argv, stdin, avoid)
    return first_object(output) if as_json else output


def _on_a_master(lab: Lab, argv: list[str], stdin: bytes | None, avoid: Container[str]) -> str:
    masters = [lab.node(node.name) for node in lab.topology.masters]
    for master in sorted(masters, key=lambda node: node.name in avoid):
        if not master.running:
            continue
        try:
            return master.run(argv, stdin=stdin, timeout_s=TIMEOUT_S).output
        except EngineError as error:  # it stopped meanwhile
            LOG.debug("%s: %s", master.name, error)
    raise LabError(f"no master of lab {lab.name} runs", "heal the fault, or call make_whole()")


def outside_address(service: dict[str, Any], vip: str) -> str:
    """Return where a Service is reached from outside: its LoadBalancer's address, or a NodePort.

    Raises LabError where it has neither.
    """
    port = service["spec"]["ports"][0]
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or []
    if ingress and ingress[0].get("ip"):
        return f"{ingress[0]['ip']}:{port['port']}"
    if port.get("nodePort"):
        return f"{vip}:{port['nodePort']}"
    hint = "make it of type NodePort, or LoadBalancer with the add-on `loadbalancer`"
    name = service.get("metadata", {}).get("name", "?")
    raise LabError(f"Service {name} cannot be reached from outside", hint)


def _chooses_output(argument: str) -> bool:
    return argument in OUTPUT or argument.startswith(("-o", "--output=", "--raw=", "--watch"))


def first_object(output: str) -> Any:  # noqa: ANN401 (any JSON value)
    """Return the JSON in what a command printed; warnings on stderr may stand before it."""
    lines = output.splitlines(keepends=True)
    for number, line in enumerate(lines):
        if line.startswith("{"):
            return json.JSONDecoder().raw_decode("".join(lines[number:]))[0]
    raise LabError(f"kubectl printed no JSON: {output[:200]}")


def manifest(what: str | Path | Mapping[str, Any]) -> bytes:
    """Return what `kubectl apply -f -` reads. Raises InputError where there is nothing."""
    if not isinstance(what, (str, Path)):
        return json.dumps(dict(what)).encode()
    path = Path(what)
    files = [path]
    if path.is_dir():
        files = sorted(one for one in path.iterdir() if one.suffix in {".yaml", ".yml", ".json"})
    try:
        texts = [file.read_text(encoding="utf-8") for file in files]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be applied: {error}") from None
    if not texts:
        raise InputError(f"{path} has no manifest", "a folder's *.yaml, *.yml and *.json are read")
    return "\n---\n".join(texts).encode()
