"""`unitstream push` opens what people call CSV or JSON, and says what a file is that is neither."""

from __future__ import annotations

import contextlib
import csv
import gzip
import hashlib
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unitstream.spreadsheets import guarded
from unitstream_cli.errors import BadInput
from unitstream_cli.push.mapping import Columns, Dimension
from unitstream_cli.push.rows import READ_BACK, Dialect, Fault, Format, Header, Member, Part, Row
from unitstream_cli.push.sources import Source, check_encoding

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "timestamp,metric_name,metric_value\n"
CSV = HEADER + "2022-10-01,orders,1\n2022-10-02,orders,2\n"
POINTS = [
    {"timestamp": "2022-10-01", "metric_name": "orders", "metric_value": 1},
    {"timestamp": "2022-10-02", "metric_name": "orders", "metric_value": 2},
]
FORMS = {
    "a.csv": CSV,
    "a.tsv": CSV.replace(",", "\t"),
    "a.ndjson": "\n".join(map(json.dumps, POINTS)),
    "a.jsonl": "\n".join(json.dumps(point, indent=2) for point in POINTS),
    "a.json": json.dumps({"data": POINTS}),
    "a": json.dumps(POINTS, indent=2),
}


def packed(content: bytes) -> bytes:
    """The same at any time."""
    return gzip.compress(content, mtime=0)


def parts(path: Path, content: bytes | str, dialect: Dialect | None = None) -> list[Part]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(Source(path, hashlib.sha256()).parts(dialect or Dialect()))


def rows(path: Path, content: bytes | str, dialect: Dialect | None = None) -> list[dict[str, Any]]:
    found = [part for part in parts(path, content, dialect) if isinstance(part, Row | Fault)]
    assert all(isinstance(part, Row) for part in found), found
    return [part.fields for part in found if isinstance(part, Row)]


def refused(path: Path, content: bytes, dialect: Dialect | None = None) -> str:
    with pytest.raises(BadInput) as failure:
        parts(path, content, dialect)
    return f"{failure.value.message} {failure.value.hint}"


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("ending", [".gz", ".GZ", ""])
def test_gzip(tmp_path: Path, name: str, ending: str) -> None:
    """Any format may be compressed with gzip, whatever the file is called, also in several members."""
    plain = rows(tmp_path / name, FORMS[name])
    assert [float(row["metric_value"]) for row in plain] == [1, 2]
    half = len(FORMS[name]) // 2
    members = b"".join(packed(part.encode()) for part in (FORMS[name][:half], FORMS[name][half:]))
    assert rows(tmp_path / f"{name}{ending}", members) == plain


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (packed(CSV.encode())[:-9], "is compressed with gzip, and damaged or cut off"),
        (packed(CSV.encode())[:-8] + b"12345678", "is compressed with gzip, and damaged or cut off"),
        (packed(CSV.encode())[:12] + b"\xff" * 20, "is compressed with gzip, and damaged or cut off"),
        (packed(packed(CSV.encode())), "is compressed with gzip twice"),
        (packed(b"PK\x03\x04" + bytes(60)), "is an Excel workbook"),
        (packed(bytes(257) + b"ustar\x00"), "is a tar archive"),
        (b"PK\x03\x04", "is an Excel workbook, or another zip archive"),
        (b"\xd0\xcf\x11\xe0", "is an old Excel workbook"),
        (b"\x28\xb5\x2f\xfd\x04", "is compressed with zstd"),
        (b"\xfd7zXZ\x00\x00", "is compressed with xz"),
        (b"BZh91AY", "is compressed with bzip2"),
        (b"PAR1\x15", "is Parquet"),
        (b"SQLite format 3\x00", "is an SQLite database"),
        (b"%PDF-1.7\n%\xe2\xe3", "is PDF"),
        (b"<!DOCTYPE html>\n<html>", "is HTML or XML"),
        (CSV.encode("utf-16"), "is UTF-16. Say --encoding utf-16"),
        (CSV.encode("utf-32"), "is UTF-32. Say --encoding utf-32"),
        (CSV.encode("utf-16-le"), "is UTF-16 without a byte-order mark. Say --encoding utf-16-le"),
        (CSV.encode("utf-16-be"), "is UTF-16 without a byte-order mark. Say --encoding utf-16-be"),
        (CSV.encode("utf-32-be"), "is UTF-32 without a byte-order mark. Say --encoding utf-32-be"),
        (b"\xef\xbb\xbf\xef\xbb\xbf" + CSV.encode(), "begins with two byte-order marks"),
        ("\u00ef\u00bb\u00bf".encode() + CSV.encode(), "begins with two byte-order marks, or with one that was"),
        (b"\x7fELF\x02\x00\x00", "is no text: it has zero bytes"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a"])
def test_what_is_no_text(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    """A file that cannot be read is called what it is, rather than wrongly encoded."""
    assert said in refused(tmp_path / name, content)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "cp1252", "utf-8"])
