"""The reference page in a real browser, with no internet."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.stack import Stack

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        reason = f"{CHROMIUM} is missing; remedy: apt-get install -y chromium"
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield launched
        launched.close()


class Watch:
    """What a page asked for and complained of."""

    def __init__(self, page: Page) -> None:
        self.hosts: set[str] = set()
        self.complaints: list[str] = []
        page.on("request", lambda request: self._note(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self._complain(message.type, message.text))

    def _note(self, url: str) -> None:
        if not url.startswith(("data:", "blob:")):
            self.hosts.add(str(urlsplit(url).hostname))

    def _complain(self, kind: str, text: str) -> None:
        if kind == "error":
            self.complaints.append(text)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page()
    opened.set_default_timeout(PATIENCE_MS)
    yield opened
    opened.close()


def test_every_operation_is_shown_without_the_internet(stack: Stack, page: Page) -> None:
    watch = Watch(page)
    page.goto(f"{stack.http}/docs")
    expect(page.locator(".opblock").first).to_be_visible(timeout=PATIENCE_MS)
    document = stack.client.get("/openapi.json").json()
    shown = [*document["paths"].values(), *document["webhooks"].values()]
    count = sum(len(methods) for methods in shown)
    expect(page.locator(".opblock")).to_have_count(count, timeout=PATIENCE_MS)
    assert page.title() == "Tidegate API"
    assert watch.hosts == {"127.0.0.1"}
    assert watch.complaints == []


@pytest.mark.parametrize("operation", ["predict_v1", "predict_wine_v2"])
def test_a_prediction_can_be_tried_out(stack: Stack, page: Page, operation: str) -> None:
    watch = Watch(page)
    page.goto(f"{stack.http}/docs")
    block = page.locator(f"#operations-predictions-{operation}")
    expect(block).to_be_visible(timeout=PATIENCE_MS)
    block.locator(".opblock-summary-control").click()
    block.locator("button.execute").click()
    live = block.locator(".live-responses-table .response-col_status").last
    expect(live).to_contain_text("200", timeout=PATIENCE_MS)
    body = block.locator(".live-responses-table .highlight-code").first.inner_text()
    answer = json.loads(body[body.index("{") : body.rindex("}") + 1])
    assert answer["request_id"].startswith("req_")
    assert watch.hosts == {"127.0.0.1"}
    assert watch.complaints == []
