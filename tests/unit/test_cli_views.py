"""`unitstream metrics`, `series`, `points`, `views` and `unit-metrics`: what is asked, and what a terminal shows."""

from __future__ import annotations

import json
import threading
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
import typer
from support import free_port
from typer.testing import CliRunner, Result

from unitstream.identity import AggFunc, Metric
from unitstream.views import unit_cell
from unitstream_cli.errors import ExitCode
from unitstream_cli.main import app
from unitstream_cli.reads.arguments import day, metric, timeframe_of
from unitstream_cli.reads.asking import one_table
from unitstream_cli.reads.rows import aggregated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OCTOBER = ("--from", "2022-10-01", "--to", "2022-10-31")


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
    assert metric(text) == read


@pytest.mark.parametrize("text", ["", "orders", ":Sum", "orders:", "orders:Summe", "Sum:orders"])
def test_what_is_no_metric_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="Sum, Average, Maximum or Minimum"):
        metric(text)


@pytest.mark.parametrize("text", ["", "2024-02-31", "2024-1-1", "20240101", "1.10.2022", "2022-10-01T00:00:00Z"])
def test_what_is_no_day_is_refused_in_our_words(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"is no day that exists: write it like 2022-10-31\.$"):
        day(text)


def test_the_default_is_the_last_thirty_days() -> None:
    """Up to the last day if there is one, and none before 1970."""
    today = date(2022, 10, 30)
    assert timeframe_of(None, None, today) == ("2022-10-01", "2022-10-30")
    assert timeframe_of(None, date(2022, 3, 1), today) == ("2022-01-31", "2022-03-01")
    assert timeframe_of(date(2022, 10, 29), None, today) == ("2022-10-29", "2022-10-30")
    assert timeframe_of(None, date(1970, 1, 5), today) == ("1970-01-01", "1970-01-05")
    assert timeframe_of(None, date(1, 1, 5), today)[1] == "0001-01-05"


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
        self.sent: list[tuple[str, Any]] = []
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
                Asked(
                    parts.path,
                    parse_qs(parts.query, keep_blank_values=True),
                    headers["Accept"],
                    headers["X-Data-Stream-Token"],
                )
            )
            length = int(headers["Content-Length"] or 0)
            told.sent.append((self.command, json.loads(self.rfile.read(length)) if length else None))
            status, _, body, sent = told.next_answer()
            self.send_response(status)
            for name, value in sent.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_DELETE = do_GET  # noqa: N815  # the names that http.server calls

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


@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",), ("--csv", "--total")])
def test_finding_nothing_is_said_and_is_no_error(service: Service, unitstream: Run, form: tuple[str, ...]) -> None:
    """To the person, so that scripts get what they always get."""
    total = b"total of all,,0\r\n" if "--total" in form else b""
    service.answers(b"date,value,points\r\n" + total if "--csv" in form else view_of())
    result = unitstream("views", "nothing:Sum", *OCTOBER, *form)
    assert result.exit_code == ExitCode.OK
    assert bool(result.stdout) is bool(form)
    assert "There are no points of nothing:Sum from 2022-10-01 to 2022-10-31." in result.stderr
    assert "`unitstream metrics`" in result.stderr


# --- By value, the largest, all together ------------------------------------------------------------------------------

