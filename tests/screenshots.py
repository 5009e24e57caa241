"""The pictures of the explorer in docs/, taken from the running local stack: `make screenshots`, beside `make run`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from browsers import browser
from playwright.sync_api import expect
from support import REPOSITORY

if TYPE_CHECKING:
    from playwright.sync_api import Browser

WAITS_MS = 60_000
AS_WIDE_AS_ITS_ROOM = """() => {
  const [picture, drawn] = ["#picture", "#picture .main-svg"].map(one => document.querySelector(one));
  return drawn.clientWidth === picture.clientWidth && drawn.clientHeight === picture.clientHeight;
}"""


class Shot(NamedTuple):
    """A picture: its file in docs/, what is asked, and the window."""

    file: str
    question: str
    window: dict[str, Any]


SHOTS = (
    Shot(
        "explorer.png",
        "?metric=costs:Sum&per=orders:Sum&group_by=region&compare=timeframe",
        {"viewport": {"width": 1200, "height": 860}},
    ),
    Shot(
        "explorer-dark.png",
        "?metric=costs:Sum&range=this-year&granularity=month&group_by=region",
        {"viewport": {"width": 480, "height": 1000}, "color_scheme": "dark"},
    ),
)


def main() -> int:
    settings = REPOSITORY / ".local" / "stack.env"
    lines = settings.read_text().splitlines() if settings.exists() else []
    address = dict(line.split("=", 1) for line in lines).get("EXPLORER_URL")
    if address is None:
        print("no stack runs: make run", file=sys.stderr)
        return 1
    with browser() as chromium:
        for shot in SHOTS:
            take(chromium, address, shot)
            print(f"docs/{shot.file}")
    return 0


def take(chromium: Browser, address: str, shot: Shot) -> None:
    with chromium.new_context(locale="en-US", **shot.window) as context:
        page = context.new_page()
        page.goto(f"{address}/{shot.question}")
        expect(page.locator("#picture .main-svg .trace").first).to_be_attached(timeout=WAITS_MS)
        expect(page.locator("#rows td[data-number]").first).to_be_visible(timeout=WAITS_MS)
        expect(page.locator("#progress")).to_be_hidden(timeout=WAITS_MS)
        # It is drawn before it knows how much room there is.
        page.wait_for_function(AS_WIDE_AS_ITS_ROOM, timeout=WAITS_MS)
        page.screenshot(path=REPOSITORY / "docs" / shot.file)


if __name__ == "__main__":
    sys.exit(main())
