"""The spool of `unitstream push` finds what is there twice, and cuts the rest into batches."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from contextlib import closing
from datetime import date
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unitstream.payload import parse
from unitstream_cli.push import batches as batches_module
from unitstream_cli.push.combining import Combine
from unitstream_cli.push.series import CheckedPoint, SeriesKey
from unitstream_cli.push.spool import Place, Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from unitstream_cli.push.batches import Batch

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=5)
some_series = st.builds(
    lambda name, dimensions: SeriesKey(name, tuple(sorted(dimensions.items()))),
    names,
    st.dictionaries(names, names, max_size=3),
)
values = st.floats(-1e100, 1e100).filter(lambda value: value == 0 or abs(value) > 1e-100)
points = st.builds(
    CheckedPoint, st.sampled_from([SeriesKey("a", ()), SeriesKey('"\\', (("é", "😀"),))]), st.integers(0, 99), values
)
MODEL: dict[Combine, Callable[[list[float]], float]] = {
    Combine.SUM: lambda values: float(sum(map(Fraction, map(repr, values)))),
    Combine.AVERAGE: lambda values: float(sum(map(Fraction, map(repr, values))) / len(values)),
    Combine.MAXIMUM: max,
    Combine.MINIMUM: min,
    Combine.LAST: lambda values: values[-1],
    Combine.COUNT: lambda values: float(sum(map(Fraction, map(repr, values)))),
    Combine.COUNT_DISTINCT: lambda values: len(set(values)),
}


def filled(rows: Iterable[CheckedPoint], combine: Combine | None = None) -> Spool:
    spool = Spool(combine)
    for line, point in enumerate(rows, 2):
        spool.add(Place(0, line, line - 1), [point])
    spool.sort()
    return spool


def sent(batches: Iterable[Batch]) -> list[dict[str, Any]]:
    """The points of all batches, each of which is a valid request."""
    found = []
    for batch in batches:
        body = f'{{"data_stream_token": "x", "metric_agg_func": "Sum", "data": [{batch.data}]}}'
        assert parse(body.encode()).received == batch.points
        found += json.loads(body)["data"]
    return found


def hours_since_1970(timestamp: str) -> int:
    day, time_of_day = timestamp.split()
    return (date.fromisoformat(day).toordinal() - 719_163) * 24 + int(time_of_day[:2])


def as_points(found: Iterable[dict[str, Any]]) -> list[tuple[SeriesKey, int, float]]:
    return [
        (
            SeriesKey(one["metric_name"], tuple(one["custom_dimensions"].items())),
            hours_since_1970(one["timestamp"]),
            one["metric_value"],
        )
        for one in found
    ]


@given(rows=st.lists(points, min_size=1), combine=st.sampled_from(Combine))
def test_combine(rows: list[CheckedPoint], combine: Combine) -> None:
    """Rows for the same hour become one point as a model says, and it does not matter how the rest is ordered."""
    model: dict[tuple[SeriesKey, int], list[Any]] = defaultdict(list)
    for series, hour, value in rows:
        model[series, hour].append(value)
    with closing(filled(rows, combine)) as spool:
        found = as_points(sent(spool.batches()))
        repeated = {(one.series, one.rows, one.combined) for one in spool.repeated()}
    assert len(found) == len(model)
    assert {(series, hour): value for series, hour, value in found} == {
        key: MODEL[combine](values) for key, values in model.items()
    }
    assert repeated == {
        (series, len(values), MODEL[combine](values)) for (series, _), values in model.items() if len(values) > 1
    }


def test_sums_are_exact() -> None:
    """The sum of many rows is that of the decimals, rounded once: it does not depend on their order."""
    for values, expected in (([1e16, 1.0, -1e16] + [0.1] * 10, 2.0), ([19.99, 5.01, -25.0], 0.0), ([0.1, 0.2], 0.3)):
        rows = [CheckedPoint(SeriesKey("a", ()), 0, value) for value in values]
        with closing(filled(rows, Combine.SUM)) as spool:
            ((_, _, value),) = as_points(sent(spool.batches()))
        assert value == expected
    assert Combine.AVERAGE.of([0.1, 0.2]) == 0.15


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.builds(CheckedPoint, some_series, st.integers(0, 200), values),
        unique_by=lambda p: (p.series, p.hour),
        max_size=60,
    ),
    limits=st.tuples(st.integers(24, 40), st.integers(1, 4), st.integers(200, 4_000)),
    data=st.data(),
)
def test_batches(
    monkeypatch: pytest.MonkeyPatch, rows: list[CheckedPoint], limits: tuple[int, int, int], data: st.DataObject
) -> None:
    """Each point is in one batch, no day is divided, no batch is larger than is allowed, and input decides all."""
    for name, limit in zip(("MAX_POINTS", "MAX_DAYS", "MAX_QUOTED_BYTES"), limits, strict=True):
        monkeypatch.setattr(batches_module, name, limit)
    with closing(filled(rows)) as spool:
        batches = list(spool.batches())
        for batch in batches:
            index = data.draw(st.integers(0, batch.points - 1))
            (place,) = spool.places(batch.listed()[index])
            series, hour, _ = as_points(sent([batch]))[index]
            assert rows[place.line - 2][:2] == (series, hour)
    with closing(filled(rows)) as spool:
        assert list(spool.batches()) == batches
    assert sorted(as_points(sent(batches))) == sorted(tuple(row) for row in rows)
    seen: set[tuple[SeriesKey, int]] = set()
    for batch in batches:
        days = {(series, hour // 24) for series, hour, _ in as_points(sent([batch]))}
        assert not days & seen, "a day must travel in one request"
        seen |= days
        assert batch.points <= limits[0]
        assert len(days) <= limits[1]
        assert len(json.dumps(batch.data)) - 2 <= limits[2] or len(days) == 1


def test_largest_day() -> None:
    """The largest day there can be, by itself, is a request that Lambda takes."""
    wide = "😀"
    dimensions = tuple((f"{key}" + wide * 254, wide * 1_024) for key in range(10))
    with closing(filled(CheckedPoint(SeriesKey(wide * 255, dimensions), hour, 1.5) for hour in range(24))) as spool:
        (batch,) = spool.batches()
    assert len(json.dumps(batch.data)) < 5_000_000
    assert len(sent([batch])) == 24


def test_mangled_text() -> None:
    """The character that stands for text that was mangled is sent as an escape, which is what the service asks for."""
    with closing(filled([CheckedPoint(SeriesKey("\ufffd", ()), 0, 1.0)])) as spool:
        (batch,) = spool.batches()
    assert "\\ufffd" in batch.data


@pytest.mark.parametrize(("rows", "listed"), [(2, 2), (5, 5)])
def test_repeated(rows: int, listed: int) -> None:
    """Rows for the same record and hour are found, with the first two places, and how many there are."""
    same = [CheckedPoint(SeriesKey("orders", (("region", "eu"),)), 24, float(row)) for row in range(rows)]
    others = [CheckedPoint(SeriesKey("orders", (("region", "us"),)), 24, 0.0), CheckedPoint(same[0].series, 25, 0.0)]
    with closing(filled([*others, *same])) as spool:
        (one,) = spool.repeated()
    assert (one.series, one.timestamp, one.rows) == (same[0].series, "1970-01-02 00:00:00", listed)
    assert one.places == (Place(0, 4, 3), Place(0, 5, 4))


def test_rows_on_one_line() -> None:
    """The last of several rows is the last also where all stand on one line."""
    with closing(Spool(Combine.LAST)) as spool:
        for row, value in enumerate([1.0, 9.0, 5.0], 1):
            spool.add(Place(0, 1, row), [CheckedPoint(SeriesKey("a", ()), 0, value)])
        spool.sort()
        ((_, _, last),) = as_points(sent(spool.batches()))
        (one,) = spool.repeated()
    assert last == one.combined == 5.0
    assert one.places == (Place(0, 1, 1), Place(0, 1, 2))


def test_many_values_for_an_hour() -> None:
    """Events of one hour are combined as they come, however many they are."""
    events: Sequence[float] = [float(n % 7) for n in range(50_000)]
    with closing(filled((CheckedPoint(SeriesKey("a", ()), 0, value) for value in events), Combine.AVERAGE)) as spool:
        ((_, _, average),) = as_points(sent(spool.batches()))
    assert average == statistics.fmean(events)


# --- samples ----------------------------------------------------------------------------------------------------------


@given(
    rows=st.lists(st.builds(CheckedPoint, some_series, st.integers(0, 200), values), min_size=1, max_size=60),
    size=st.integers(1, 70),
)
def test_sample(rows: list[CheckedPoint], size: int) -> None:
    """It has points of the file, each once, and one of every set of dimension keys; all, if there are no more."""
    with closing(filled(rows, Combine.SUM)) as spool:
        sample, every = spool.sample(size), {point[:2]: point[2] for point in as_points(sent(spool.batches()))}
    found = as_points(sent([sample.batch]))
    assert {point[:2]: point[2] for point in found}.items() <= every.items()
    assert len({point[:2] for point in found}) == len(found) == sample.batch.points <= size
    key_sets = [key_set_of(series) for series, _, _ in found]
    everywhere = {key_set_of(series) for series, _ in every}
    assert everywhere == set(key_sets) or len(everywhere) > size / 2
    added, drawn = key_sets[: sample.added], key_sets[sample.added :]
    assert len(set(added)) == len(added)
    assert not set(added) & set(drawn)
    if len(rows) <= size:
        assert len(found) == len(every)


def key_set_of(series: SeriesKey) -> tuple[str, tuple[str, ...]]:
    return series.metric_name, tuple(key for key, _ in series.dimensions)


@given(rows=st.lists(st.builds(CheckedPoint, some_series, st.integers(0, 200), values), min_size=1, max_size=60))
def test_part(rows: list[CheckedPoint]) -> None:
    """What has a set of dimension keys is counted and added up by itself, after rows are combined."""
    parts = defaultdict(list)
    with closing(filled(rows, Combine.LAST)) as spool:
        for series, hour, value in as_points(sent(spool.batches())):
            parts[key_set_of(series)].append((series, hour, value))
        for (metric, keys), points in parts.items():
            part = spool.part(metric, keys)
            assert (part.points, part.series) == (len(points), len({series for series, _, _ in points}))
            assert [hours_since_1970(f"{day} 00") // 24 for day in part.days] == [
                choose(hour for _, hour, _ in points) // 24 for choose in (min, max)
            ]
            assert part.total == MODEL[Combine.SUM]([value for _, _, value in points])
        assert {*spool.all_metrics()} == {metric for metric, _ in parts}
