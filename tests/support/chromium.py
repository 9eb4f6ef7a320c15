"""The Chromium of this machine, driven by its own protocol. It reaches 127.0.0.1 alone."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import browser
from playwright.sync_api import expect, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

PATIENCE_MS = 90_000
"""A busy machine: nothing is measured here."""
LAYOUT = (Path(__file__).parent / "page_layout.js").read_text(encoding="utf-8")
FOCUSED = "() => document.activeElement.id || document.activeElement.innerText.split('\\n')[0]"


@contextlib.contextmanager
def started() -> Iterator[Browser]:
    """A browser without a screen; skips where there is none."""
    program = browser.find()
    expect.set_options(timeout=PATIENCE_MS)
    arguments = [
        "--no-sandbox",
        "--no-proxy-server",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ]
    with sync_playwright() as playwright:
        run = playwright.chromium.launch(executable_path=program, args=arguments)
        yield run
        run.close()


class Visitor:
    """Somebody with a browser of his own: what he opened asked for these addresses."""

    def __init__(self, context: BrowserContext) -> None:
        self.asked: list[str] = []
        self.errors: list[str] = []
        self.context = context
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._listen)

    def _listen(self, message: object) -> None:
        text = str(getattr(message, "text", ""))
        # That a server ends is no error of its page.
        if getattr(message, "type", "") in {"error", "warning"} and "net::ERR_" not in text:
            self.errors.append(text)

    def layout(self) -> list[str]:
        """What cannot be read on the page, light or dark."""
        found: list[str] = []
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            found += [f"{scheme}: {each}" for each in self.page.evaluate(LAYOUT)]
        return found

    def focused(self) -> str:
        """What has the keyboard: its id or its text."""
        return str(self.page.evaluate(FOCUSED))
