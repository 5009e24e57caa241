"""`unitstream push`: files of points, checked as a whole, sorted, and sent in batches."""

from __future__ import annotations

import contextlib
import hashlib

import typer

from unitstream_cli.console import as_document, progress_bar
from unitstream_cli.interrupts import Signals
from unitstream_cli.push.checking import Reading
from unitstream_cli.push.faults import Faults
from unitstream_cli.push.options import AggFuncOption, ColumnOptions, FileOptions, FilesArgument, RowOptions
from unitstream_cli.push.plan import paths_of, plan_of
from unitstream_cli.push.replacing import owned_by, selections
from unitstream_cli.push.run import Run
from unitstream_cli.push.sending_options import CheckOptions, ReplaceOptions, SendingOptions
from unitstream_cli.push.spool import Spool
from unitstream_cli.push.summary import Summary
from unitstream_cli.settings import JsonOption, Options

# Digests are of what the batches would be: another version may cut them in another way.
_JOURNAL_VERSION = 4


def push(
    ctx: typer.Context,
    *,
    files: FilesArgument = None,
    agg_func: AggFuncOption,
    columns: ColumnOptions,
    rows: RowOptions,
    form: FileOptions,
    sending: SendingOptions,
    checks: CheckOptions,
    replacing: ReplaceOptions,
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
    summary = Summary(agg_func.value, dry_run=sending.dry_run, replaces=replacing.replace)
    with as_document(summary) if as_json else contextlib.nullcontext():
        shared: Options = ctx.obj
        owned = owned_by(replacing, skip_invalid=rows.skip_invalid)
        paths = paths_of(files or [], shared, rows.errors)
        to = shared.service()
        plan = plan_of(columns, rows, form, {"metric_agg_func": agg_func.value, "data_stream_token": to.token})
        content = hashlib.sha256(f"{_JOURNAL_VERSION} {agg_func.value} {plan!r} {rows.skip_invalid}".encode())
        with (
            Signals.handled("nothing was sent") as signals,
            contextlib.closing(Spool(plan.combine)) as spool,
            progress_bar() as progress,
        ):
            summary.reading = reading = Reading(paths, plan.columns, plan.dialect, spool, content, owned)
            with Faults.open(rows.errors) as summary.faults:
                reading.check(summary.faults, plan.combine, progress, skip_invalid=rows.skip_invalid)
            replaced = selections(spool, agg_func.value, replacing) if replacing.replace else []
            failure = Run(to, agg_func.value, sending, checks, replaced, reading, summary, signals, progress).run()
        if not as_json:
            typer.echo(summary.text())
        if failure:
            raise failure
