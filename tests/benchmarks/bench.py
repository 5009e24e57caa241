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
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import emulator
import pytest
import support
from benchmarks import reads
from benchmarks.units import Calls, Snapshot, Stored, item_size

from unitstream.identity import record_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

RESULTS = support.REPOSITORY / ".bench"
MEASURED = Path(__file__).with_name("measured.py")

WAYS = ("handler", "update_item", "batch_writer")
LOADS = ("first load", "overwrite")
STREAM, TOKEN = "bench", "ds_bench"
WARM_UP_STREAM, WARM_UP_TOKEN = "warm-up", "ds_warm-up"
WARM_UP_POINTS = 1_000
FIRST_RECEIVED_AT = 1_665_000_000_000
HOURS_A_SERIES = 168
METRIC = "gigabytes"

IMPORT_HANDLER = "from ingest import app; app.tables()"
IMPORT_BOTO3 = "import boto3; boto3.client('dynamodb')"

Point = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    large: int
    small: int
    small_repetitions: int
    sample: int  # points of the way whose cost a point is the same for any number of them
    import_pairs: int
    one_point_repetitions: int
    reads: reads.Plan


FULL = Plan(40_000, 1_000, 5, 2_000, 15, 600, reads.FULL)
QUICK = Plan(4_000, 1_000, 1, 250, 5, 200, reads.QUICK)


class Shape(NamedTuple):
    kind: Literal["one point", "backfill", "snapshot"]
    points: int

    def __str__(self) -> str:
        return "one point" if self.points == 1 else f"{self.kind} {self.points:,}"


@dataclass
class Run:
    """The figures of one way of saving one load."""

    shape: str
    load: str
    way: str
    points: int
    cpu: float
    wall: float
    write_units: float
    read_units: float
    calls: dict[str, int]
    statuses: list[int]
    peak_mb: float

    @property
    def cpu_us(self) -> float:
        return self.cpu / self.points * 1e6


@dataclass
class Target:
    """A figure, and what it should be."""

    what: str
    figure: float
    target: float
    at_least: bool = False
    unit: str = ""
    met: bool = field(init=False)

    def __post_init__(self) -> None:
        self.met = self.figure >= self.target if self.at_least else self.figure <= self.target


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
            "POWERTOOLS_LOG_LEVEL": "WARNING",
            "POWERTOOLS_SERVICE_NAME": "unitstream",
        }
        support.create_table(self._client, "StreamsTable", "streams")
        support.create_stream(self._client, "streams", TOKEN, STREAM)
        support.create_stream(self._client, "streams", WARM_UP_TOKEN, WARM_UP_STREAM)

    def shape(self, shape: Shape) -> Iterator[Run]:
        """Save the points of `shape` in each way, into a table of its own: first new ones, then other values."""
        tables = {way: self._table() for way in WAYS}
        before: dict[str, Snapshot] = {way: {} for way in WAYS}
        for load in LOADS:
            points = points_of(shape, load)
            job = self._job(points, FIRST_RECEIVED_AT + LOADS.index(load))
            for way in WAYS:
                expected = self._plan.sample if way == "update_item" else shape.points
                expected = min(expected, shape.points)
                one = job | {"way": way, "table": tables[way], "rows": self._rows(points[:expected])}
                if self._profile and way == "handler":
                    one["profile"] = str(RESULTS / f"{shape} {load}.pstats".replace(" ", "-").replace(",", ""))
                figures, calls = self._run(one)
                if way == "handler":
                    check_answer(figures, load, expected)
                after, stored = self._scan(tables[way])
                if stored != expected:
                    raise Wrong(f"{shape}, {load}, {way}: {stored} points are stored instead of {expected}")
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

    def one_point(self) -> dict[str, list[float]]:
        """Return the CPU of requests with one point and of bare put_items, in µs, in turns."""
        job = self._job(points_of(Shape("one point", 1), LOADS[0]), FIRST_RECEIVED_AT)
        job |= {"way": "one_point", "table": self._table(), "repetitions": self._plan.one_point_repetitions}
        figures, _ = self._run(job)
        return figures

    def imports(self) -> list[tuple[float, float]]:
        """Return the CPU of what a cold start imports and creates, as built, and of boto3 by itself, in turns."""
        artefact = emulator.build(emulator.find_environment(), self._home / "build")["IngestFunction"]
        environment = artefact.environment(StreamsTable="streams", MetricsTable="metrics")

        def cpu(code: str) -> float:
            timed = f"import time; start = time.process_time(); {code}; print(time.process_time() - start)"
            command = [str(artefact.python), "-c", timed]
            run = subprocess.run(
                command, cwd=artefact.function, env=environment, stdout=subprocess.PIPE, text=True, check=True
            )
            return float(run.stdout)

        return [(cpu(IMPORT_HANDLER), cpu(IMPORT_BOTO3)) for _ in range(self._plan.import_pairs)]

    def reads(self) -> list[reads.Read]:
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
    if last != 201 or set(others) - {503}:
        raise Wrong(f"the handler answered {figures['statuses']}: {counts}")
    outcome = "created" if load == LOADS[0] else "updated"
    settled = sum(counts[name] for name in ("created", "updated", "unchanged", "superseded"))
    if counts["received"] != points or settled != points or (not others and counts[outcome] != points):
        raise Wrong(f"the counts are off: {counts}")


