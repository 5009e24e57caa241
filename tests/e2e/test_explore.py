"""The explorer in a real browser, on the deployed local stack."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import demo
import pytest
from browsers import UNITSTREAM, barriers, browser, explorer, in_process
from explorer import DEMO_QUESTION, running
from playwright.sync_api import expect
from stack import DEMO_READ_TOKEN, DEMO_WRITE_TOKEN
from support import free_port, point, request_body

from unitstream.periods import Timeframe, periods
from unitstream_cli.api import Api
from unitstream_cli.errors import Unreachable
from unitstream_cli.explore.table import digits
from unitstream_cli.settings import Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page
    from support import Stack

HOSTILE = '<img src=x onerror="window.hacked = 1"><b>bold</b>'
ODD = "__proto__"
REGIONS = ("eu", "us", HOSTILE)
# Before these five days there are five others.
DAYS = {"range": "own", "start_date": "2022-10-06", "end_date": "2022-10-10"}
UNIT_METRIC = {"metric": "costs:Sum", "per": "orders:Sum", **DAYS, "group_by": "region", "compare": "timeframe"}
SAVED: dict[str, Any] = {"numerator": "costs:Sum", "denominator": "orders:Sum", "group_by": ["region"]}
SAVED |= {"unit": "EUR <per> order", "thresholds": {"above": 1e6}}
WAITS_MS = 20_000


@dataclass
class Explorer:
    """A running explorer, the token of its stream, and what its pages said and got. `log` has what it said itself."""

    address: str
    stack: Stack
    browser: Browser
    folder: Path
    log: Path | None = None

    def url(self, **asked: str) -> str:
        return f"{self.address}/?{urlencode(asked)}" if asked else f"{self.address}/"

    @contextmanager
    def page(self, **context: Any) -> Iterator[Page]:
        """Open a page, of which nothing may go to the console, nor anywhere but to the explorer, nor hold a secret."""
        said: list[str] = []
        traffic = self.folder / "traffic.har"
        recorded: dict[str, Any] = {
            "record_har_path": traffic,
            "record_har_url_filter": re.compile("/_dash-(?!component)"),
        }
        with self.browser.new_context(**recorded, **context) as opened:
            opened.set_default_timeout(WAITS_MS)
            page = opened.new_page()
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("request", lambda request: said.append(request.url) if self._is_elsewhere(request.url) else None)
            yield page
            texts = [page.url, page.content()]
        texts += [file.read_text() for file in (traffic, self.log) if file]
        assert not [text for text in texts if self.stack.token in text or self.stack.api_key in text]
        assert not said

    def _is_elsewhere(self, url: str) -> bool:
        return not url.startswith((self.address, "data:", "blob:"))

    def answer(self, path: str, accept: str = "application/json", **asked: str) -> str:
        status, _, body = self.stack.get(path, {"Accept": accept}, **asked)
        assert status == 200, body
        return body


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as one:
        yield one


@pytest.fixture(scope="module")
def shop(stack: Stack, chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explorer]:
    """The explorer of a stream with ten days of a shop in three regions, one of which has an awkward name."""
    own = stack.with_own_stream("explored shop")
    for metric, size in (("costs", 1003.1), ("orders", 1)):
        points = [
            point(f"2022-10-{day:02}", round(size * (7 * day + 13 * place + 1), 2), metric, {"region": region})
            for day in range(1, 11)
            for place, region in enumerate(REGIONS)
        ]
        assert own.post(request_body(points, own.token))[0] == 201
    odd = [point("2022-10-06", 1, "odd", dimensions) for dimensions in ({ODD: "a __proto__ b"}, {ODD: ""}, {})]
    assert own.post(request_body(odd, own.token))[0] == 201
    assert own.change("PUT", "/api/unit-metrics/cost%20per%20order", SAVED)[0] == 200
    folder = tmp_path_factory.mktemp("explorer")
    log = folder / "explorer.log"
    with explorer(own.api_url, own.api_key, own.token, log) as address:
        yield Explorer(address, own, chromium, folder, log)


def choose(page: Page, name: str, option: str) -> None:
    """Choose something by the keyboard: open, take it, close. A list that opens draws the focus to itself first."""
    page.press(f"#{name}", "Enter")
    expect(page.locator(".dash-dropdown-content :focus")).to_be_attached()
    entry = page.locator(".dash-dropdown-content").get_by_label(option, exact=True)
    entry.focus()
    expect(entry).to_be_focused()
    page.keyboard.press("Space")
    expect(page.locator(f"#{name}-value")).to_contain_text(option)
    page.keyboard.press("Escape")
    expect(page.locator(".dash-dropdown-content")).to_have_count(0)


def shown_sentence(page: Page, text: str | re.Pattern[str]) -> None:
    """Wait for the picture of a question."""
    expect(page.locator("#sentence")).to_have_text(text, timeout=WAITS_MS)
    expect(page.locator("#picture .main-svg .trace").first).to_be_attached(timeout=WAITS_MS)


def cells(page: Page) -> list[list[str]]:
    """Return the rows of the table: numbers with all their digits, as the API wrote them."""
    read = "rows => rows.map(row => [...row.cells].map(cell => cell.dataset.number ?? cell.textContent))"
    found: list[list[str]] = page.eval_on_selector_all("#rows tbody tr", read)
    return found


def text_of(value: str | float | None) -> str:
    words = {None: "", True: "yes", False: "no"}
    return (
        value if isinstance(value, str) else words[value] if value is None or isinstance(value, bool) else digits(value)
    )


def picked(document: dict[str, Any], *fields: str) -> list[list[str]]:
    """Return what the API answers as the table has it."""
    return [
        [
            cell["date"],
            *("none" if value is None else value or "empty" for value in one["dimensions"].values()),
            *(text_of(cell[field]) for field in fields),
        ]
        for one in document["series"]
        for cell in one["data"]
    ]


def test_choose_group_filter_and_compare_by_keyboard_then_reload_and_go_back(shop: Explorer) -> None:
    """Each choice is in the address, and the figures are the API's, to the digit."""
    with shop.page(locale="en-US") as page:
        page.goto(shop.url(metric="orders:Sum", **DAYS))
        shown_sentence(page, re.compile("^orders:Sum by day, 2022-10-06 to 2022-10-10"))
        choose(page, "what", "costs:Sum")
        shown_sentence(page, re.compile("^costs:Sum by day, "))
        choose(page, "per", "orders:Sum")
        shown_sentence(page, re.compile("^costs:Sum per orders:Sum by day, "))
        choose(page, "group_by", "region")
        shown_sentence(page, re.compile("by day and region, "))
        choose(page, "compare", "the timeframe before")
        shown_sentence(page, re.compile("the faint line: 2022-10-01 to 2022-10-05$"))
        choose(page, "numerator_filter", "region is not us")
        expect(page.locator("#rows td.number:empty").first).to_be_attached(timeout=WAITS_MS)
        expect(page.locator("#rows tbody tr")).to_have_count(15)
        asked = {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}
        assert asked == UNIT_METRIC | {"numerator_filter": "-region:us"}

        parameters = {"numerator": "costs:Sum", "denominator": "orders:Sum", "group_by": "region"}
        parameters |= {"start_date": DAYS["start_date"], "end_date": DAYS["end_date"], "numerator_filter": "-region:us"}
        document = json.loads(shop.answer("/api/unit-metrics", **parameters))
        now = [f"current_timeframe_{part}" for part in ("unit_metric", "numerator", "denominator")]
        before = [f"previous_timeframe_{part}" for part in ("unit_metric", "numerator", "denominator")]
        fields = [
            now[0],
            before[0],
            "pop_diff",
            "pop_change",
            *now[1:],
            *before[1:],
            "previous_date",
            "complete",
            "points",
        ]
        answered = picked(document, *fields)
        expect(page.locator("#rows td[data-number]").first).to_be_visible()
        assert cells(page) == answered

        page.reload()
        shown_sentence(page, re.compile("the faint line"))
        assert cells(page) == answered
        page.get_by_role("link", name="numerator", exact=True).click()
        expect(page.locator("th[aria-sort=descending]")).to_have_text("numerator")
        numerators = [float(row[6]) for row in cells(page) if row[6]]
        assert numerators == sorted(numerators, reverse=True)
        page.go_back()
        expect(page.locator("th[aria-sort=descending]")).to_have_count(0)
        page.go_back()
        shown_sentence(page, re.compile("the faint line"))
        expect(page.locator("#numerator_filter-value")).not_to_contain_text("region")
        assert "numerator_filter" not in page.url


