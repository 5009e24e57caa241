"""Pages hold everything, in order and once, and a cursor leads on only where it belongs."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unitstream.filters import Filter
from unitstream.identity import Metric
from unitstream.pages import MAX_PAGE_BYTES, Candidate, Page, PointPlace, next_cursor, paginate, place_of
from unitstream.parameters import decode_cursor, encode_cursor
from unitstream.periods import Timeframe
from unitstream.problems import InvalidRequest, OutOfTime, TooMuch
from unitstream.questions import MetricsQuestion, PointsQuestion, SeriesQuestion, points_question

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from unitstream.questions import PagedQuestion

STREAM = "stream-1"
RECORD_ID = "0a" * 32
ORDERS = Metric("orders", "Sum")
OCTOBER = Timeframe("2022-10-01", "2022-10-31")
METRICS, SERIES, POINTS = MetricsQuestion(), SeriesQuestion(ORDERS), PointsQuestion(ORDERS, OCTOBER)


# --- pages ------------------------------------------------------------------------------------------------------------

Candidates = list[Candidate[int]]
candidates = st.lists(
    st.tuples(st.booleans(), st.integers(0, MAX_PAGE_BYTES * 5 // 4) | st.sampled_from([0, 1, MAX_PAGE_BYTES])),
    max_size=30,
).map(
    lambda drawn: [
        Candidate(f"{number:02}", number if asked_for else None, size) for number, (asked_for, size) in enumerate(drawn)
    ]
)


def items_of(candidates: Candidates) -> list[int]:
    return [candidate.item for candidate in candidates if candidate.item is not None]


def all_pages(question: MetricsQuestion, read: Callable[[str], Iterable[Candidate[int]]]) -> list[Page[int]]:
    """Return the pages to the last. `read` returns the candidates after a place."""
    pages = []
    while True:
        page = paginate(STREAM, question, read(place_of(STREAM, question) or ""))
        pages.append(page)
        if page.next_cursor is None:
            return pages
        question = MetricsQuestion(question.limit, page.next_cursor)


@given(candidates, st.integers(1, 10))
def test_pages_have_everything_in_order_and_once(candidates: Candidates, limit: int) -> None:
    """Whatever the limit and the sizes; none is larger than it may be, unless it has one thing only."""
    pages = all_pages(
        MetricsQuestion(limit), lambda last: [candidate for candidate in candidates if str(candidate.place) > last]
    )
    assert [item for page in pages for item in page.items] == items_of(candidates)
    for page in pages:
        assert len(page.items) <= limit
        assert len(page.items) <= 1 or sum(candidates[item].size for item in page.items) <= MAX_PAGE_BYTES
    assert all(page.items for page in pages[:-1])


@given(candidates, st.integers(1, 10), st.integers(1, 5))
def test_pages_that_end_early_have_everything_too(candidates: Candidates, limit: int, calls: int) -> None:
    """When time is up after some candidates, which may all be such as nobody asked for."""

    def read(last: str) -> Iterator[Candidate[int]]:
        rest = [candidate for candidate in candidates if str(candidate.place) > last]
        yield from rest[:calls]
        if rest[calls:]:
            raise OutOfTime

    pages = all_pages(MetricsQuestion(limit), read)
    assert [item for page in pages for item in page.items] == items_of(candidates)


def test_what_follows_a_full_page_decides_whether_it_is_the_last() -> None:
    """A page that is just full leads on only to a page that has something."""
    two = [Candidate("a", 1, 1), Candidate("b", 2, 1)]
    skipped = [Candidate("c", None, 0), Candidate("d", None, 0)]
    assert paginate(STREAM, MetricsQuestion(2), two) == Page([1, 2], None)
    assert paginate(STREAM, MetricsQuestion(2), [*two, *skipped]) == Page([1, 2], None)
    assert paginate(STREAM, MetricsQuestion(2), [*two, *skipped, Candidate("e", 3, 1)]) == Page(
        [1, 2], next_cursor(STREAM, METRICS, "d")
    )


def test_something_larger_than_a_page_is_a_page() -> None:
    """An empty page would lead nowhere."""
    large = [Candidate(place, place, MAX_PAGE_BYTES + 1) for place in "ab"]
    assert paginate(STREAM, METRICS, large) == Page(["a"], next_cursor(STREAM, METRICS, "a"))
    assert paginate(STREAM, METRICS, large[1:]) == Page(["b"], None)


@pytest.mark.parametrize("failure", [OutOfTime(), TooMuch("Filter.")])
def test_a_page_without_any_progress_is_an_error(failure: Exception) -> None:
    """A client that followed its cursor would turn in circles."""

    def read(*candidates: Candidate[int]) -> Iterator[Candidate[int]]:
        yield from candidates
        raise failure

    with pytest.raises(type(failure)):
        paginate(STREAM, METRICS, read())
    assert paginate(STREAM, METRICS, read(Candidate("a", None, 0))) == Page([], next_cursor(STREAM, METRICS, "a"))
    assert paginate(STREAM, METRICS, read(Candidate("a", 1, 1))) == Page([1], next_cursor(STREAM, METRICS, "a"))


# --- cursors ----------------------------------------------------------------------------------------------------------


def error_of(stream_id: str, question: PagedQuestion) -> str:
    """Return the code of what is wrong with the question's cursor."""
    with pytest.raises(InvalidRequest) as caught:
        place_of(stream_id, question)
    ((code, parameter),) = [(error.code, error.parameter) for error in caught.value.errors]
    assert parameter == "cursor"
    return code


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100), st.integers(1, 1_000))
def test_a_cursor_leads_on(sort_key: str, limit: int) -> None:
    """What a page ended with is where the next one begins; its limit may be another one."""
    assert place_of(STREAM, MetricsQuestion(limit, next_cursor(STREAM, METRICS, sort_key))) == sort_key


