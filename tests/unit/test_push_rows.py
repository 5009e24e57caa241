"""`unitstream push` reads files as people write them, and says where something is wrong."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from unitstream.identity import record_id
from unitstream.timestamps import parse_hour
from unitstream_cli.errors import BadInput, CommandFailed
from unitstream_cli.push.mapping import Columns, Dimension
from unitstream_cli.push.moments import Clock, Floor
from unitstream_cli.push.numbers import Decimal, Numerals
from unitstream_cli.push.rows import Dialect, Fault, Format, Header, Row
from unitstream_cli.push.series import CheckedPoint, SeriesKey
from unitstream_cli.push.sources import Source, check_encoding

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = Dialect()
HEADER = "timestamp,metric_name,metric_value\n"


def read(
    path: Path, content: bytes | str, dialect: Dialect = PLAIN, columns: Columns | None = None
) -> list[Row | Fault]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    columns = columns or Columns()

    found: list[Row | Fault] = []
    for part in Source(path, hashlib.sha256()).parts(dialect):
        if isinstance(part, Header):
            columns.check_header(path.name, part.names)
        elif isinstance(part, Row | Fault):
            found.append(part)
    return found


def read_points(path: Path, content: bytes | str, columns: Columns, dialect: Dialect = PLAIN) -> list[CheckedPoint]:
    points = []
    for row in read(path, content, dialect, columns):
        assert isinstance(row, Row), row
        found, faults = columns.points(path.name, row)
        assert not faults
        points += found
    return points


def faults_of(path: Path, content: bytes | str, columns: Columns | None = None) -> list[Fault]:
    columns = columns or Columns()
    faults: list[Fault] = []
    for row in read(path, content, PLAIN, columns):
        faults += [row] if isinstance(row, Fault) else columns.points(path.name, row)[1]
    return faults


def test_csv(tmp_path: Path) -> None:
    """A row is what its cells say, with the line it stands on; an empty cell is no value."""
    rows = read(tmp_path / "a.csv", HEADER.strip() + ",region\n2022-10-01,orders,1,eu\n2022-10-02,orders,2,\n")
    fields = {"timestamp": "2022-10-01", "metric_name": "orders", "metric_value": "1", "region": "eu"}
    assert rows[0] == Row(2, fields, {})
    assert isinstance(rows[1], Row)
    assert rows[1].line == 3
    assert rows[1].fields["region"] is None


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("start", ["", "\ufeff", "\r\n\r\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_oddities(tmp_path: Path, delimiter: str, start: str, end: str) -> None:
    """Byte-order marks, delimiters, line ends and lines before the header make no difference."""
    lines = [["timestamp", "metric_name", "metric_value"], ["2022-10-01", "orders", "1.5"], []]
    text = start + end.join(delimiter.join(cells) for cells in lines)
    points = read_points(tmp_path / "a.csv", text, Columns())
    assert [(point.series.metric_name, point.value) for point in points] == [("orders", 1.5)]


def test_quoted_newlines(tmp_path: Path) -> None:
    """A cell may hold line ends, delimiters and quotation marks; the line is the one where the row begins."""
    text = HEADER + '2022-10-01,"a\nb, ""c""",1\n2022-10-01,orders,x\n'
    first, second = read(tmp_path / "a.csv", text)
    assert isinstance(first, Row)
    assert (first.line, first.fields["metric_name"]) == (2, 'a\nb, "c"')
    assert second.line == 4


def test_empty_lines(tmp_path: Path) -> None:
    """Lines without a value are no rows, and are counted as lines."""
    rows = read(tmp_path / "a.csv", HEADER + "\n2022-10-01,orders,1\n,,\n\n2022-10-02,orders,1\n")
    assert [row.line for row in rows] == [3, 6]


def test_blanks_around_cells(tmp_path: Path) -> None:
    """Who writes blanks beside the commas does not mean them as part of the name, on neither side."""
    text = "timestamp, metric_name , metric_value, region\n2022-10-01, orders, 1 , eu\n2022-10-02,orders , 1,eu \n"
    points = read_points(tmp_path / "a.csv", text, Columns())
    assert [point.series for point in points] == [SeriesKey("orders", (("region", "eu"),))] * 2
    tabs = "timestamp\tmetric_name\tmetric_value\n2022-10-01\t orders \t1\n  \t\t \n"
    assert [point.series.metric_name for point in read_points(tmp_path / "a.csv", tabs, Columns())] == ["orders"]


