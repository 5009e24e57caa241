"""What a push asks before it sends anything: whether what it is to do is likely a mistake.

It asks with a dry run of a sample, which needs no more than the right to write; what is to be replaced is counted.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from unitstream_cli.answers import Refused
from unitstream_cli.api import Api, Exchange
from unitstream_cli.console import can_ask, counted, points_of_series, printable, say, written
from unitstream_cli.deletes.deleting import added, span
from unitstream_cli.errors import BadInput
from unitstream_cli.push.batches import drawn_from
from unitstream_cli.push.sending import Sender, changes_of, index_of
from unitstream_cli.push.summary import shown_change, with_places

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from rich.progress import Progress

    from unitstream.identity import Metric
    from unitstream_cli.answers import Ingested
    from unitstream_cli.deletes.deleting import Preview, Selection
    from unitstream_cli.push.batches import Batch
    from unitstream_cli.push.checking import Reading
    from unitstream_cli.push.sending import Change
    from unitstream_cli.push.sending_options import CheckOptions
    from unitstream_cli.push.spool import Sample
    from unitstream_cli.settings import Service

SAMPLED_POINTS = 2_000
# So many can be deleted without a question.
FEW_POINTS = 100
_SHOWN = 5
# So few large changes may be meant so.
_FEW = 10


@dataclass(frozen=True)
class Probe:
    """Asks the service what would become of a few points of what was read."""

    to: Service
    agg_func: str
    reading: Reading
    give_up_after: float
    progress: Progress

    def ask(self, batch: Batch) -> tuple[Ingested, list[dict[str, Any]]]:
        """Return the answer to a dry run, and its notices. Raises what a request raises."""
        exchange, task = Exchange(), self.progress.add_task("Looking", total=None, notice="", speed="")
        api = Api(
            self.to,
            stop=Event(),
            give_up_after=self.give_up_after,
            notice=lambda reason: self.progress.update(task, notice=reason),
        )
        with contextlib.closing(api):
            try:
                answer = Sender(api, self.to.token, self.agg_func, parallel=1, dry_run=True).deliver(batch, exchange)
            except Refused as exc:
                raise with_places(exc, batch, self.reading) from exc
        self.progress.remove_task(task)
        return answer, exchange.notices


class Ahead(NamedTuple):
    """Some of the values that a push changes, and how many it changes by a factor of 100 or more.

    `at_least`: not all points were looked at. `let_through`: these are most, and somebody said that it is meant so.
    """

    changes: list[Change]
    large_changes: int
    at_least: bool
    let_through: bool


def look_ahead(probe: Probe, checks: CheckOptions, replaced: list[Selection]) -> Ahead:
    """Return what a sample tells of the push. Raises `BadInput` when a mistake is likely, and else what `ask` does."""
    sample = probe.reading.spool.sample(SAMPLED_POINTS)
    answer, notices = probe.ask(sample.batch)
    changes = changes_of(answer, sample.batch)
    filtered = any(selection.filters for selection in replaced)
    # Without a filter, nothing stays that has other dimensions.
    if not checks.new_dimensions and (filtered or not replaced):
        _check_dimensions(probe, sample, notices, filtered=filtered)
    large = _are_large(answer, sample)
    if large and not (checks.large_changes or checks.yes):
        _ask_about_changes(answer, sample, changes, probe.progress)
    return Ahead(changes, answer.large_changes, sample.batch.points < probe.reading.points, large)


def deleted_since(probe: Probe, confirmed: Collection[str]) -> bool:
    """Whether points of batches that an earlier push saved are not there any more, as far as a sample tells."""
    batch = drawn_from(probe.reading.spool.batches(), confirmed, SAMPLED_POINTS)
    return batch is not None and probe.ask(batch)[0].counts.created > 0


def ask_about_deletion(there: Mapping[Metric, Preview], points: int, progress: Progress) -> None:
    """Ask where the files have at most a third as many points as are there to be replaced, if these are not few."""
    found = added(there.values()).points
    if found - points < FEW_POINTS or 3 * points > found:
        return
    _ask(
        f"the files have {counted(points, 'point')}, and {found:,} are there to be replaced, {span(there)}: at least "
        f"{found - points:,} would be deleted, and do not come back by themselves.",
        "Do the files have all their rows and the right dates, and does --replace-filter keep what others have sent? "
        "If that is meant so, --yes sends them.",
        progress,
    )


def _check_dimensions(probe: Probe, sample: Sample, notices: list[dict[str, Any]], *, filtered: bool) -> None:
    new = [notice for notice in notices if notice["code"] == "new_dimension_keys"]
    if not new:
        return
    points, told = sample.batch.listed(), []
    for notice in new[:_SHOWN]:
        point = points[index_of(notice["pointer"])]
        part = probe.reading.spool.part(point["metric_name"], point["custom_dimensions"])
        total = f", together {written(part.total)}" if probe.agg_func == "Sum" else ""
        told.append(
            f"{printable(notice['detail'])}. They are {points_of_series(part.points, part.series)}, "
            f"from {part.days[0]} to {part.days[1]}{total}."
        )
    if len(new) > _SHOWN:
        told.append(f"So it is with {len(new) - _SHOWN:,} more sets of dimensions.")
    if filtered:
        hint = (
            "If they are something else, or what they replace passes --replace-filter, --new-dimensions sends them. If "
            "they were sent before: --ignore COLUMN leaves a dimension out, as it was."
        )
    else:
        hint = (
            "If they are something else, --new-dimensions sends them. If they were sent before: --ignore COLUMN leaves "
            "a dimension out, as it was; or put them in place of what is there, with --replace or `unitstream delete`."
        )
    raise BadInput("\n".join([*told, "Nothing was sent."]), hint)


def _are_large(answer: Ingested, sample: Sample) -> bool:
    """Whether most of the points that were drawn change by a factor of 100 or more, even if all added ones do.

    Or most of those that have a value so far: many new points do not hide a wrong unit.
    """
    large = answer.large_changes - sample.added
    return 2 * large > sample.batch.points - sample.added or (large >= _FEW and 2 * large > _stored(answer))


def _stored(answer: Ingested) -> int:
    return sum(answer.counts) - answer.counts.created


def _ask_about_changes(answer: Ingested, sample: Sample, changes: list[Change], progress: Progress) -> None:
    stored, points = _stored(answer), sample.batch.points
    only = f", and only {stored:,} have one so far" if stored < points else ""
    told = f"{answer.large_changes:,} of {points:,} points would change a value by a factor of 100 or more{only}:"
    shown = map(shown_change, changes[:_SHOWN])
    _ask("\n".join([told, *shown]), "If that is meant so, --large-changes sends them.", progress)


def _ask(told: str, hint: str, progress: Progress) -> None:
    """Ask whether that is meant so. Raises `BadInput` if it is not, or nobody is there to answer."""
    if not can_ask():
        raise BadInput(f"{told}\nNothing was sent.", hint)
    progress.stop()
    say(told[0].upper() + told[1:])
    if not typer.confirm("Is that meant so?", err=True):
        raise BadInput("nothing was sent.")
    progress.start()
