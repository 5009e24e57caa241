"""`unitstream metrics`, `series`, `points`, `views` and `unit-metrics`: what is asked, and what a terminal shows."""

from __future__ import annotations

import json
import threading
from datetime import date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
import typer
from hypothesis import example, given
from hypothesis import strategies as st
from rich.text import Text
from support import free_port
from typer.testing import CliRunner, Result

from unitstream.periods import Timeframe
from unitstream_cli.errors import ExitCode
from unitstream_cli.main import app
from unitstream_cli.reads.commands import Metric, label_of, metric, one_table, timeframe_of
from unitstream_cli.reads.tables import (
    Column,
    along,
    bar_column,
    fit,
    number_column,
    numbers,
    percents,
    sparkline,
    text_column,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

OCTOBER = ("--from", "2022-10-01", "--to", "2022-10-31")
VALUES = st.floats(-9.99e125, 9.99e125, allow_nan=False)


# --- Numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([1234567.0, 3.0], ["1,234,567", "3"]),
        ([12.5, 1234.5678], ["12.50", "1,234.57"]),
        ([12.5, 3.0], ["12.5", "3.0"]),
        ([0.5, 0.25], ["0.50", "0.25"]),
        ([2.1394856, 11.5], ["2.139", "11.500"]),
        ([0.0123456, 0.02], ["0.012346", "0.020000"]),
        ([1e20, 5.5], ["1e+20", "5.5"]),
        ([1e-130], ["1e-130"]),
        ([-3.0, None, 0.0], ["-3", "-", "0"]),
        ([], []),
    ],
)
def test_the_numbers_of_a_column_have_as_many_decimals_as_it_takes(
    values: list[float | None], written: list[str]
) -> None:
    assert numbers(values) == written


def test_a_number_that_rounding_would_swallow_keeps_two_digits() -> None:
    """0.00 would be a lie."""
    assert numbers([1234.5678, 0.00123456, -1e-9, 0.0]) == ["1,234.57", "0.0012", "-1e-09", "0.00"]


@given(st.lists(VALUES, min_size=1))
def test_no_number_is_far_from_what_is_written(values: list[float]) -> None:
    """Half a unit of the last place that all have, or of its own second digit."""
    for value, text in zip(values, numbers(values), strict=True):
        assert float(text.replace(",", "")) == pytest.approx(value, rel=0.05)


@pytest.mark.parametrize(
    ("share", "written"),
    [(0.123, "+12.3%"), (-0.5, "-50.0%"), (0.0, "0.0%"), (12.5, "+1,250.0%"), (1e9, "+1.00e+11%"), (None, "-")],
)
def test_a_change_is_in_percent_with_its_sign(share: float | None, written: str) -> None:
    assert percents([share]) == [written]


# --- Bars and lines ---------------------------------------------------------------------------------------------------


def bars_of(values: Sequence[float | None]) -> list[tuple[float, float]]:
    return [(bar.begin, bar.end) for bar in bar_column(values, rank=0).cells if not isinstance(bar, Text)]


def test_bars_begin_at_zero() -> None:
    """Which lies at the left, at the right, or in between."""
    assert bars_of([1.0, 4.0, None, 0.0]) == [(0, 0.25), (0, 1), (0, 0), (0, 0)]
    assert bars_of([-1.0, -4.0]) == [(0.75, 1), (0, 1)]
    assert bars_of([-1.0, 3.0]) == [(0, 0.25), (0.25, 1)]
    assert bars_of([0.0, None]) == [(0, 0), (0, 0)]


def test_a_line_goes_from_the_lowest_value_to_the_highest() -> None:
    assert sparkline([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]) == "▁▂▃▄▅▆▇█"
    assert sparkline([-5.0, None, 5.0]) == "▁ █"
    assert sparkline([3.0, 3.0]) == "▄▄"
    assert sparkline([]) == ""


@given(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False)))
@example([0.0, 5e-324])
def test_bars_and_lines_are_drawn_of_any_values(values: list[float | None]) -> None:
    """Also of those whose difference is infinite, or half of it nothing."""
    assert all(0 <= begin <= end <= 1 for begin, end in bars_of(values))
    assert [character == " " for character in sparkline(values)] == [value is None for value in values]