def test_cells_beside_the_header(tmp_path: Path) -> None:
    """A row with another number of cells than the header is wrong, and the others are not."""
    assert faults_of(
        tmp_path / "a.csv", HEADER + "2022-10-01,orders\n2022-10-01,orders,1,2\n2022-10-01,orders,1\n"
    ) == [
        (2, "", "has 2 cells, and the header has 3"),
        (3, "", "has 4 cells, and the header has 3"),
    ]


def test_open_quotation_mark(tmp_path: Path) -> None:
    """A quotation mark that is never closed is no fault of one row, since it takes others with it."""
    with pytest.raises(BadInput) as failure:
        read(tmp_path / "a.csv", HEADER + '2022-10-01,orders,1\n2022-10-02,"orders,1\n\n\n')
    assert "a.csv:3: lines 3 to 5 were read as one row, which is not valid CSV" in failure.value.message
    assert "a quotation mark is missing or too much" in str(failure.value.hint)


@pytest.mark.parametrize(
    ("first", "last", "reason"),
    [
        ('"2022-10-01,orders,1', '"2022-10-01,orders,1', "is not valid CSV"),
        ('2022-10-01,"orders,1', '2022-10-01,orders,1"', "has 2 cells, and the header has 3"),
        ('2022-10-01,"orders,1', '2022-10-01",orders,1', "has 4 cells, and the header has 3"),
    ],
)
def test_rows_between_stray_quotation_marks(tmp_path: Path, first: str, last: str, reason: str) -> None:
    """Valid rows between two quotation marks too much are not lost behind one that is wrong."""
    between = "2022-10-02,orders,1\n" * 2_000
    with pytest.raises(BadInput) as failure:
        read(tmp_path / "a.csv", f"{HEADER}{first}\n{between}{last}\n")
    assert f"lines 2 to 2,003 were read as one row, which {reason}" in failure.value.message


def test_broken_row_of_one_line(tmp_path: Path) -> None:
    """A quotation mark that breaks its own line alone is a fault of that row."""
    ((line, _, reason),) = faults_of(tmp_path / "a.csv", HEADER + '2022-10-01,"a"b,1\n2022-10-01,orders,1\n')
    assert line == 2
    assert "is not valid CSV" in reason


@pytest.mark.parametrize(
    ("header", "message", "hint"),
    [
        (
            "date,metric_name,metric_value",
            "there is no column timestamp; the columns are date, metric_name, metric_value",
            "--timestamp COLUMN",
        ),
        ("timestmap,metric_name,metric_value", "Did you mean timestmap for timestamp?", ""),
        ("timestamp,orders", "there are no columns metric_name, metric_value", ""),
        ("timestamp,metric_name,metric_value,region,region", "names region more than once", ""),
        ("timestamp,metric_name,\x1b[2J", "the columns are timestamp, metric_name, \\x1b[2J", ""),
        ('"timestamp', "the header is not valid CSV", ""),
    ],
)
def test_header_that_cannot_be_right(tmp_path: Path, header: str, message: str, hint: str) -> None:
    """A header that cannot be understood is an error that says which columns there are."""
    with pytest.raises(BadInput) as failure:
        read(tmp_path / "a.csv", f"{header}\n1,2,3,4,5\n")
    assert message in failure.value.message
    assert hint in (failure.value.hint or "")


def test_columns_without_a_name(tmp_path: Path) -> None:
    """Empty columns that a spreadsheet leaves are nothing; a value in one is a fault, or is left out if so asked."""
    header = "timestamp;metric_name;metric_value;;\n"
    (point,) = read_points(tmp_path / "a.csv", header + "2022-10-01;orders;1;;\n", Columns())
    assert point.series == SeriesKey("orders", ())
    noted = header + "2022-10-01;orders;1;;see below\n"
    ((line, _, reason),) = faults_of(tmp_path / "a.csv", noted)
    assert line == 2
    assert "has a value in a column without a name; --ignore ''" in reason
    assert read_points(tmp_path / "a.csv", noted, Columns(ignored=("",))) == [point]
    wide = "timestamp;orders;;\n2022-10-01;1;;7\n"
    assert len(faults_of(tmp_path / "a.csv", wide, Columns(wide=True))) == 1