@pytest.mark.parametrize("place", [PointPlace("2022-10-01", RECORD_ID, 0), PointPlace("2022-10-31", "f" * 64, 23)])
def test_a_cursor_of_points_leads_on(place: PointPlace) -> None:
    """From the first hour of the first day to the last of the last."""
    cursor = next_cursor(STREAM, POINTS, place)
    assert place_of(STREAM, PointsQuestion(ORDERS, OCTOBER, limit=7, cursor=cursor)) == place


def test_without_a_cursor_an_answer_begins_at_its_beginning() -> None:
    """Of any question."""
    assert [place_of(STREAM, METRICS), place_of(STREAM, SERIES), place_of(STREAM, POINTS)] == [None] * 3


def test_a_cursor_that_went_through_a_url_leads_on() -> None:
    """As a parameter it is text without anything to escape."""
    place = PointPlace("2022-10-01", RECORD_ID, 13)
    cursor = next_cursor(STREAM, POINTS, place)
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    query = {
        "metric_name": ["orders"],
        "metric_agg_func": ["Sum"],
        "start_date": ["2022-10-01"],
        "end_date": ["2022-10-31"],
        "cursor": [cursor],
    }
    assert place_of(STREAM, points_question(query)) == place


def test_a_cursor_belongs_to_its_stream() -> None:
    """The same question to another stream has another answer."""
    cursor = next_cursor(STREAM, METRICS, "orders#Sum")
    assert place_of(STREAM, MetricsQuestion(cursor=cursor)) == "orders#Sum"
    assert error_of("stream-2", MetricsQuestion(cursor=cursor)) == "cursor_of_another_question"


CURSOR = next_cursor(STREAM, POINTS, PointPlace("2022-10-31", RECORD_ID, 23))


@pytest.mark.parametrize(
    "question",
    [
        PointsQuestion(ORDERS, Timeframe("2022-10-01", "2022-10-30"), cursor=CURSOR),
        PointsQuestion(ORDERS, OCTOBER, (Filter("a", ("b",), excludes=False),), cursor=CURSOR),
        PointsQuestion(Metric("other", "Sum"), OCTOBER, cursor=CURSOR),
        PointsQuestion(Metric("orders", "Average"), OCTOBER, cursor=CURSOR),
        SeriesQuestion(ORDERS, cursor=CURSOR),
        MetricsQuestion(cursor=CURSOR),
    ],
)
def test_a_cursor_belongs_to_its_question(question: PagedQuestion) -> None:
    """In the answer to another one it would skip what nobody has seen."""
    assert error_of(STREAM, question) == "cursor_of_another_question"