def test_values_stand_where_their_periods_are() -> None:
    """Days, hours and months that lack data leave a gap."""
    week = Timeframe("2022-10-01", "2022-10-07")
    assert along(week, "day", [("2022-10-02", 1.0), ("2022-10-07", 2.0)], 60) == [None, 1, None, None, None, None, 2]
    hours = along(Timeframe("2022-10-01", "2022-10-02"), "hour", [("2022-10-02T01:00:00Z", 3.0)], 60)
    assert (len(hours), hours[25]) == (48, 3.0)
    # Whose first month began before the timeframe.
    quarter = Timeframe("2022-01-15", "2022-03-02")
    assert along(quarter, "month", [("2022-01-01", 1.0), ("2022-03-01", 3.0)], 60) == [1, None, 3]
    assert along(quarter, "week", [("2022-01-10", 1.0)], 60) == [1] + [None] * 7


def test_periods_that_share_a_place_have_their_mean() -> None:
    days = [(f"2022-10-{day:02}", float(day)) for day in range(1, 31) if day != 3]
    assert along(Timeframe("2022-10-01", "2022-10-30"), "day", days, 15)[:3] == [1.5, 4.0, 5.5]
    year = along(Timeframe("1970-01-01", "9999-12-31"), "hour", [("9999-12-31T23:00:00Z", 1.0)], 20)
    assert year == [None] * 19 + [1.0]


# --- Tables -----------------------------------------------------------------------------------------------------------

FITTED = [
    text_column("day", ["2022-10-01"], folds=False),
    text_column("region", ["a region with a long name"]),
    number_column("value", ["1,234.50"]),
    number_column("points", ["24"], rank=1),
    bar_column([1234.5], rank=2),
]


def widths_in(room: int | None, columns: Sequence[Column] = FITTED) -> dict[str, int]:
    return {column.title or "bar": width for column, width in fit(columns, room)}


def test_without_a_limit_columns_are_as_wide_as_they_like() -> None:
    assert widths_in(None) == {"day": 10, "region": 25, "value": 8, "points": 6, "bar": 30}
    assert widths_in(500) == widths_in(None)


def test_in_a_narrow_terminal_bars_go_first_and_numbers_never() -> None:
    """What is left shares the room; where that is not enough, the table is wider than the terminal."""
    assert widths_in(60) == {"day": 10, "region": 18, "value": 8, "points": 6, "bar": 10}
    assert widths_in(53) == {"day": 10, "region": 23, "value": 8, "points": 6}
    assert widths_in(40) == {"day": 10, "region": 18, "value": 8}
    assert widths_in(20) == {"day": 10, "region": 12, "value": 8}


def test_labels_of_lines_are_short_and_cannot_move_the_cursor() -> None:
    assert label_of({"region": "eu", "plan": None}) == "eu, -"
    assert label_of({"region": "\x1b[2J"}) == "\\x1b[2J"
    assert label_of({"region": "x" * 100}) == "x" * 23 + "…"
    assert label_of({}) == ""


# --- Arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("orders:Sum", ("orders", "Sum")),
        ("a:b:c:average", ("a:b:c", "Average")),
        (":::MINIMUM", ("::", "Minimum")),
        (" é\n/?:Maximum", (" é\n/?", "Maximum")),
    ],
)
def test_a_metric_is_a_name_and_a_function(text: str, read: tuple[str, str]) -> None:
    """Divided by the last colon, because names may have some too."""
    assert metric(text) == Metric(*read)


@pytest.mark.parametrize("text", ["", "orders", ":Sum", "orders:", "orders:Summe", "Sum:orders"])
def test_what_is_no_metric_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="Sum, Average, Maximum or Minimum"):
        metric(text)