SERVICES: list[tuple[dict[str, str | None], list[tuple[str, float | None, int]]]] = [
    ({"service": "a"}, [("2022-10-01", 0.1, 1), ("2022-10-02", 5.0, 3)]),
    ({"service": None}, [("2022-10-01", 0.2, 2), ("2022-10-02", None, 0)]),
    ({"service": "c"}, [("2022-10-01", -7.5, 4)]),
]


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        (("--sort", "value"), ["02 a 5.0", "01 - 0.2", "01 a 0.1", "01 c -7.5", "02 - -"]),
        (("--top", "2"), ["02 a 5.0", "01 - 0.2", "3 others - -7.4"]),
        (("--top", "4"), ["02 a 5.0", "01 - 0.2", "01 a 0.1", "01 c -7.5", "1 other - -"]),
        (("--top", "5", "--total"), ["02 a 5.0", "01 - 0.2", "01 a 0.1", "01 c -7.5", "02 - -", "total of all - -2.2"]),
        (("--top", "1", "--total"), ["02 a 5.0", "4 others - -7.2", "total of all - -2.2"]),
        (("--total",), ["01 a 0.1", "02 a 5.0", "01 - 0.2", "02 - -", "01 c -7.5", "total of all - -2.2"]),
    ],
)
def test_rows_by_value_and_rows_of_several(
    service: Service, unitstream: Run, options: tuple[str, ...], rows: list[str]
) -> None:
    """The largest first, one row for all others, and one for all: exact sums of what the rows say."""
    service.answers(view_of(*SERVICES))
    _, _, *lines = unitstream("views", "orders:Sum", *OCTOBER, *options).stdout.partition("\n\n")[0].splitlines()
    found = [line.removeprefix("2022-10-").split() for line in lines]
    assert [" ".join(cells[: len(row.split())]) for cells, row in zip(found, rows, strict=True)] == rows


@pytest.mark.parametrize(
    ("function", "several", "together"),
    [
        ("Sum", [(0.1, 1), (0.2, 5), (None, 0)], 0.3),
        ("Sum", [(19.99, 1), (5.01, 1), (-25.0, 1)], 0.0),
        ("Average", [(1.0, 1), (4.0, 2)], 3.0),
        ("Average", [(1.0, None), (4.0, None)], None),
        ("Maximum", [(-1.0, None), (-4.0, None)], -1.0),
        ("Minimum", [(1.0, 1), (None, 0), (4.0, 1)], 1.0),
        ("Sum", [(None, 0)], None),
    ],
)
def test_several_rows_are_together_what_the_function_says(
    function: AggFunc, several: list[tuple[float | None, int | None]], together: float | None
) -> None:
    """A mean weighs each row by its points: that of their means would be another number."""
    assert aggregated(function, several) == together


def unit_metric_of(*cells: tuple[str, float, float, float, float], function: str = "Sum") -> dict[str, Any]:
    numerator, denominator = Metric("costs", "Sum"), Metric("orders", function)  # type: ignore[arg-type]  # one of them
    data = [unit_cell(numerator, denominator, date, values, 2)._asdict() for date, *values in cells]  # type: ignore[arg-type]  # four
    return view_of() | {
        "numerator": numerator._asdict(),
        "denominator": denominator._asdict(),
        "previous_start_date": "2022-09-28",
        "previous_end_date": "2022-09-30",
        "series": [{"dimensions": {}, "data": data}],
    }


def test_the_total_of_a_unit_metric_is_the_quotient_of_totals(service: Service, unitstream: Run) -> None:
    """And no sum of quotients; where a mean is in it, it is left out, and that is said."""
    cells = [("2022-10-01", 10.0, 1.0, 4.0, 2.0), ("2022-10-02", 20.0, 5.0, 4.0, 2.0)]
    service.answers(unit_metric_of(*cells))
    (total,) = [
        row
        for row in rows_of(unitstream("unit-metrics", "costs:Sum", "orders:Sum", "--total").stdout)
        if row[:1] == ["total"]
    ]
    assert total == ["total", "of", "all", "30", "6", "5", "2", "+3", "+150.0%"]
    service.answers(unit_metric_of(*cells, function="Average"))
    unitstream("metrics")
    result = unitstream("unit-metrics", "costs:Sum", "orders:Average", "--total")
    assert ["total", "of", "all", "30", *"-----"] in rows_of(result.stdout)
    assert "An Average of several rows is left out" in result.stderr


