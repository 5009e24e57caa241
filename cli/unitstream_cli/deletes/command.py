"""`unitstream delete`: points that should not be there, shown first and then deleted."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import date
from threading import Event
from typing import Annotated, Any, NamedTuple

import typer

from unitstream.instants import FORMS, instant_text, parse_instant
from unitstream.periods import Timeframe
from unitstream_cli.api import GIVE_UP_AFTER_SECONDS, Api
from unitstream_cli.console import as_document, can_ask, counted, err, points_of_series, progress_bar, say
from unitstream_cli.deletes.deleting import Deletion, Preview, Selection, delete, preview, span
from unitstream_cli.errors import CommandFailed, ExitCode
from unitstream_cli.interrupts import Signals
from unitstream_cli.reads.arguments import FilterOption, GiveUpOption, MetricArgument, day
from unitstream_cli.reads.asking import named, plain_refusals
from unitstream_cli.reads.drawing import name_of
from unitstream_cli.settings import JsonOption, Options, Service, YesOption


def instant(text: str) -> str:
    """Read an instant, and return it as the service writes it."""
    try:
        return instant_text(parse_instant(text))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no instant: it is {FORMS}.") from None


class Days(NamedTuple):
    """Which days. There is no default: what is deleted is named."""

    first: Annotated[
        date,
        typer.Option(
            "--from", "--start-date", parser=day, metavar="YYYY-MM-DD", help="First day, in UTC.", show_default=False
        ),
    ]
    last: Annotated[
        date,
        typer.Option(
            "--to",
            "--end-date",
            parser=day,
            metavar="YYYY-MM-DD",
            help="Last day, which is included, in UTC.",
            show_default=False,
        ),
    ]


class Received(NamedTuple):
    """When points were last received."""

    received_from: Annotated[
        str | None,
        typer.Option(
            "--received-from",
            parser=instant,
            metavar="TIME",
            help="Only points that were last received at this time or later, such as the one that a push tells.",
        ),
    ] = None
    received_before: Annotated[
        str | None,
        typer.Option(
            "--received-before", parser=instant, metavar="TIME", help="Only points that were last received before."
        ),
    ] = None


@dataclass
class Result:
    """What there is to say in the end, however far it got."""

    selection: Selection
    dry_run: bool
    found: Preview = field(default_factory=Preview)
    deletion: Deletion = field(default_factory=Deletion)

    def document(self) -> dict[str, Any]:
        found, deletion = self.found, self.deletion
        asked = {"received_from": None, "received_before": None} | self.selection.parameters()
        return {
            "dry_run": self.dry_run,
            **asked,
            "found": found.points,
            "found_series": found.series,
            "first_timestamp": found.first,
            "last_timestamp": found.last,
            "sum": float(found.total) if found.points else None,
            "deleted": deletion.points,
            "deleted_series": deletion.series,
            "in_doubt": deletion.in_doubt,
            "notices": [*found.notices],
        }

    def shown(self) -> str:
        """What was found, as a person is told."""
        found, metric = self.found, self.selection.metric
        return f"{points_of_series(found.points, found.series)} of {name_of(metric)}, {span({metric: found})}"


def delete_points(
    ctx: typer.Context,
    metric: MetricArgument,
    *,
    days: Days,
    filters: FilterOption = None,
    received: Received,
    yes: YesOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted, and delete nothing.")] = False,
    give_up_after: GiveUpOption = GIVE_UP_AFTER_SECONDS,
    as_json: JsonOption = False,
) -> None:
    """Delete points of a metric. What would be deleted is shown first.

    To take back a push: `unitstream delete orders:Sum --from 2022-10-01 --to 2022-10-31 --received-from
    2026-11-25T21:02:18.123Z`, with the time that the push told. Values that it has replaced do not come back.

    A replay of what was received before has no effect; what is received later is saved. Running the same command again
    is always safe.
    """
    if not (yes or dry_run or can_ask()):
        raise CommandFailed("deleting asks first, and there is no terminal.", "Give --yes.", exit_code=ExitCode.USAGE)
    options: Options = ctx.obj
    selection = Selection(metric, Timeframe(str(days.first), str(days.last)), filters or [], *received)
    result = Result(selection, dry_run)
    with as_document(result) if as_json else contextlib.nullcontext():
        to = options.service()
        with Signals.handled("nothing was deleted") as signals:
            _look(to, result, give_up_after)
            if not result.found.points:
                say(f"There is nothing to delete of {name_of(metric)}.")
            elif not dry_run:
                _ask(result, yes=yes)
                _delete(to, result, signals, give_up_after)
        if not as_json and result.found.points:
            typer.echo(f"{result.shown()}, would be deleted." if dry_run else _told(result))


def _look(to: Service, result: Result, give_up_after: float) -> None:
    api = Api(to, stop=Event(), give_up_after=give_up_after, notice=say)
    with contextlib.closing(api), err.status("Looking"), plain_refusals():
        result.found = preview(api, result.selection)
    for notice in result.found.notices:
        say(f"Notice: {named(notice)}")
    if result.found.points and result.selection.received_from:
        say("Values that were there before, and that a push replaced or only confirmed, go too and do not come back.")


def _ask(result: Result, *, yes: bool) -> None:
    say(f"{result.shown()}.")
    question = f"Delete {counted(result.found.points, 'point')} of {name_of(result.selection.metric)}?"
    if not yes and not typer.confirm(question, err=True):
        raise CommandFailed("nothing was deleted.")


def _delete(to: Service, result: Result, signals: Signals, give_up_after: float) -> None:
    deletion = result.deletion
    with progress_bar() as progress:
        task = progress.add_task("Deleting", total=result.found.points, speed="", notice="")
        api = Api(
            to,
            stop=signals.changing(),
            give_up_after=give_up_after,
            notice=lambda reason: progress.update(task, notice=reason),
        )
        with contextlib.closing(api), plain_refusals():
            try:
                delete(
                    api,
                    result.selection,
                    deletion,
                    lambda: progress.update(
                        task, completed=deletion.points, speed=counted(deletion.points, "point"), notice=""
                    ),
                )
            except CommandFailed:
                say(f"Deleted {counted(deletion.points, 'point')} so far. The same command goes on.")
                raise


def _told(result: Result) -> str:
    deletion = result.deletion
    points = ("at least " if deletion.in_doubt else "") + points_of_series(deletion.points, deletion.series)
    return (
        f"Deleted {points} of {name_of(result.selection.metric)}. A replay of what was received before has no effect."
    )
