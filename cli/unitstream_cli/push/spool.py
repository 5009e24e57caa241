"""The points of a push on disk: sorted by series and hour, and cut into batches, in a memory that does not grow.

The spool is a SQLite database in the folder for temporary files (`TMPDIR` moves it). It has no name, so nothing of it
is left behind, however the push ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import sqlite3
from collections import deque
from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from unitstream.decimals import exactly, mean
from unitstream.identity import record_id
from unitstream_cli.errors import CommandFailed
from unitstream_cli.push.series import SeriesKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from unitstream_cli.push.series import CheckedPoint

# A request stays cheap: well below the gateway's 10 MB and Lambda's 6 MB, and within what a new table writes in a
# second or two, also when several are under way: 4,000 units, of which a day takes one, and one more if its series is
# new.
MAX_QUOTED_BYTES = 2_000_000
MAX_POINTS = 10_000
MAX_DAYS = 2_500
MAX_KNOWN = 1_000

_HOURS_A_DAY = 24
_EPOCH_DAY = 719_163  # date(1970, 1, 1).toordinal()
_ROWS_A_WRITE = 10_000
_LINES_A_FILE = 1 << 40

_encode = json.JSONEncoder(separators=(",", ":")).encode


class Combine(StrEnum):
    """What to make of several rows for the same record and hour."""

    SUM = "sum"
    AVERAGE = "average"
    MAXIMUM = "maximum"
    MINIMUM = "minimum"
    LAST = "last"
    # Of rows, each of which is 1.
    COUNT = "count"
    COUNT_DISTINCT = "count-distinct"

    @property
    def order(self) -> str:
        """The order in which `of` wants the values."""
        return "value" if self is Combine.COUNT_DISTINCT else "place, row"

    def of(self, values: Iterable[Any]) -> float:
        """Return the one value that stands for `values`, of which there is at least one, in the order of the rows.

        Sums are those of the decimals, as the service's are, rounded once. Values to count are sorted.
        """
        match self:
            case Combine.SUM | Combine.COUNT:
                return float(_exact_sum(values))
            case Combine.AVERAGE:
                counted = itertools.count()
                total = _exact_sum(value for value, _ in zip(values, counted, strict=False))
                return mean(total, next(counted))
            case Combine.MAXIMUM:
                return float(max(values))
            case Combine.MINIMUM:
                return float(min(values))
            case Combine.LAST:
                return float(deque(values, maxlen=1).pop())
            case Combine.COUNT_DISTINCT:
                return float(sum(1 for _ in groupby(values)))


def _exact_sum(values: Iterable[float]) -> Decimal:
    with exactly():
        return sum(map(Decimal, map(repr, values)), Decimal(0))


class Place(NamedTuple):
    """Where a row stands: the number of the file, from 0, the line, and the number of the row in the file, from 1."""

    file: int
    line: int
    row: int


class Repeated(NamedTuple):
    """A record and an hour that `rows` rows name, `places` being those of the first two, and what they combine to."""

    series: SeriesKey
    timestamp: str
    places: tuple[Place, Place]
    rows: int
    combined: float | None


class Batch(NamedTuple):
    """What one request sends: `points` points as JSON text without the array around them."""

    data: str
    points: int
    digest: str


class Spool:
    """Takes points in any order, and hands them out in batches. To be used by one thread.

    Rows for the same record and hour are combined as `combine` says. There are so many `series`;
    `metrics` and `keys` are the names of metrics and the keys of dimensions, the first `MAX_KNOWN` of them, and `days`
    the first and the last day.
    """

    def __init__(self, combine: Combine | None = None) -> None:
        self._combine = combine
        self._order = combine.order if combine else "place, row"
        self.series = 0
        self.metrics: dict[str, None] = {}
        self.keys: dict[str, None] = {}
        self.days: tuple[str, str] | None = None
        self._db = sqlite3.connect("", isolation_level=None)
        for setting in ("journal_mode = OFF", "synchronous = OFF", "temp_store = FILE", "cache_size = -16000"):
            self._db.execute(f"PRAGMA {setting}")
        self._db.execute("BEGIN")
        self._db.execute("CREATE TABLE series (id INTEGER PRIMARY KEY, record BLOB UNIQUE, written TEXT)")
        self._db.execute("CREATE TABLE points (series INTEGER, hour INTEGER, place INTEGER, row INTEGER, value)")
        self._waiting: list[tuple[int, int, int, int, float | bytes]] = []
        self._id_of = lru_cache(65_536)(self._find_series)

    def close(self) -> None:
        self._db.close()

    def add(self, place: Place, points: Iterable[CheckedPoint]) -> None:
        """Add the points of the row at `place`, later than all that were added before."""
        at = place.file * _LINES_A_FILE + place.line
        # A JSON document may have all its rows on one line, so lines do not tell which of two came last.
        self._waiting += [(self._id_of(series), hour, at, place.row, value) for series, hour, value in points]
        if len(self._waiting) >= _ROWS_A_WRITE:
            self._write()

    def sort(self) -> int:
        """Sort the points, after the last was added. Returns how many there are, those of the same hour being one."""
        self._write()
        columns = "value, place, row" if self._order == "value" else "place, row, value"
        with _disk_full():
            self._db.execute(f"CREATE INDEX sorted ON points (series, hour, {columns})")
        (count,) = self._db.execute("SELECT COUNT(*) FROM (SELECT 1 FROM points GROUP BY series, hour)").fetchone()
        first, last = self._db.execute("SELECT MIN(hour), MAX(hour) FROM points").fetchone()
        if count:
            self.days = _day(first // _HOURS_A_DAY), _day(last // _HOURS_A_DAY)
        return int(count)

    def repeated(self) -> Iterator[Repeated]:
        """Yield every record and hour that more than one row names."""
        groups = self._db.execute(
            "SELECT series, hour, COUNT(*) FROM points GROUP BY series, hour HAVING COUNT(*) > 1 ORDER BY series, hour"
        )
        for series, hour, count in groups:
            key = (series, hour)
            places = self._db.execute(
                "SELECT place, row FROM points WHERE series = ? AND hour = ? ORDER BY place, row LIMIT 2", key
            )
            first, second = (_place(*at) for at in places)
            query = f"SELECT value FROM points WHERE series = ? AND hour = ? ORDER BY {self._order}"  # noqa: S608  # one of two orders
            values = self._db.execute(query, key)
            combined = self._combine.of(value for (value,) in values) if self._combine else None
            yield Repeated(self._series(series), _timestamp(hour), (first, second), count, combined)

    def batches(self) -> Iterator[Batch]:
        """Yield all points, sorted by series and hour, in batches: the same for the same points.

        A day of a record is never divided: it is one item of the table, and concurrent requests would race for it.
        """
        parts: list[str] = []
        points = days = size = 0
        for text, count in self._of_days():
            quoted = len(text) + text.count('"') + text.count("\\") + 1
            if parts and (points + count > MAX_POINTS or days == MAX_DAYS or size + quoted > MAX_QUOTED_BYTES):
                yield _batch(parts, points)
                parts, points, days, size = [], 0, 0, 0
            parts.append(text)
            points, days, size = points + count, days + 1, size + quoted
        if parts:
            yield _batch(parts, points)

    def _of_days(self) -> Iterator[tuple[str, int]]:
        """Yield each day of a record: its points as JSON, and how many they are."""
        combine = self._combine
        query = f"SELECT series, hour, value FROM points ORDER BY series, hour, {self._order}"  # noqa: S608  # one of two orders
        rows = self._db.execute(query)
        for series, of_series in groupby(rows, itemgetter(0)):
            written = self._members_of(series)
            for day, of_day in groupby(of_series, lambda row: row[1] // _HOURS_A_DAY):
                start = f'{{"timestamp":"{_day(day)} '
                hours = (
                    ((hour, combine.of(row[2] for row in rows)) for hour, rows in groupby(of_day, itemgetter(1)))
                    if combine
                    else ((hour, value) for _, hour, value in of_day)
                )
                points = [
                    f'{start}{hour % _HOURS_A_DAY:02}:00:00","metric_value":{value!r},{written}'
                    for hour, value in hours
                ]
                yield ",".join(points), len(points)

    def places(self, batch: Batch, index: int) -> list[Place]:
        """Return where the rows stand of the point with this index in a batch."""
        point = json.loads(f"[{batch.data}]")[index]
        series = self._id_of(SeriesKey(point["metric_name"], tuple(sorted(point["custom_dimensions"].items()))))
        day, _, time_of_day = point["timestamp"].partition(" ")
        hour = (_ordinal(day) - _EPOCH_DAY) * _HOURS_A_DAY + int(time_of_day[:2])
        places = self._db.execute(
            "SELECT place, row FROM points WHERE series = ? AND hour = ? LIMIT 10", (series, hour)
        )
        return [_place(*at) for at in places]

    def _write(self) -> None:
        with _disk_full():
            self._db.executemany("INSERT INTO points VALUES (?, ?, ?, ?, ?)", self._waiting)
        self._waiting.clear()

    def _find_series(self, series: SeriesKey) -> int:
        """Return the number of a series, a new one if it is new."""
        # The function is the same for the whole push.
        record = bytes.fromhex(record_id(series.metric_name, "", dict(series.dimensions)))
        found = self._db.execute("SELECT id FROM series WHERE record = ?", (record,)).fetchone()
        if not found:
            members = {"metric_name": series.metric_name, "custom_dimensions": dict(series.dimensions)}
            # Escaped to ASCII: the server takes the character that stands for mangled text only as an escape.
            values = (record, _encode(members)[1:])
            with _disk_full():
                found = self._db.execute("INSERT INTO series VALUES (NULL, ?, ?) RETURNING id", values).fetchone()
            self.series += 1
            if len(self.metrics) < MAX_KNOWN:
                self.metrics[series.metric_name] = None
            if len(self.keys) < MAX_KNOWN:
                self.keys |= dict.fromkeys(key for key, _ in series.dimensions)
        return int(found[0])

    def _members_of(self, series: int) -> str:
        (written,) = self._db.execute("SELECT written FROM series WHERE id = ?", (series,)).fetchone()
        return str(written)

    def _series(self, series: int) -> SeriesKey:
        members = json.loads("{" + self._members_of(series))
        return SeriesKey(members["metric_name"], tuple(members["custom_dimensions"].items()))


def _place(at: int, row: int) -> Place:
    file, line = divmod(at, _LINES_A_FILE)
    return Place(file, line, row)


def _batch(parts: list[str], points: int) -> Batch:
    data = ",".join(parts)
    return Batch(data, points, hashlib.sha256(data.encode()).hexdigest())


@lru_cache(maxsize=16_384)
def _day(day: int) -> str:
    return date.fromordinal(day + _EPOCH_DAY).isoformat()


def _ordinal(day: str) -> int:
    return date.fromisoformat(day).toordinal()


def _timestamp(hour: int) -> str:
    return f"{_day(hour // _HOURS_A_DAY)} {hour % _HOURS_A_DAY:02}:00:00"


@contextlib.contextmanager
def _disk_full() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as exc:
        if exc.sqlite_errorcode not in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE}:
            raise
        raise CommandFailed(
            "there is no space left for the points in the folder for temporary files; nothing was sent.",
            "TMPDIR names another folder.",
        ) from exc
