"""The Metrics table: what its items look like, and how points are saved.

    item      pk                                                    sk                    holds
    day       {stream_id}#{record_id}                               2022-10-01            v00…v23, t00…t23, rev
    series    {stream_id}#series#{agg_func}#{shard}#{metric_name}   {record_id}           name, function, dimensions
    metric    {stream_id}#metrics                                   {metric_name}#{Sum}   name, function, its days

A day of a record is read, merged and written back on the condition that nobody wrote it in between; who loses the race
begins again. The catalogue (series and metric) is written before the days that it tells of, so that no saved point is
missing from it.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from unitstream.days import Counts, Version, merge
from unitstream.dynamodb import CALL_ERRORS, CONNECTIONS, is_transient, paced
from unitstream.problems import OutOfTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, BatchStatementRequestTypeDef

    from unitstream.payload import Ingest, Series

    Item = dict[str, AttributeValueTypeDef]

T = TypeVar("T")
R = TypeVar("R")

# DynamoDB's limits for one call.
KEYS_PER_READ = 100
STATEMENTS_PER_WRITE = 25
# Series and metrics that a warm function remembers to be catalogued, 0.3 kB each.
REMEMBERED_CATALOGUE_KEYS = 100_000

# A statement's error codes after which the day is read and merged again: it lost a race, or DynamoDB was too busy.
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchStatementError.html
_THERE_ALREADY = "DuplicateItem"
_LOST_RACE = {"ConditionalCheckFailed", "TransactionConflict", _THERE_ALREADY}
_BUSY = {"InternalServerError", "ProvisionedThroughputExceeded", "RequestLimitExceeded", "ThrottlingError"}
# Our own: the deadline was over before the statement's turn came.
_NOT_SENT = "NotSent"


class Key(NamedTuple):
    pk: str
    sk: str

    def to_item(self) -> Item:
        return {"pk": {"S": self.pk}, "sk": {"S": self.sk}}

    @classmethod
    def from_item(cls, item: Item) -> Key:
        return cls(item["pk"]["S"], item["sk"]["S"])


def day_key(stream_id: str, record_id: str, day: str) -> Key:
    return Key(f"{stream_id}#{record_id}", day)


def series_key(stream_id: str, metric_name: str, agg_func: str, record_id: str) -> Key:
    """The first digit of the record ID is the shard: many new series of a metric spread over 16 partitions."""
    return Key(f"{stream_id}#series#{agg_func}#{record_id[0]}#{metric_name}", record_id)


def metric_key(stream_id: str, metric_name: str, agg_func: str) -> Key:
    """Three letters of the function, so that 255 characters of 4 bytes still fit a sort key's 1,024 bytes."""
    return Key(f"{stream_id}#metrics", f"{metric_name}#{agg_func[:3]}")


