"""Texts without their secrets: for logs, and for what is attached to a bug report."""

from __future__ import annotations

import re

LEFT_OUT = "(left out)"
_KEYS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
"""Also one that is cut off: its beginning is secret, too."""
_BEARER = re.compile(r"(?i)\b(bearer\s+)\S+")
_JWT = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*")
"""The tokens of Kubernetes' service accounts (RFC 7519): `{"` in base64 is `eyJ`."""
_OPTIONS = re.compile(r"(?i)(--?[\w-]*(?:token|password|secret)[\w-]*[ =])[^\s\"']+")
_JSON = re.compile(r'(?i)("[\w-]*(?:token|password|secret)"\s*:\s*")(?!\(left)(?:[^"\\]|\\.)+(?=")')
"""A string of JSON, whatever is in it: spaces, commas, quotes behind a backslash."""
_VALUES = re.compile(r"(?i)\b((?:token|password|secret)\"?\s*[=:]\s*\"?)(?!\(left)[^\s,;\"']+")


def without_secrets(text: str) -> str:
    """Return a text without private keys, tokens and passwords; LEFT_OUT stands for each."""
    text = _KEYS.sub(LEFT_OUT, text)
    text = _BEARER.sub(rf"\1{LEFT_OUT}", text)
    text = _JWT.sub(LEFT_OUT, text)
    text = _OPTIONS.sub(rf"\1{LEFT_OUT}", text)
    text = _JSON.sub(rf"\1{LEFT_OUT}", text)
    return _VALUES.sub(rf"\1{LEFT_OUT}", text)
