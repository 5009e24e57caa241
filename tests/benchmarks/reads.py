"""What reading costs: views, side by side with a bare loop of boto3's `query` calls over the same points.

`bench.py` calls `measure`. Each way runs in a process of its own, which gets the path of a job (JSON) and leaves its
figures where the job says, as in `measured.py`. Nothing here may import `support`, which brings pandas along.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.loads import CUSTOMERS, FIRST_DAY, METRIC, STREAM, Load, fill, items_of, loop_items_of
from benchmarks.measured import TIMEOUT_SECONDS, measured, peak_mb, profiled
from benchmarks.units import read_units

from unitstream.questions import series_question
from unitstream.view_questions import unit_metric_question, view_question

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from benchmarks.loads import Sizes
    from mypy_boto3_dynamodb import DynamoDBClient

    from unitstream.reading import Reader

LOOP, LISTING = "query loop", "series listing, filtered to one"
BY_DAY, GROUPED, BY_YEAR = "view by day", "view by day and region", "view by year"
ONE_SERIES = "view by day, filtered to one"
UNIT = "unit metric by day, one half by region"
ONE_CUSTOMER = {"filter": ["customer:c-000000"]}
VIEWS: dict[str, dict[str, list[str]]] = {
    BY_DAY: {"granularity": ["day"]},
    GROUPED: {"granularity": ["day"], "group_by": ["region"]},
    BY_YEAR: {"granularity": ["year"]},
    ONE_SERIES: {"granularity": ["day"], **ONE_CUSTOMER},
}


class Plan(NamedTuple):
    """How much is measured."""

    year: Load
    part_of_year: int  # days, for memory
    many: Load
    loop_sample: int  # series that the loop asks for, as each costs the same
    single: Load
    repetitions: int


FULL = Plan(Load(100, 365, 24), 182, Load(20_000, 7, 1), 2_000, Load(1, 365, 24), 3)
QUICK = Plan(Load(100, 60, 24), 30, Load(2_000, 7, 1), 250, Load(1, 365, 24), 1)


class Run(NamedTuple):
    """A way of reading the first days of a load, or of some of its series."""

    way: str
    load: Load

    def __str__(self) -> str:
        return f"{self.way}, {self.load}"

    @property
    def points(self) -> int:
        """How many points it reads."""
        points = {LISTING: 0, ONE_SERIES: self.load.days * self.load.hours, UNIT: 2 * self.load.points}
        return points.get(self.way, self.load.points)


@dataclass
class Read:
    """The figures of a run."""

    way: str
    load: str
    points: int
    cpu: float
    wall: float
    calls: int
    read_units: float
    peak_mb: float

    @property
    def cpu_us(self) -> float:
        return self.cpu / max(1, self.points) * 1e6


Reads = dict[Run, Read]


def runs_of(plan: Plan) -> dict[Load, list[Run]]:
    """Return what is measured of each load, the loop first."""
    year, many, single = plan.year, plan.many, plan.single
    part = year._replace(days=plan.part_of_year)
    return {
        year: [
            Run(LOOP, year),
            *(Run(way, year) for way in (BY_DAY, GROUPED, UNIT)),
            Run(BY_YEAR, part),
            Run(BY_YEAR, year),
        ],
        many: [
            Run(LOOP, many._replace(series=plan.loop_sample)),
            *(Run(way, many) for way in (GROUPED, ONE_SERIES, LISTING)),
        ],
        single: [Run(LOOP, single), Run(BY_DAY, single)],
    }


# --- the ways of reading, each in a process of its own ----------------------------------------------------------------


def query_loop(job: dict[str, Any]) -> dict[str, Any]:
    """Query the days of each series, one call after the other, with a client as boto3 makes it.

    The series need not be listed, and no value is looked at.
    """
    import boto3  # noqa: PLC0415  # not in the other processes

    client = boto3.client("dynamodb")
    load = Load(*job["load"])
    records = [one.record_id for one in load.each_series()]

    def points(record: str) -> int:
        arguments: dict[str, Any] = {
            "TableName": job["loop_table"],
            "KeyConditionExpression": "pk = :pk AND sk BETWEEN :first AND :last",
            "ExpressionAttributeValues": {
                ":pk": {"S": record},
                ":first": {"S": str(FIRST_DAY)},
                ":last": {"S": load.last_day},
            },
        }
        items = 0
        while True:
            answer = client.query(**arguments)
            items += len(answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return items * load.hours
            arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    points("warm-up")
    with measured(job) as figures:
        figures["points"] = sum(map(points, records))
    return figures


def reader_of(job: dict[str, Any]) -> Reader:
    """Return the function's own reader, with its settings of the garbage collector."""
    os.environ["METRICS_TABLE"] = job["table"]
    from views import app  # noqa: PLC0415  # not in the loop's process

    return app.tables()[1]