class StatementRefused(Exception):
    """DynamoDB refused a statement for a reason that trying again does not mend; `code` is its error code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True)
class _Day:
    """A day of a record on its way into the table."""

    key: Key
    series: Series
    hours: dict[int, float]
    # What each attempt would have saved, by the revision that it wrote. A write whose answer was lost may have worked:
    # finding its revision in the table tells.
    attempts: dict[str, Counts] = field(default_factory=dict)


class Origin(NamedTuple):
    """What all points of a request have in common. `received_at` is when the gateway got it, in epoch milliseconds."""

    stream_id: str
    agg_func: str
    received_at: int


class Span(NamedTuple):
    """Days of a metric: the first and the last, and all between them."""

    first: str
    last: str

    def covers(self, other: Span) -> bool:
        return self.first <= other.first and other.last <= self.last

    def widened(self, other: Span) -> Span:
        return Span(min(self.first, other.first), max(self.last, other.last))


# Of a metric from before metrics knew their days: nobody knows how far back its points go, so it goes on without.
_ANY_DAYS = Span("0001-01-01", "9999-12-31")


@dataclass(slots=True)
class _Task:
    """What all batches of a request have in common."""

    origin: Origin
    deadline: float
    dry_run: bool
    # Whether a batch met new series only, so that the next ones are expected to be new as well.
    first_load: bool = False
    # Whether any batch met a series that the catalogue had: then nothing is expected any more.
    met_known: bool = False


@dataclass(slots=True)
class Effort:
    """What saving took. Times are in seconds, added up over the batches that are saved side by side."""

    # Of reading, merging and writing: one, where no race was lost and nothing was throttled.
    rounds: int = 0
    lost_races: int = 0
    throttles: int = 0
    read_time: float = 0.0
    merge_time: float = 0.0
    write_time: float = 0.0

    def add(self, other: Effort) -> None:
        """Add the effort of a batch that was saved beside this one."""
        self.rounds = max(self.rounds, other.rounds)
        self.lost_races += other.lost_races
        self.throttles += other.throttles
        self.read_time += other.read_time
        self.merge_time += other.merge_time
        self.write_time += other.write_time


class MetricsTable:
    """Saves points. One instance serves all the requests of a warm function."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name
        self._catalogued: set[Key] = set()
        self._spans: dict[Key, Span] = {}

    def save(self, ingest: Ingest, origin: Origin, deadline: float, effort: Effort, *, dry_run: bool = False) -> Counts:
        """Merge the points of `ingest` into the table, or with `dry_run` only say what that would do.

        Tells in `effort` what it took, also when time ran out.

        Raises `OutOfTime`, with the counts so far, when that is not done at `deadline` (monotonic clock). A call that
        is under way then may take `dynamodb.LONGEST_CALL` longer.
        """
        days = [
            _Day(day_key(origin.stream_id, series.record_id, day), series, hours)
            for series in ingest.series
            for day, hours in series.days.items()
        ]

        task = _Task(origin, deadline, dry_run)

        def save_batch(batch: list[_Day]) -> tuple[Counts, Effort]:
            saved, spent = Counts(), Effort()
            for _ in paced(deadline):
                counts, batch = self._save_once(batch, task, spent)
                saved += counts
                if not batch:
                    break
            return saved, spent

        if not dry_run and not self._catalogue_metrics(ingest, task):
            raise OutOfTime
        parts = _side_by_side(save_batch, days)
        for _, spent in parts:
            effort.add(spent)
        saved = sum((counts for counts, _ in parts), Counts())
        if saved.total < ingest.received:
            raise OutOfTime(saved)
        return saved

    def _save_once(self, days: list[_Day], task: _Task, effort: Effort) -> tuple[Counts, list[_Day]]:
        """Read, merge and write `days` once. Returns the counts of those that are settled, and the days that are not.

        The first time, a read may be stale at half the price: a stale day only loses the race. In a first load, series
        are inserted without looking for them: what was not in the catalogue has no day to read either, and were there
        one, that would be a lost race as well.
        """
        started = time.perf_counter()
        received_at = task.origin.received_at
        again = effort.rounds > 0
        catalogued: dict[str, str] = {}
        if task.first_load and not again:
            catalogued = self._catalogue_series([day.series for day in days], task, blindly=True)
        fresh = {record_id for record_id, code in catalogued.items() if not code}

        attributes = ["pk", "sk", "rev"]
        attributes += [f"{kind}{hour:02}" for hour in {hour for day in days for hour in day.hours} for kind in "vt"]
        to_read = [day.key for day in days if day.series.record_id not in fresh]
        stored, unread = self._read(to_read, attributes, task.deadline, consistent=again)

        read = time.perf_counter()
        saved = Counts()
        unsettled = [day for day in days if day.key in unread]
        revision = os.urandom(8).hex()
        writes: list[tuple[_Day, BatchStatementRequestTypeDef]] = []
        for day in days:
            if day.key in unread:
                continue
            item = stored.get(day.key, {})
            if item and (own := day.attempts.get(item["rev"]["S"])):
                saved += own
                continue
            winners, counts = merge(_versions(item, day.hours), day.hours, received_at)
            if task.dry_run or not winners:
                saved += counts
                continue
            day.attempts[revision] = counts
            writes.append((day, self._day_statement(day.key, winners, received_at, item, revision)))

        merged = time.perf_counter()
        new = [day.series for day, _ in writes if day.key not in stored]
        catalogued |= self._catalogue_series(new, task, consistent=again)
        uncatalogued = {record_id for record_id, code in catalogued.items() if code not in {"", _THERE_ALREADY}}
        unsettled += [day for day, _ in writes if day.series.record_id in uncatalogued]
        writes = [(day, statement) for day, statement in writes if day.series.record_id not in uncatalogued]
        codes = self._execute([statement for _, statement in writes], task.deadline)
        for (day, _), code in zip(writes, codes, strict=True):
            if code:
                unsettled.append(day)
            else:
                saved += day.attempts[revision]

        task.met_known |= _THERE_ALREADY in catalogued.values()
        if catalogued:
            task.first_load = not task.met_known and not any(catalogued.values())
        effort.rounds += 1
        effort.lost_races += sum(code in _LOST_RACE for code in codes)
        effort.throttles += len(unread) + len(uncatalogued) + sum(code in _BUSY for code in codes)
        effort.read_time += read - started
        effort.merge_time += merged - read
        effort.write_time += time.perf_counter() - merged
        return saved, unsettled

    def _catalogue_metrics(self, ingest: Ingest, task: _Task) -> bool:
        """See to it that the catalogue has the metrics of `ingest`, with all of their days. Returns whether it has.

        A metric's days only become more, so what a warm function remembers of them stays true.
        """
        names: dict[str, Span] = {}
        for series in ingest.series:
            span = Span(min(series.days), max(series.days))
            before = names.get(series.metric_name, span)
            names[series.metric_name] = before.widened(span)
        origin = task.origin
        keys = {metric_key(origin.stream_id, name, origin.agg_func): name for name in names}
        unknown = [
            key for key, name in keys.items() if key not in self._spans or not self._spans[key].covers(names[name])
        ]

        def catalogue(left: list[Key]) -> bool:
            # The first time, what is remembered will do: if it is out of date, the write is refused.
            stored = {key: self._spans[key] for key in left if key in self._spans}
            for attempt in paced(task.deadline):
                unread = self._read_spans([key for key in left if key not in stored], task.deadline, attempt, stored)
                spans = {
                    key: stored[key].widened(names[keys[key]]) if key in stored else names[keys[key]]
                    for key in left
                    if key not in unread
                }
                writes = {
                    key: self._metric_statement(key, keys[key], origin.agg_func, span, stored.get(key))
                    for key, span in spans.items()
                    if span != stored.get(key)
                }
                codes = dict(zip(writes, self._execute(list(writes.values()), task.deadline), strict=True))
                self._spans.update((key, span) for key, span in spans.items() if not codes.get(key))
                left = [key for key in left if key in unread or codes.get(key)]
                if not left:
                    return True
                stored.clear()
            return False

        if len(self._spans) + len(unknown) > REMEMBERED_CATALOGUE_KEYS:
            self._spans.clear()
        return not unknown or all(_side_by_side(catalogue, unknown))

    def _read_spans(self, keys: list[Key], deadline: float, attempt: int, into: dict[Key, Span]) -> set[Key]:
        """Put the days that the metrics under `keys` have `into`. Returns the keys that could not be read."""
        if not keys:
            return set()
        found, unread = self._read(keys, ["pk", "sk", "first_day", "last_day"], deadline, consistent=attempt > 0)
        for key, item in found.items():
            has_days = "first_day" in item
            into[key] = Span(item["first_day"]["S"], item["last_day"]["S"]) if has_days else _ANY_DAYS
        return unread

    def _metric_statement(
        self, key: Key, name: str, agg_func: str, span: Span, stored: Span | None
    ) -> BatchStatementRequestTypeDef:
        days: Item = {"first_day": {"S": span.first}, "last_day": {"S": span.last}}
        if not stored:
            described: Item = {"metric_name": {"S": name}, "metric_agg_func": {"S": agg_func}}
            return self._insert(key, described | days)
        # The condition on the days: nobody widened them since they were read.
        conditions: Item = key.to_item() | {"first_day": {"S": stored.first}, "last_day": {"S": stored.last}}
        return {
            "Statement": _update_text(self._table_name, tuple(days), tuple(conditions)),
            "Parameters": [*days.values(), *conditions.values()],
        }

    def _catalogue_series(
        self, series: Iterable[Series], task: _Task, *, consistent: bool = False, blindly: bool = False
    ) -> dict[str, str]:
        """See to it that the catalogue has `series`; `blindly` does so without reading it first.

        Returns the error codes of those that were not known, by record ID: empty for one that is new,
        `_THERE_ALREADY` for one that the catalogue had, any other for one that it failed for.
        """
        origin = task.origin
        wanted: dict[Key, Series] = {}
        for one in series:
            key = series_key(origin.stream_id, one.metric_name, origin.agg_func, one.record_id)
            if key not in self._catalogued:
                wanted[key] = one
        codes: dict[Key, str] = {}
        if not blindly:
            found, unread = self._read(list(wanted), ["pk", "sk"], task.deadline, consistent=consistent)
            codes = dict.fromkeys(found, _THERE_ALREADY) | dict.fromkeys(unread, _NOT_SENT)
        inserts: dict[Key, BatchStatementRequestTypeDef] = {}
        for key, one in wanted.items():
            if key not in codes:
                described: Item = {"metric_name": {"S": one.metric_name}, "metric_agg_func": {"S": origin.agg_func}}
                described["dimensions"] = {"M": {name: {"S": value} for name, value in one.dimensions.items()}}
                inserts[key] = self._insert(key, described)
        codes |= zip(inserts, self._execute(list(inserts.values()), task.deadline), strict=True)

        if len(self._catalogued) + len(wanted) > REMEMBERED_CATALOGUE_KEYS:
            self._catalogued.clear()
        # Somebody else's insert says the same thing: an item's key tells all that it holds.
        self._catalogued.update(key for key, code in codes.items() if code in {"", _THERE_ALREADY})
        return {wanted[key].record_id: code for key, code in codes.items()}

    def _day_statement(
        self, key: Key, winners: dict[int, float], received_at: int, stored: Item, revision: str
    ) -> BatchStatementRequestTypeDef:
        received: AttributeValueTypeDef = {"N": str(received_at)}
        changes: Item = {"rev": {"S": revision}}
        for hour, value in winners.items():
            changes[f"v{hour:02}"] = {"N": repr(value)}
            changes[f"t{hour:02}"] = received
        if not stored:
            return self._insert(key, changes)
        # The condition on `rev`: nobody wrote this day since it was read.
        conditions = key.to_item() | {"rev": stored["rev"]}
        return {
            "Statement": _update_text(self._table_name, tuple(changes), tuple(conditions)),
            "Parameters": [*changes.values(), *conditions.values()],
        }

    def _insert(self, key: Key, attributes: Item) -> BatchStatementRequestTypeDef:
        item = key.to_item() | attributes
        return {"Statement": _insert_text(self._table_name, tuple(item)), "Parameters": list(item.values())}

    def _read(
        self, keys: Sequence[Key], attributes: Sequence[str], deadline: float, *, consistent: bool
    ) -> tuple[dict[Key, Item], set[Key]]:
        """Return the items that there are under `keys`, and the keys that could not be read this time."""
        found: dict[Key, Item] = {}
        unread: set[Key] = set()
        for batch in _batches(keys, KEYS_PER_READ):
            if time.monotonic() >= deadline:
                unread.update(batch)
                continue
            try:
                answer = self._client.batch_get_item(
                    RequestItems={
                        self._table_name: {
                            "Keys": [key.to_item() for key in batch],
                            "ProjectionExpression": ",".join(attributes),
                            "ConsistentRead": consistent,
                        }
                    }
                )
            except CALL_ERRORS as exc:
                if not is_transient(exc):
                    raise
                unread.update(batch)
                continue
            found.update((Key.from_item(item), item) for item in answer["Responses"].get(self._table_name, []))
            for left in answer["UnprocessedKeys"].values():
                unread.update(Key.from_item(item) for item in left["Keys"])
        return found, unread

    def _execute(self, statements: Sequence[BatchStatementRequestTypeDef], deadline: float) -> list[str]:
        """Execute `statements`, each by itself. Returns their error codes, empty where it worked.

        Raises `StatementRefused` for an error that is there to stay.
        """
        codes: list[str] = []
        for batch in _batches(statements, STATEMENTS_PER_WRITE):
            if time.monotonic() >= deadline:
                codes += [_NOT_SENT] * len(batch)
                continue
            try:
                answer = self._client.batch_execute_statement(Statements=batch)
            except CALL_ERRORS as exc:
                if not is_transient(exc):
                    raise
                codes += ["InternalServerError"] * len(batch)
                continue
            codes += [response.get("Error", {}).get("Code", "") for response in answer["Responses"]]
        if refused := set(codes) - _LOST_RACE - _BUSY - {_NOT_SENT, ""}:
            raise StatementRefused(", ".join(sorted(refused)))
        return codes


