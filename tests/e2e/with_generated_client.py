"""What a producer writes who has only openapi.json and the client that a generator made of it.

test_generated_client.py runs it where that client is, with the service in the environment.
"""

from __future__ import annotations

import os
from datetime import date, timedelta

from unitstream_client import AuthenticatedClient
from unitstream_client.api.reads import get_view, list_points
from unitstream_client.api.streams import ingest
from unitstream_client.models import (
    AggregationFunction,
    Counts,
    Dimensions,
    Granularity,
    IngestRequest,
    InvalidRequest,
    Point,
    PointsPage,
    Problem,
    View,
)

TOKEN = os.environ["DATA_STREAM_TOKEN"]
DAY = date(2022, 10, 1)


def client_with(token: str) -> AuthenticatedClient:
    return AuthenticatedClient(
        os.environ["API_URL"],
        token=os.environ["API_KEY"],
        prefix="",
        auth_header_name="x-api-key",
        headers={"X-Data-Stream-Token": token},
        raise_on_unexpected_status=True,
    )


def request_of(*timestamps: str | int) -> IngestRequest:
    eu = Dimensions.from_dict({"region": "eu"})
    points = [Point(timestamp, "generated", value, eu) for value, timestamp in enumerate(timestamps, 1)]
    return IngestRequest(TOKEN, AggregationFunction.SUM, points)


client = client_with(TOKEN)

saved = ingest.sync(client=client, body=request_of("2022-10-01 00:00:00", 1664586000))
assert isinstance(saved, Counts)
assert (saved.received, saved.created) == (2, 2)

view = get_view.sync(
    client=client,
    metric_name="generated",
    metric_agg_func=AggregationFunction.SUM,
    start_date=DAY,
    end_date=DAY,
    granularity=Granularity.DAY,
    group_by=["region"],
)
assert isinstance(view, View)
(group,) = view.series
assert group.dimensions.to_dict() == {"region": "eu"}
assert [(period.date, period.value, period.points) for period in group.data] == [("2022-10-01", 3.0, 2)]

page = list_points.sync(
    client=client, metric_name="generated", metric_agg_func=AggregationFunction.SUM, start_date=DAY, end_date=DAY
)
assert isinstance(page, PointsPage)
assert [point.timestamp.hour for point in page.points] == [0, 1]
assert page.next_cursor is None

wrong = ingest.sync(client=client, body=request_of("2022-10-01 00:30:00"))
assert isinstance(wrong, InvalidRequest)
assert [(error.pointer, error.code) for error in wrong.errors] == [("/data/0/timestamp", "timestamp_not_hourly")]

reversed_range = get_view.sync(
    client=client,
    metric_name="generated",
    metric_agg_func=AggregationFunction.SUM,
    start_date=DAY,
    end_date=DAY - timedelta(1),
)
assert isinstance(reversed_range, InvalidRequest)
assert [(error.parameter, error.code) for error in reversed_range.errors] == [("end_date", "range_reversed")]

unknown = list_points.sync(
    client=client_with("ds_unknown"),
    metric_name="generated",
    metric_agg_func=AggregationFunction.SUM,
    start_date=DAY,
    end_date=DAY,
)
assert isinstance(unknown, Problem)
assert unknown.type_ == "urn:unitstream:problem:stream-not-found"