def read_view(job: dict[str, Any]) -> dict[str, Any]:
    """Ask for a view, as the function does; without HTTP."""
    reader = reader_of(job)
    asked = METRIC._asdict() | {"start_date": str(FIRST_DAY)}
    query = {name: [value] for name, value in asked.items()} | VIEWS[job["way"]]
    deadline = time.monotonic() + TIMEOUT_SECONDS
    reader.view(STREAM, view_question(query | {"end_date": [str(FIRST_DAY)]}), deadline)
    question = view_question(query | {"end_date": [Load(*job["load"]).last_day]})
    with profiled(job.get("profile")), measured(job) as figures:
        view = reader.view(STREAM, question, deadline)
    return figures | {"points": sum(cell.points for row in view.series for cell in row.data)}


def read_unit_metric(job: dict[str, Any]) -> dict[str, Any]:
    """Ask for one metric by region per all of another, as the function does; without HTTP."""
    reader = reader_of(job)
    asked = {"numerator": ":".join(METRIC), "denominator": ":".join(CUSTOMERS), "start_date": str(FIRST_DAY)}
    asked |= {"group_by": "region", "denominator_group_by": ""}
    query = {name: [value] for name, value in asked.items()}
    deadline = time.monotonic() + TIMEOUT_SECONDS
    reader.unit_metric(STREAM, unit_metric_question(query | {"end_date": [str(FIRST_DAY)]}), deadline)
    question = unit_metric_question(query | {"end_date": [Load(*job["load"]).last_day]})
    with profiled(job.get("profile")), measured(job) as figures:
        answer = reader.unit_metric(STREAM, question, deadline)
    return figures | {"points": answer.points}


def list_series(job: dict[str, Any]) -> dict[str, Any]:
    """List the series that pass the filter, page by page, as the function does; without HTTP."""
    reader = reader_of(job)
    deadline = time.monotonic() + TIMEOUT_SECONDS
    reader.series(STREAM, series_question(*METRIC, {}), deadline)
    listed = 0
    cursor: dict[str, list[str]] = {}
    with profiled(job.get("profile")), measured(job) as figures:
        while True:
            page = reader.series(STREAM, series_question(*METRIC, ONE_CUSTOMER | cursor), deadline)
            listed += len(page.items)
            if not page.next_cursor:
                break
            cursor = {"cursor": [page.next_cursor]}
    if listed != 1:
        raise SystemExit(f"{listed} series were listed")
    return figures | {"points": 0}