@pytest.mark.parametrize(
    ("separator", "delimiter"), [("sep=;\r\n", ";"), ("sep=\t\n", "\t"), ('\ufeff"sep=|"\n', "|"), ("SEP=,\n\n", ",")]
)
def test_separator_line(tmp_path: Path, separator: str, delimiter: str) -> None:
    """The line by which Excel is told the delimiter tells it here too, and counts as a line."""
    text = separator + delimiter.join(["timestamp", "metric_name", "metric_value"]) + "\n"
    (row,) = read(tmp_path / "a.csv", text + delimiter.join(["2022-10-01", "orders", "1"]) + "\n")
    assert isinstance(row, Row)
    assert (row.line, row.fields["metric_name"]) == (text.count("\n") + 1, "orders")


@pytest.mark.parametrize(
    ("start", "what"),
    [(b"PK\x03\x04", "Excel"), (b"\xd0\xcf\x11\xe0", "Excel"), (b"PAR1", "Parquet")],
)
def test_other_kinds_of_files(tmp_path: Path, start: bytes, what: str) -> None:
    """A workbook or an archive is called what it is, rather than wrongly encoded text."""
    with pytest.raises(BadInput, match=f"{what}.*: save it as CSV"):
        read(tmp_path / "a.csv", start + b"\x00\xff")


@pytest.mark.parametrize(("ignored", "message"), [("regoin", "Did you mean region for regoin?"), ("x", "no column x")])
def test_ignored_column_that_is_not_there(tmp_path: Path, ignored: str, message: str) -> None:
    """A column to leave out whose name is misspelt does not become a dimension."""
    with pytest.raises(BadInput) as failure:
        read(tmp_path / "a.csv", HEADER.strip() + ",region\n", columns=Columns(ignored=(ignored,)))
    assert message in failure.value.message
    assert "--ignore" in str(failure.value.hint)


def test_one_metric_and_rows_that_name_theirs(tmp_path: Path) -> None:
    """Nor do rows of JSON that name their metrics become one metric."""
    row = json.dumps(POINT)
    ((_, column, reason),) = faults_of(tmp_path / "a.ndjson", row, Columns(metric="visits"))
    assert column == "metric_name"
    assert "--ignore metric_name" in reason
    (point,) = read_points(tmp_path / "a.ndjson", row, Columns(metric="visits", ignored=("metric_name",)))
    assert point.series == SeriesKey("visits", ())


def test_one_metric_and_a_column_that_names_metrics(tmp_path: Path) -> None:
    """Rows of several metrics do not become one metric."""
    with pytest.raises(BadInput, match="--metric is given"):
        read(tmp_path / "a.csv", HEADER, columns=Columns(metric="orders"))
    ignoring = Columns(metric="orders", ignored=("metric_name",))
    (point,) = read_points(tmp_path / "a.csv", HEADER + "2022-10-01,gigabytes,1\n", ignoring)
    assert point.series == SeriesKey("orders", ())


def test_wrong_encoding(tmp_path: Path) -> None:
    """What is not UTF-8 is refused with its place, and read when it is said which encoding it is."""
    text = HEADER + "2022-10-01,orders,1\n2022-10-01,Zürich,1\n"
    with pytest.raises(BadInput) as failure:
        read(tmp_path / "a.csv", text.encode("cp1252"))
    place = len(HEADER + "2022-10-01,orders,1\n2022-10-01,Z") + 1
    assert f"a.csv:3: the text is not UTF-8: byte {place} of the file, 0xfc" in failure.value.message
    assert "--encoding cp1252" in str(failure.value.hint)
    points = read_points(tmp_path / "a.csv", text.encode("cp1252"), Columns(), Dialect(encoding="cp1252"))
    assert points[1].series.metric_name == "Zürich"


@pytest.mark.parametrize("form", ["csv", "ndjson", "json"])
def test_wrong_encoding_in_a_large_file(tmp_path: Path, form: str) -> None:
    """The place is right beyond what is read at once."""
    line = {"csv": "2022-10-01,orders,1\n", "ndjson": '{"timestamp": 0}\n', "json": '{"timestamp": 0},\n'}[form]
    start = {"csv": HEADER, "ndjson": "", "json": "[\n"}[form]
    content = (start + line * 20_000).encode() + b"\xff"
    with pytest.raises(BadInput) as failure:
        read(tmp_path / f"a.{form}", content)
    lines = content.count(b"\n") + 1
    assert f"a.{form}:{lines}: the text is not UTF-8: byte {len(content):,} of the file" in failure.value.message


