"""`unitstream push`: files of points, checked as a whole, sorted, and sent in batches."""

from __future__ import annotations

import contextlib
import hashlib
import time
from typing import TYPE_CHECKING

import typer
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from unitstream_cli.api import Api, Refused
from unitstream_cli.console import err, say
from unitstream_cli.errors import CommandFailed, Interrupted
from unitstream_cli.push.checking import Faults, Reading
from unitstream_cli.push.options import (
    AggFuncOption,
    ColumnOptions,
    FileOptions,
    FilesArgument,
    RowOptions,
    SendingOptions,
)
from unitstream_cli.push.plan import paths_of, plan_of
from unitstream_cli.push.sending import Delivery, Journal, Sender, Signals
from unitstream_cli.push.spool import Spool
from unitstream_cli.push.summary import Summary, as_document, with_places
from unitstream_cli.settings import JsonOption, Options, Service

if TYPE_CHECKING:
    from rich.progress import TaskID

# Digests are of what the batches would be: another version may cut them in another way.
_JOURNAL_VERSION = 3


def push(
    ctx: typer.Context,
    *,
    files: FilesArgument = None,
    agg_func: AggFuncOption,
    columns: ColumnOptions,
    rows: RowOptions,
    form: FileOptions,
    sending: SendingOptions,
    as_json: JsonOption = False,
) -> None:
    """Send the data points in files, or in stdin, to a data stream.

    Everything is checked first, and nothing is sent if anything is wrong. Then it is sent in batches, several at a
    time, and what fails in passing is tried again. Running the same command again is always safe: what is saved
    already stays as it is.

    A CSV file with the columns timestamp, metric_name and metric_value needs no more than --agg-func; all its other
    columns are dimensions. With other columns: `unitstream push orders.csv --agg-func Sum --timestamp hour
    --metric orders --value count --dimension region`

    A column for each metric: `unitstream push weather.csv --agg-func Average --wide --dimension city`

    Single events, by the hour: `unitstream push payments.ndjson --agg-func Sum --metric revenue --value amount
    --floor hour --combine sum --dimension country`; with `--combine count` it is their number.
    """
    summary = Summary(sending.dry_run)
    with as_document(summary) if as_json else contextlib.nullcontext():
        shared: Options = ctx.obj
        paths = paths_of(files or [], shared, rows.errors)
        to = shared.service()
        envelope = {"metric_agg_func": agg_func.value, "data_stream_token": to.token}
        plan = plan_of(columns, rows, form, envelope)
        decisive = f"{_JOURNAL_VERSION} {agg_func.value} {plan!r} {rows.skip_invalid}"
        with Signals.handled() as signals, contextlib.closing(Spool(plan.combine)) as spool, _progress() as progress:
            reading = Reading(paths, plan.columns, plan.dialect, spool, hashlib.sha256(decisive.encode()))
            summary.reading = reading
            with Faults.open(rows.errors) as summary.faults:
                reading.check(summary.faults, plan.combine, progress, skip_invalid=rows.skip_invalid)
            failure = _send(to, agg_func.value, sending, summary, reading, signals=signals, progress=progress)
        if not as_json:
            typer.echo(summary.text())
        if failure:
            raise failure


def _send(
    to: Service,
    agg_func: str,
    how: SendingOptions,
    summary: Summary,
    reading: Reading,
    *,
    signals: Signals,
    progress: Progress,
) -> CommandFailed | None:
    """Send what was read, and tell `summary`. Returns why not everything was sent."""
    task = progress.add_task("Asking" if how.dry_run else "Sending", total=reading.points, notice="", speed="")
    started = time.monotonic()
    api = Api(
        to,
        stop=signals.sending(),
        give_up_after=how.give_up_after,
        connections=how.parallel,
        notice=lambda reason: progress.update(task, notice=reason),
    )
    with contextlib.closing(api):
        journal, confirmed = _journal(to, reading.digest, resume=how.resume, dry_run=how.dry_run)
        outcome = Sender(api, to.token, agg_func, parallel=how.parallel, dry_run=how.dry_run).send(
            reading.spool.batches(),
            confirmed=confirmed,
            journal=journal,
            progress=lambda so_far: _show_sending(progress, task, so_far, time.monotonic() - started),
        )
    summary.outcome = outcome
    if outcome.failure is None and outcome.sent + outcome.skipped < reading.points:
        outcome.failure = Interrupted("interrupted.")
    if journal:
        journal.close(complete=outcome.failure is None)
    summary.seconds = time.monotonic() - started
    if isinstance(outcome.failure, Refused) and outcome.refused:
        return with_places(outcome.failure, outcome.refused, reading)
    return outcome.failure


def _journal(to: Service, content: str, *, resume: bool, dry_run: bool) -> tuple[Journal | None, set[str]]:
    """Return the journal, if there is to be one, and the batches that are not to be sent again."""
    journal = Journal(to, content)
    if dry_run:
        return None, set()
    try:
        earlier = journal.confirmed()
        # The earlier push stays one that can be resumed, should this one be interrupted in its turn.
        journal.start(earlier)
    except OSError as exc:
        # Nor may an older one be left.
        journal.close(complete=True)
        say(f"No journal is kept, so this push could not be resumed: {exc.strerror}.")
        return None, set()
    if resume and not earlier:
        say(
            "There is nothing to resume: the last push from here to this API was complete, or another one. All is sent."
        )
    elif earlier and not resume:
        say("An earlier push of the same was interrupted. This one sends all again; --resume skips what is saved.")
    return journal, earlier if resume else set()


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:<8}"),
        BarColumn(bar_width=16),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[speed]} {task.fields[notice]}", markup=False, table_column=Column(no_wrap=True)),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


def _show_sending(progress: Progress, task: TaskID, outcome: Delivery, seconds: float) -> None:
    done = outcome.sent + outcome.skipped
    counts = ", ".join(f"{count:,} {what}" for what, count in outcome.counts._asdict().items() if count)
    speed = f"{done:,} points, {outcome.sent / max(seconds, 1e-3):,.0f}/s" + (f": {counts}" if counts else "")
    if done != progress.tasks[-1].completed:
        progress.update(task, completed=done, speed=speed, notice="")
