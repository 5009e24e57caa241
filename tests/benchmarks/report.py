"""The figures of `make bench`: what they are, what they should be, and how they are printed."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from benchmarks import reads

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LOADS = ("first load", "overwrite", "deletion")
HOURS_A_SERIES = 168

Kind = Literal["one point", "backfill", "snapshot"]


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    large: int
    large_repetitions: int
    small: int
    small_repetitions: int
    sample: int  # points of the ways whose cost a point is the same for any number of them
    start_repetitions: int
    one_point_repetitions: int
    reads: reads.Plan


FULL = Plan(40_000, 3, 1_000, 5, 2_000, 15, 600, reads.FULL)
QUICK = Plan(4_000, 1, 1_000, 1, 250, 5, 200, reads.QUICK)


class Shape(NamedTuple):
    kind: Kind
    points: int

    def __str__(self) -> str:
        return "one point" if self.points == 1 else f"{self.kind} {self.points:,}"


def shapes_of(plan: Plan) -> dict[Kind, tuple[Shape, Shape]]:
    """Return a small and a large request of each kind. Whole series for the backfill: 238 of 168 hours are 39,984."""
    return {
        "backfill": (
            Shape("backfill", plan.small),
            Shape("backfill", plan.large // HOURS_A_SERIES * HOURS_A_SERIES),
        ),
        "snapshot": (Shape("snapshot", plan.small), Shape("snapshot", plan.large)),
    }


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


class Pair(NamedTuple):
    """Two CPU times that were measured right after each other, in seconds."""

    ours: float
    plain: float

    @property
    def ratio(self) -> float:
        return self.ours / self.plain


@dataclass
class Results:
    """What was measured. Where this machine builds nothing for Lambda, there are no `starts`."""

    runs: list[Run]
    one_point: list[Pair]
    starts: list[Pair]
    reads: reads.Reads


@dataclass
class Target:
    """A figure, and what it should be."""

    what: str
    figure: float
    target: float
    at_least: bool = False
    met: bool = field(init=False)

    def __post_init__(self) -> None:
        self.met = self.figure >= self.target if self.at_least else self.figure <= self.target


def targets_of(results: Results, plan: Plan) -> list[Target]:
    cpu = {(run.shape, run.load, run.way): run.cpu_us for run in results.runs}
    targets = []
    wanted: Sequence[tuple[Kind, str, float]] = (
        ("backfill", "first load", 80),
        ("backfill", "overwrite", 80),
        ("snapshot", "first load", 6),
        ("snapshot", "overwrite", 10),
        ("backfill", "deletion", 40),
    )
    for kind, load, least in wanted:
        small, large = map(str, shapes_of(plan)[kind])
        ours = cpu[large, load, "handler"]
        times = cpu[large, load, "update_item"] / ours
        targets += [
            Target(f"{large}, {load}: times less CPU than UpdateItem a point", times, least, at_least=True),
            Target(
                f"{large}, {load}: CPU a point, against {plan.small:,} points", ours / cpu[small, load, "handler"], 1.2
            ),
        ]
    peak = max(run.peak_mb for run in results.runs if run.way == "handler")
    targets += [
        Target("one warm point: CPU, against one bare put_item", ratio(results.one_point), 2.4),
        Target("largest request: peak memory of the process, MB", peak, 200),
        *(Target(*figure) for figure in reads.figures_of(results.reads, plan.reads)),
    ]
    if results.starts:
        targets.append(Target("start, as built: CPU, against boto3 with a client", ratio(results.starts), 1.3))
    return targets


def ratio(pairs: Sequence[Pair]) -> float:
    return statistics.median(pair.ratio for pair in pairs)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Align: text to the left, figures to the right."""
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    text = {index for index, column in enumerate(columns) if any(cell[:1].isalpha() for cell in column[1:])}
    for cells in (head, ["-" * width for width in widths], *rows):
        yield "  ".join(
            cell.ljust(width) if column in text else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()


def report(results: Results, targets: Sequence[Target], plan: Plan) -> Iterator[str]:
    head = ("shape", "load", "way", "points", "CPU µs/pt", "ratio", "wall µs/pt", "WU/pt", "RU/pt", "calls", "peak MB")
    yield from table(head, list(_rows_of(results.runs)))
    yield ""
    yield "ratio: CPU a point against the handler's. CPU is that of the client's process, all its threads."
    yield "The handler gets JSON; the others get their points checked and hashed beforehand, and of these a sample of"
    yield f"up to {plan.sample:,}: their cost a point is the same for any number."
    yield "WU, RU: write and read units by DynamoDB's documented rules, from the items and the calls (the local"
    yield "engine's own figures break them). Reads may be stale, at half a unit an item. On demand, a read unit costs a"
    yield "fifth of a write unit."
    for run in results.runs:
        if run.statuses[:-1]:
            yield f"{run.shape}, {run.load}: answered {run.statuses}; the figures are of all these requests."
    yield _both("one warm point", results.one_point, "bare put_item")
    if results.starts:
        yield _both("start, as built", results.starts, "boto3 with a client")
    yield ""
    yield from table(reads.HEAD, reads.rows_of(results.reads, plan.reads))
    yield ""
    yield "Reading is measured without HTTP. ratio: CPU a point against the loop's, one query a series, which looks at"
    yield f"no value. Of {plan.reads.many.series:,} series it asks for {plan.reads.loop_sample:,}: each costs the same."
    yield ""
    yield from table(
        ("target", "figure", "wanted", "met"),
        [
            (
                target.what,
                f"{target.figure:.3g}",
                f"{'≥' if target.at_least else '≤'} {target.target:g}",
                "yes" if target.met else "NO",
            )
            for target in targets
        ],
    )


def _rows_of(runs: Sequence[Run]) -> Iterator[Sequence[str]]:
    ours = {(run.shape, run.load): run.cpu_us for run in runs if run.way == "handler"}
    for run in runs:
        yield (
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


def _both(what: str, pairs: Sequence[Pair], plain: str) -> str:
    ours, others = (statistics.median(column) * 1e3 for column in zip(*pairs, strict=True))
    return f"{what}: {ours:,.2f} ms of CPU, {plain}: {others:,.2f} ms"
