"""`make bench`: what saving and reading cost, side by side with plain ways of doing it, on DynamoDB Local.

Reading is measured by `reads.py`.

To see where the CPU goes: `make bench PROFILE=1` leaves cProfile's figures of the handler in `.bench/{run}.pstats`, for
`.venv/bin/python -m pstats`; the figures in the table are then too high.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import emulator
import pytest
import support
from benchmarks import reads
from benchmarks.report import (
    FULL,
    HOURS_A_SERIES,
    LOADS,
    QUICK,
    Pair,
    Plan,
    Results,
    Run,
    Shape,
    report,
    shapes_of,
    targets_of,
)
from benchmarks.units import Calls, Snapshot, Stored, item_size

from unitstream.identity import record_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

RESULTS = support.REPOSITORY / ".bench"
MEASURED = Path(__file__).with_name("measured.py")

WAYS = ("handler", "update_item", "batch_writer")
STREAM, TOKEN = "bench", "ds_bench"
WARM_UP_STREAM, WARM_UP_TOKEN = "warm-up", "ds_warm-up"
WARM_UP_POINTS = 1_000
FIRST_RECEIVED_AT = 1_665_000_000_000
METRIC = "gigabytes"

START_HANDLER = "from ingest import app; app.tables()"
START_BOTO3 = "import boto3; boto3.client('dynamodb')"

Point = dict[str, Any]


class Wrong(Exception):
    """Something went wrong, so that the figures mean nothing."""


# --- points -----------------------------------------------------------------------------------------------------------


def points_of(shape: Shape, load: str) -> list[Point]:
    """Return the points of a load: as a backfill a week of hours of each series, as a snapshot one hour of many."""
    hours = HOURS_A_SERIES if shape.kind == "backfill" else 1
    start = datetime(2022, 10, 1, tzinfo=UTC)
    numbers = random.Random(str(shape))  # noqa: S311  # reproducible, on purpose
    correction = LOADS.index(load)
    return [
        support.point(
            f"{start + timedelta(hours=index % hours):%Y-%m-%d %H:%M:%S}",
            round(numbers.uniform(1, 10_000), 2) + correction,
            METRIC,
            {"customer": f"c-{index // hours:06}", "region": "eu-1"},
        )
        for index in range(shape.points)
    ]


def row(point: Point) -> tuple[str, str, float]:
    """Return a point as the baselines save it: an item a point, under the record and the hour."""
    pk = f"{STREAM}#{record_id(point['metric_name'], 'Sum', point['custom_dimensions'])}"
    return pk, point["timestamp"], point["metric_value"]


# --- running ----------------------------------------------------------------------------------------------------------


class Bench:
    """Runs what `measured.py` measures, on fresh tables."""

    def __init__(self, endpoint: str, plan: Plan, home: Path, *, profile: bool) -> None:
        self._client: DynamoDBClient = support.local_client(endpoint)
        self._plan = plan
        self._home = home
        self._profile = profile
        self._tables = 0
        self._environment = os.environ | {
            "AWS_ENDPOINT_URL": endpoint,
            "STREAMS_TABLE": "streams",
            "MAX_SERIES_PER_METRIC": "100000",
            "POWERTOOLS_LOG_LEVEL": "WARNING",
            "POWERTOOLS_SERVICE_NAME": "unitstream",
        }
        support.create_table(self._client, "StreamsTable", "streams")
        support.create_stream(self._client, "streams", TOKEN, STREAM)
        support.create_stream(self._client, "streams", WARM_UP_TOKEN, WARM_UP_STREAM)

    def shape(self, shape: Shape) -> Iterator[Run]:
        """Save the points of `shape` in each way, in a table of its own: new ones, then other values. Delete them."""
        tables = {way: self._table() for way in WAYS}
        before: dict[str, Snapshot] = {way: {} for way in WAYS}
        for load in LOADS:
            points = points_of(shape, load)
            job = self._job(points, FIRST_RECEIVED_AT + LOADS.index(load))
            deletes = load == LOADS[-1]
            if deletes:
                job |= {"event": self._deletion(points, job["received_at"]), "deletes": True}
            for way in WAYS:
                expected = shape.points if way == "handler" else min(self._plan.sample, shape.points)
                one = job | {"way": way, "table": tables[way], "rows": self._rows(points[:expected])}
                if self._profile and way == "handler":
                    one["profile"] = str(RESULTS / f"{shape} {load}.pstats".replace(" ", "-").replace(",", ""))
                figures, calls = self._run(one)
                if way == "handler":
                    check_answer(figures, load, expected)
                after, stored = self._scan(tables[way])
                if stored != (0 if deletes else expected):
                    raise Wrong(f"{shape}, {load}, {way}: {stored} of {expected} points are stored")
                write_units, read_units = calls.units(before[way], after)
                before[way] = after
                yield Run(
                    shape=str(shape),
                    load=load,
                    way=way,
                    points=expected,
                    cpu=figures["cpu"],
                    wall=figures["wall"],
                    write_units=write_units,
                    read_units=read_units,
                    calls=dict(calls.by_operation),
                    statuses=figures.get("statuses", []),
                    peak_mb=figures["peak_mb"],
                )
        for table in tables.values():
            self._client.delete_table(TableName=table)

    def one_point(self) -> list[Pair]:
        """Return the CPU of requests with one point and of bare put_items."""
        job = self._job(points_of(Shape("one point", 1), LOADS[0]), FIRST_RECEIVED_AT)
        job |= {"way": "one_point", "table": self._table(), "repetitions": self._plan.one_point_repetitions}
        figures, _ = self._run(job)
        return [Pair(*pair) for pair in figures["pairs"]]

    def starts(self) -> list[Pair]:
        """Return the CPU of what a cold start imports and creates, of what is deployed and of boto3 by itself.

        Both in what stands for Lambda's runtime, whose boto3 has its bytecode too.
        """
        try:
            built = emulator.build(emulator.find_environment(), self._home / "build")["IngestFunction"]
        except pytest.skip.Exception as exc:
            say(f"not measured: {exc}")
            return []

        variables = built.environment(StreamsTable="streams", MetricsTable="metrics")

        def cpu(code: str) -> float:
            timed = f"import time; start = time.process_time(); {code}; print(time.process_time() - start)"
            command = [str(built.python), "-c", timed]
            # On Lambda as here, the function's folder comes before the layer.
            done = subprocess.run(command, cwd=built.function, env=variables, check=True, stdout=subprocess.PIPE)
            return float(done.stdout)

        pairs = [Pair(cpu(START_HANDLER), cpu(START_BOTO3)) for _ in range(self._plan.start_repetitions + 1)]
        return pairs[1:]  # the first read the files from the disk

    def reads(self) -> reads.Reads:
        """Return what reading costs."""
        return reads.measure(
            client=self._client,
            new_table=self._table,
            plan=self._plan.reads,
            home=self._home,
            environment=self._environment,
            profile=RESULTS if self._profile else None,
        )

    def _job(self, points: Sequence[Point], received_at: int) -> dict[str, Any]:
        return {
            "received_at": received_at,
            "event": self._event(points, TOKEN, received_at),
            # as many points for another stream, and a question about the measured one, whose token is known after it
            "warm_up": [
                self._event(points[:WARM_UP_POINTS], WARM_UP_TOKEN, received_at),
                self._event(points[:1], TOKEN, received_at, dry_run=True),
            ],
            "calls": str(self._home / "calls"),
            "figures": str(self._home / "figures.json"),
        }

    def _event(self, points: Sequence[Point], token: str, received_at: int, *, dry_run: bool = False) -> str:
        event = support.proxy_event(support.request_body(list(points), token), received_at)
        if dry_run:
            event |= {
                "queryStringParameters": {"dry_run": "true"},
                "multiValueQueryStringParameters": {"dry_run": ["true"]},
            }
        return self._write(f"event-{token}-{dry_run}.json", event)

    def _deletion(self, points: Sequence[Point], received_at: int) -> str:
        days = sorted({point["timestamp"][:10] for point in points})
        parameters = {"metric_name": METRIC, "metric_agg_func": "Sum", "start_date": days[0], "end_date": days[-1]}
        lists = {name: [value] for name, value in parameters.items()}
        return self._write("deletion.json", support.delete_event(TOKEN, received_at, **lists))

    def _rows(self, points: Sequence[Point]) -> str:
        return self._write("rows.json", [row(point) for point in points])

    def _write(self, name: str, document: object) -> str:
        path = self._home / name
        path.write_text(json.dumps(document))
        return str(path)

    def _run(self, job: dict[str, Any]) -> tuple[dict[str, Any], Calls]:
        calls = Path(job["calls"])
        calls.write_bytes(b"")
        self._python(str(MEASURED), self._write("job.json", job), table=job["table"])
        figures: dict[str, Any] = json.loads(Path(job["figures"]).read_text())
        with calls.open("rb") as lines:
            return figures, Calls.from_wire(lines)

    def _python(self, *arguments: str, table: str) -> None:
        """Run Python to its end, with what it prints not on the terminal: the handler prints its metrics."""
        with (self._home / "stdout").open("w+") as stdout:
            done = subprocess.run(
                [sys.executable, *arguments],
                check=False,
                env=self._environment | {"METRICS_TABLE": table},
                stdout=stdout,
            )
            stdout.seek(0)
            printed = stdout.read()
        if done.returncode:
            raise Wrong(f"a measured process ended with {done.returncode}: {printed[-1000:]}")

    def _table(self) -> str:
        self._tables += 1
        name = f"metrics-{self._tables}"
        support.create_table(self._client, "MetricsTable", name)
        return name

    def _scan(self, table: str) -> tuple[Snapshot, int]:
        """Return what the benchmark's stream has in a table, and how many points these are."""
        snapshot: Snapshot = {}
        points = 0
        for page in self._client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
            for item in page["Items"]:
                key = (item["pk"]["S"], item["sk"]["S"])
                if key[0].startswith(f"{STREAM}#"):
                    snapshot[key] = Stored(item_size(item), hash(repr(sorted(item.items()))))
                    points += sum(name[0] == "v" for name in item)
        return snapshot, points


