"""The browser of those tests that open a page, and who looks at it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import chromium
import pytest
from chromium import Visitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.started() as run:
        yield run


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visitor]]:
    """Open browsers' windows; in none may anything fail."""
    visitors: list[Visitor] = []

    def visit(width: int = 1280) -> Visitor:
        size = {"width": width, "height": 900}
        visitors.append(Visitor(browser.new_context(viewport=size)))  # type: ignore[arg-type]
        return visitors[-1]

    yield visit
    for visitor in visitors:
        visitor.context.close()
        assert visitor.errors == []
        assert [
            url for url in visitor.asked if not re.match(r"http://127\.0\.0\.1:|file:", url)
        ] == []