def main(job_path: str) -> None:
    job = json.loads(Path(job_path).read_text())
    figures = {LOOP: query_loop, LISTING: list_series, UNIT: read_unit_metric}.get(job["way"], read_view)(job)
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
) -> Reads:
    """Read what `plan` says, in each way in turns. Returns the medians by CPU.

    The processes find DynamoDB by `environment`; `home` is for their files, and `profile` for profiles, if any.
    Raises `ValueError` when not every point was read.
    """
    medians: Reads = {}
    for load, runs in runs_of(plan).items():
        job = {"table": new_table(), "loop_table": new_table()}
        sizes = fill(client, job["table"], items_of(load))
        if any(run.way == UNIT for run in runs):
            sizes |= fill(client, job["table"], items_of(load, CUSTOMERS))
        sizes |= fill(client, job["loop_table"], loop_items_of(load, runs[0].load.series))
        repeated: dict[Run, list[Read]] = defaultdict(list)
        for _ in range(plan.repetitions):
            for run in runs:
                repeated[run].append(_read(run, job, sizes, home, environment, profile=profile))
        for run, same in repeated.items():
            medians[run] = sorted(same, key=lambda read: read.cpu)[len(same) // 2]
        for table in job.values():
            client.delete_table(TableName=table)
    return medians


def _read(
    run: Run, job: dict[str, Any], sizes: Sizes, home: Path, environment: Mapping[str, str], *, profile: Path | None
) -> Read:
    calls, figures = home / "calls", home / "figures.json"
    job = job | {"way": run.way, "load": run.load} | {"calls": str(calls), "figures": str(figures)}
    if profile and run.way != LOOP:
        name = f"{run}.pstats"
        job["profile"] = str(profile / name.replace(" ", "-").replace(",", ""))
    path = home / "job.json"
    path.write_text(json.dumps(job))
    subprocess.run([sys.executable, __file__, str(path)], check=True, env={**os.environ, **environment})
    result = json.loads(figures.read_text())
    if result["points"] != run.points:
        raise ValueError(f"{run}: {result['points']:,} points were read")
    with calls.open("rb") as lines:
        count, units = units_of(lines, sizes)
    return Read(run.way, str(run.load), calls=count, read_units=units, **result)


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
                values = [sent["ExpressionAttributeValues"][name]["S"] for name in (":pk", ":first", ":last")]
                start = sent.get("ExclusiveStartKey", {}).get("sk", {}).get("S", "")
                queries[values[0], values[1], values[2]].append(start)
            case "BatchGetItem":
                for table in sent["RequestItems"].values():
                    read = (sizes.get(key["pk"]["S"], {}).get(key["sk"]["S"]) for key in table["Keys"])
                    units += sum(read_units(size, consistent=table.get("ConsistentRead", False)) for size in read)
            case operation:
                raise ValueError(operation)
    for (pk, first, last), starts in queries.items():
        inside = sorted((sk, size) for sk, size in sizes.get(pk, {}).items() if first <= sk <= last)
        starts.sort()
        for start, end in zip(starts, [*starts[1:], last], strict=True):
            read_now = sum(size for sk, size in inside if start < sk <= end)
            units += read_units(read_now, consistent=False)
    return calls, units


# --- the report -------------------------------------------------------------------------------------------------------


def figures_of(reads: Reads, plan: Plan) -> list[tuple[str, float, float]]:
    """Return what is wanted of reading: a figure each, and what it may be at most."""
    year, many, single = plan.year, plan.many, plan.single
    figures = []
    for run, most in ((Run(GROUPED, many), 0.06), (Run(BY_DAY, year), 0.15)):
        read, loop = reads[run], reads[runs_of(plan)[run.load][0]]
        scale = read.points / loop.points
        figures += [
            (f"{run}: CPU, against a loop of query calls", read.cpu / (loop.cpu * scale), most),
            # A day's sort key has the record ID in it: 30 bytes of 400.
            (f"{run}: read units, against the loop's", read.read_units / (loop.read_units * scale), 1.1),
            (f"{run}: seconds", read.wall, 10.0),
        ]
    listing = reads[Run(LISTING, many)]
    return [
        *figures,
        (f"{ONE_SERIES}, {many}: CPU, against the listing", reads[Run(ONE_SERIES, many)].cpu / listing.cpu, 1.2),
        (
            f"{Run(UNIT, year)}: CPU, against its two views",
            reads[Run(UNIT, year)].cpu / (reads[Run(GROUPED, year)].cpu + reads[Run(BY_DAY, year)].cpu),
            1.05,  # what is noise between two runs
        ),
        (f"{Run(BY_DAY, single)}: calls", reads[Run(BY_DAY, single)].calls, 3),
        (
            "views: peak memory of the process, MB",
            max(read.peak_mb for read in reads.values() if read.way in VIEWS),
            150,
        ),
    ]


HEAD = ("way of reading", "load", "points", "CPU ms", "CPU µs/pt", "ratio", "wall s", "RU", "calls", "peak MB")


def rows_of(reads: Reads, plan: Plan) -> list[tuple[str, ...]]:
    """Return the reads as rows of a table, in the order of `HEAD`."""
    rows: list[tuple[str, ...]] = []
    for loop, *others in runs_of(plan).values():
        loop_cpu = reads[loop].cpu_us
        for run in (loop, *others):
            read = reads[run]
            rows.append(
                (
                    run.way,
                    str(run.load),
                    f"{read.points:,}",
                    f"{read.cpu * 1e3:,.0f}",
                    f"{read.cpu_us:.2f}" if read.points else "",
                    f"{read.cpu_us / loop_cpu:.3f}" if read.points else "",
                    f"{read.wall:.2f}",
                    f"{read.read_units:,.1f}",
                    f"{read.calls:,}",
                    f"{read.peak_mb:.0f}",
                )
            )
    return rows


if __name__ == "__main__":
    main(sys.argv[1])