def test_the_rows_of_the_whole_range_are_the_services(service: Service, unitstream: Run) -> None:
    """It knows all points: a mean is exact, of each group and of all."""
    document = unit_metric_of(("2022-10-01", 10.0, 4.0, 4.0, 2.0), function="Average")
    (group,) = document["series"]
    total = {
        name: value for name, value in group["data"][0].items() if name not in {"date", "complete", "previous_date"}
    }
    series = [{"dimensions": {"region": region}, "data": group["data"], "total": total} for region in ("eu", None)]
    of_all = total | {"current_timeframe_unit_metric": 9.0}
    for one in (total, of_all):
        one.pop("date", None)
    service.answers(document | {"series": series, "total": of_all})
    result = unitstream("unit-metrics", "costs:Sum", "orders:Average", "--total")
    assert service.asked[0].parameters["totals"] == ["true"]
    rows = [row for row in rows_of(result.stdout) if row[:1] == ["total"]]
    rows = [row[: 7 if row[1] == "of" else 5] for row in rows]
    assert rows == [
        ["total", "eu", "10", "4", "2.5"],
        ["total", "-", "10", "4", "2.5"],
        ["total", "of", "all", "-", "10", "4", "9.0"],
    ]
    assert not result.stderr


@pytest.mark.parametrize(
    ("table", "together"),
    [
        (
            b"date,a,value,points\r\n2022-10-01,,8.0,5\r\ntotal,,8.0,5\r\ntotal,eu,4.0,1\r\ntotal of all,,12.0,6\r\n",
            ["total,,8.0,5", "total,eu,4.0,1", "total of all,,12.0,6"],
        ),
        (b"date,value,points\r\n2022-10-01,4.0,5\r\ntotal,4.0,5\r\ntotal of all,4.0,5\r\n", ["total of all,4.0,5"]),
    ],
)
def test_the_total_of_all_is_not_taken_for_that_of_a_group(
    service: Service, unitstream: Run, table: bytes, together: list[str]
) -> None:
    """One of them may have no value for the dimension; without groups there is one row, and not the same twice."""
    service.answers(table)
    lines = unitstream("views", "orders:Sum", "--csv", "--total").stdout.splitlines()
    assert [line for line in lines if line.startswith("total")] == together


def test_rows_that_share_a_denominator_count_it_once(service: Service, unitstream: Run) -> None:
    """Each service per all orders: two of them together are divided by the same orders, and not by twice as many."""
    cells = [unit_metric_of(("2022-10-01", cost, 4.0, 1.0, 4.0))["series"][0]["data"] for cost in (8.0, 2.0, 6.0)]
    series = [
        {"dimensions": {"service": name}, "data": data} for name, data in zip(("a", "b", "c"), cells, strict=True)
    ]
    asked = ("unit-metrics", "costs:Sum", "orders:Sum", "--group-by", "service", "--top", "1")
    service.answers(unit_metric_of() | {"series": series})
    result = unitstream(*asked, "--denominator-group-by", "")
    assert service.asked[0].parameters["denominator_group_by"] == [""]
    assert ["2", "others", "-", "8", "4", "2.00", "0.50", "+1.50", "+300.0%"] in rows_of(result.stdout)


def test_a_view_beside_earlier_periods(service: Service, unitstream: Run) -> None:
    """The value before, the difference and the change; and it is said where only a part of a period is in the range."""
    compared = {"previous_timeframe_value": 4.0, "pop_diff": -1.0, "pop_change": -0.25, "previous_date": "2022-09-01"}
    cell = {"date": "2022-10-01", "value": 3.0, "points": 2, "complete": False} | compared
    previous = {"previous_start_date": "2022-09-01", "previous_end_date": "2022-09-12"}
    service.answers(
        view_of()
        | {"compare": "period", "timezone": "Europe/Berlin", "granularity": "month"}
        | previous
        | {"series": [{"dimensions": {}, "data": [cell]}]}
    )
    result = unitstream(
        "views", "orders:Sum", "--compare", "period", "--timezone", "Europe/Berlin", "--by", "month", columns=120
    )
    assert service.asked[0].parameters["timezone"] == ["Europe/Berlin"]
    title, *_ = result.stdout.splitlines()
    assert "in Europe/Berlin; before: from 2022-09-01 to 2022-09-12" in title
    assert ["2022-10-01", "3", "4", "-1", "-25.0%", "2"] in [row[:6] for row in rows_of(result.stdout)]
    assert "Of 2022-10-01 the range has a part" in result.stderr


