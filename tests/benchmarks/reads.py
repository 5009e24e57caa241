"""What reading costs: a year of hourly data as a view, side by side with a bare loop of boto3's `query` calls.

`bench.py` calls `measure`. Each way runs in a process of its own, which gets the path of a job (JSON) and leaves its
figures where the job says, as in `measured.py`. Nothing here may import `support`, which brings pandas along.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.measured import TIMEOUT_SECONDS, measured, peak_mb, profiled
from benchmarks.units import MULTIPLES_OF_A_READ, item_size

from unitstream.dynamodb import create_client
from unitstream.identity import record_id
from unitstream.questions import view_question
from unitstream.reading import SHARDS, MetricsReader
from unitstream.store import Key, day_key, series_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    Item = dict[str, Any]

STREAM, METRIC, AGG_FUNC = "bench", "gigabytes", "Sum"
REGIONS = 5
FIRST_DAY = date(2022, 1, 1)
ITEMS_A_WRITE = 25
# Partition key -> sort key -> size in bytes.
Sizes = dict[str, dict[str, int]]


class Load(NamedTuple):
    """So many days of hourly data for so many series."""

    series: int
    days: int

    @property
    def points(self) -> int:
        return self.series * self.days * 24

    @property
    def last_day(self) -> str:
        return str(FIRST_DAY + timedelta(self.days - 1))


@dataclass
class Read:
    """The figures of one way of reading a load."""

    way: str
    days: int
    points: int
    cells: int
    cpu: float
    wall: float
    calls: int
    read_units: float
    peak_mb: float

    @property
    def cpu_us(self) -> float:
        return self.cpu / self.points * 1e6


class Plan(NamedTuple):
    """How much is measured: a year for CPU and cost, and a long range, beside a part of it, for memory."""

    year: Load
    long: Load
    part_of_long: int
    repetitions: int


FULL = Plan(Load(100, 365), Load(16, 1_600), 800, 3)
QUICK = Plan(Load(100, 30), Load(8, 1_200), 600, 1)

LOOP = "query loop"
BY_DAY, GROUPED, BY_YEAR = "view by day", "view by day and region", "view by year"
VIEWS: dict[str, dict[str, list[str]]] = {
    BY_DAY: {"granularity": ["day"]},
    GROUPED: {"granularity": ["day"], "group_by": ["region"]},
    BY_YEAR: {"granularity": ["year"]},
}


# --- the load ---------------------------------------------------------------------------------------------------------


def items_of(load: Load) -> Iterator[Item]:
    """Yield the items of a load as the write path leaves them."""
    numbers = random.Random(str(load))  # noqa: S311  # reproducible, on purpose
    received = {"N": "1665000000000"}
    for index in range(load.series):
        dimensions = {"customer": f"c-{index:06}", "region": f"r-{index % REGIONS}"}
        record = record_id(METRIC, AGG_FUNC, dimensions)
        yield {
            **series_key(STREAM, METRIC, AGG_FUNC, record).to_item(),
            "metric_name": {"S": METRIC},
            "metric_agg_func": {"S": AGG_FUNC},
            "dimensions": {"M": {key: {"S": value} for key, value in dimensions.items()}},
        }
        for day in range(load.days):
            item: Item = {**day_key(STREAM, record, str(FIRST_DAY + timedelta(day))).to_item()}
            for hour in range(24):
                item[f"v{hour:02}"] = {"N": repr(round(numbers.uniform(1, 10_000), 2))}
                item[f"t{hour:02}"] = received
            yield item | {"rev": {"S": "0123456789abcdef"}}


def fill(client: DynamoDBClient, table: str, load: Load) -> Sizes:
    """Put a load into a table. Returns the sizes of its items."""
    items = list(items_of(load))
    sizes: Sizes = defaultdict(dict)
    for item in items:
        key = Key.from_item(item)
        sizes[key.pk][key.sk] = item_size(item)

    def put(batch: list[Item]) -> None:
        left: Any = {table: [{"PutRequest": {"Item": item}} for item in batch]}
        while left:
            left = client.batch_write_item(RequestItems=left)["UnprocessedItems"]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, (items[at : at + ITEMS_A_WRITE] for at in range(0, len(items), ITEMS_A_WRITE))))
    return sizes


# --- the ways of reading it -------------------------------------------------------------------------------------------


def query_loop(job: dict[str, Any]) -> dict[str, Any]:
    """Query the catalogue and then the days of each series, one call after the other, with a client as boto3 makes it.

    It looks at no value.
    """
    import boto3  # noqa: PLC0415  # not in the other processes

    client = boto3.client("dynamodb")

    def query(**condition: Any) -> Iterator[Item]:
        arguments = {"TableName": job["table"], **condition}
        while True:
            answer = client.query(**arguments)
            yield from answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def read(last_day: str) -> int:
        items = 0
        for shard in SHARDS:
            pk = {"S": series_key(STREAM, METRIC, AGG_FUNC, shard).pk}
            for series in query(KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": pk}):
                values = {
                    ":pk": {"S": day_key(STREAM, series["sk"]["S"], "").pk},
                    ":first": {"S": str(FIRST_DAY)},
                    ":last": {"S": last_day},
                }
                condition = "pk = :pk AND sk BETWEEN :first AND :last"
                items += sum(1 for _ in query(KeyConditionExpression=condition, ExpressionAttributeValues=values))
        return items

    read(str(FIRST_DAY))
    with measured(job) as figures:
        items = read(job["last_day"])
    return figures | {"points": items * 24, "cells": 0}


def read_view(job: dict[str, Any]) -> dict[str, Any]:
    """Ask for a view, as the function does, with its client; without HTTP."""
    reader = MetricsReader(create_client(), job["table"])
    asked = {
        "metric_name": [METRIC],
        "metric_agg_func": [AGG_FUNC],
        "start_date": [str(FIRST_DAY)],
        **VIEWS[job["way"]],
    }
    deadline = time.monotonic() + TIMEOUT_SECONDS
    reader.view(STREAM, view_question(asked | {"end_date": [str(FIRST_DAY)]}), deadline)
    question = view_question(asked | {"end_date": [job["last_day"]]})
    with profiled(job.get("profile")), measured(job) as figures:
        found = reader.view(STREAM, question, deadline)
    cells = [cell for row in found.series for cell in row.data]
    return figures | {"points": sum(cell.points for cell in cells), "cells": len(cells)}


def main(job_path: str) -> None:
    job = json.loads(Path(job_path).read_text())
    figures = query_loop(job) if job["way"] == LOOP else read_view(job)
    Path(job["figures"]).write_text(json.dumps(figures | {"peak_mb": peak_mb()}))


# --- running ----------------------------------------------------------------------------------------------------------


def measure(
    *,
    client: DynamoDBClient,
    new_table: Callable[[], str],
    plan: Plan,
    home: Path,
    environment: Mapping[str, str],
    profile: Path | None,
) -> list[Read]:
    """Read what `plan` says, in each way in turns. Returns the medians by CPU.

    The processes find DynamoDB by `environment`; `home` is for their files, and `profile` for profiles, if any.
    Raises `ValueError` when not every point was read.
    """
    found: dict[tuple[str, int], list[Read]] = defaultdict(list)
    rounds = [
        (plan.year, [(way, plan.year.days) for way in (LOOP, BY_DAY, GROUPED)]),
        (plan.long, [(BY_YEAR, plan.part_of_long), (BY_YEAR, plan.long.days)]),
    ]
    for load, runs in rounds:
        table = new_table()
        sizes = fill(client, table, load)
        for _ in range(plan.repetitions):
            for way, days in runs:
                job = {
                    "way": way,
                    "table": table,
                    "last_day": load._replace(days=days).last_day,
                    "calls": str(home / "calls"),
                    "figures": str(home / "figures.json"),
                }
                if profile and way != LOOP:
                    job["profile"] = str(profile / f"{way} {days}.pstats".replace(" ", "-"))
                path = home / "job.json"
                path.write_text(json.dumps(job))
                subprocess.run([sys.executable, __file__, str(path)], check=True, env={**os.environ, **environment})
                figures = json.loads((home / "figures.json").read_text())
                if figures["points"] != load.series * days * 24:
                    raise ValueError(f"{way}: {figures['points']:,} points were read")
                with (home / "calls").open("rb") as lines:
                    calls, read_units = units_of(lines, sizes)
                found[way, days].append(Read(way=way, days=days, calls=calls, read_units=read_units, **figures))
        client.delete_table(TableName=table)
    return [sorted(same, key=lambda read: read.cpu)[len(same) // 2] for same in found.values()]


def units_of(lines: Iterable[bytes], sizes: Sizes) -> tuple[int, float]:
    """Return how many calls there were, and their read units by DynamoDB's rules: reads that may be stale.

    A query costs half a unit for each 4 KB begun of what a call of it went through, whatever it projects; a batch, of
    each of its items.
    """
    calls = 0
    units = 0.0
    queries: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for line in lines:
        calls += 1
        target, _, body = line.partition(b"\t")
        sent = json.loads(body)
        match target.decode().rpartition(".")[2]:
            case "Query":
                values = {name: value["S"] for name, value in sent["ExpressionAttributeValues"].items()}
                first, last = values.get(":first") or values.get(":after", ""), values.get(":last", "\U0010ffff")
                start = sent.get("ExclusiveStartKey", {}).get("sk", {}).get("S", "")
                queries[values[":pk"], first, last].append(start)
            case "BatchGetItem":
                for one in sent["RequestItems"].values():
                    units += sum(_units(sizes.get(key["pk"]["S"], {}).get(key["sk"]["S"], 0)) for key in one["Keys"])
            case operation:
                raise ValueError(operation)
    for (pk, first, last), starts in queries.items():
        inside = {sk: size for sk, size in sizes.get(pk, {}).items() if first <= sk <= last}
        starts.sort()
        for start, end in zip(starts, [*starts[1:], last], strict=True):
            units += _units(sum(size for sk, size in inside.items() if start < sk <= end))
    return calls, units


def _units(size: int) -> float:
    return max(1, -(-size // MULTIPLES_OF_A_READ)) * 0.5


def figures_of(reads: list[Read]) -> list[tuple[str, float, float]]:
    """Return what is wanted of reading: a figure each, and what it may be at most."""
    loop, by_day, grouped, part, long = reads
    return [
        *(
            (f"{read.way}, {read.points:,} points: {what}", figure, most)
            for read in (by_day, grouped)
            for what, figure, most in (
                ("CPU, against a bare loop of query calls", read.cpu / loop.cpu, 1.5),
                ("read units, against the loop's", read.read_units / loop.read_units, 1.0),
                ("seconds", read.wall, 10.0),
            )
        ),
        (f"{BY_YEAR}: memory for {long.days:,} days, against {part.days:,}", long.peak_mb / part.peak_mb, 1.2),
    ]


def rows_of(reads: list[Read]) -> list[tuple[str, ...]]:
    """Return the reads as rows of a table: way, days, points, CPU, ratio to the loop's, wall, units, calls, memory."""
    loop = reads[0].cpu_us
    return [
        (
            read.way,
            f"{read.days:,}",
            f"{read.points:,}",
            f"{read.cpu_us:.2f}",
            f"{read.cpu_us / loop:.2f}",
            f"{read.wall:.1f}",
            f"{read.read_units:,.1f}",
            f"{read.calls:,}",
            f"{read.peak_mb:.0f}",
        )
        for read in reads
    ]


HEAD = ("way of reading", "days", "points", "CPU µs/pt", "ratio", "wall s", "RU", "calls", "peak MB")


if __name__ == "__main__":
    main(sys.argv[1])
