"""`kubernetes.registries`: mirrors, credentials and certificates of image registries."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lab.base.errors import WrongError
from lab.base.messages import shown
from lab.topology import values
from lab.topology.model import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.base.yaml_files import Problems, Value
    from lab.topology.values import Section

KEYS = dict.fromkeys(
    ("mirrors", "username", "password", "password_file", "ca", "insecure"),
    False,
)
ALL = "*"
"""containerd's word for every registry that has no row of its own."""
MAX_FILE = 64 * 1024
"""A bundle of two dozen authorities; a topology is kept in a label of the lab's network."""
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?")


def read(kubernetes: Section, base: Path) -> tuple[Registry, ...]:
    """Read the section; what is wrong is noted. `base` is the folder that paths start from."""
    at, problems = kubernetes.items.get("registries"), kubernetes.problems
    if at is None:
        return ()
    if not isinstance(at.data, dict):
        hint = "for example docker.io: {mirrors: [https://mirror.example]}"
        problems.add(at, "`kubernetes.registries` must have a key for each registry", hint)
        return ()
    return tuple(_registry(host, item, base, problems) for host, item in at.data.items())


def _registry(host: str, item: Value, base: Path, problems: Problems) -> Registry:
    name = f"kubernetes.registries.{shown(host)}"
    if host != ALL and not _HOST.fullmatch(host):
        hint = "HOST or HOST:PORT, without https://; for example docker.io"
        problems.add(item, f"`{name}` is not a registry's name", hint)
    section = values.open_section(item, name, KEYS, item, problems)
    mirrors = section.find_all("mirrors", _url, ())
    username = section.find("username", _one_line, "")
    password = section.find("password", _one_line, "")
    kept = section.find("password_file", _content(base, _password), "")
    ca = section.find("ca", _content(base, _certificates), "")
    insecure = section.find("insecure", values.boolean, default=False)
    registry = Registry(
        host=host,
        mirrors=mirrors.value if mirrors else (),
        username=username.value if username else "",
        password=(password.value if password else "") or (kept.value if kept else ""),
        ca=ca.value if ca else "",
        insecure=bool(insecure and insecure.value),
    )
    _check(section, name, host)
    return registry


def _check(section: Section, name: str, host: str) -> None:
    given, problems = set(section.items), section.problems
    if {"password", "password_file"} <= given:
        message = f"`{name}` has a password and a file with one"
        problems.add(section.items["password_file"], message, "keep one of them")
    if ("username" in given) != bool({"password", "password_file"} & given):
        hint = "give username, and password or password_file"
        problems.add(section.at, f"`{name}` has one half of the credentials", hint)
    if host == ALL and given - {"mirrors"}:
        hint = "credentials and certificates belong to one registry, by its name"
        problems.add(section.at, f"`{name}` can have mirrors only", hint)
    if not given and isinstance(section.at.data, dict):
        problems.add(section.at, f"`{name}` says nothing", f"its keys are {', '.join(KEYS)}")


def _one_line(value: Value) -> str:
    line = values.text(value)
    if not line.isprintable():
        raise WrongError("has a character that cannot be printed", "write one line of text")
    return line


def _url(value: Value) -> str:
    url = values.text(value)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise WrongError(
            "has an address that is none", "for example https://mirror.example"
        ) from None
    if parts.username or parts.password:
        hint = "give username and password under the mirror's own name"
        raise WrongError("has an address with credentials in it", hint)
    good = parts.scheme in {"http", "https"} and _HOST.fullmatch(parts.netloc)
    if not good or port == 0 or parts.query or parts.fragment or not url.isprintable():
        hint = "http:// or https://, a host, perhaps a port and a path"
        raise WrongError(f"has `{shown(url)}`, which is not a registry's address", hint)
    return url


def _content(base: Path, judge: Callable[[str], str]) -> Callable[[Value], str]:
    """Return a parser that takes the path of a file and returns its content, once judged."""
    path_of = values.file(base)

    def parse(value: Value) -> str:
        path = Path(path_of(value))
        try:
            with path.open(encoding="utf-8") as file:
                text = file.read(MAX_FILE + 1)
        except (OSError, UnicodeDecodeError):
            raise WrongError(
                f"names a file that cannot be read: {shown(str(path))}",
                "check that it is text, and its permissions",
            ) from None
        if len(text) > MAX_FILE:
            raise WrongError("names a file larger than 64 KiB", "it has a few lines")
        return judge(text)

    return parse


def _password(text: str) -> str:
    password = text.strip()
    if not password or not password.isprintable():
        raise WrongError("names a file that holds no password", "one line of text")
    return password


def _certificates(text: str) -> str:
    if "PRIVATE KEY-----" in text:
        raise WrongError("names a file with a private key", "nodes need the certificate alone")
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise WrongError("names a file without a certificate", "PEM: BEGIN CERTIFICATE")
    return text