def test_text_from_dimensions_is_text_and_numbers_are_the_readers(shop: Explorer) -> None:
    """A region that is HTML, in page, picture and list of filters; a name of JavaScript's; digits as in German."""
    with shop.page(locale="de-DE") as page:
        page.goto(shop.url(metric="costs:Sum", **DAYS, group_by="region"))
        shown_sentence(page, re.compile("by day and region"))
        expect(page.locator("#rows td").filter(has_text="<img").first).to_have_text(HOSTILE)
        expect(page.locator("#picture .legendtext").filter(has_text="<img")).to_have_text(HOSTILE)
        page.focus("#filter")
        page.keyboard.press("Enter")
        expect(page.locator(".dash-dropdown-content label").filter(has_text="<img").first).to_contain_text(HOSTILE)
        assert page.evaluate("window.hacked") is None
        assert not page.locator("main img, main b").count()
        page.goto(shop.url(metric="odd:Sum", **DAYS, group_by=ODD))
        shown_sentence(page, re.compile(f"by day and {ODD}"))
        assert [row[1] for row in cells(page)] == ["empty", "a __proto__ b", "none"]
        page.goto(shop.url(metric="costs:Sum", **DAYS, group_by="region"))
        shown_sentence(page, re.compile("by day and region"))
        first = page.locator("#rows td[data-number]").first
        assert (first.get_attribute("data-number"), first.inner_text()) == ("69213.9", "69.213,9")
        assert page.evaluate("document.querySelector('.js-plotly-plot').layout.separators") == ",."