@pytest.mark.parametrize("name", FORMS)
def test_encodings(tmp_path: Path, name: str, encoding: str) -> None:
    """Any encoding is read when it is said which it is, in any format."""
    dialect = Dialect(encoding=check_encoding(encoding))
    assert rows(tmp_path / name, FORMS[name].encode(encoding), dialect) == rows(tmp_path / name, FORMS[name])


@pytest.mark.parametrize("name", ["utf-16", "utf-32"])
def test_marks_that_are_not_there(tmp_path: Path, name: str) -> None:
    """An encoding that needs a mark says how it is called without one."""
    for encoding in (f"{name}-le", f"{name}-be"):
        said = refused(tmp_path / "a.csv", CSV.encode(encoding), Dialect(encoding=name))
        assert (
            f"is not {name.upper()} with a byte-order mark. If it is that without one, say --encoding {encoding}"
            in said
        )
    assert "is not" in refused(tmp_path / "a.csv", CSV.encode(), Dialect(encoding=name))


@pytest.mark.parametrize("name", ["a.csv", "a.ndjson", "a.json"])
@pytest.mark.parametrize("encoding", ["utf-7", "ascii", "utf-8", "shift_jis", "raw_unicode_escape"])
def test_text_that_does_not_decode(tmp_path: Path, name: str, encoding: str) -> None:
    """Whatever an encoding makes of bytes that are none of it, it is no traceback."""
    content = FORMS[name].replace("orders", "Z\u00fcrich\\ud").encode("cp1252") + b"\xff\xfe\xff"
    assert "the text is not" in refused(tmp_path / name, content, Dialect(encoding=check_encoding(encoding)))


@pytest.mark.parametrize("name", FORMS)
def test_preambles(tmp_path: Path, name: str) -> None:
    """Lines before the data are skipped when it is said how many there are; lines are counted all the same."""
    plain = parts(tmp_path / name, FORMS[name])
    text = 'Report of "October\n\n' + FORMS[name]
    skipped = parts(tmp_path / name, text, Dialect(skipped_lines=2))
    assert [part._replace(line=part.line + 2) if isinstance(part, Row) else part for part in plain] == skipped


def test_comments(tmp_path: Path) -> None:
    """Lines that begin with a character are left out, but not within a cell."""
    text = f'# a\n#"b\n{HEADER}2022-10-01,"a\n#b",1\n# c\n\n2022-10-02,orders,2\n#d'
    found = parts(tmp_path / "a.csv", text, Dialect(comment="#"))
    assert [(row.line, row.lines, row.fields["metric_name"]) for row in found if isinstance(row, Row)] == [
        (4, 2, "a\n#b"),
        (8, 1, "orders"),
    ]
    assert rows(tmp_path / "a", "# a\n" + FORMS["a.ndjson"], Dialect(comment="#")) == POINTS


def test_members_of_a_document(tmp_path: Path) -> None:
    """What a document says beside its rows is told, before them or after."""
    document = {"metric_agg_func": "Sum", "data": POINTS, "data_stream_token": "x"}
    first, *_, last = parts(tmp_path / "a.json", json.dumps(document))
    assert (first, last) == (Member("metric_agg_func", "Sum"), Member("data_stream_token", "x"))


texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=8) | st.sampled_from(
    ["=1+1", "'=1", "''=1", " =x", "\t@a", "-1", "x;=cmd", "'", '"', "\n=1", " ", "# a"]
)
keys = texts.filter(bool) | st.sampled_from([*READ_BACK, "dimension_value", "dimension_dimension_value"])


@given(st.lists(st.dictionaries(keys, texts, max_size=4), min_size=1, max_size=4), st.sampled_from(",;\t"))
def test_read_back_csv(tmp_path_factory: pytest.TempPathFactory, points: list[dict[str, str]], delimiter: str) -> None:
    """Whatever the dimensions are, they are the same again after `points --csv`; those that lack are empty."""
    names = sorted({key for point in points for key in point})
    columns = {name: f"dimension_{name}" if is_prefixed(name) else name for name in names}
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(["timestamp", *(guarded(columns[name]) for name in names), *READ_BACK[1:]])
    for point in points:
        cells = [guarded(point.get(name, "")) for name in names]
        writer.writerow(["2022-10-01 13:00:00", *cells, "1.5", "r", "2022-10-02 00:00:00.123"])
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    header, *found = parts(path, text.getvalue(), Dialect(Format.CSV))
    assert header == Header([*READ_BACK], read_back=True)
    assert [row.dimensions for row in found if isinstance(row, Row)] == [
        {name: point.get(name, "") for name in names} for point in points
    ]
    assert {tuple(row.fields) for row in found if isinstance(row, Row)} == {READ_BACK}


def is_prefixed(key: str) -> bool:
    """Whether the column of a dimension with this key is called otherwise, as the service does it."""
    while key.startswith("dimension_"):
        key = key.removeprefix("dimension_")
    return key in READ_BACK


def test_read_back_json(tmp_path: Path) -> None:
    """A document of `points --json` says the metric, and has its dimensions apart from what is no dimension."""
    point = {"timestamp": "2022-10-01T13:00:00Z", "value": 1.5, "dimensions": {"value": "x"}, "record_id": "r"}
    document = {"metric_name": "orders", "metric_agg_func": "Sum", "points": [point], "next_cursor": None}
    found = parts(tmp_path / "a.json", json.dumps(document, indent=2))
    assert found[:3] == [
        Member("metric_name", "orders"),
        Member("metric_agg_func", "Sum"),
        Header([*READ_BACK], read_back=True),
    ]
    row = found[3]
    assert isinstance(row, Row)
    assert row.dimensions == {"value": "x"}
    assert row.fields["value"] == 1.5


PIECES = [
    *FORMS.values(),
    *'{}[]",:\n\r\0;',
    "\ufeff",
    "null",
    "{[1]: 2}",
    '{"data": [',
    '"points": [',
    "dimensions",
    "sep=;\n",
    ",",
]


@given(
    pieces=st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=8),
    encodings=st.tuples(
        st.sampled_from(["utf-8", "utf-16", "utf-16-be", "cp1252"]),
        st.sampled_from(["utf-8", "utf-16", "utf-16-le", "cp1252", "utf-7"]),
    ),
    name=st.sampled_from(list(FORMS)),
    zipped=st.booleans(),
    dialect=st.sampled_from([Dialect(), Dialect(skipped_lines=1), Dialect(comment="{"), Dialect(delimiter=" ")]),
)
def test_any_bytes(
    tmp_path_factory: pytest.TempPathFactory,
    pieces: list[str],
    encodings: tuple[str, str],
    name: str,
    dialect: Dialect,
    *,
    zipped: bool,
) -> None:
    """Whatever a file holds, its rows are checked to points or faults, or it is said what is wrong with it."""
    written, encoding = encodings
    content = "".join(pieces).encode(written, "replace")
    path = tmp_path_factory.mktemp("any") / name
    columns = Columns(dimensions=(Dimension("a.b", "a"),), ignored=("c",))
    try:
        found = parts(path, packed(content) if zipped else content, dialect._replace(encoding=check_encoding(encoding)))
    except BadInput:
        return
    for part in found:
        if isinstance(part, Row):
            for of_file in (columns, columns.of_read_back(name, "orders"), Columns(wide=True)):
                with contextlib.suppress(BadInput):
                    of_file.points(name, part)