def test_a_table_for_a_spreadsheet_that_writes_commas(service: Service, unitstream: Run) -> None:
    """Numbers alone have them: a name stays as it is."""
    service.answers(
        b"timestamp,plan,value,record_id,received_at\r\n2022-10-01 00:00:00,1.5,-12.5,aa,2022-10-01 00:00:00.123\r\n"
    )
    asked = ("points", "orders:Sum", "--csv", "--decimal", ",")
    assert unitstream(*asked, "--total").stdout.splitlines() == [
        "timestamp;plan;value;record_id;received_at",
        "2022-10-01 00:00:00;1.5;-12,5;aa;2022-10-01 00:00:00.123",
        "total of all;;-12,5;;",
    ]
    assert unitstream(*asked, "--delimiter", "tab").stdout.splitlines()[0].split("\t")[1:3] == ["plan", "value"]


def test_a_table_by_value_has_every_digit(service: Service, unitstream: Run) -> None:
    service.answers(
        b"date,region,value,points\r\n2022-10-01,eu,0.30000000000000004,2\r\n2022-10-02,,1e-130,1\r\n2022-10-03,x,,0\r\n"
    )
    assert unitstream(
        "views", "orders:Sum", "--csv", "--top", "1", "--total", "--delimiter", ";"
    ).stdout.splitlines() == [
        "date;region;value;points",
        "2022-10-01;eu;0.30000000000000004;2",
        "2 others;;1e-130;1",
        "total of all;;0.30000000000000004;3",
    ]


NOTICE = {"parameter": "metric_name", "code": "unknown_metric", "detail": "no metric 'x:Sum': did you mean orders:Sum?"}


@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",)])
def test_notices_are_said_by_the_names_of_the_options(service: Service, unitstream: Run, form: tuple[str, ...]) -> None:
    """On stderr, so that what scripts read stays what it is."""
    told = [NOTICE, NOTICE | {"parameter": "group_by", "detail": "no 'x'"}]
    if form == ("--csv",):
        service.answers(b"date,value,points\r\n", X_Notices=json.dumps(told))
    else:
        service.answers(view_of() | {"notices": told})
    result = unitstream("views", "x:Sum", *form)
    assert result.exit_code == ExitCode.OK
    assert result.stderr.splitlines()[-2:] == [
        "Notice: METRIC: no metric 'x:Sum': did you mean orders:Sum?",
        "Notice: --group-by: no 'x'.",
    ]
    assert "Notice" not in result.stdout


def test_where_the_service_is_may_stand_before_or_after_the_command(service: Service, unitstream: Run) -> None:
    """Each of these options is there once, and of the whole command."""
    service.answers(view_of())
    url, unitstream.url = unitstream.url, "http://127.0.0.1:9"
    assert unitstream("--url", url, "views", "orders:Sum").exit_code == ExitCode.OK
    assert (
        unitstream("views", "orders:Sum", f"--url={url}", "--csv", "--give-up-after", "0").exit_code
        == ExitCode.UNREACHABLE
    )
    assert [asked.accept for asked in service.asked] == ["application/json", "text/csv"]


def test_giving_up_says_what_happened(service: Service, unitstream: Run) -> None:
    """When the time is not over yet, but the next attempt would come after it, too."""
    service.answers({"title": "Busy"}, 503, Retry_After="3")
    wait = unitstream("metrics", "--give-up-after", "2")
    assert "and asks to wait for 3 s, which is more than --give-up-after 2." in wait.stderr
    none = unitstream("metrics", "--give-up-after", "0")
    assert "which is more than --give-up-after 0." in none.stderr


# --- What goes wrong --------------------------------------------------------------------------------------------------

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
        (404, {"type": f"{PROBLEM}route-not-found", "title": "No such route"}, ExitCode.UNREACHABLE),
        (404, {"type": "about:blank", "title": "Not found"}, ExitCode.UNREACHABLE),
        (409, {"type": f"{PROBLEM}of-a-later-version", "title": "Something new"}, ExitCode.BAD_INPUT),
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
    if isinstance(document, dict) and document.get("type", "").startswith(PROBLEM):
        assert f"{status} {document['title']}" in result.stderr


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("metrics", {}),
        ("metrics", []),
        ("metrics", "signed in"),
        ("metrics", {"metrics": None}),
        ("series orders:Sum", {}),
        ("points orders:Sum", {}),
        ("views orders:Sum", {}),
        ("unit-metrics costs:Sum orders:Sum", {}),
        ("unit-metrics list", {}),
        ("unit-metrics show cost", {}),
        ("unit-metrics save cost costs:Sum orders:Sum", {}),
        ("unit-metrics delete cost --yes", {}),
        ("delete orders:Sum --from 2022-10-01 --to 2022-10-02 --yes", {}),
    ],
)
def test_json_that_is_no_answer_of_the_api_is_told_as_such(
    service: Service, unitstream: Run, asked: str, answer: object
) -> None:
    """What stands before the API may answer with a 200 of its own."""
    service.answers(answer)
    result = unitstream(*asked.split())
    assert (result.exit_code, "is not the API" in result.stderr) == (ExitCode.UNREACHABLE, True), result.output


