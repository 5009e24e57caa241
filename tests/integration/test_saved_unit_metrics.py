"""Unit metrics that are saved by name, and published on a schedule, on DynamoDB Local."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from stack import DEMO_STREAM_ID, DEMO_TOKEN
from support import LambdaContext, create_stream, get_event, point, proxy_event, request_body

from publish import app as publish_app
from unitstream.publishing import MAX_PUBLISHED_GROUPS
from unitstream.saved import MAX_PUBLISHED

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Tables

    Invoke = Callable[[dict[str, Any]], dict[str, Any]]

DEFINITION = {"numerator": "costs:Sum", "denominator": "orders:Sum", "group_by": ["region"], "publish": True}
NOW = 1_700_000_000_000


class Api:
    """The routes of saved unit metrics, as a client calls them."""

    def __init__(self, invoke: Invoke, capsys: pytest.CaptureFixture[str], token: str = DEMO_TOKEN) -> None:
        self._invoke = invoke
        self._capsys = capsys
        self._token = token

    def __call__(self, method: str, name: str, body: object = None, **parameters: list[str]) -> tuple[int, Any]:
        path, _, rest = name.partition("|")
        event = get_event(f"/api/unit-metrics/{{name}}{rest}", self._token, parameters=parameters, httpMethod=method)
        event["requestContext"]["httpMethod"] = method
        event["pathParameters"] = {"name": quote(path, safe="")}
        event["body"] = body if isinstance(body, str) else json.dumps(body)
        return self._answer(event)

    def put_as(self, body: str, content_type: str, encoding: str, *, base64_encoded: bool = False) -> tuple[int, Any]:
        """Save `unit` with the headers that say what its body is."""
        headers = {"content-type": content_type, "content-encoding": encoding}
        event = get_event("/api/unit-metrics/{name}", self._token, httpMethod="PUT", body=body, headers=headers)
        event["requestContext"]["httpMethod"] = "PUT"
        return self._answer(event | {"pathParameters": {"name": "unit"}, "isBase64Encoded": base64_encoded})

    def of(self, token: str) -> Api:
        return Api(self._invoke, self._capsys, token)

    def get(self, resource: str, **parameters: list[str]) -> tuple[int, Any]:
        return self._answer(get_event(resource, self._token, parameters=parameters))

    def save(self, points: list[dict[str, Any]], received_at: int = NOW) -> None:
        response = self._invoke(proxy_event(request_body(points, self._token), received_at))
        assert response["statusCode"] == 201

    def publish(self) -> tuple[dict[str, int], list[dict[str, Any]]]:
        """Run what the schedule runs, and return its counts and the values in its log."""
        self._capsys.readouterr()
        counts = publish_app.lambda_handler({}, LambdaContext())
        lines = map(json.loads, self._capsys.readouterr().out.splitlines())
        return counts, [line for line in lines if "UnitMetric" in line]

    def _answer(self, event: dict[str, Any]) -> tuple[int, Any]:
        response = self._invoke(event)
        return response["statusCode"], json.loads(response["body"])


@pytest.fixture
def api(invoke: Invoke, capsys: pytest.CaptureFixture[str]) -> Api:
    return Api(invoke, capsys)


def day_before(days: int) -> str:
    return str((datetime.now(UTC) - timedelta(days=days)).date())


@pytest.mark.parametrize("name", ["cost per order", "a/b%2F", "Kosten je Auftrag, ü", "=1+1", "#~\"'"])
def test_any_name_is_saved_shown_and_deleted(api: Api, name: str) -> None:
    """What a path can hold, percent-encoded: it comes back as it was."""
    assert api("PUT", name, DEFINITION)[0] == 200
    status, shown = api("GET", name)
    assert (status, shown) == (200, {"name": name} | DEFINITION)
    assert api.get("/api/saved-unit-metrics")[1] == {"unit_metrics": [shown], "next_cursor": None}
    assert api("DELETE", name) == (200, {"deleted": 1})
    assert api("DELETE", name) == (200, {"deleted": 0})
    assert api("GET", name)[0] == 404
    assert api("GET", f"{name}|/data", start_date=["2022-10-01"], end_date=["2022-10-01"])[0] == 404


def test_saving_replaces_and_says_what_the_stream_lacks(api: Api) -> None:
    """The same request again changes nothing; another one leaves nothing of the first."""
    first, again = (api("PUT", "unit", DEFINITION | {"unit": "EUR"}) for _ in range(2))
    assert first == again
    assert [one["code"] for one in first[1]["notices"]] == ["unknown_metric"] * 2
    api("PUT", "unit", {"numerator": "costs:Sum", "denominator": "orders:Sum"})
    assert api("GET", "unit")[1] == {"name": "unit", "numerator": "costs:Sum", "denominator": "orders:Sum"}


def test_pages_of_the_list_are_in_order(api: Api) -> None:
    """By name, with a cursor as other lists have it."""
    for name in ("b", "a", "c"):
        api("PUT", name, DEFINITION)
    first = api.get("/api/saved-unit-metrics", limit=["2"])[1]
    rest = api.get("/api/saved-unit-metrics", cursor=[first["next_cursor"]])[1]
    assert [[one["name"] for one in page["unit_metrics"]] for page in (first, rest)] == [["a", "b"], ["c"]]


def test_data_is_what_the_ad_hoc_question_answers(api: Api) -> None:
    """With the definition's filters, groups and periods, of which the question may say others; and the unit."""
    dimensions = [{"region": "eu", "service": "a"}, {"region": "us", "service": "b"}]
    api.save([point("2022-10-01 05:00:00", 6 + n, "costs", one) for n, one in enumerate(dimensions)])
    api.save([point("2022-10-02 05:00:00", 3, "orders", {"region": one["region"]}) for one in dimensions])
    own = {"numerator_filter": ["-service:b"], "granularity": "month", "unit": "EUR per order", "publish": False}
    assert api("PUT", "unit", DEFINITION | own)[0] == 200
    span = {"start_date": ["2022-10-01"], "end_date": ["2022-10-31"]}
    ad_hoc = {"numerator": ["costs:Sum"], "denominator": ["orders:Sum"], "numerator_filter": ["-service:b"]}
    for more in (
        {},
        {"granularity": ["week"], "totals": ["true"]},
        {"compare": ["year"], "timezone": ["Europe/Berlin"]},
    ):
        status, answer = api("GET", "unit|/data", **span, **more)
        asked = {"granularity": ["month"]} | span | ad_hoc | {"group_by": ["region"]} | more
        assert status == 200, answer
        assert answer == {"unit": "EUR per order"} | api.get("/api/unit-metrics", **asked)[1]