def test_utf_16(tmp_path: Path) -> None:
    """What a spreadsheet calls Unicode text is recognised for the hint, and can be read."""
    text = (HEADER + "2022-10-01,orders,1\n").replace(",", "\t")
    with pytest.raises(BadInput) as failure:
        read(tmp_path / "a.txt", text.encode("utf-16"))
    assert "--encoding utf-16" in str(failure.value.hint)
    assert len(read_points(tmp_path / "a.txt", text.encode("utf-16"), Columns(), Dialect(encoding="utf-16"))) == 1


@pytest.mark.parametrize("name", ["utf8-sig-x", "base64"])
def test_unknown_encoding(name: str) -> None:
    """An encoding that there is not is wrong usage."""
    with pytest.raises(CommandFailed, match="there is no encoding"):
        check_encoding(name)


@pytest.mark.parametrize("content", ["", "\n\n", HEADER, "\ufeff"])
@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.ndjson", "a"])
def test_no_rows(tmp_path: Path, name: str, content: str) -> None:
    """A file without rows has none, whatever its format."""
    if content == HEADER and name != "a.csv":
        content = "[]" if name == "a.json" else "\n"
    assert read(tmp_path / name, content) == []


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is bad input."""
    with pytest.raises(BadInput, match="No such file"):
        list(Source(tmp_path / "none.csv", hashlib.sha256()).parts(PLAIN))


POINT = {"timestamp": "2022-10-01", "metric_name": "orders", "metric_value": 1}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.ndjson", json.dumps(POINT)),
        ("a.jsonl", "\ufeff" + json.dumps(POINT) + "\r\n\r\n"),
        ("a", json.dumps(POINT) + "\n" + json.dumps(POINT | {"timestamp": 0})),
        ("a.json", json.dumps(POINT) + "\n"),
        ("a.json", json.dumps([POINT])),
        ("a", " [" + json.dumps(POINT)),
        ("a.json", json.dumps({"data_stream_token": "x", "metric_agg_func": "Sum", "data": [POINT], "more": {}})),
        ("a", json.dumps({"data": [POINT]}, indent=2)),
        ("a.json", json.dumps(POINT, indent=2)),
        ("a.ndjson", json.dumps(POINT, indent=2) + "\n" + json.dumps(POINT, indent=2)),
        ("a", json.dumps({"source": {"name": "shop"}, "data": [POINT]})),
        ("a.json", json.dumps({"version": 1, "metric_agg_func": "Sum", "data": [POINT]}, indent=2)),
        ("a", json.dumps([POINT]) + json.dumps({"data": []})),
    ],
)
def test_json_forms(tmp_path: Path, name: str, content: str) -> None:
    """NDJSON, points over several lines, arrays of them and bodies of requests are told apart by name and beginning."""
    if content.startswith(" ["):
        content += "]"
    first = read(tmp_path / name, content)[0]
    assert isinstance(first, Row)
    assert first.fields == POINT


def test_lines_of_json(tmp_path: Path) -> None:
    """In a JSON document too, a row has the line on which it begins."""
    text = "[\n" + ",\n".join(json.dumps(POINT, indent=1) for _ in range(3)) + "\n]\n"
    assert [row.line for row in read(tmp_path / "a.json", text)] == [2, 7, 12]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[\n{"a": 1},\n{"a": }]', "a.json:3: is not valid JSON: Expecting value"),
        ('[{"a": 1}', "it ends before , or ]"),
        ('[{"a": 1} {"a": 2}]', ", or ] is expected, not '{'"),
        ("3", "holds neither an array of points nor an object"),
        ("[" * 100_000, "nested too deeply"),
        ('[{"a": ' + "1" * 5_000 + "}]", "is not valid JSON"),
    ],
)
def test_broken_json(tmp_path: Path, text: str, message: str) -> None:
    """A document that is broken is refused as a whole, with the line."""
    with pytest.raises(BadInput) as failure:
        read(tmp_path / "a.json", text, Dialect(Format.JSON))
    assert message in failure.value.message


def test_broken_lines_of_ndjson(tmp_path: Path) -> None:
    """A line of NDJSON that is broken is a fault of its own."""
    text = '{"a": \n3\n{"region": "eu", "region": "us"}\n{"custom_dimensions": 3}\n'
    faults = faults_of(tmp_path / "a.ndjson", text)
    assert [(line, column) for line, column, _ in faults] == [(1, ""), (2, ""), (3, "region"), (4, "custom_dimensions")]
    assert "occurs more than once" in faults[2][2]


@given(rows=st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.floats(allow_nan=False)), max_size=30))
def test_any_json(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    """Whatever objects a document holds, they are read as any parser reads them."""
    rows = [{name: value for name, value in row.items() if name != "custom_dimensions"} for row in rows]
    path = tmp_path_factory.mktemp("json") / "a.json"
    found = read(path, json.dumps(rows, indent=1), Dialect(Format.JSON))
    assert [row.fields for row in found if isinstance(row, Row)] == rows


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (Columns(), {("orders", (("city", "Zürich"), ("region", "eu"))): 1.0}),
        (Columns(dimensions=(Dimension("region", "area"),)), {("orders", (("area", "eu"),)): 1.0}),
        (Columns(ignored=("city",)), {("orders", (("region", "eu"),)): 1.0}),
        (
            Columns(value="city", metric_name="region", ignored=("city",)),
            None,
        ),
    ],
)
def test_dimensions(tmp_path: Path, columns: Columns, expected: dict[Any, float] | None) -> None:
    """Every other column is a dimension, or those that are named; under their own keys."""
    text = "timestamp,metric_name,metric_value,region,city\n2022-10-01,orders,1,eu,Zürich\n"
    if expected is None:
        assert [fault[1] for fault in faults_of(tmp_path / "a.csv", text, columns)] == ["city"]
    else:
        points = read_points(tmp_path / "a.csv", text, columns)
        assert {(p.series.metric_name, p.series.dimensions): p.value for p in points} == expected


def test_wide(tmp_path: Path) -> None:
    """In a wide file every column that is nothing else is a metric, and an empty cell is no point."""
    columns = Columns(timestamp="date", wide=True, dimensions=(Dimension("city", "city"),))
    points = read_points(tmp_path / "a.csv", "date,city,rain,wind\n2022-10-01,Bern,1,2\n2022-10-02,Bern,,3\n", columns)
    assert [(point.series.metric_name, point.value) for point in points] == [("rain", 1), ("wind", 2), ("wind", 3)]


def test_custom_dimensions(tmp_path: Path) -> None:
    """JSON rows have their dimensions in custom_dimensions, beside them, or both."""
    row = POINT | {"region": "eu", "custom_dimensions": {"city": "Bern", "empty": ""}, "nothing": None}
    (point,) = read_points(tmp_path / "a.json", json.dumps([row]), Columns())
    assert point.series.dimensions == (("city", "Bern"), ("empty", ""), ("region", "eu"))


@pytest.mark.parametrize(
    ("change", "column", "reason"),
    [
        ({"region": 3}, "region", "must be a string, not a number"),
        ({"custom_dimensions": {"region": True}}, "region", "must be a string, not a boolean"),
        ({"custom_dimensions": {"region": "eu"}, "region": "eu"}, "region", "is a field as well as one of"),
        ({"metric_name": 3}, "metric_name", "must be a string, not a number"),
        ({"metric_name": "x" * 256}, "metric_name", "must have at most 255 characters, and has 256"),
        ({"metric_name": "\ud800"}, "metric_name", ""),
        ({"region": "x" * 1_025}, "region", "must have at most 1,024 characters"),
        (
            {"custom_dimensions": {f"d{n}": "x" for n in range(11)}},
            "",
            "must hold at most 10 dimensions, and holds 11: name those to keep",
        ),
        ({"timestamp": True}, "timestamp", "is neither a string nor a number"),
        ({"timestamp": "2022-10-01 00:30:00"}, "timestamp", "is not on the hour in UTC"),
        ({"timestamp": "2022-10-01 00:30:00"}, "timestamp", "--floor hour"),
        ({"timestamp": "01.10.2022"}, "timestamp", "--timestamp-format"),
        ({"timestamp": None}, "timestamp", "is empty"),
        ({"metric_value": "", "metric_valeu": "1"}, "metric_value", "is empty"),
        ({"metric_value": "x"}, "metric_value", "'x' does not convert to a float"),
        ({"metric_value": "1234,5"}, "metric_value", "if that is a decimal comma, add --decimal ,"),
        ({"metric_value": "1.234,5"}, "metric_value", "; --thousands . --decimal , reads such numbers"),
        ({"metric_value": "1 234,5"}, "metric_value", "; --thousands ' ' --decimal , reads such numbers"),
        ({"metric_value": float("nan")}, "metric_value", "is not a finite number"),
        ({"metric_value": 1e126}, "metric_value", "outside what can be saved"),
        ({"metric_value": "1_000"}, "metric_value", "'1_000' does not convert to a float"),
        ({"metric_value": "\uff11"}, "metric_value", "does not convert to a float"),
        ({"metric_value": "1e-400"}, "metric_value", "'1e-400' is outside what can be saved"),
        ({"timestamp": 20221001}, "timestamp", "2022-10-01 00:00:00 UTC as yyyyMMdd or 1970-08-23 00:56:41 UTC"),
        ({"timestamp": "2022102000"}, "timestamp", "as yyyyMMddHH or 2034-01-28 23:00:00 UTC as epoch seconds"),
    ],
)
def test_faults(tmp_path: Path, change: dict[str, Any], column: str, reason: str) -> None:
    """What the server would refuse is found here, and named by the user's own columns."""
    ((line, found_column, found),) = faults_of(tmp_path / "a.json", json.dumps([POINT | change]))
    assert (line, found_column) == (1, column)
    assert reason in found