def check_answer(figures: dict[str, Any], load: str, points: int) -> None:
    *others, last = figures["statuses"]
    counts = figures["counts"]
    if last not in {200, 201} or set(others) - {503}:
        raise Wrong(f"the handler answered {figures['statuses']}: {counts}")
    if load == LOADS[-1]:
        if not others and counts["deleted"] != points:
            raise Wrong(f"the counts are off: {counts}")
        return
    outcome = "created" if load == LOADS[0] else "updated"
    settled = sum(counts[name] for name in ("created", "updated", "unchanged", "superseded"))
    if counts["received"] != points or settled != points or (not others and counts[outcome] != points):
        raise Wrong(f"the counts are off: {counts}")


def middle(runs: Sequence[Run]) -> Run:
    """Return the run with the median CPU."""
    return sorted(runs, key=lambda run: run.cpu)[len(runs) // 2]


def say(text: str = "") -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def measure(plan: Plan, *, profile: bool) -> Results:
    with support.dynamodb_local() as endpoint, tempfile.TemporaryDirectory() as home:
        bench = Bench(endpoint, plan, Path(home), profile=profile)
        say("start")
        starts = bench.starts()
        say("one warm point")
        one_point = bench.one_point()
        runs: list[Run] = []
        small, large = zip(*shapes_of(plan).values(), strict=True)
        for shape in (Shape("one point", 1), *small, *large):
            say(str(shape))
            repetitions = plan.small_repetitions if shape.points <= plan.small else plan.large_repetitions
            repeated = [list(bench.shape(shape)) for _ in range(repetitions)]
            runs += [middle(same) for same in zip(*repeated, strict=True)]
        say("reading")
        return Results(runs, one_point, starts, bench.reads())


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what saving and reading points cost.")
    parser.add_argument("--quick", action="store_true", help="smaller shapes, within a minute")
    parser.add_argument("--profile", action="store_true", help="leave cProfile's figures of the handler in .bench")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else FULL
    RESULTS.mkdir(exist_ok=True)
    support.forget_this_machine()

    started = time.monotonic()
    try:
        results = measure(plan, profile=arguments.profile)
    except (Wrong, ValueError) as exc:
        raise SystemExit(f"bench: {exc}") from exc
    except pytest.skip.Exception as exc:
        raise SystemExit(f"bench: {exc}") from exc
    targets = targets_of(results, plan)
    seconds = round(time.monotonic() - started, 1)
    document = {
        "quick": arguments.quick,
        "profiled": arguments.profile,
        "seconds": seconds,
        "python": platform.python_version(),
        "boto3": version("boto3"),
        "plan": asdict(plan),
        "runs": [asdict(run) for run in results.runs],
        "one_point": results.one_point,
        "starts": results.starts,
        "reads": [asdict(read) for read in results.reads.values()],
        "targets": [asdict(target) for target in targets],
    }
    (RESULTS / "results.json").write_text(json.dumps(document, indent=1))

    say()
    for line in report(results, targets, plan):
        say(line)
    say()
    missed = sum(not target.met for target in targets)
    say(f"{len(targets) - missed} of {len(targets)} targets met, in {seconds:.0f} s; see .bench/results.json")
    if arguments.quick:
        say("This was QUICK: small shapes and few repetitions. The targets are those of the full run.")
    if arguments.profile:
        say("This was PROFILE: the handler's figures are too high.")


if __name__ == "__main__":
    main()