def test_what_is_shown_can_be_taken_away(shop: Explorer, tmp_path: Path) -> None:
    """As the API's CSV, as a picture, and as a page that opens from a file without a network."""
    parameters = {"numerator": "costs:Sum", "denominator": "orders:Sum", "group_by": "region", "totals": "true"}
    parameters |= {"start_date": DAYS["start_date"], "end_date": DAYS["end_date"]}
    with shop.page(accept_downloads=True) as page:
        page.goto(shop.url(**UNIT_METRIC))
        shown_sentence(page, re.compile("the faint line"))
        files = {}
        for name in ("CSV", "PNG", "A page to hand over"):
            with page.expect_download() as download:
                page.get_by_role("button", name=name, exact=True).click()
            files[name] = tmp_path / download.value.suggested_filename
            download.value.save_as(files[name])
        sentence, rows = page.inner_text("#sentence"), cells(page)
    assert {one.name for one in files.values()} == {
        f"costs-Sum-per-orders-Sum-2022-10-06-2022-10-10.{ending}" for ending in ("csv", "html")
    } | {"costs-Sum-per-orders-Sum-2022-10-06-2022-10-10.png"}
    with files["CSV"].open(newline="") as file:
        assert file.read() == shop.answer("/api/unit-metrics", "text/csv", **parameters)
    assert files["PNG"].read_bytes().startswith(b"\x89PNG")
    handed_over = files["A page to hand over"].read_text()
    assert shop.stack.token not in handed_over
    assert shop.stack.api_key not in handed_over
    assert "127.0.0.1" not in re.sub(r"<script>.*?</script>", "", handed_over, flags=re.DOTALL)

    requested: list[str] = []
    with shop.browser.new_context(offline=True) as context:
        page = context.new_page()
        page.on("request", lambda request: requested.append(request.url))
        page.on("console", lambda message: requested.append(message.text))
        page.goto(files["A page to hand over"].as_uri())
        shown_sentence(page, sentence)
        read = "rows => rows.map(row => [...row.cells].map(cell => cell.dataset.number ?? cell.textContent))"
        assert page.eval_on_selector_all("tbody tr", read) == rows
        assert page.evaluate("window.hacked") is None
        assert not page.locator("main img, main b").count()
        assert not barriers(page)
    assert requested == [files["A page to hand over"].as_uri()]


@pytest.mark.parametrize(
    ("look", "asked", "opened"),
    [
        ({"color_scheme": "light"}, UNIT_METRIC, "what"),
        ({"color_scheme": "dark", "viewport": {"width": 360, "height": 640}}, UNIT_METRIC | {"top": "5"}, "group_by"),
    ],
)
def test_nobody_is_kept_out(shop: Explorer, look: dict[str, Any], asked: dict[str, str], opened: str) -> None:
    """What axe-core looks for, in an open list too; light, and dark in a narrow window, which does not scroll aside."""
    with shop.page(**look) as page:
        page.goto(shop.url(**asked))
        shown_sentence(page, re.compile("the faint line"))
        assert not barriers(page)
        page.press(f"#{opened}", "Enter")
        expect(page.locator(".dash-dropdown-content :focus")).to_be_attached()
        assert not barriers(page)
        page.keyboard.press("Escape")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_page_of_which_nothing_was_asked_shows_a_saved_unit_metric(shop: Explorer) -> None:
    """Whose groups are its own; of days without data it says so."""
    with shop.page() as page:
        page.goto(shop.url())
        expect(page.locator("#status")).to_contain_text("there is no data in this range")
        expect(page.locator("#what-value")).to_have_text("cost per order (saved unit metric)")
        expect(page.locator("#group_by")).to_be_disabled()
        page.goto(shop.url(saved="cost per order", **DAYS))
        shown_sentence(page, re.compile("^cost per order by day and region"))
        expect(page.locator("#picture .ytitle")).to_have_text("EUR <per> order")
        expect(page.locator("#picture .shape-label")).to_have_text("too high above 1000000")