def test_all_faults_of_a_row(tmp_path: Path) -> None:
    """Everything that is wrong with a row is said at once."""
    columns = Columns(timestamp="when", value="how much", metric="orders")
    faults = faults_of(tmp_path / "a.csv", "when,how much\nyesterday,much\n", columns)
    assert [fault[:2] for fault in faults] == [(2, "when"), (2, "how much")]


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("2022-10-01T02:00:00+02:00", Columns(), "2022-10-01 00"),
        ("1664582400", Columns(), "2022-10-01 00"),
        ("1664582400.0", Columns(), "2022-10-01 00"),
        ("1664582400000", Columns(), "2022-10-01 00"),
        ("1900000800", Columns(), "2030-03-17 18"),
        ("999997200", Columns(), "2001-09-09 01"),
        ("20221001130000", Columns(), "2022-10-01 13"),
        ("2022-10-01 13:59:59.999", Columns(clock=Clock(floor=Floor.HOUR)), "2022-10-01 13"),
        ("2022-10-01 23:59:59+01:00", Columns(clock=Clock(floor=Floor.DAY)), "2022-10-01 00"),
        ("2022-10-01 00:30:00+01:00", Columns(clock=Clock(floor=Floor.DAY)), "2022-09-30 00"),
        ("01.10.2022 13:00", Columns(clock=Clock("%d.%m.%Y %H:%M")), "2022-10-01 13"),
        ("01.10.2022 13:00 +0200", Columns(clock=Clock("%d.%m.%Y %H:%M %z")), "2022-10-01 11"),
    ],
)
def test_timestamps(tmp_path: Path, text: str, columns: Columns, expected: str) -> None:
    """Timestamps of files: also an epoch as text, in other forms, and within their hour or day."""
    (point,) = read_points(tmp_path / "a.csv", HEADER + f"{text},orders,1\n", columns)
    day, hour = parse_hour(f"{expected}:00:00")
    assert (day, hour) == parse_hour(point.hour * 3600)