@lru_cache(maxsize=1_024)
def _insert_text(table_name: str, attributes: tuple[str, ...]) -> str:
    values = ",".join(f"'{name}':?" for name in attributes)
    return f'INSERT INTO "{table_name}" VALUE {{{values}}}'


@lru_cache(maxsize=1_024)
def _update_text(table_name: str, attributes: tuple[str, ...], conditions: tuple[str, ...]) -> str:
    changes = " ".join(f"SET {name}=?" for name in attributes)
    return f'UPDATE "{table_name}" {changes} WHERE {" AND ".join(f"{name}=?" for name in conditions)}'


def _versions(item: Item, hours: Iterable[int]) -> dict[int, Version]:
    """Return what `item`, a day, holds for `hours`."""
    names = ((hour, f"t{hour:02}", f"v{hour:02}") for hour in hours)
    return {hour: (int(item[t]["N"]), float(item[v]["N"])) for hour, t, v in names if v in item}


def _side_by_side(work: Callable[[list[T]], R], items: Sequence[T]) -> list[R]:
    """Do `work` for `items`, as many of them at a time as a read takes keys."""
    if len(items) <= KEYS_PER_READ:
        return [work(list(items))]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(pool.map(work, _batches(items, KEYS_PER_READ)))


def _batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    """itertools.batched comes with Python 3.12."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
