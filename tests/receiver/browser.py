"""A real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, sync_playwright

from tests.conftest import need
from tests.receiver.pages_parts import PASSWORD

__all__ = ["Window", "chromium"]

_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync"
)
PATIENCE = 60_000
"""Milliseconds."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, until the block ends."""
    program = need("chromium", "to see pages as people see them")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_FLAGS.split(), headless=True)
        try:
            yield browser
        finally:
            browser.close()


class Window:
    """One window with cookies of its own. ``complaints`` is what the page has written to the console as an error."""

    def __init__(self, browser: Browser, base: str, **options: Any) -> None:
        self.context = browser.new_context(base_url=base, **options)
        self.context.set_default_timeout(PATIENCE)
        self.complaints: list[str] = []
        self.dialogs: list[str] = []
        self.page = self.context.new_page()
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", self._asked)

    def _asked(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def log_in(self, target: str = "/", password: str = PASSWORD) -> Page:
        """Log in by the form, and come to ``target``."""
        self.page.goto(target)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in").click()
        return self.page

    def close(self) -> None:
        """Close it."""
        self.context.close()