def test_the_default_is_the_last_thirty_days() -> None:
    """Up to the last day if there is one, and none before 1970."""
    today = date(2022, 10, 30)
    assert timeframe_of(None, None, today) == ("2022-10-01", "2022-10-30")
    assert timeframe_of(None, datetime(2022, 3, 1), today) == ("2022-01-31", "2022-03-01")  # noqa: DTZ001  # as typer does
    assert timeframe_of(datetime(2022, 10, 29), None, today) == ("2022-10-29", "2022-10-30")  # noqa: DTZ001  # as above
    assert timeframe_of(None, datetime(1970, 1, 5), today) == ("1970-01-01", "1970-01-05")  # noqa: DTZ001  # as above
    assert timeframe_of(None, datetime(1, 1, 5), today)[1] == "0001-01-05"  # noqa: DTZ001  # as above


# --- Pages of CSV -----------------------------------------------------------------------------------------------------


def test_pages_with_the_same_columns_are_put_together_byte_for_byte() -> None:
    page = b'a,b\r\n"x,1\r\n",2\r\n'
    assert one_table([page]) == page
    assert one_table([page, page]) == page + b'"x,1\r\n",2\r\n'


def test_a_header_may_hold_line_breaks() -> None:
    """As a dimension's key may."""
    header = b'record_id,"a\r\nb"\r\n'
    assert one_table([header + b"aa,1\r\n", header + b"bb,2\r\n"]) == header + b"aa,1\r\nbb,2\r\n"


def test_pages_with_different_dimensions_keep_every_value_in_its_column() -> None:
    pages = [
        b"timestamp,b,value,record_id\r\n2022-10-01,x,1.0,aa\r\n",
        b"timestamp,value,record_id\r\n2022-10-01,2.0,bb\r\n",
        b'timestamp,a,b,value,record_id\r\n2022-10-01,"y,",z,3.0,cc\r\n',
    ]
    assert one_table(pages).decode().splitlines() == [
        "timestamp,a,b,value,record_id",
        "2022-10-01,,x,1.0,aa",
        "2022-10-01,,,2.0,bb",
        '2022-10-01,"y,",z,3.0,cc',
    ]
    assert one_table([b"record_id,z\r\naa,1\r\n", b"record_id,a\r\nbb,2\r\n"]).split() == [
        b"record_id,a,z",
        b"aa,,1",
        b"bb,2,",
    ]


# --- The commands, against a service of the tests' own ----------------------------------------------------------------


class Asked(NamedTuple):
    path: str
    parameters: dict[str, list[str]]
    accept: str
    token: str