@pytest.mark.parametrize("asked", ["show cost", "save cost costs:Sum orders:Sum", "delete cost --yes"])
def test_a_saved_unit_metric_is_asked_for_no_longer_than_it_may_take(
    service: Service, unitstream: Run, asked: str
) -> None:
    service.answers({"title": "The database is busy"}, 503)
    result = unitstream("unit-metrics", *asked.split(), "--give-up-after", "0")
    assert (result.exit_code, len(service.asked)) == (ExitCode.UNREACHABLE, 1)


@pytest.mark.parametrize("asked", [("show", "cost"), ("show", "cost", "--csv")])
def test_an_unknown_saved_unit_metric_is_said(service: Service, unitstream: Run, asked: tuple[str, ...]) -> None:
    """The address is right, so it is not blamed."""
    detail = "The stream has no saved unit metric of that name."
    service.answers({"type": f"{PROBLEM}unit-metric-not-found", "title": "No such unit metric", "detail": detail}, 404)
    result = unitstream("unit-metrics", *asked)
    assert (result.exit_code, result.stdout) == (ExitCode.BAD_INPUT, "")
    assert result.stderr.splitlines() == [
        f"Error: the service answered 404 No such unit metric. {detail}",
        "`unitstream unit-metrics list` has what there is.",
    ]


def test_a_token_without_the_right_is_not_taken_for_a_wrong_key(service: Service, unitstream: Run) -> None:
    """Both are a 403, but one is the gateway's, and has another cure."""
    detail = "This needs a token with the right to read, and this one's rights are: write."
    service.answers({"type": f"{PROBLEM}right-missing", "title": "Right missing", "detail": detail}, 403)
    result = unitstream("metrics")
    assert (result.exit_code, result.stdout) == (ExitCode.REJECTED, "")
    assert detail in result.stderr
    assert "API key" not in result.stderr


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
        ("views", "orders:Sum", "--from", "2024-02-31"),
        ("views", "orders:Sum", "--json", "--top", "3"),
        ("views", "orders:Sum", "--top", "0"),
        ("points", "orders:Sum", "--decimal", ","),
        ("points", "orders:Sum", "--csv", "--delimiter", ",", "--decimal", ","),
        ("points", "orders:Sum", "--csv", "--delimiter", ":"),
        ("unit-metrics", "costs:Sum", "orders:Sum", "--fail-above", "nan"),
        ("unit-metrics", "costs:Sum", "orders:Sum", "--fail-rise", "inf"),
        ("unit-metrics", "save", "cost", "costs:Sum", "orders:Sum", "--above", "nan"),
    ],
)
def test_wrong_usage_is_not_sent(service: Service, unitstream: Run, arguments: tuple[str, ...]) -> None:
    assert unitstream(*arguments).exit_code == ExitCode.USAGE
    assert not service.asked


# --- saved unit metrics, and limits -----------------------------------------------------------------------------------

SAVED = {"name": "cost", "numerator": "costs:Sum", "denominator": "orders:Sum", "unit": "EUR per order"}