@pytest.mark.parametrize("floor", [None, Floor.HOUR, Floor.DAY])
@pytest.mark.parametrize("text", ["20221001", "2022100113", "2022100100.0", "202210011300", "123", "-1664582400"])
def test_dates_that_look_like_an_epoch(tmp_path: Path, text: str, floor: Floor | None) -> None:
    """A date in digits is no epoch: read as one, it would be another date. Nor is it as a number of JSON."""
    ((_, column, _),) = faults_of(tmp_path / "a.csv", HEADER + f"{text},orders,1\n", Columns(clock=Clock(floor=floor)))
    assert column == "timestamp"
    if text.startswith("2022"):
        row = json.dumps(POINT | {"timestamp": float(text)})
        ((_, column, reason),) = faults_of(tmp_path / "a.ndjson", row, Columns(clock=Clock(floor=floor)))
        assert column == "timestamp"
        assert "--timestamp-format" in reason


@pytest.mark.parametrize("name", ["a.json", "a.ndjson"])
def test_numbers_that_a_float_rounds_to_zero(tmp_path: Path, name: str) -> None:
    """Files are read as exactly as requests are: what is not zero is not pushed as zero."""
    text = json.dumps(POINT | {"metric_value": "here"})
    ((_, column, reason),) = faults_of(tmp_path / name, text.replace('"here"', "1e-400"))
    assert (column, reason.partition(" is ")[0]) == ("metric_value", "1e-400")
    (zero,) = read_points(tmp_path / name, text.replace('"here"', "-0.0e-400"), Columns())
    assert str(zero.value) == "0.0"