class Service:
    """Gives the answers that it was told, one after the other, the last one for ever."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self._answers: list[tuple[int, str, bytes, dict[str, str]]] = []

    def answers(self, document: Any, status: int = 200, **headers: str) -> None:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        kind = "text/csv; charset=utf-8" if isinstance(document, bytes) else "application/json"
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self._answers.append((status, kind, body, {"Content-Type": kind} | names))

    def next_answer(self) -> tuple[int, str, bytes, dict[str, str]]:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@pytest.fixture
def service() -> Iterator[Service]:
    told = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            headers = self.headers
            told.asked.append(
                Asked(parts.path, parse_qs(parts.query), headers["Accept"], headers["X-Data-Stream-Token"])
            )
            status, _, body, sent = told.next_answer()
            self.send_response(status)
            for name, value in sent.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    with server:
        yield told
        server.shutdown()
        thread.join()


class Run:
    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, *arguments: str, columns: int = 100) -> Result:
        environment = {
            "API_URL": self.url,
            "API_KEY": "key",
            "DATA_STREAM_TOKEN": "ds_secret",
            "COLUMNS": str(columns),
        }
        result = CliRunner().invoke(app, arguments, env=environment)
        assert "Traceback" not in result.output
        assert "ds_secret" not in result.output
        return result


@pytest.fixture
def unitstream(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return Run(service.url)


def view_of(*series: tuple[dict[str, str | None], list[tuple[str, float | None, int]]]) -> dict[str, Any]:
    return {
        "metric_name": "orders",
        "metric_agg_func": "Sum",
        "granularity": "day",
        "start_date": "2022-10-01",
        "end_date": "2022-10-03",
        "series": [
            {
                "dimensions": dimensions,
                "data": [{"date": date, "value": value, "points": points} for date, value, points in cells],
            }
            for dimensions, cells in series
        ],
    }


def rows_of(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_view_is_asked_for_as_the_api_has_it(service: Service, unitstream: Run) -> None:
    service.answers(view_of())
    asked = ("--by", "week", "--group-by", "region", "--group-by", "plan,size", "--filter", "-region:eu,us", "--fill")
    assert unitstream("views", "a: b&c:sum", *OCTOBER, *asked).exit_code == 0
    assert service.asked == [
        Asked(
            "/v1/api/views",
            {
                "metric_name": ["a: b&c"],
                "metric_agg_func": ["Sum"],
                "start_date": ["2022-10-01"],
                "end_date": ["2022-10-31"],
                "granularity": ["week"],
                "group_by": ["region", "plan,size"],
                "filter": ["-region:eu,us"],
                "fill": ["null"],
            },
            "application/json",
            "ds_secret",
        )
    ]


def test_the_name_of_a_metric_is_encoded_in_the_path(service: Service, unitstream: Run) -> None:
    service.answers({"series": [], "next_cursor": None})
    unitstream("series", "a/b?c%2F d:ü:Sum")
    assert service.asked[0].path == "/v1/api/metrics/a%2Fb%3Fc%252F%20d%3A%C3%BC/Sum/series"


def test_a_view_is_a_table_with_bars_and_lines(service: Service, unitstream: Run) -> None:
    service.answers(
        view_of(
            ({"region": "eu"}, [("2022-10-01", 1000.5, 24), ("2022-10-03", 2001.0, 24)]),
            ({"region": None}, [("2022-10-01", -2001.0, 1)]),
        )
    )
    title, header, *rows, empty, line = unitstream("views", "orders:Sum").stdout.splitlines()
    assert title == "orders:Sum by day from 2022-10-01 to 2022-10-03, in UTC"
    assert header.split() == ["day", "region", "value", "points"]
    assert [row.split()[:4] for row in rows] == [
        ["2022-10-01", "eu", "1,000.5", "24"],
        ["2022-10-03", "eu", "2,001.0", "24"],
        ["2022-10-01", "-", "-2,001.0", "1"],
    ]
    assert [row.count("█") for row in rows] == [7, 15, 15]
    assert (empty, line) == ("", "eu  ▁ █  1,000.5 to 2,001.0")


def test_a_narrow_terminal_cuts_no_number(service: Service, unitstream: Run) -> None:
    """The bar goes and says nothing, other columns are named, and texts take several lines."""
    service.answers(
        view_of(({"region": "a-region-with-a-long-name"}, [("2022-10-01", 123456789.5, 24), ("2022-10-02", 0.25, 1)]))
    )
    result = unitstream("views", "orders:Sum", columns=40)
    assert rows_of(result.stdout)[1:] == [
        ["day", "region", "value"],
        ["2022-10-01", "a-region-wit", "123,456,789.50"],
        ["h-a-long-nam"],
        ["e"],
        ["2022-10-02", "a-region-wit", "0.25"],
        ["h-a-long-nam"],
        ["e"],
    ]
    assert result.stderr == "There is no room for: points. --csv has everything.\n"


def test_where_blocks_cannot_be_written_there_are_none(
    service: Service, unitstream: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rich.console.ConsoleOptions.ascii_only", True)
    service.answers(view_of(({}, [("2022-10-01", 1.0, 1), ("2022-10-02", 2.0, 1)])))
    assert unitstream("views", "orders:Sum").stdout.isascii()


def test_a_unit_metric_stands_beside_the_timeframe_before(service: Service, unitstream: Run) -> None:
    def cell(day: str, *values: float | None) -> dict[str, Any]:
        parts = ("numerator", "denominator", "unit_metric")
        names = [f"{when}_timeframe_{part}" for when in ("current", "previous") for part in parts]
        return dict(zip(["date", *names, "pop_diff", "pop_change"], [day, *values], strict=True))

    service.answers(
        {
            "numerator": {"metric_name": "costs", "metric_agg_func": "Sum"},
            "denominator": {"metric_name": "orders", "metric_agg_func": "Sum"},
            "granularity": "day",
            "start_date": "2022-10-02",
            "end_date": "2022-10-03",
            "previous_start_date": "2022-09-30",
            "previous_end_date": "2022-10-01",
            "series": [
                {
                    "dimensions": {},
                    "data": [
                        cell("2022-10-02", 12.0, 4.0, 3.0, 5.0, 2.0, 2.5, 0.5, 0.2),
                        cell("2022-10-03", 7.0, None, None, 5.0, 2.0, 2.5, None, None),
                    ],
                }
            ],
        }
    )
    result = unitstream("unit-metrics", "costs:Sum", "orders:Sum", columns=120)
    assert service.asked[0].parameters["numerator"] == ["costs:Sum"]
    title, _, header, first, second = result.stdout.splitlines()
    assert title == (
        "costs:Sum per orders:Sum by day from 2022-10-02 to 2022-10-03, in UTC; before: from 2022-09-30 to 2022-10-01"
    )
    assert header.split() == ["day", "numerator", "denominator", "metric", "before", "difference", "change"]
    assert first.split()[:-1] == ["2022-10-02", "12", "4", "3.0", "2.5", "+0.5", "+20.0%"]
    assert second.split() == ["2022-10-03", "7", "-", "-", "2.5", "-", "-"]


def test_csv_is_what_the_service_says_byte_for_byte(service: Service, unitstream: Run) -> None:
    table = "date,region,value,points\r\n2022-10-01,'=ü,1.0000000000000002,24\r\n".encode()
    service.answers(table)
    result = unitstream("views", "orders:Sum", "--csv")
    assert (result.stdout_bytes, result.stderr) == (table, "")
    assert service.asked[0].accept == "text/csv"


def test_json_is_what_the_service_says(service: Service, unitstream: Run) -> None:
    document = view_of(({"region": "ü"}, [("2022-10-01", 1.0000000000000002, 24)]))
    service.answers(document)
    result = unitstream("views", "orders:Sum", "--json")
    assert (json.loads(result.stdout), result.stderr) == (document, "")


@pytest.mark.parametrize(("command", "rows"), [(("metrics",), "metrics"), (("series", "orders:Sum"), "series")])
def test_all_pages_are_one_document(service: Service, unitstream: Run, command: tuple[str, ...], rows: str) -> None:
    service.answers({rows: [1, 2], "next_cursor": "two"})
    service.answers({rows: [3], "next_cursor": "three"})
    service.answers({rows: [4], "next_cursor": None})
    assert json.loads(unitstream(*command, "--json").stdout) == {rows: [1, 2, 3, 4], "next_cursor": None}
    assert [asked.parameters.get("cursor") for asked in service.asked] == [None, ["two"], ["three"]]


def test_all_pages_are_one_table(service: Service, unitstream: Run) -> None:
    service.answers(b"timestamp,value\r\n2022-10-01 00:00:00,1.0\r\n", X_Next_Cursor="two")
    service.answers(b"timestamp,value\r\n2022-10-01 01:00:00,2.0\r\n")
    result = unitstream("points", "orders:Sum", *OCTOBER, "--csv")
    assert result.stdout.split() == ["timestamp,value", "2022-10-01", "00:00:00,1.0", "2022-10-01", "01:00:00,2.0"]


def test_metrics_are_listed_as_the_other_commands_take_them(service: Service, unitstream: Run) -> None:
    """With a semicolon between sets of dimensions, and a dash for that without any."""
    days = {"first_day": "2022-10-01", "last_day": "2022-10-31"}
    key_sets_of: dict[str, list[list[str]]] = {
        "a:b\x1b[2J": [["plan", "region"]],
        "plain": [[]],
        "twice": [[], ["plan"], ["plan", "re\x1bgion"]],
    }
    metrics = [
        {
            "metric_name": name,
            "metric_agg_func": "Sum",
            "dimension_keys": sorted({key for keys in key_sets for key in keys}),
            "dimension_key_sets": key_sets,
        }
        for name, key_sets in key_sets_of.items()
    ]
    service.answers({"metrics": [metric | days for metric in metrics], "next_cursor": None})
    assert rows_of(unitstream("metrics").stdout) == [
        ["metric", "dimensions", "first", "day", "last", "day"],
        ["a:b\\x1b[2J:Sum", "plan,", "region", "2022-10-01", "2022-10-31"],
        ["plain:Sum", "-", "2022-10-01", "2022-10-31"],
        ["twice:Sum", "-;", "plan;", "plan,", "re\\x1bgion", "2022-10-01", "2022-10-31"],
    ]


def test_points_and_series_have_a_column_for_each_dimension(service: Service, unitstream: Run) -> None:
    found = [{"record_id": "a" * 64, "dimensions": {"region": "eu"}}, {"record_id": "b" * 64, "dimensions": {"k": "v"}}]
    service.answers({"series": found, "next_cursor": None})
    assert rows_of(unitstream("series", "orders:Sum").stdout) == [
        ["k", "region", "record", "ID"],
        ["-", "eu", "a" * 12],
        ["v", "-", "b" * 12],
    ]


@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",)])
def test_finding_nothing_is_said_and_is_no_error(service: Service, unitstream: Run, form: tuple[str, ...]) -> None:
    """To the person, so that scripts get what they always get."""
    service.answers(b"date,value,points\r\n" if form == ("--csv",) else view_of())
    result = unitstream("views", "nothing:Sum", *OCTOBER, *form)
    assert result.exit_code == ExitCode.OK
    assert bool(result.stdout) is bool(form)
    assert "There are no points of nothing:Sum from 2022-10-01 to 2022-10-31." in result.stderr
    assert "`unitstream metrics`" in result.stderr


PROBLEM = "urn:unitstream:problem:"


def test_what_the_service_refuses_names_the_option(service: Service, unitstream: Run) -> None:
    """All that is wrong, at once."""
    errors = [
        {"parameter": "end_date", "code": "range_reversed", "detail": "it lies before"},
        {"parameter": "group_by", "code": "too_many_keys", "detail": "too many"},
    ]
    service.answers({"type": f"{PROBLEM}invalid-request", "title": "Invalid request", "errors": errors}, 400)
    result = unitstream("views", "orders:Sum")
    assert (result.exit_code, result.stdout) == (ExitCode.BAD_INPUT, "")
    assert result.stderr.splitlines() == [
        "Error: 2 things are wrong:",
        "--to: it lies before.",
        "--group-by: too many.",
    ]


def test_an_answer_that_would_be_too_large_says_what_to_narrow(service: Service, unitstream: Run) -> None:
    detail = "choose a shorter range of days"
    service.answers({"type": f"{PROBLEM}answer-too-large", "title": "Too much for one answer", "detail": detail}, 400)
    result = unitstream("views", "orders:Sum")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert detail in result.stderr


@pytest.mark.parametrize(
    ("status", "document", "code"),
    [
        (404, {"type": f"{PROBLEM}stream-not-found", "title": "No stream found"}, ExitCode.REJECTED),
        (403, {"message": "Forbidden"}, ExitCode.REJECTED),
        (503, {"type": f"{PROBLEM}database-busy", "title": "The database is busy"}, ExitCode.UNREACHABLE),
        (200, b"<html>", ExitCode.UNREACHABLE),
    ],
)
def test_each_failure_has_its_exit_code(
    service: Service, unitstream: Run, status: int, document: Any, code: ExitCode
) -> None:
    service.answers(document, status)
    result = unitstream("metrics", "--give-up-after", "0")
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith("Error: ")


def test_no_service_at_all_has_its_exit_code(unitstream: Run) -> None:
    result = unitstream("metrics", "--give-up-after", "0", "--url", f"http://127.0.0.1:{free_port()}")
    assert result.exit_code == ExitCode.UNREACHABLE


@pytest.mark.parametrize(
    "arguments",
    [
        ("views", "orders"),
        ("views", "orders:Sum", "--by", "fortnight"),
        ("views", "orders:Sum", "--from", "1.10.2022"),
        ("views", "orders:Sum", "--csv", "--json"),
        ("unit-metrics", "orders:Sum"),
    ],
)
def test_wrong_usage_is_not_sent(service: Service, unitstream: Run, arguments: tuple[str, ...]) -> None:
    assert unitstream(*arguments).exit_code == ExitCode.USAGE
    assert not service.asked
