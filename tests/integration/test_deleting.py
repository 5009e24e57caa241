"""`DELETE /api/points`: what it marks is gone, and what was received before it does not come back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import support
from stack import DEMO_TOKEN
from support import point, proxy_event, request_body

from ingest import app
from unitstream.instants import instant_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Tables

NOW = 1_700_000_000_000
OCTOBER = {"start_date": ["2022-10-01"], "end_date": ["2022-10-31"]}
ORDERS = {"metric_name": ["orders"], "metric_agg_func": ["Sum"]}
SHOPS = ({"shop": "a"}, {"shop": "b"}, {"shop": "c", "till": "1"})


@dataclass(frozen=True)
class Service:
    """The API, called as the gateway calls it."""

    call: Callable[[dict[str, Any]], dict[str, Any]]

    def save(self, points: list[dict[str, Any]], received_at: int) -> dict[str, Any]:
        answer = self.call(proxy_event(request_body(points, DEMO_TOKEN), received_at))
        assert answer["statusCode"] == 201, answer
        body: dict[str, Any] = json.loads(answer["body"])
        return body

    def delete(self, received_at: int, **parameters: str | list[str]) -> dict[str, Any]:
        lists = {name: [given] if isinstance(given, str) else given for name, given in parameters.items()}
        answer = self.call(support.delete_event(DEMO_TOKEN, received_at, **(ORDERS | OCTOBER | lists)))
        assert answer["statusCode"] == 200, answer
        body: dict[str, Any] = json.loads(answer["body"])
        return body

    def read(self, path: str, **parameters: list[str]) -> dict[str, Any]:
        answer = self.call(support.get_event(path, DEMO_TOKEN, parameters=parameters))
        assert answer["statusCode"] == 200, answer
        body: dict[str, Any] = json.loads(answer["body"])
        return body

    def values(self) -> dict[tuple[str, str], float]:
        """Return the points of orders, by shop and hour."""
        points = self.read("/api/points", **ORDERS, **OCTOBER)["points"]
        return {(one["dimensions"].get("shop", ""), one["timestamp"]): one["value"] for one in points}


@pytest.fixture
def service(invoke: Callable[[dict[str, Any]], dict[str, Any]]) -> Service:
    return Service(invoke)


def hours(value: float, shops: tuple[dict[str, str], ...] = SHOPS, days: int = 2) -> list[dict[str, Any]]:
    """Return three points a day and shop."""
    return [
        point(f"2022-10-{day:02} {hour:02}:00:00", value + hour, "orders", shop)
        for shop in shops
        for day in range(1, days + 1)
        for hour in (0, 1, 23)
    ]


def test_deleted_points_are_in_no_list_no_view_and_no_count(service: Service) -> None:
    """The answer says how many points of how many series went; the catalogue says that points were deleted."""
    service.save(hours(1.5), NOW)
    service.save([point("2022-10-01", 7, "visits")], NOW)
    assert service.delete(NOW + 5) == {"deleted": 18, "series": 3}
    assert service.values() == {}
    assert service.read("/api/views", **ORDERS, **OCTOBER)["series"] == []
    orders, visits = service.read("/api/metrics")["metrics"]
    assert (orders["first_day"], orders["last_day"]) == ("2022-10-01", "2022-10-02")
    assert (orders["last_deleted_at"], visits["last_deleted_at"]) == (instant_text(NOW + 5), None)
    assert service.delete(NOW + 6) == {"deleted": 0, "series": 0}
    assert service.read("/api/metrics")["metrics"][0]["last_deleted_at"] == instant_text(NOW + 5)


def test_only_what_is_asked_for_is_deleted(service: Service) -> None:
    """By days, by filters, and both; other hours and series keep what they have."""
    service.save(hours(1), NOW)
    before = service.values()
    assert service.delete(NOW + 1, start_date="2022-10-02", filter="shop:a,b") == {"deleted": 6, "series": 2}
    left = {place: value for place, value in before.items() if place[1] < "2022-10-02" or place[0] == "c"}
    assert service.values() == left
    assert service.delete(NOW + 2, filter="-shop:a") == {"deleted": 9, "series": 2}
    assert service.values() == {place: value for place, value in left.items() if place[0] == "a"}


def test_only_what_was_last_received_in_the_span_is_deleted(service: Service) -> None:
    """From the first instant on, before the second: in ISO 8601 or in epoch milliseconds. Corrections count."""
    service.save(hours(1, SHOPS[:1]), NOW)
    service.save(hours(1, SHOPS[1:2]), NOW + 10)
    service.save([point("2022-10-01", 100, "orders", SHOPS[0])], NOW + 20)
    assert service.delete(NOW + 30, received_from=str(NOW + 20)) == {"deleted": 1, "series": 1}
    assert service.delete(NOW + 30, received_from=str(NOW), received_before=instant_text(NOW + 10))["deleted"] == 5
    assert [shop for shop, _ in service.values()] == ["b"] * 6


def test_a_dry_run_tells_and_changes_nothing(service: Service, tables: Tables) -> None:
    """It has the counts that the deletion then has, from which hour to which, and the exact sum."""
    service.save([point(f"2022-10-01 0{hour}:00:00", 0.1, "orders", {"shop": "a"}) for hour in range(3)], NOW)
    before = support.scan(tables.client, tables.metrics)
    counts = {"deleted": 3, "series": 1}
    span = {"first_timestamp": "2022-10-01T00:00:00Z", "last_timestamp": "2022-10-01T02:00:00Z", "sum": 0.3}
    assert service.delete(NOW + 1, dry_run="true") == counts | span
    nothing = {"deleted": 0, "series": 0, "first_timestamp": None, "last_timestamp": None, "sum": None}
    assert service.delete(NOW + 1, dry_run="true", received_from=str(NOW + 1)) == nothing
    assert support.scan(tables.client, tables.metrics) == before
    assert service.delete(NOW + 1, dry_run="false") == counts


def test_what_was_received_before_the_deletion_does_not_come_back(service: Service) -> None:
    """A replay stays superseded, what is received later is created, and an old deletion does not undo it."""
    service.save(hours(1), NOW)
    service.delete(NOW + 10)
    replayed = service.save(hours(1), NOW)
    assert (replayed["superseded"], replayed["created"]) == (18, 0)
    assert service.save(hours(2), NOW + 9)["superseded"] == 18
    assert service.values() == {}
    assert service.save(hours(3), NOW + 11)["created"] == 18
    assert service.delete(NOW + 10) == {"deleted": 0, "series": 0}
    assert service.save(hours(1), NOW)["superseded"] == 18
    assert len(service.values()) == 18


def test_at_the_same_millisecond_a_value_wins(service: Service) -> None:
    """In both orders."""
    first, second = point("2022-10-01 00:00:00", 1), point("2022-10-01 01:00:00", 2)
    service.save([first], NOW)
    assert service.delete(NOW)["deleted"] == 0
    service.save([second], NOW - 1)
    assert service.delete(NOW)["deleted"] == 1
    assert service.save([second], NOW)["created"] == 1
    assert len(service.values()) == 2


def test_a_page_of_points_goes_on_past_days_that_are_deleted(service: Service) -> None:
    """Days without points are no end of the list."""
    service.save(hours(1, SHOPS[:1], days=30), NOW)
    service.delete(NOW + 1, end_date="2022-10-29")
    points: list[str] = []
    cursor: dict[str, list[str]] = {}
    while True:
        page = service.read("/api/points", **ORDERS, **OCTOBER, limit=["1"], **cursor)
        points += [one["timestamp"] for one in page["points"]]
        if not page["next_cursor"]:
            break
        cursor = {"cursor": [page["next_cursor"]]}
    assert points == [f"2022-10-30T{hour}:00:00Z" for hour in ("00", "01", "23")]


@pytest.mark.parametrize(
    ("dry_run", "status", "kind"), [("false", 503, "out-of-time"), ("true", 400, "answer-too-large")]
)
def test_a_deletion_without_time_is_to_be_sent_again_and_a_dry_run_to_be_narrowed(
    service: Service, dry_run: str, status: int, kind: str
) -> None:
    """What is left of a deletion the same request does; a dry run would begin anew."""
    service.save(hours(1), NOW)
    event = support.delete_event(DEMO_TOKEN, NOW + 1, **ORDERS, **OCTOBER, dry_run=[dry_run])
    answer = app.lambda_handler(event, support.LambdaContext(timeout_seconds=app.RESERVED_SECONDS))
    problem = json.loads(answer["body"])
    assert (answer["statusCode"], problem["type"]) == (status, f"urn:unitstream:problem:{kind}")
    assert (problem.get("deleted"), problem.get("series")) == ((0, 0) if status == 503 else (None, None))
    assert len(service.values()) == 18


def test_what_is_done_is_not_sent_again(service: Service) -> None:
    """Days that a deletion has marked, and those that it does not ask for, do not hold up one that goes on."""
    service.save(hours(1, SHOPS[:1], days=28), NOW)
    service.save(hours(2, SHOPS[:1], days=14), NOW + 10)
    service.delete(NOW + 20, start_date="2022-10-21")
    answered: list[int] = []
    events = app.tables()[1].table.client.meta.events
    events.register("after-call.dynamodb.Query", lambda parsed, **_: answered.append(len(parsed["Items"])))
    assert service.delete(NOW + 30, received_before=str(NOW + 10))["deleted"] == 3 * 6
    assert sum(answered) == 6


def test_a_question_that_names_what_is_not_there_gets_a_notice(service: Service) -> None:
    """A misspelt metric or filter deletes nothing, and says why."""
    service.save(hours(1), NOW)
    answer = service.delete(NOW + 1, metric_name="order")
    assert (answer["deleted"], answer["notices"][0]["code"]) == (0, "unknown_metric")
    answer = service.delete(NOW + 1, filter=["shop:z"])
    assert (answer["deleted"], answer["notices"][0]["code"]) == (0, "unknown_dimension_value")
    assert len(service.values()) == 18