def grouped_of(**units: tuple[float, float]) -> dict[str, Any]:
    """Return an answer in which each region costs so much per order on its last day, and did so before."""
    cells = {
        region: unit_metric_of(("2022-10-03", now, 1.0, before, 1.0))["series"][0]["data"]
        for region, (now, before) in units.items()
    }
    series = [{"dimensions": {"region": region}, "data": data} for region, data in cells.items()]
    return unit_metric_of() | {"series": series}


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        (("--fail-above", "3"), ["us, 2022-10-03: 4 is above 3."]),
        (("--fail-above", "4"), []),
        (("--fail-rise", "40"), ["eu, 2022-10-03: +50.0% is a rise of more than 40%."]),
        (
            ("--fail-above", "3", "--fail-rise", "40"),
            ["eu, 2022-10-03: +50.0% is a rise of more than 40%.", "us, 2022-10-03: 4 is above 3."],
        ),
        (("--fail-rise", "50"), []),
    ],
)
def test_a_job_fails_where_a_group_is_beyond_a_limit(
    service: Service, unitstream: Run, options: tuple[str, ...], lines: list[str]
) -> None:
    """With an exit code of its own, and a line for each; what was asked for is printed all the same."""
    service.answers(grouped_of(eu=(3.0, 2.0), us=(4.0, 4.0)))
    result = unitstream("unit-metrics", "costs:Sum", "orders:Sum", *options)
    assert result.exit_code == (6 if lines else 0)
    assert ["2022-10-03", "eu", "3", "1", "3"] in [row[:5] for row in rows_of(result.stdout)]
    assert [line for line in result.stderr.splitlines() if ", 2022" in line] == lines


def with_days(document: dict[str, Any], *days: str) -> dict[str, Any]:
    """Return an answer with each row on the day that is given, and otherwise the same."""
    for group, day_shown in zip(document["series"], days, strict=True):
        group["data"][0]["date"] = day_shown
    return document


@pytest.mark.parametrize("options", [("--fail-above", "3"), ("--fail-rise", "40")])
def test_only_the_last_period_of_the_range_is_judged(
    service: Service, unitstream: Run, options: tuple[str, ...]
) -> None:
    """What a group's last row says of another day is no reason for an alarm; that it has no value then is said."""
    service.answers(with_days(grouped_of(eu=(9.0, 2.0), us=(2.0, 2.0)), "2022-10-02", "2022-10-03"))
    result = unitstream("unit-metrics", "costs:Sum", "orders:Sum", *options)
    assert result.exit_code == ExitCode.OK
    assert result.stderr == f"{options[0]} has no value to judge in 2022-10-03: eu.\n"


@pytest.mark.parametrize(
    "document",
    [
        unit_metric_of() | {"series": []},
        with_days(grouped_of(eu=(9.0, 2.0), us=(4.0, 2.0)), "2022-10-01", "2022-10-02"),
        grouped_of(eu=(9.0, 0.0)),
    ],
)
def test_a_job_that_judges_nothing_fails(service: Service, unitstream: Run, document: dict[str, Any]) -> None:
    """Because the metric is misspelt, its data has not come, or there is nothing that a rise could be from."""
    service.answers(document)
    result = unitstream("unit-metrics", "costs:Sum", "orders:Sum", "--fail-rise", "3")
    assert result.exit_code == ExitCode.NOTHING_TO_JUDGE
    assert "Error: there is no value to judge in 2022-10-03" in result.stderr


@pytest.mark.parametrize(
    ("granularity", "zone", "last"),
    [
        ("week", "UTC", "2022-10-31"),
        ("quarter", "Europe/Berlin", "2022-10-01"),
        ("hour", "UTC", "2022-11-01T23:00:00Z"),
        ("hour", "Europe/Berlin", "2022-11-01T23:00:00+01:00"),
    ],
)
def test_the_last_period_is_that_of_the_last_day(
    service: Service, unitstream: Run, granularity: str, zone: str, last: str
) -> None:
    """As the answer names it, in its time zone."""
    document = with_days(grouped_of(eu=(9.0, 2.0)), last)
    service.answers(document | {"granularity": granularity, "timezone": zone, "end_date": "2022-11-01"})
    result = unitstream("unit-metrics", "costs:Sum", "orders:Sum", "--fail-above", "3")
    assert result.exit_code == ExitCode.BEYOND_LIMIT
    assert f"eu, {last}: 9 is above 3." in result.stderr