def middle(runs: Sequence[Run]) -> Run:
    """Return the run with the median CPU."""
    return sorted(runs, key=lambda run: run.cpu)[len(runs) // 2]


# --- the report -------------------------------------------------------------------------------------------------------


def targets_of(
    runs: Sequence[Run],
    plan: Plan,
    one: dict[str, list[float]],
    imports: list[tuple[float, float]],
    read: list[reads.Read],
) -> list[Target]:
    cpu = {(run.shape, run.load, run.way): run.cpu_us for run in runs}
    small = {kind: str(Shape(kind, plan.small)) for kind in ("backfill", "snapshot")}
    large = {str(shape).split()[0]: str(shape) for shape in large_shapes(plan)}
    targets = [
        Target(
            f"{large[kind]}, {load}: times less CPU than UpdateItem a point",
            cpu[large[kind], load, "update_item"] / cpu[large[kind], load, "handler"],
            wanted,
            at_least=True,
        )
        for kind, wanted in (("backfill", 35), ("snapshot", 7))
        for load in LOADS
    ]
    targets += [
        Target(
            f"{large[kind]}, {load}: CPU a point, against {plan.small:,} points",
            cpu[large[kind], load, "handler"] / cpu[small[kind], load, "handler"],
            1.2,
        )
        for kind in ("backfill", "snapshot")
        for load in LOADS
    ]
    pairs = zip(one["handler_us"], one["put_item_us"], strict=True)
    peak = max(run.peak_mb for run in runs if run.way == "handler")
    return [
        *targets,
        Target("one warm point: CPU, against one bare put_item", statistics.median(a / b for a, b in pairs), 3),
        Target("start, as built: CPU, against boto3 with a client", statistics.median(a / b for a, b in imports), 1.3),
        Target("largest request: peak memory of the process, MB", peak, 320),
        *(Target(*figure) for figure in reads.figures_of(read)),
    ]


def large_shapes(plan: Plan) -> tuple[Shape, Shape]:
    """Whole series for the backfill: 238 of 168 hours are 39,984 points."""
    return Shape("backfill", plan.large // HOURS_A_SERIES * HOURS_A_SERIES), Shape("snapshot", plan.large)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Align: text to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for cells in (head, ["-" * width for width in widths], *rows):
        yield "  ".join(
            cell.ljust(width) if rows[0][column][:1].isalpha() else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()


def report(
    runs: Sequence[Run],
    targets: Sequence[Target],
    plan: Plan,
    one: dict[str, list[float]],
    imports: list[tuple[float, float]],
    *,
    read: list[reads.Read],
) -> Iterator[str]:
    ours = {(run.shape, run.load): run.cpu_us for run in runs if run.way == "handler"}
    head = ("shape", "load", "way", "points", "CPU µs/pt", "ratio", "wall µs/pt", "WU/pt", "RU/pt", "calls", "peak MB")
    yield from table(
        head,
        [
            (
                run.shape,
                run.load,
                run.way,
                f"{run.points:,}",
                f"{run.cpu_us:,.1f}",
                f"{run.cpu_us / ours[run.shape, run.load]:.2f}",
                f"{run.wall / run.points * 1e6:,.1f}",
                f"{run.write_units / run.points:.3f}",
                f"{run.read_units / run.points:.3f}",
                f"{sum(run.calls.values()):,}",
                f"{run.peak_mb:.0f}" if run.way == "handler" else "",
            )
            for run in runs
        ],
    )
    yield ""
    yield "ratio: CPU a point against the handler's. CPU is that of the client's process, all its threads."
    yield "The handler gets JSON; the others get their points checked and hashed beforehand."
    yield f"update_item runs on a sample of up to {plan.sample:,} points: its cost a point is the same for any number."
    yield "WU, RU: write and read units by DynamoDB's documented rules, from the items and the calls (the local"
    yield "engine's own figures break them). Reads may be stale, at half a unit an item. On demand, a read unit costs a"
    yield "fifth of a write unit."
    for run in runs:
        if run.statuses[:-1]:
            yield f"{run.shape}, {run.load}: answered {run.statuses}; the figures are of all these requests."
    yield (
        f"one warm point: {statistics.median(one['handler_us']):,.0f} µs of CPU, "
        f"bare put_item: {statistics.median(one['put_item_us']):,.0f} µs"
    )
    yield (
        f"start: {statistics.median(a for a, _ in imports) * 1e3:,.0f} ms of CPU, "
        f"boto3 with a client: {statistics.median(b for _, b in imports) * 1e3:,.0f} ms"
    )
    yield ""
    yield from table(reads.HEAD, reads.rows_of(read))
    yield ""
    yield "Reading is measured without HTTP. ratio: CPU a point against the loop's, which looks at no value."
    yield ""
    yield from table(
        ("target", "figure", "wanted", "met"),
        [
            (
                target.what,
                f"{target.figure:.2f}",
                f"{'≥' if target.at_least else '≤'} {target.target:g}",
                "yes" if target.met else "NO",
            )
            for target in targets
        ],
    )


def say(text: str = "") -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def measure(
    plan: Plan, *, profile: bool
) -> tuple[list[Run], dict[str, list[float]], list[tuple[float, float]], list[reads.Read]]:
    with support.dynamodb_local() as endpoint, tempfile.TemporaryDirectory() as home:
        bench = Bench(endpoint, plan, Path(home), profile=profile)
        say("start: imports")
        imports = bench.imports()
        say("one warm point")
        one = bench.one_point()
        runs: list[Run] = []
        shapes = [Shape("one point", 1), Shape("backfill", plan.small), Shape("snapshot", plan.small)]
        for shape in (*shapes, *large_shapes(plan)):
            say(str(shape))
            repetitions = plan.small_repetitions if shape.points <= plan.small else 1
            repeated = [list(bench.shape(shape)) for _ in range(repetitions)]
            runs += [middle(same) for same in zip(*repeated, strict=True)]
        say("reading")
        return runs, one, imports, bench.reads()


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
        runs, one, imports, read = measure(plan, profile=arguments.profile)
    except (Wrong, ValueError) as exc:
        raise SystemExit(f"bench: {exc}") from exc
    except pytest.skip.Exception as exc:
        raise SystemExit(f"bench: {exc}") from exc
    targets = targets_of(runs, plan, one, imports, read)
    results = {
        "quick": arguments.quick,
        "profiled": arguments.profile,
        "seconds": round(time.monotonic() - started, 1),
        "python": platform.python_version(),
        "boto3": version("boto3"),
        "plan": asdict(plan),
        "runs": [asdict(run) for run in runs],
        "one_point": one,
        "imports": imports,
        "reads": [asdict(one_read) for one_read in read],
        "targets": [asdict(target) for target in targets],
    }
    (RESULTS / "results.json").write_text(json.dumps(results, indent=1))

    say()
    for line in report(runs, targets, plan, one, imports, read=read):
        say(line)
    say()
    missed = sum(not target.met for target in targets)
    say(
        f"{len(targets) - missed} of {len(targets)} targets met, in {results['seconds']:.0f} s; see .bench/results.json"
    )
    if arguments.quick:
        say("This was QUICK: small shapes and few repetitions. The targets are those of the full run.")
    if arguments.profile:
        say("This was PROFILE: the handler's figures are too high.")


if __name__ == "__main__":
    main()
