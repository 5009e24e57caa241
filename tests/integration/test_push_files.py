"""`unitstream push`: what was meant goes in, and what looks like a mistake is said before anything is sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pushing import TOKEN

from unitstream.identity import record_id
from unitstream.spreadsheets import guarded
from unitstream_cli.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushing import Push

ROW: dict[str, Any] = {"timestamp": "2022-10-01", "metric_name": "orders", "metric_value": 1, "region": "eu"}
# The ways to write rows down, each with the name of its file.
FORMS: dict[str, Callable[[list[dict[str, Any]]], str]] = {
    "a.csv": lambda rows: "\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]),
    "a.ndjson": lambda rows: "\n".join(map(json.dumps, rows)),
    "a.json": lambda rows: json.dumps({"data": rows}),
    "a": lambda rows: json.dumps(rows, indent=2),
}


def values(push: Push, metric: str = "orders", function: str = "Sum", **dimensions: str) -> dict[str, float]:
    """The saved values of a series, by hour."""
    record = record_id(metric, function, dimensions)
    return {f"{day} {hour:02}": value for (found, day, hour), value in push.service.points.items() if found == record}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize(
    "options",
    [
        ["--dimension", "regoin"],
        ["--dimension", "area=regoin"],
        ["--ignore", "regoin"],
        ["--metric-name", "regoin"],
        ["--value", "regoin"],
        ["--timestamp", "regoin"],
        ["--timestamp", "{timestamp} {regoin}"],
        ["--combine", "count-distinct:regoin"],
        ["--wide", "--dimension", "regoin"],
        ["--combine", "count", "--value", "regoin"],
    ],
)
def test_columns_that_are_not_there(push: Push, name: str, options: list[str]) -> None:
    """Every option that names a column that no row has is one error, with the near miss, in each format."""
    result = push(push.file(FORMS[name]([ROW]), name), "--skip-invalid", *options)
    assert result.exit_code == ExitCode.BAD_INPUT
    assert f"{name}: there is no column regoin; the columns are timestamp, metric_name" in result.stderr
    assert "Did you mean region for regoin?" in result.stderr
    assert len(result.stderr.splitlines()) == 2
    assert not push.service.requests


def test_columns_that_some_rows_have(push: Push) -> None:
    """Rows of JSON need not all have a column, nor a value in it."""
    rows = [ROW, ROW | {"timestamp": "2022-10-02", "coupon": None, "custom_dimensions": {"city": "Bern"}}]
    file = push.file("\n".join(map(json.dumps, rows)), "a.ndjson")
    assert push(file, "--ignore", "coupon", "--dimension", "city", "--dimension", "region").exit_code == ExitCode.OK
    assert values(push, region="eu", city="Bern") == {"2022-10-02 00": 1}
    assert push(file, "--ignore", "city").exit_code == ExitCode.OK
    assert values(push, region="eu") == {"2022-10-01 00": 1, "2022-10-02 00": 1}


def test_nested_fields(push: Push) -> None:
    """Fields of objects in objects are named with dots, also where their names have some, and so is the near miss."""
    rows = [
        {
            "window": {"start": "2022-10-01T00:00:00Z"},
            "properties": {"labels": {"app.kubernetes.io/name": "shop", "team": "a"}},
            "cost": {"total": 1.5},
        }
    ]
    file = push.file(json.dumps(rows), "a.json")
    options = ["--metric", "cost", "--timestamp", "window.start", "--value", "cost.total"]
    app = "app=properties.labels.app.kubernetes.io/name"
    result = push(file, *options, "--dimension", app, "--dimension", "team=properties.labels.team")
    assert result.exit_code == ExitCode.OK, result.stderr
    assert values(push, "cost", app="shop", team="a") == {"2022-10-01 00": 1.5}
    misspelt = push(file, *options, "--dimension", "team=properties.lables.team")
    assert "Did you mean properties.labels.team for properties.lables.team?" in misspelt.stderr
    assert "--dimension KEY=properties.FIELD takes one of its fields" in push(file, *options).stderr
    # Names with dots, of no objects.
    file = push.file("timestamp,total,total.net\n2022-10-01,7,8\n")
    assert push(file, "--metric", "cost", "--value", "total.net").exit_code == ExitCode.OK
    assert values(push, "cost", total="7") == {"2022-10-01 00": 8}


@pytest.mark.parametrize("place", ["before", "after", "row"])
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("data_stream_token", "ds_other", "is another one"), ("metric_agg_func", "Average", "--agg-func says Sum")],
)
def test_envelopes_of_others(push: Push, place: str, name: str, value: str, said: str) -> None:
    """What was meant for another stream, or to be put together otherwise, is not saved; what says the same is."""
    own = {"data_stream_token": TOKEN, "metric_agg_func": "Sum"}[name]
    for written in (value, own):
        documents: dict[str, dict[str, Any]] = {
            "before": {name: written, "data": [ROW]},
            "after": {"source": "shop", "data": [ROW], name: written},
            "row": {"data": [ROW | {name: written}]},
        }
        document = documents[place]
        result = push(push.file(json.dumps(document, indent=1), "a.json"))
        assert "ds_" not in result.output
        if written == value:
            assert result.exit_code == ExitCode.BAD_INPUT
            assert said in result.stderr
            assert not push.service.requests
    assert values(push, region="eu") == {"2022-10-01 00": 1}


def test_too_many_columns(push: Push) -> None:
    """A table of many columns is one error of the file, which lists them; the same for rows of JSON."""
    many = ROW | {f"tag_{number}": "x" for number in range(38)}
    for name, form in FORMS.items():
        result = push(push.file(form([many] * 30), name), "--combine", "sum", "--skip-invalid")
        assert result.exit_code == ExitCode.BAD_INPUT
        assert "39 columns would be dimensions, and a point has at most 10: region, tag_0, tag_1" in result.stderr
        assert "tag_37" in result.stderr
        assert "Choose them with --dimension" in result.stderr
        assert len(result.stderr.splitlines()) == 2


@pytest.mark.parametrize("column", ["metric_name", "metric_value", "timestamp"])
@pytest.mark.parametrize("name", FORMS)
def test_empty_cells(push: Push, name: str, column: str) -> None:
    """A cell that is empty is called empty, whatever other columns are called."""
    other = {f"{column}s": "x"}
    rows = [ROW | other, ROW | other | {column: ""}]
    result = push(push.file(FORMS[name](rows), name))
    assert f"{column}: is empty" in result.stderr
    assert "did you mean" not in result.stderr


def test_what_was_read(push: Push) -> None:
    """The summary says how many series there are, and by what: an index that became a dimension is seen."""
    rows = [ROW | {"index": str(number)} for number in range(3)]
    file = push.file(FORMS["a.csv"](rows))
    for options in ([], ["--dry-run"]):
        assert push(file, *options).stdout.startswith(
            "orders.csv: 3 rows, 3 points, 3 series; dimensions index, region; 2022-10-01 to 2022-10-01\n"
        )
        document = push.document(file, *options)
        assert (document["series"], document["dimensions"], document["metrics"]) == (3, ["index", "region"], ["orders"])
        assert document["first_day"] == document["last_day"] == "2022-10-01"
    wide = push.file("timestamp,index,rain\n2022-10-01,1,2\n", "wide.csv")
    assert push(wide, "--wide").stdout.startswith("wide.csv: 1 row, 2 points, 2 series; metrics index, rain; no dim")


def test_what_was_replaced(push: Push) -> None:
    """Halves of a day, pushed one by one, replace each other: that is said, with an example and the way out."""
    for hour in (6, 18):
        push.file(FORMS["a.csv"]([ROW | {"timestamp": f"2022-10-01 {hour:02}:00:00"}]), f"{hour}.csv")
    day = ["--floor", "day", "--combine", "sum"]
    assert "replaced" not in push("6.csv", *day).stdout
    push.file(FORMS["a.csv"]([ROW | {"timestamp": "2022-10-01 19:00:00", "metric_value": 5}]), "19.csv")
    asked, done = push("19.csv", *day, "--dry-run").stdout, push("19.csv", *day).stdout
    change = "19.csv:2: orders, region=eu at 2022-10-01 00:00:00: 1 → 5"
    assert f"1 point would replace another value that is saved, such as:\n  {change}" in asked
    assert f"1 point replaced another value that was saved, such as:\n  {change}" in done
    assert "push all files of an hour at once" in done
    assert push("6.csv", "18.csv", "19.csv", *day).exit_code == ExitCode.OK
    assert values(push, region="eu") == {"2022-10-01 00": 7}
    push.file(FORMS["a.csv"]([ROW, ROW | {"timestamp": "2022-10-02"}]), "more.csv")
    assert "at once" not in push("more.csv").stdout


def test_counting(push: Push) -> None:
    """Rows, or the distinct texts of a column, are counted by hour; what has none is not counted."""
    riders = ["05", "5", "5", "", "\u00e9"]
    rows = [{"at": f"2022-10-01 07:{n:02}:00", "rider": rider, "kind": "e"} for n, rider in enumerate(riders)]
    mapping = ["--timestamp", "at", "--floor", "hour", "--metric"]
    for name, form in FORMS.items():
        file = push.file(form(rows), name)
        assert push(file, *mapping, "trips", "--combine", "count", "--ignore", "rider").exit_code == ExitCode.OK
        assert values(push, "trips", kind="e") == {"2022-10-01 07": 5}
        assert push(file, *mapping, "riders", "--combine", "count-distinct:rider").exit_code == ExitCode.OK
        assert values(push, "riders", kind="e") == {"2022-10-01 07": 3}
    twice = [ROW, ROW | {"metric_value": 7}]
    assert push(push.file(FORMS["a.csv"](twice)), "--combine", "count").exit_code == ExitCode.OK
    assert values(push, region="eu") == {"2022-10-01 00": 2}


def test_texts_that_stand_for_nothing(push: Push) -> None:
    """They are as good as an empty cell: the row lacks the dimension, and a value is missing."""
    for name, form in FORMS.items():
        file = push.file(form([ROW | {"region": "NULL", "city": "n/a"}]), name)
        assert push(file, "--null", "NULL", "--null", "n/a").exit_code == ExitCode.OK
    assert values(push) == {"2022-10-01 00": 1}
    file = push.file(FORMS["a.csv"]([ROW | {"metric_value": "NULL"}]))
    assert "metric_value: is empty" in push(file, "--null", "NULL").stderr


def test_timestamps_of_several_columns(push: Push) -> None:
    """What stands in several columns is put together, and none of them becomes a dimension."""
    for name, form in FORMS.items():
        rows = [{"dteday": "2011-01-01", "hr": hour, "cnt": hour + 1} for hour in (0, 13)]
        options = ["--timestamp", "{dteday} {hr}", "--timestamp-format", "%Y-%m-%d %H"]
        result = push(push.file(form(rows), name), "--metric", "rides", "--value", "cnt", *options)
        assert result.exit_code == ExitCode.OK, result.stderr
    assert values(push, "rides") == {"2011-01-01 00": 1, "2011-01-01 13": 14}
    wrong = push(push.file("dteday,hr,cnt\n2011-01-01,24,1\n"), "--metric", "rides", "--value", "cnt", *options)
    assert "{dteday} {hr}: '2011-01-01 24' does not have the form" in wrong.stderr


# What `unitstream points` gives, with all that makes a CSV file hard to read back.
SAVED: list[dict[str, str]] = [
    {"region": "eu", "note": "=1+1"},
    {"region": "eu", "note": "'=1+1"},
    {"region": " eu ", "note": "x;=cmd"},
    {"region": "", "note": "a\nb"},
    {"note": "NULL"},
    {"value": "-1", "record_id": "x"},
    {"dimension_value": "x"},
    {},
]


def read_back(*, as_csv: bool) -> str:
    """The answer to `unitstream points orders:Sum`."""
    points: list[dict[str, Any]] = [
        {
            "timestamp": f"2022-10-01T{hour:02}:00:00Z",
            "value": hour + 0.5,
            "dimensions": dimensions,
            "record_id": record_id("orders", "Sum", dimensions),
            "received_at": "2022-10-02T00:00:00.000Z",
        }
        for hour, dimensions in enumerate(SAVED)
    ]
    if not as_csv:
        return json.dumps({"metric_name": "orders", "metric_agg_func": "Sum", "points": points}, indent=2)
    keys = sorted({key for dimensions in SAVED for key in dimensions})
    columns = [f"dimension_{key}" if key in {"value", "record_id", "dimension_value"} else key for key in keys]
    lines = [["timestamp", *columns, "value", "record_id", "received_at"]]
    for point in points:
        cells = [guarded(point["dimensions"].get(key, "")) for key in keys]
        lines.append([point["timestamp"][:-1].replace("T", " "), *cells, str(point["value"]), point["record_id"], "x"])
    return "".join(",".join('"{}"'.format(cell.replace('"', '""')) for cell in line) + "\r\n" for line in lines)


@pytest.mark.parametrize("as_csv", [True, False])
def test_what_was_read_back(push: Push, *, as_csv: bool) -> None:
    """What `unitstream points` gave goes in again, and is what is saved already."""
    for hour, dimensions in enumerate(SAVED):
        push.service.points[record_id("orders", "Sum", dimensions), "2022-10-01", hour] = hour + 0.5
    file = push.file(read_back(as_csv=as_csv), "points.csv" if as_csv else "points.json")
    before = dict(push.service.points)
    options = ["--metric", "orders"] if as_csv else []
    document = push.document(file, *options, "--null", "NULL")
    assert (document["unchanged"], document["sent"]) == (len(SAVED), len(SAVED))
    assert push.service.points == before
    renamed = push(file, "--metric", "sales", "--ignore", "note", "--floor", "day", "--combine", "sum")
    assert renamed.exit_code == ExitCode.OK, renamed.stderr
    assert values(push, "sales", region="eu") == {"2022-10-01 00": 2.0}
    assert "Did you mean region for regoin?" in push(file, *options, "--dimension", "regoin").stderr
    if as_csv:
        assert "points.csv does not say of which metric it is." in push(file).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--combine", "counting"],
        ["--combine", "count-distinct"],
        ["--combine", "count-distinct:"],
        ["--combine", "sum:region"],
        ["--combine", "count", "--wide"],
        ["--wide", "--value", "metric_values"],
        ["--metric", "orders", "--metric-name", "region"],
        ["--timezone", "Europe/Berlni"],
        ["--ambiguous", "first"],
        ["--thousands", "."],
        ["--thousands", "ab"],
        ["--comment", "//"],
        ["--skip-lines", "-1"],
    ],
)
def test_usage(push: Push, arguments: list[str]) -> None:
    """Options that make no sense are wrong usage, in our words."""
    result = push(push.file(FORMS["a.csv"]([ROW])), *arguments)
    assert result.exit_code == ExitCode.USAGE
    assert "Value error" not in result.stderr
    assert not push.service.requests


def test_nulls_within_objects(push: Push) -> None:
    """What stands for nothing does so at any depth: it is counted, and becomes a dimension, nowhere."""
    rows = [{"timestamp": "2022-10-01", "o": {"n": name}} for name in ("NULL", "a", "a", "b")]
    file = push.file("".join(json.dumps(row) + "\n" for row in rows), "nested.ndjson")
    options = ("--metric", "names", "--null", "NULL", "--ignore", "o")
    counted = push(file, *options, "--combine", "count-distinct:o.n")
    assert counted.exit_code == ExitCode.OK, counted.stderr
    assert list(push.service.points.values()) == [2.0]
    push.service.points.clear()
    document = push.document(file, *options, "--combine", "count", "--dimension", "n=o.n")
    assert (document["series"], document["dimensions"]) == (3, ["n"])


@pytest.mark.parametrize("name", ["several.json", "several.ndjson", "several"])
@pytest.mark.parametrize("between", ["", " ", "\n"])
def test_several_documents_one_after_the_other(push: Push, name: str, between: str) -> None:
    """Bodies, or points, with a line end between them or without."""
    points = [ROW | {"timestamp": f"2022-10-01 {hour:02}:00:00"} for hour in range(4)]
    bodies = between.join(json.dumps({"data": points[at : at + 2]}) for at in (0, 2))
    assert push.document(push.file(bodies, name))["created"] == 4
    assert push.document(push.file(between.join(map(json.dumps, points)), name))["unchanged"] == 4