def tampered(question: PagedQuestion, *place: Any) -> str:
    """Return a cursor of the question with any place in it."""
    digest, _ = decode_cursor(next_cursor(STREAM, question, "a place"))
    return base64.urlsafe_b64encode(json.dumps([digest, *place]).encode()).decode()


@pytest.mark.parametrize(
    "place",
    [
        [],
        [1],
        [None],
        [{}],
        ["2022-10-01"],
        [RECORD_ID],
        ["2022-10-01", RECORD_ID],
        ["2022-10-01", RECORD_ID, "3"],
        ["2022-10-01", RECORD_ID, True],
        ["2022-10-01", RECORD_ID, 1.0],
        ["2022-10-01", RECORD_ID, 24],
        ["2022-10-01", RECORD_ID, -1],
        ["2022-10-01", RECORD_ID, 10**100],
        ["2022-10-01", RECORD_ID.upper(), 0],
        ["2022-10-01", f"{RECORD_ID}\n", 0],
        ["2022-10-01", "\ud800", 0],
        ["2022-10-01", ["2022-10-01"], 0],
        ["2022-09-30", RECORD_ID, 0],
        ["2022-11-01", RECORD_ID, 0],
        ["2022-10-32", RECORD_ID, 0],
        ["2022-10-\uff11\uff11", RECORD_ID, 0],
        ["2022-10-\ud800", RECORD_ID, 0],
        [20221001, RECORD_ID, 0],
        ["2022-10-01", RECORD_ID, 0, 0],
    ],
    ids=ascii,
)
def test_a_place_where_no_point_can_be_is_an_error(place: Sequence[Any]) -> None:
    """It never gets as far as the database."""
    assert error_of(STREAM, PointsQuestion(ORDERS, OCTOBER, cursor=tampered(POINTS, *place))) == "cursor_invalid"


@pytest.mark.parametrize("place", [[], [""], [RECORD_ID[1:]], [RECORD_ID * 2], [f"{RECORD_ID}\n"], [1], ["x"]])
def test_a_place_that_is_no_record_id_is_an_error(place: Sequence[Any]) -> None:
    """Of series there is no other place."""
    assert error_of(STREAM, SeriesQuestion(ORDERS, cursor=tampered(SERIES, *place))) == "cursor_invalid"


@pytest.mark.parametrize(
    "place", [[], [""], ["\ud800"], ["x" * 1_025], ["ü" * 513], [None], [{"a": []}], ["x", "y"], [1e999]], ids=ascii
)
def test_a_place_that_is_no_sort_key_is_an_error(place: Sequence[Any]) -> None:
    """DynamoDB refuses an empty one, and one of more than 1,024 bytes."""
    assert error_of(STREAM, MetricsQuestion(cursor=tampered(METRICS, *place))) == "cursor_invalid"


@given(st.text())
def test_any_text_is_no_cursor(text: str) -> None:
    """Also where nobody looked at it before."""
    assert error_of(STREAM, MetricsQuestion(cursor=text)) == "cursor_invalid"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.lists(json_values, max_size=4), st.sampled_from([METRICS, SERIES, POINTS]))
def test_any_place_is_one_or_an_error(place: list[Any], question: PagedQuestion) -> None:
    """Whatever JSON there is behind the right digest."""
    cursor = tampered(question, *place)
    try:
        actual = place_of(STREAM, replace(question, cursor=cursor))
    except InvalidRequest as exc:
        assert [error.code for error in exc.errors] == ["cursor_invalid"]  # noqa: PT017  # either outcome is right
        return
    assert place == ([*actual] if isinstance(actual, PointPlace) else [actual])


def test_a_cursor_is_a_digest_and_a_place() -> None:
    """What is in it, and nothing about who asked."""
    digest, place = decode_cursor(next_cursor(STREAM, POINTS, PointPlace("2022-10-01", RECORD_ID, 13)))
    assert (len(digest), place) == (16, ["2022-10-01", RECORD_ID, 13])
    assert decode_cursor(encode_cursor("digest", ['é\u0000"'])) == ("digest", ['é\u0000"'])