def test_an_error_is_told_in_the_words_of_the_api(shop: Explorer) -> None:
    """Whether the address or the stream is at fault; and a range of fifty years is no error."""
    wrong = [
        ({"metric": "orders:Sum", "group_by": "a,b,c,d"}, "group_by must name at most 3 keys"),
        ({"metric": "orders:Sum", "granularty": "day"}, "did you mean granularity?"),
        ({"metric": "orders:Summe"}, "metric_agg_func must be"),
        ({"saved": "nothing"}, "no saved unit metric"),
    ]
    with shop.page() as page:
        for asked, said in wrong:
            page.goto(shop.url(**asked))
            expect(page.get_by_role("alert").filter(has_text=said)).to_be_visible(timeout=WAITS_MS)
        page.goto(shop.url(metric="orders:Sum", **DAYS | {"start_date": "1970-01-01", "granularity": "hour"}))
        shown_sentence(page, re.compile("1970-01-01"))


def test_an_empty_stream_says_how_to_push_the_first_file(stack: Stack, chromium: Browser, tmp_path: Path) -> None:
    own = stack.with_own_stream("explored emptiness")
    with in_process(Service(own.api_url, own.api_key, own.token)) as address:
        empty = Explorer(address, own, chromium, tmp_path)
        with empty.page() as page:
            page.goto(empty.url())
            expect(page.locator("#table")).to_contain_text("unitstream push shop.csv")
            assert not barriers(page)


@pytest.mark.parametrize(
    ("token", "api", "said"),
    [
        ("ds_unknown-token", "up", "the token names no stream"),
        (DEMO_WRITE_TOKEN, "up", "This needs a token with the right to read"),
        (DEMO_READ_TOKEN, "down", "there was no connection"),
    ],
)
def test_what_keeps_the_explorer_from_reading_is_told(shop: Explorer, token: str, api: str, said: str) -> None:
    """In the words of the command: a token that is unknown or may not read, an API that is down."""
    url = f"http://127.0.0.1:{free_port()}" if api == "down" else shop.stack.api_url
    with in_process(Service(url, shop.stack.api_key, token), give_up_after=0.5) as address:
        kept_out = replace(shop, address=address, stack=replace(shop.stack, token=token), log=None)
        with kept_out.page() as page:
            page.goto(kept_out.url(**UNIT_METRIC))
            expect(page.get_by_role("alert").filter(has_text=said)).to_be_visible(timeout=WAITS_MS)
            expect(page.locator("#shown")).to_be_hidden()


