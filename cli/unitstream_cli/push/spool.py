"""The points of a push on disk: sorted by series and hour, and cut into batches, in a memory that does not grow.

The spool is a SQLite database in the folder for temporary files (`TMPDIR` moves it). It has no name, so nothing of it
is left behind, however the push ends.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from datetime import date
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from unitstream.identity import record_id
from unitstream_cli.errors import CommandFailed
from unitstream_cli.push.batches import Batch, cut
from unitstream_cli.push.combining import exact_sum
from unitstream_cli.push.series import SeriesKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from unitstream_cli.push.combining import Combine
    from unitstream_cli.push.series import CheckedPoint

MAX_KNOWN = 1_000

_HOURS_A_DAY = 24
_EPOCH_DAY = 719_163  # date(1970, 1, 1).toordinal()
_ROWS_A_WRITE = 10_000
_LINES_A_FILE = 1 << 40

_encode = json.JSONEncoder(separators=(",", ":")).encode


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


class Sample(NamedTuple):
    """Points of a request that only asks: first `added` ones, and then those that were drawn from all."""

    batch: Batch
    added: int


class Part(NamedTuple):
    """How many points have a set of dimension keys, of how many series, on which days, and what they add up to."""

    points: int
    series: int
    days: tuple[str, str]
    total: float


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
        self._db.execute(
            "CREATE TABLE series (id INTEGER PRIMARY KEY, record BLOB UNIQUE, metric TEXT, keys TEXT, written TEXT)"
        )
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
            combined = self._value(*key) if self._combine else None
            yield Repeated(self._series(series), _timestamp(hour), (first, second), count, combined)

    def batches(self) -> Iterator[Batch]:
        """Yield all points, sorted by series and hour, in batches: the same for the same points.

        A day of a record is never divided: it is one item of the table, and concurrent requests would race for it.
        """
        return cut(self._of_days())

    def _of_days(self) -> Iterator[tuple[str, int]]:
        """Yield each day of a record: its points as JSON, and how many they are."""
        combine = self._combine
        query = f"SELECT series, hour, value FROM points ORDER BY series, hour, {self._order}"  # noqa: S608  # one of two orders
        rows = self._db.execute(query)
        for series, of_series in groupby(rows, itemgetter(0)):
            written = self._members_of(series)
            for _, of_day in groupby(of_series, lambda row: row[1] // _HOURS_A_DAY):
                hours = (
                    ((hour, combine.of(row[2] for row in rows)) for hour, rows in groupby(of_day, itemgetter(1)))
                    if combine
                    else ((hour, value) for _, hour, value in of_day)
                )
                points = [_written(hour, value, written) for hour, value in hours]
                yield ",".join(points), len(points)

    def sample(self, size: int) -> Sample:
        """Return points drawn at random, `size` or all, and before them one of each set of dimension keys without one.

        They are the same for the same points. Each metric has its own sets.
        """
        (rows,) = self._db.execute("SELECT COUNT(*) FROM points").fetchone()
        places = range(1, rows + 1)
        drawn = list(places) if rows <= size else Random(rows).sample(places, size)  # noqa: S311  # no secret
        self._db.execute(
            "CREATE TEMP TABLE drawn AS SELECT DISTINCT series, hour FROM points "
            "WHERE rowid IN (SELECT value FROM json_each(?))",
            (json.dumps(drawn),),
        )
        added = self._db.execute(
            "SELECT id, (SELECT MIN(hour) FROM points WHERE series = id) FROM (SELECT MIN(id) AS id FROM series "
            "WHERE (metric, keys) NOT IN (SELECT metric, keys FROM series WHERE id IN (SELECT series FROM drawn)) "
            "GROUP BY metric, keys LIMIT ?)",
            (size,),
        ).fetchall()
        both = added + self._db.execute("SELECT series, hour FROM drawn LIMIT ?", (size - len(added),)).fetchall()
        batch = next(
            cut((_written(hour, self._value(series, hour), self._members_of(series)), 1) for series, hour in both)
        )
        return Sample(batch, min(len(added), batch.points))

    def part(self, metric: str, keys: Iterable[str]) -> Part:
        """Return what there is of a metric with these dimension keys."""
        of = (metric, _keys(keys))
        points, series, first, last = self._db.execute(
            "SELECT COUNT(*), COUNT(DISTINCT series), MIN(hour), MAX(hour) FROM (SELECT DISTINCT series, hour "
            "FROM points WHERE series IN (SELECT id FROM series WHERE metric = ? AND keys = ?))",
            of,
        ).fetchone()
        places = self._db.execute(
            "SELECT DISTINCT series, hour FROM points "
            "WHERE series IN (SELECT id FROM series WHERE metric = ? AND keys = ?)",
            of,
        )
        total = exact_sum(self._value(*place) for place in places)
        return Part(points, series, (_day(first // _HOURS_A_DAY), _day(last // _HOURS_A_DAY)), float(total))

    def _value(self, series: int, hour: int) -> float:
        """Return the value of a point."""
        query = f"SELECT value FROM points WHERE series = ? AND hour = ? ORDER BY {self._order}"  # noqa: S608  # one of two orders
        values = (value for (value,) in self._db.execute(query, (series, hour)))
        return self._combine.of(values) if self._combine else next(values)

    def all_metrics(self) -> Iterator[str]:
        """Yield the names of all metrics, however many they are."""
        return (name for (name,) in self._db.execute("SELECT DISTINCT metric FROM series"))

    def places(self, point: Mapping[str, Any]) -> list[Place]:
        """Return where the rows of a point stand."""
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
            values = (record, series.metric_name, _keys(key for key, _ in series.dimensions), _encode(members)[1:])
            with _disk_full():
                found = self._db.execute("INSERT INTO series VALUES (NULL, ?, ?, ?, ?) RETURNING id", values).fetchone()
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


@lru_cache(maxsize=16_384)
def _day(day: int) -> str:
    return date.fromordinal(day + _EPOCH_DAY).isoformat()


def _ordinal(day: str) -> int:
    return date.fromisoformat(day).toordinal()


def _keys(keys: Iterable[str]) -> str:
    return _encode(sorted(keys))


def _written(hour: int, value: Any, members: str) -> str:
    """Return a point as JSON."""
    return f'{{"timestamp":"{_timestamp(hour)}","metric_value":{value!r},{members}'


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