@pytest.mark.parametrize(("text", "value"), [("1234,5", 1234.5), ("-1,5e3", -1500.0), ("7", 7.0)])
def test_decimal_comma(tmp_path: Path, text: str, value: float) -> None:
    """Numbers with a decimal comma are read when it is said that they have one."""
    columns = Columns(numerals=Numerals(Decimal.COMMA))
    (point,) = read_points(
        tmp_path / "a.csv", f"timestamp;metric_name;metric_value\n2022-10-01;orders;{text}\n", columns
    )
    assert point.value == value


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("1,234", "; --thousands , reads such numbers"),
        ("-1,234,567", "; --thousands , reads such numbers"),
        ("1,234.5", "; --thousands , reads such numbers"),
        ("1.234.567", "; --thousands . --decimal , reads such numbers"),
        ("1'234", '; --thousands "\'" reads such numbers'),
        ("$1,234.50", "; remove the currency; --thousands , reads such numbers"),
        ("12 EUR", "; remove the currency"),
        ("CA$12", "; remove the currency"),
        ("12,5 \u20ac", "; remove the currency; if that is a decimal comma, add --decimal ,"),
        ("12.5%", "; remove the percent sign"),
        ("(12.50)", "; if parentheses mean that it is negative, write a minus sign"),
        ("none", ""),
        ("NaN", ""),
    ],
)
def test_hints_for_numbers(tmp_path: Path, text: str, hint: str) -> None:
    """What is most likely a thousand is not called a decimal comma: read so, it would silently be one and a bit."""
    ((_, _, reason),) = faults_of(tmp_path / "a.json", json.dumps([POINT | {"metric_value": text}]))
    assert reason.partition(";")[1:] == hint.partition(";")[1:]


@pytest.mark.parametrize(
    ("numerals", "text", "value"),
    [
        (Numerals(thousands=","), "1,234,567.5", 1_234_567.5),
        (Numerals(thousands=","), "12.5", 12.5),
        (Numerals(thousands=","), "1,23", None),
        (Numerals(thousands=","), "1234,567", None),
        (Numerals(thousands="'"), "-1'234", -1_234.0),
        (Numerals(Decimal.COMMA, "."), "1.234,5", 1_234.5),
        (Numerals(Decimal.COMMA, "."), "1.5", None),
        (Numerals(Decimal.COMMA, " "), "1\u202f234,5", 1_234.5),
    ],
)
def test_thousands(numerals: Numerals, text: str, value: float | None) -> None:
    """Separators of thousands are read when it is said which they are, and only where they belong."""
    if value is None:
        with pytest.raises(PydanticCustomError):
            numerals.number(text)
    else:
        assert numerals.number(text) == value


def test_decimal_comma_and_point(tmp_path: Path) -> None:
    """A number with both is not guessed at."""
    text = "timestamp;metric_name;metric_value\n2022-10-01;orders;1.234,5\n"
    ((_, _, reason),) = faults_of(tmp_path / "a.csv", text, Columns(numerals=Numerals(Decimal.COMMA)))
    assert "point beside the decimal comma" in reason


def test_record_of_a_row(tmp_path: Path) -> None:
    """The order of the columns makes no other record."""
    one = read_points(tmp_path / "a.csv", HEADER.strip() + ",b,a\n2022-10-01,orders,1,x,y\n", Columns())
    other = read_points(tmp_path / "a.csv", "a,b," + HEADER + "y,x,2022-10-01,orders,1\n", Columns())
    assert one == other
    assert record_id("orders", "Sum", dict(one[0].series.dimensions)) == record_id(
        "orders", "Sum", {"a": "y", "b": "x"}
    )
