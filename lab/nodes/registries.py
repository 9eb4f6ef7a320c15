"""Image registries as K3s (registries.yaml) and containerd (hosts.toml) know them. Pure text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lab.engine.files import File

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.topology.model import Registry

Registries = tuple["Registry", ...]
FOLDER = "/etc/halab/registries"
"""Certificates of registries."""
HOSTS = "/etc/containerd/certs.d"
ALL = "*"
HUB = "docker.io"
HUB_SERVER = "registry-1.docker.io"
"""Where containerd goes for docker.io; it asks for credentials by this name
(core/remotes/docker/config/hosts.go of containerd 2.3)."""


def authorities(registries: Registries) -> tuple[File, ...]:
    """Return the files with registries' certificates."""
    return tuple(
        File(path=_authority(registry.host), content=registry.ca.encode())
        for registry in registries
        if registry.ca
    )


def _authority(host: str) -> str:
    return f"{FOLDER}/{host.replace(':', '_')}.crt"


def k3s(registries: Registries) -> bytes:
    """Render K3s's registries.yaml: JSON, which is YAML."""
    mirrors = {
        registry.host: {"endpoint": list(registry.mirrors)}
        for registry in registries
        if registry.mirrors
    }
    configs = {
        name: config
        for registry in registries
        if (config := _k3s_config(registry))
        for name in _servers(registry.host)
    }
    return json.dumps({"mirrors": mirrors, "configs": configs}, indent=1).encode() + b"\n"


def _k3s_config(registry: Registry) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if registry.username:
        config["auth"] = {"username": registry.username, "password": registry.password}
    tls: dict[str, Any] = {"ca_file": _authority(registry.host)} if registry.ca else {}
    if registry.insecure:
        tls["insecure_skip_verify"] = True
    return {**config, "tls": tls} if tls else config


def _servers(host: str) -> tuple[str, ...]:
    return (HUB, HUB_SERVER) if host == HUB else (host,)


def containerd(registries: Registries) -> str:
    """Render the part of containerd's own configuration: where hosts.toml are, and credentials.

    `configs` is deprecated since 1.5 but has no successor for credentials; beside `config_path`
    `auth` alone may stand in it (internal/cri/config of containerd 2.3). K3s writes it, too.
    """
    if not registries:
        return ""
    table = '[plugins."io.containerd.cri.v1.images".registry]'
    lines = [table, f"  config_path = {_text(HOSTS)}"]
    for registry in registries:
        if not registry.username:
            continue
        for name in _servers(registry.host):
            lines += [
                f"  {table[:-1]}.configs.{_text(name)}.auth]",
                f"    username = {_text(registry.username)}",
                f"    password = {_text(registry.password)}",
            ]
    return "\n".join([*lines, ""])


def hosts(registries: Registries) -> tuple[File, ...]:
    """Return containerd's hosts.toml of those registries that need one."""
    known = {registry.host: registry for registry in registries}
    return tuple(
        File(
            path=f"{HOSTS}/{'_default' if registry.host == ALL else registry.host}/hosts.toml",
            content=_hosts(registry, known).encode(),
        )
        for registry in registries
        if registry.mirrors or registry.ca or registry.insecure
    )


def _hosts(registry: Registry, known: dict[str, Registry]) -> str:
    """Render one: its mirrors in their order, at last the registry itself.

    A mirror's path is the whole of it, as for K3s: containerd would put /v2 behind it.
    """
    lines = []
    if registry.host != ALL:
        server = f"https://{_servers(registry.host)[-1]}"
        lines += [f"server = {_text(server)}", *_trust(registry)]
    for url in registry.mirrors:
        lines += [f"[host.{_text(url)}]", '  capabilities = ["pull", "resolve"]']
        if urlsplit(url).path not in {"", "/", "/v2"}:
            lines.append("  override_path = true")
        if mirror := known.get(urlsplit(url).netloc):
            lines += _trust(mirror, "  ")
    return "\n".join([*lines, ""])


def _trust(registry: Registry, indent: str = "") -> Iterable[str]:
    if registry.ca:
        yield f"{indent}ca = {_text(_authority(registry.host))}"
    if registry.insecure:
        yield f"{indent}skip_verify = true"


def _text(text: str) -> str:
    """Return a string of TOML; JSON's escapes are TOML's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", r"\u007f")
