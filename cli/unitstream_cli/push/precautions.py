"""What a push asks before it sends anything: whether totals would double, or most values change a hundredfold.

It asks with one dry run of a sample, which needs no more than the right to write.
"""

from __future__ import annotations

import contextlib
from threading import Event
from typing import TYPE_CHECKING, Any

import typer

from unitstream_cli.answers import Refused
from unitstream_cli.api import Api, Exchange
from unitstream_cli.console import can_ask, points_of_series, printable, say, written
from unitstream_cli.errors import BadInput
from unitstream_cli.push.sending import Sender, changes_of, index_of
from unitstream_cli.push.summary import shown_change, with_places

if TYPE_CHECKING:
    from rich.progress import Progress

    from unitstream_cli.answers import Ingested
    from unitstream_cli.push.checking import Reading
    from unitstream_cli.push.sending import Change
    from unitstream_cli.push.sending_options import CheckOptions
    from unitstream_cli.push.spool import Sample
    from unitstream_cli.settings import Service

SAMPLED_POINTS = 2_000
_SHOWN = 5


def look_ahead(
    to: Service,
    agg_func: str,
    reading: Reading,
    checks: CheckOptions,
    *,
    replaces_all: bool,
    give_up_after: float,
    progress: Progress,
) -> tuple[list[Change], bool]:
    """Return some of the values that a push changes, and whether most change by a factor of 100 or more.

    `replaces_all`: nothing stays that has other dimensions.

    Raises `BadInput` when a mistake is likely, and else what a request raises.
    """
    sample, exchange = reading.spool.sample(SAMPLED_POINTS), Exchange()
    task = progress.add_task("Looking", total=None, notice="", speed="")
    api = Api(
        to,
        stop=Event(),
        give_up_after=give_up_after,
        notice=lambda reason: progress.update(task, notice=reason),
    )
    with contextlib.closing(api):
        try:
            answer = Sender(api, to.token, agg_func, parallel=1, dry_run=True).deliver(sample.batch, exchange)
        except Refused as exc:
            raise with_places(exc, sample.batch, reading) from exc
    progress.remove_task(task)
    changes = changes_of(answer, sample.batch)
    if not (checks.new_dimensions or replaces_all):
        _check_dimensions(reading, sample, exchange.notices, agg_func)
    large = _are_large(answer, sample)
    if large and not checks.large_changes:
        _ask(answer, sample, changes, progress)
    return changes, large


def _check_dimensions(reading: Reading, sample: Sample, notices: list[dict[str, Any]], agg_func: str) -> None:
    new = [notice for notice in notices if notice["code"] == "new_dimension_keys"]
    if not new:
        return
    points, told = sample.batch.listed(), []
    for notice in new[:_SHOWN]:
        point = points[index_of(notice["pointer"])]
        part = reading.spool.part(point["metric_name"], point["custom_dimensions"])
        total = f", together {written(part.total)}" if agg_func == "Sum" else ""
        told.append(
            f"{printable(notice['detail'])}. They are {points_of_series(part.points, part.series)}, "
            f"from {part.days[0]} to {part.days[1]}{total}."
        )
    if len(new) > _SHOWN:
        told.append(f"So it is with {len(new) - _SHOWN:,} more sets of dimensions.")
    raise BadInput(
        "\n".join([*told, "Nothing was sent."]),
        "If they are something else, --new-dimensions sends them. If they were sent before: --ignore COLUMN leaves a "
        "dimension out, as it was; or put them in place of what is there, with --replace or `unitstream delete`.",
    )


def _are_large(answer: Ingested, sample: Sample) -> bool:
    """Whether most of the points that were drawn change by a factor of 100 or more, even if all added ones do."""
    return 2 * (answer.large_changes - sample.added) > sample.batch.points - sample.added


def _ask(answer: Ingested, sample: Sample, changes: list[Change], progress: Progress) -> None:
    told = [
        f"{answer.large_changes:,} of {sample.batch.points:,} points would change a value by a factor of 100 or more:",
        *map(shown_change, changes[:_SHOWN]),
    ]
    if not can_ask():
        raise BadInput("\n".join([*told, "Nothing was sent."]), "If that is meant so, --large-changes sends them.")
    progress.stop()
    say("\n".join(told))
    if not typer.confirm("Is that meant so?", err=True):
        raise BadInput("nothing was sent.")
    progress.start()