def test_streams_do_not_see_each_others(
    api: Api, invoke: Invoke, tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name belongs to a stream."""
    create_stream(tables.client, tables.streams, "ds_other", "other")
    other = Api(invoke, capsys, "ds_other")
    api("PUT", "unit", DEFINITION)
    assert other("GET", "unit")[0] == 404
    assert other("DELETE", "unit") == (200, {"deleted": 0})
    assert other.get("/api/saved-unit-metrics")[1]["unit_metrics"] == []
    assert api("GET", "unit")[0] == 200


def test_definitions_need_the_right_to_write_and_values_that_to_read(api: Api, tables: Tables) -> None:
    """A token that only reads changes no definition, and one that only writes sees none."""
    create_stream(tables.client, tables.streams, "ds_reader", DEMO_STREAM_ID, rights=["read"])
    create_stream(tables.client, tables.streams, "ds_writer", DEMO_STREAM_ID, rights=["write"])
    reader, writer = api.of("ds_reader"), api.of("ds_writer")
    assert (reader("PUT", "unit", DEFINITION)[0], writer("PUT", "unit", DEFINITION)[0]) == (403, 200)
    assert (reader("GET", "unit")[0], writer("GET", "unit")[0]) == (200, 403)
    span = {"start_date": ["2022-10-01"], "end_date": ["2022-10-01"]}
    assert (reader("GET", "unit|/data", **span)[0], writer("GET", "unit|/data", **span)[0]) == (200, 403)
    assert (reader("DELETE", "unit")[0], writer("DELETE", "unit")[0]) == (403, 200)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", {("", "json_invalid")}),
        ("[]", {("", "wrong_type")}),
        ('{"numerator": "a:Sum", "numerator": "b:Sum", "denominator": "c:Sum"}', {("/numerator", "duplicate_key")}),
        (DEFINITION | {"unit": "x" * 65}, {("/unit", "too_long")}),
        (DEFINITION | {"unit": "x" * 20_000}, {("", "too_long")}),
        (DEFINITION | {"granularity": "week"}, {("/publish", "publish_too_coarse")}),
        (DEFINITION | {"timezone": "Asia/Kolkata"}, {("/timezone", "timezone_not_hourly")}),
        (DEFINITION | {"thresholds": {"above": True}}, {("/thresholds/above", "wrong_type")}),
        (DEFINITION | {"thresholds": [1]}, {("/thresholds", "wrong_type")}),
        (
            DEFINITION | {"group_by": ["a,b", "c,d"], "filter": ["x"]},
            {("/group_by", "too_many_keys"), ("/filter", "filter_invalid")},
        ),
    ],
)
def test_what_is_wrong_with_a_definition_is_said_with_its_place(
    api: Api, body: object, expected: set[tuple[str, str]]
) -> None:
    """All of it, and nothing is saved."""
    status, problem = api("PUT", "unit", body)
    assert status == 400
    assert {(error["pointer"], error["code"]) for error in problem["errors"]} == expected
    assert api("GET", "unit")[0] == 404


def test_a_definition_comes_as_points_do(api: Api) -> None:
    """As JSON, plain or in gzip, by the rules of the ingest route: nothing else is taken for it."""
    text = json.dumps(DEFINITION)
    packed = base64.b64encode(gzip.compress(text.encode())).decode()
    assert api.put_as(text, "text/xml", "")[1]["type"] == "urn:unitstream:problem:content-type-unsupported"
    assert api.put_as(text, "application/json", "br")[1]["type"] == "urn:unitstream:problem:encoding-unsupported"
    assert api.put_as(packed[:40], "application/json", "gzip", base64_encoded=True)[0] == 400
    assert api("GET", "unit")[0] == 404
    assert api.put_as(packed, "application/json", "gzip", base64_encoded=True)[0] == 200
    assert api.put_as("\ufeff" + text, "application/json; charset=utf-8", "gzip")[0] == 200
    broken = base64.b64encode(b'{"numerator": "\xff"}').decode()
    (error,) = api.put_as(broken, "", "", base64_encoded=True)[1]["errors"]
    assert error["code"] == "json_invalid"
    assert api("GET", "unit")[1] == {"name": "unit"} | DEFINITION


@pytest.mark.parametrize("zone", ["Asia/Singapore", "Pacific/Norfolk", "America/Caracas"])
def test_a_zone_of_whole_hours_today_is_saved(api: Api, zone: str) -> None:
    """Whatever its offset was in 1970, or in 2000: those days may never be asked for."""
    assert api("PUT", "unit", DEFINITION | {"timezone": zone})[0] == 200


@pytest.mark.parametrize("name", [" a", "a\u00a0", ".", "..", "a\nb", "a\0", "\u202eb", "a\u200bb", "\x7f"])
def test_a_name_that_looks_like_another_is_refused(api: Api, name: str) -> None:
    """With characters that cannot be seen, or as a step in a path: nobody could tell it apart, or reach it."""
    status, problem = api("PUT", name, DEFINITION)
    assert status == 400
    assert [(error["parameter"], error["code"]) for error in problem["errors"]] == [("name", "name_invalid")]
    assert api.get("/api/saved-unit-metrics")[1]["unit_metrics"] == []


def test_wrong_parameters_of_a_saved_one_are_refused(api: Api) -> None:
    """Those that only an ad-hoc question has, too: they would be ignored."""
    _, problem = api("GET", "unit|/data", numerator=["a:Sum"], start_date=["2022-10-32"])
    assert {(error["parameter"], error["code"]) for error in problem["errors"]} == {
        ("numerator", "unknown_parameter"),
        ("start_date", "date_invalid"),
        ("end_date", "missing"),
    }
    assert api("PUT", "unit", DEFINITION, dry_run=["true"])[0] == 400
    for method in ("GET", "PUT", "DELETE"):
        assert api(method, "x" * 256, DEFINITION)[0] == 400


# --- publishing -------------------------------------------------------------------------------------------------------


def costs_and_orders(cost: float, day: str, region: str = "eu") -> list[dict[str, Any]]:
    dimensions = {"region": region}
    return [point(day, cost, "costs", dimensions), point(day, 4, "orders", dimensions)]


def test_a_run_publishes_each_period_at_its_time_and_the_next_one_corrections(api: Api) -> None:
    """By stream, name and group. Today is not over, and is left out; a run more says the same."""
    yesterday, before = day_before(1), day_before(2)
    api.save([*costs_and_orders(8, yesterday), *costs_and_orders(6, before), *costs_and_orders(99, day_before(0))])
    api("PUT", "cost per ørder", DEFINITION)
    counts, lines = api.publish()
    assert counts == {"published": 1, "over": 0, "failed": 0}
    moments = [int(datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp() * 1_000) for day in (before, yesterday)]
    assert [(line["_aws"]["Timestamp"], line["UnitMetric"]) for line in lines] == list(
        zip(moments, (1.5, 2.0), strict=True)
    )
    (directive,) = lines[0]["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "unitstream"
    assert [lines[0][name] for name in directive["Dimensions"][0]] == [
        DEMO_STREAM_ID,
        "cost per %C3%B8rder",
        "region=eu",
    ]
    assert directive["Metrics"] == [{"Name": "UnitMetric"}]
    assert api.publish() == (counts, lines)
    api.save(costs_and_orders(12, yesterday), received_at=NOW + 1)
    assert [line["UnitMetric"] for line in api.publish()[1]] == [1.5, 3.0]


def test_only_what_asks_for_it_is_published(api: Api) -> None:
    """Until it does not any more, or is deleted."""
    api.save(costs_and_orders(8, day_before(1)))
    api("PUT", "silent", DEFINITION | {"publish": False})
    assert api.publish() == ({"published": 0, "over": 0, "failed": 0}, [])
    api("PUT", "loud", DEFINITION)
    assert len(api.publish()[1]) == 1
    api("PUT", "loud", DEFINITION | {"publish": False})
    assert api.publish()[1] == []
    api("PUT", "loud", DEFINITION)
    api("DELETE", "loud")
    assert api.publish() == ({"published": 0, "over": 0, "failed": 0}, [])


def test_a_stream_publishes_so_many_and_no_more(
    api: Api, invoke: Invoke, tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each costs as long as it is there. One that is there may change, and one that goes makes room."""
    create_stream(tables.client, tables.streams, "ds_other", "0123456789abcdef")
    for count in range(MAX_PUBLISHED):
        assert api("PUT", f"unit {count}", DEFINITION)[0] == 200
    status, problem = api("PUT", "one more", DEFINITION)
    assert (status, problem["errors"][0]["pointer"]) == (400, "/publish")
    assert problem["errors"][0]["code"] == "too_many_published"
    assert api("GET", "one more")[0] == 404
    assert api("PUT", "one more", DEFINITION | {"publish": False})[0] == 200
    assert api("PUT", "unit 0", DEFINITION | {"unit": "EUR"})[0] == 200
    assert Api(invoke, capsys, "ds_other")("PUT", "unit", DEFINITION)[0] == 200
    api("DELETE", "unit 0")
    assert api("PUT", "one more", DEFINITION)[0] == 200


def test_one_that_fails_is_seen_and_does_not_stop_the_others(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """One with too many groups, among two that are fine."""
    many = [costs_and_orders(8, day_before(1), f"r{n}") for n in range(MAX_PUBLISHED_GROUPS + 1)]
    api.save([one for both in many for one in both])
    few = {"filter": ["region:r1,r2"]}
    for name, definition in (("a", DEFINITION | few), ("b", DEFINITION), ("c", DEFINITION | few)):
        api("PUT", name, definition)
    counts, lines = api.publish()
    assert counts == {"published": 2, "over": 0, "failed": 1}
    assert {line["name"] for line in lines} == {"a", "c"}
    (warning,) = [record for record in caplog.records if record.message == "not published"]
    assert (warning.__dict__["unit_metric"], warning.__dict__["error"]) == ("b", "TooMuch")
    assert "51 groups are more than the 50" in warning.__dict__["reason"]


@pytest.mark.parametrize(
    ("thresholds", "over"),
    [({"above": 1.9}, 1), ({"above": 2.0}, 0), ({"rise_percent": 30}, 1), ({"rise_percent": 40}, 0), ({}, 0)],
)
def test_what_is_beyond_its_threshold_is_counted(api: Api, thresholds: dict[str, float], over: int) -> None:
    """In the last period that is over: 2.0, after a rise of a third."""
    api.save([*costs_and_orders(8, day_before(1)), *costs_and_orders(6, day_before(2))])
    api("PUT", "unit", DEFINITION | {"thresholds": thresholds})
    assert api.publish()[0] == {"published": 1, "over": over, "failed": 0}