def test_limits_are_not_of_csv(unitstream: Run) -> None:
    """A table for a spreadsheet is looked at by nobody."""
    assert unitstream("unit-metrics", "costs:Sum", "orders:Sum", "--csv", "--fail-above", "3").exit_code == 2


def test_a_unit_metric_is_saved_as_it_was_given(service: Service, unitstream: Run) -> None:
    """An empty denominator grouping is none; what the stream lacks is said."""
    service.answers(
        SAVED
        | {
            "name": "cost/order",
            "notices": [{"parameter": "numerator", "code": "unknown_metric", "detail": "no costs"}],
        }
    )
    given = ("--group-by", "service", "--denominator-group-by", "", "--unit", "EUR", "--above", "3.5", "--publish")
    result = unitstream("unit-metrics", "save", "cost/order", "costs:Sum", "orders:Sum", *given)
    assert service.asked[0].path == "/v1/api/unit-metrics/cost%2Forder"
    assert service.sent == [
        (
            "PUT",
            {
                "numerator": "costs:Sum",
                "denominator": "orders:Sum",
                "granularity": "day",
                "group_by": ["service"],
                "denominator_group_by": [],
                "unit": "EUR",
                "thresholds": {"above": 3.5},
                "publish": True,
            },
        )
    ]
    assert "Saved: cost/order." in result.stderr
    assert "Notice: no costs." in result.stderr


def test_a_definition_that_is_refused_says_what_is_wrong(service: Service, unitstream: Run) -> None:
    """By the name of the field."""
    errors = [{"pointer": "/unit", "code": "too_long", "detail": "unit must have at most 64 characters"}]
    service.answers({"title": "Invalid request", "status": 400, "errors": errors}, 400)
    result = unitstream("unit-metrics", "save", "cost", "costs:Sum", "orders:Sum", "--unit", "x" * 65)
    assert result.exit_code == 3
    assert "unit must have at most 64 characters" in result.stderr


def test_saved_ones_are_listed_shown_and_deleted(service: Service, unitstream: Run) -> None:
    """The values of one are a table as those of one that is not saved, with limits too."""
    for answer in (
        {"unit_metrics": [SAVED], "next_cursor": None},
        SAVED,
        grouped_of(eu=(3.0, 2.0)),
        {"deleted": 1},
        {"deleted": 0},
    ):
        service.answers(answer)
    listed = [row[:4] for row in rows_of(unitstream("unit-metrics", "list").stdout)]
    assert ["cost", "costs:Sum", "per", "orders:Sum"] in listed
    result = unitstream("unit-metrics", "show", "cost", "--by", "week", "--fail-above", "2")
    assert result.exit_code == 6
    assert service.asked[-1].path == "/v1/api/unit-metrics/cost/data"
    assert service.asked[-1].parameters["granularity"] == ["week"]
    assert ["2022-10-03", "eu", "3", "1", "3"] in [row[:5] for row in rows_of(result.stdout)]
    asked = len(service.asked)
    assert unitstream("unit-metrics", "delete", "cost").exit_code == ExitCode.USAGE
    assert len(service.asked) == asked  # it asks first, and there is nobody
    assert "Deleted: cost." in unitstream("unit-metrics", "delete", "cost", "--yes").stderr
    assert unitstream("unit-metrics", "delete", "cost", "--yes").exit_code == 3


@pytest.mark.parametrize("asked", [("save", "50%25", "costs:Sum", "orders:Sum"), ("show", "50%25")])
def test_another_name_than_the_one_that_was_asked_for_is_an_error(
    service: Service, unitstream: Run, asked: tuple[str, ...]
) -> None:
    """As where something before the service decodes a path twice: what is shown would be another unit metric."""
    service.answers(SAVED | {"name": "50%"})
    result = unitstream("unit-metrics", *asked)
    assert result.exit_code == ExitCode.FAILED
    assert "Error: the service was asked for '50%', and not for '50%25'" in result.stderr
    assert not result.stdout


def test_a_long_name_is_folded(service: Service, unitstream: Run) -> None:
    service.answers({"unit_metrics": [SAVED | {"name": "x" * 255}], "next_cursor": None})
    assert max(map(len, unitstream("unit-metrics", "list", columns=80).stdout.splitlines())) <= 80