def test_after_a_failure_it_reads_again(shop: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the button is pressed."""
    fails = [True]
    request = Api.get

    def unreliable(self: Api, *arguments: Any) -> Any:
        if fails:
            raise Unreachable("the service answered 503 The database is busy.")
        return request(self, *arguments)

    monkeypatch.setattr(Api, "get", unreliable)
    with in_process(Service(shop.stack.api_url, shop.stack.api_key, shop.stack.token)) as address:
        again = replace(shop, address=address, log=None)
        with again.page() as page:
            page.goto(again.url(**UNIT_METRIC))
            expect(page.get_by_role("alert").filter(has_text="503 The database is busy")).to_be_visible()
            expect(page.get_by_role("button", name="CSV")).to_be_hidden()
            fails.clear()
            page.get_by_role("button", name="Read again").click()
            shown_sentence(page, re.compile("the faint line"))
            expect(page.get_by_role("button", name="CSV")).to_be_visible()


def test_an_answer_that_is_too_large_says_what_to_narrow(shop: Explorer) -> None:
    """Hour by hour for two years, each with what it is compared with."""
    hours = [
        point(f"{day} {hour:02}:00:00", 1, "hours")
        for day in periods(Timeframe("2020-01-01", "2021-12-31"), "day")
        for hour in range(24)
    ]
    assert shop.stack.post(request_body(hours, shop.stack.token))[0] == 201
    asked = {"metric": "hours:Sum", "per": "hours:Sum", "compare": "period"}
    with shop.page() as page:
        page.goto(shop.url(**asked, granularity="hour", start_date="2020-01-01", end_date="2021-12-31"))
        told = page.get_by_role("alert").filter(has_text="choose a shorter range of days, a coarser granularity")
        expect(told).to_be_visible(timeout=WAITS_MS)
        choose(page, "granularity", "month")
        shown_sentence(page, re.compile("by month, "))
        expect(page.locator("#rows tbody tr")).to_have_count(24)


def test_days_are_typed_and_one_that_is_missing_is_asked_for(shop: Explorer) -> None:
    """The address keeps what cannot be answered, and a reload shows it again, to be mended."""
    with shop.page(locale="en-US") as page:
        page.goto(shop.url(metric="orders:Sum", **DAYS))
        shown_sentence(page, re.compile("2022-10-06 to 2022-10-10$"))
        page.focus("#end_date")
        page.keyboard.type("10082022\n")
        shown_sentence(page, re.compile("2022-10-06 to 2022-10-08$"))
        page.fill("#end_date", "")
        page.press("#end_date", "Enter")
        wrong = page.get_by_role("alert").filter(has_text="end_date is required")
        expect(wrong).to_be_visible()
        expect(page.locator("#shown")).to_be_hidden()
        page.reload()
        expect(wrong).to_be_visible()
        assert page.input_value("#start_date") == "2022-10-06"
        page.fill("#end_date", "2022-10-09")
        page.press("#end_date", "Enter")
        shown_sentence(page, re.compile("2022-10-06 to 2022-10-09$"))
        expect(wrong).to_have_count(0)


@pytest.mark.parametrize("path", ["/", "/_dash-layout", "/assets/explore.js"])
def test_the_explorer_answers_to_its_own_names_only(shop: Explorer, path: str) -> None:
    """A name that somebody gives to this machine's address opens nothing."""
    port = urlsplit(shop.address).port
    for host, status in (
        (f"127.0.0.1:{port}", 200),
        (f"localhost:{port}", 200),
        (f"evil.example:{port}", 421),
        ("[", 421),
    ):
        request = urllib.request.Request(f"{shop.address}{path}", headers={"Host": host})  # noqa: S310  # its own
        code, policy = status_of(request)
        assert (host, code) == (host, status)
        assert status != 200 or "script-src 'self' 'sha256-" in policy


def status_of(request: urllib.request.Request) -> tuple[int, str]:
    """Return the status of an answer, and what a browser may do with it."""
    try:
        with urllib.request.urlopen(request) as response:  # noqa: S310  # the explorer's
            return response.status, response.headers["Content-Security-Policy"]
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, ""


def test_make_run_has_an_explorer_with_a_demo_in_it(
    stack: Stack, chromium: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here with three days of the year, in a stream of their own: cost per order by region, with a line for each."""
    monkeypatch.setattr(demo, "DAYS", 3)
    own = stack.with_own_stream("explored demo")
    settings = {"API_URL": own.api_url, "API_KEY": own.api_key, "DATA_STREAM_TOKEN": own.token}
    with running(UNITSTREAM, settings, tmp_path, free_port()) as address:
        wait_for(tmp_path / "demo.log", "Received")
        wait_for(tmp_path / "saved.log", "Saved: cost per order.")
        wait_for(tmp_path / "explorer.log", address)
        shown = Explorer(address, own, chromium, tmp_path, tmp_path / "explorer.log")
        with shown.page() as page:
            page.goto(address)
            shown_sentence(page, re.compile("^cost per order by day and region"))
            page.goto(f"{address}/{DEMO_QUESTION}")
            shown_sentence(page, re.compile("^costs:Sum per orders:Sum by day and region"))
            expect(page.locator("#status")).to_contain_text("is not over yet")
            names = page.locator("#picture .legendtext").all_text_contents()
    assert sorted(names) == ["ap", "eu", "us"]


def wait_for(log: Path, text: str) -> None:
    """Wait until a file says something."""
    give_up = time.monotonic() + WAITS_MS / 1000
    while not log.exists() or text not in log.read_text():
        assert time.monotonic() < give_up, log
        time.sleep(0.1)
