"""`unitstream push`: files of points, checked as a whole, sorted, and sent in batches."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from unitstream_cli.api import GIVE_UP_AFTER_SECONDS, Api, NotTheApi, Refused
from unitstream_cli.console import err, print_json, printable, say
from unitstream_cli.errors import CommandFailed, ExitCode, Interrupted, Unreachable
from unitstream_cli.push.checking import Faults, Reading, counted
from unitstream_cli.push.mapping import Columns, Decimal, Dimension, Floor
from unitstream_cli.push.rows import STDIN, Dialect, Format, check_encoding
from unitstream_cli.push.sending import Journal, Outcome, Sender
from unitstream_cli.push.spool import Combine, Spool
from unitstream_cli.settings import ApiKeyFileOption, JsonOption, TokenFileOption, UrlOption, service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import TaskID

    from unitstream_cli.settings import Service

_SHOWN_ERRORS = 20
# Digests are of what the batches would be: another version may cut them in another way.
_JOURNAL_VERSION = 1
# The first moment of a year, so that a form may leave out what has not begun.
_KNOWN = datetime(2022, 1, 1, tzinfo=UTC)


class AggFunc(StrEnum):
    SUM = "Sum"
    AVERAGE = "Average"
    MAXIMUM = "Maximum"
    MINIMUM = "Minimum"


def push(  # one for each option
    *,
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE...", help="CSV, NDJSON or JSON; - is stdin, and so is no FILE at all."),
    ] = None,
    agg_func: Annotated[
        AggFunc,
        typer.Option(
            "--agg-func",
            case_sensitive=False,
            help="How the values of a metric are put together when they are looked at by day, month or region: "
            "Sum for what adds up (orders), Average for levels (temperatures), Maximum and Minimum for peaks. "
            "The same metric with another function is another record.",
        ),
    ],
    timestamp: Annotated[
        str, typer.Option("--timestamp", metavar="COLUMN", help="Column with the hour.", rich_help_panel="Columns")
    ] = Columns.timestamp,
    metric_name: Annotated[
        str,
        typer.Option(
            "--metric-name", metavar="COLUMN", help="Column with the metric's name.", rich_help_panel="Columns"
        ),
    ] = Columns.metric_name,
    value: Annotated[
        str, typer.Option("--value", metavar="COLUMN", help="Column with the value.", rich_help_panel="Columns")
    ] = Columns.value,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="Name of the one metric that all rows are of; no column names it.",
            rich_help_panel="Columns",
        ),
    ] = None,
    wide: Annotated[
        bool,
        typer.Option(
            "--wide",
            help="Every column is a metric, save the timestamp and those named by --dimension or --ignore. "
            "An empty cell is no point.",
            rich_help_panel="Columns",
        ),
    ] = False,
    dimension: Annotated[
        list[str] | None,
        typer.Option(
            "--dimension",
            metavar="[KEY=]COLUMN",
            help="Column that is a dimension, under a KEY of your own if you like; for several, repeat it. Default: "
            "every column that is nothing else. An empty cell: the row lacks the dimension.",
            rich_help_panel="Columns",
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            "--ignore", metavar="COLUMN", help="Column to leave out; may be repeated.", rich_help_panel="Columns"
        ),
    ] = None,
    floor: Annotated[
        Floor | None,
        typer.Option(
            "--floor", help="Put every timestamp at the start of its UTC hour or day.", rich_help_panel="Rows"
        ),
    ] = None,
    combine: Annotated[
        Combine | None,
        typer.Option(
            "--combine",
            help="What to make of several rows for the same record and hour, which are an error otherwise.",
            rich_help_panel="Rows",
        ),
    ] = None,
    skip_invalid: Annotated[
        bool,
        typer.Option("--skip-invalid", help="Send the valid rows although others are not.", rich_help_panel="Rows"),
    ] = False,
    errors: Annotated[
        Path | None,
        typer.Option(
            "--errors",
            metavar="PATH",
            help="Write everything that is wrong to this CSV file; the terminal shows the first 20.",
            rich_help_panel="Rows",
        ),
    ] = None,
    file_format: Annotated[
        Format | None,
        typer.Option("--format", help="Default: by the name of the file, or how it begins.", rich_help_panel="Files"),
    ] = None,
    encoding: Annotated[
        str,
        typer.Option("--encoding", metavar="NAME", help="Such as cp1252 or utf-16.", rich_help_panel="Files"),
    ] = "utf-8",
    delimiter: Annotated[
        str | None,
        typer.Option(
            "--delimiter",
            metavar="CHARACTER",
            help="Between cells; or tab. Default: comma, semicolon or tab, by the header.",
            rich_help_panel="Files",
        ),
    ] = None,
    decimal: Annotated[
        Decimal, typer.Option("--decimal", help="What stands before the decimals.", rich_help_panel="Files")
    ] = Decimal.POINT,
    timestamp_format: Annotated[
        str | None,
        typer.Option(
            "--timestamp-format",
            metavar="FORM",
            help="Form of timestamps that the API does not know, in the letters of strptime: '%d.%m.%Y %H:%M'. "
            "Without an offset (%z) they are UTC.",
            rich_help_panel="Files",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Ask the server what would change, and save nothing.", rich_help_panel="Sending"
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Skip what an interrupted push of the same files with the same options has saved.",
            rich_help_panel="Sending",
        ),
    ] = False,
    parallel: Annotated[
        int, typer.Option("--parallel", min=1, max=64, help="Requests at a time.", rich_help_panel="Sending")
    ] = 4,
    give_up_after: Annotated[
        float,
        typer.Option(
            "--give-up-after",
            metavar="SECONDS",
            min=0,
            help="How long to try a request again while the service is busy or does not answer.",
            rich_help_panel="Sending",
        ),
    ] = GIVE_UP_AFTER_SECONDS,
    url: UrlOption = None,
    api_key_file: ApiKeyFileOption = None,
    token_file: TokenFileOption = None,
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

    Single events, counted by the hour: `unitstream push payments.ndjson --agg-func Sum --metric revenue --value amount
    --floor hour --combine sum --dimension country`
    """
    summary = _Summary(dry_run=dry_run)
    with _as_document(summary) if as_json else contextlib.nullcontext():
        columns = Columns(
            timestamp,
            metric_name,
            value,
            metric,
            wide,
            _dimensions(dimension or []),
            tuple(ignore or []),
            floor,
            timestamp_format,
            decimal,
        )
        if wide and metric is not None:
            raise _usage("--metric names the one metric there is, and --wide says that there is one in each column.")
        if timestamp_format is not None:
            _check_timestamp_format(timestamp_format)
        check_encoding(encoding)
        dialect = Dialect(file_format, encoding, _delimiter(delimiter))
        paths = _paths(files or [], api_key_file, token_file, errors)
        to = service(url, api_key_file, token_file)
        with _signals() as signals, contextlib.closing(Spool()) as spool, _progress() as progress:
            options = f"{_JOURNAL_VERSION} {agg_func.value} {columns!r} {dialect!r} {combine} {skip_invalid}"
            reading = Reading(paths, columns, dialect, agg_func.value, spool, hashlib.sha256(options.encode()))
            summary.reading = reading
            with Faults.open(errors) as summary.faults:
                reading.check(summary.faults, combine, progress, skip_invalid=skip_invalid)
            task = progress.add_task("Asking" if dry_run else "Sending", total=reading.points, notice="", speed="")
            started = time.monotonic()
            api = Api(
                to,
                stop=signals.sending(),
                give_up_after=give_up_after,
                connections=parallel,
                notice=lambda reason: progress.update(task, notice=reason),
            )
            with contextlib.closing(api):
                journal, confirmed = _journal(to, reading.digest, resume=resume, dry_run=dry_run)
                outcome = Sender(api, to.token, agg_func.value, parallel=parallel, dry_run=dry_run).send(
                    spool.batches(combine),
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
            failure = outcome.failure
            if isinstance(failure, Refused) and outcome.refused:
                failure = _with_places(failure, outcome, reading, spool)
        if not as_json:
            typer.echo(summary.text([source.name for source in reading.sources]))
        if failure:
            raise failure


# --- options ----------------------------------------------------------------------------------------------------------


def _usage(message: str) -> CommandFailed:
    return CommandFailed(message, exit_code=ExitCode.USAGE)


def _dimensions(written: list[str]) -> tuple[Dimension, ...]:
    found = []
    for one in written:
        key, equals, column = one.partition("=")
        found.append(Dimension(column, key) if equals else Dimension(one, one))
    keys = [one.key for one in found]
    if repeated := sorted({key for key in keys if keys.count(key) > 1}):
        raise _usage(f"--dimension has the key {repeated[0]} more than once.")
    return tuple(found)


def _delimiter(written: str | None) -> str | None:
    delimiter = "\t" if written in {"tab", "\\t"} else written
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise _usage("--delimiter is one character, or tab.")
    return delimiter


def _check_timestamp_format(form: str) -> None:
    """Refuse a form by which no timestamp could be read, or which would be read as another moment."""
    if "%Z" in form.replace("%%", ""):
        # strptime reads such a name and then ignores it.
        raise _usage(
            "--timestamp-format has %Z, but the names of time zones are ambiguous. Use offsets (%z), or convert the "
            "timestamps to UTC."
        )
    try:
        read = datetime.strptime(_KNOWN.strftime(form), form)  # noqa: DTZ007  # the form says if there is an offset
    except re.error as exc:
        raise _usage(f"--timestamp-format {form} has a letter twice.") from exc
    except ValueError as exc:
        raise _usage(f"--timestamp-format {form} is not a form of strptime: {exc}.") from exc
    if read.date() != _KNOWN.date():
        raise _usage(f"--timestamp-format {form} does not say the date.")


def _paths(files: list[Path], api_key_file: Path | None, token_file: Path | None, errors: Path | None) -> list[Path]:
    paths = files or [STDIN]
    if STDIN in paths:
        if not files and sys.stdin.isatty():
            raise _usage("there is no FILE, and stdin is the terminal.")
        if paths.count(STDIN) > 1 or STDIN in {api_key_file, token_file}:
            raise _usage("stdin can be read once only.")
    if errors and any(path.exists() and errors.exists() and path.samefile(errors) for path in paths):
        raise _usage("--errors would overwrite a file that is to be pushed.")
    return paths


# --- signals ----------------------------------------------------------------------------------------------------------


class _Signals:
    """Ctrl-C and SIGTERM: until something is sent they end the command, then they only ask it to stop."""

    def __init__(self) -> None:
        self._stop: Event | None = None
        self._asked = False

    def sending(self) -> Event:
        """Return what is set when the command is to stop, from now on."""
        self._stop = Event()
        return self._stop

    def handle(self, *_: object) -> None:
        if self._stop is None:
            raise Interrupted("interrupted; nothing was sent.")
        if self._asked:
            err.show_cursor()
            os._exit(ExitCode.INTERRUPTED)  # whatever is under way
        self._asked = True
        self._stop.set()
        say("Stopping: waiting for the requests that are under way. Once more, and it ends at once.")


@contextlib.contextmanager
def _signals() -> Iterator[_Signals]:
    signals = _Signals()
    before = {number: signal.signal(number, signals.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- sending ----------------------------------------------------------------------------------------------------------


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


def _with_places(failure: Refused, outcome: Outcome, reading: Reading, spool: Spool) -> CommandFailed:
    """Say which rows the server's errors are about."""
    listed = []
    for error in failure.errors[:_SHOWN_ERRORS]:
        _, data, index, *_rest = [*str(error.get("pointer", "")).split("/"), "", "", ""]
        where = ""
        if outcome.refused and data == "data" and index.isdecimal() and int(index) < outcome.refused.points:
            places = spool.places(outcome.refused, int(index))
            where = ", ".join(map(reading.where, places)) + ": "
        listed.append(printable(f"{where}{error.get('detail', error.get('code', ''))}"))
    return Refused("\n".join([failure.message, *listed]), failure.errors)


@dataclass
class _Summary:
    """What there is to say of a push, however far it got."""

    dry_run: bool
    reading: Reading | None = None
    faults: Faults = field(default_factory=Faults)
    outcome: Outcome = field(default_factory=Outcome)
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        return self.reading.rows if self.reading else 0

    @property
    def points(self) -> int:
        return self.reading.points if self.reading else 0

    @property
    def not_sent(self) -> int:
        return self.points - self.outcome.sent - self.outcome.skipped - self.outcome.in_doubt

    def document(self) -> dict[str, Any]:
        outcome = self.outcome
        return {
            "dry_run": self.dry_run,
            "rows": self.rows,
            "invalid_rows": self.faults.rows,
            "points": self.points,
            "repeated_points": self.faults.repeated,
            "sent": outcome.sent,
            **outcome.counts._asdict(),
            "skipped": outcome.skipped,
            "in_doubt": outcome.in_doubt,
            "not_sent": self.not_sent,
            "requests": outcome.requests,
            "retries": outcome.retries,
            "notices": list(outcome.notices),
            "seconds": round(self.seconds, 3),
            "points_per_second": round(outcome.sent / self.seconds) if self.seconds else None,
        }

    def text(self, files: list[str]) -> str:
        outcome, complete = self.outcome, self.outcome.failure is None
        did = "Would save" if self.dry_run else "Saved"
        name = files[0] if len(files) == 1 else f"{len(files)} files"
        did = f"{did} {'all' if complete and not outcome.skipped else counted(outcome.sent, 'point')}"
        speed = f"{self.seconds:.1f} s ({outcome.sent / max(self.seconds, 1e-3):,.0f} points/s)"
        lines = [
            f"{name}: {counted(self.rows, 'row')}, {counted(self.points, 'point')}",
            f"{did} in {counted(outcome.requests, 'request')}, {speed}",
        ]
        figures = outcome.counts._asdict()
        if outcome.skipped:
            figures["skipped, saved by an earlier push"] = outcome.skipped
        if outcome.in_doubt:
            figures["in doubt: their requests failed, and some may be saved"] = outcome.in_doubt
        if self.not_sent:
            figures["not saved"] = self.not_sent
        width = max(len(f"{count:,}") for count in figures.values())
        lines += [f"  {count:>{width},}  {what}" for what, count in figures.items()]
        lines += [f"Notice: {notice}." for notice in outcome.notices]
        if outcome.retries:
            lines.append(
                f"Requests had to be sent again {counted(outcome.retries, 'time')}; "
                "what an attempt saved before it failed counts as unchanged."
            )
        passes = isinstance(outcome.failure, Interrupted | Unreachable) and not isinstance(outcome.failure, NotTheApi)
        if passes and not self.dry_run:
            lines.append("The same command again completes it, safely; with --resume it skips what is saved.")
        return "\n".join(lines)


@contextlib.contextmanager
def _as_document(summary: _Summary) -> Iterator[None]:
    """Print the summary as JSON, however the push ends."""
    try:
        yield
    except CommandFailed as failure:
        print_json({"complete": False, "error": failure.message} | summary.document())
        raise
    print_json({"complete": True, "error": None} | summary.document())


# --- telling ----------------------------------------------------------------------------------------------------------


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


def _show_sending(progress: Progress, task: TaskID, outcome: Outcome, seconds: float) -> None:
    done = outcome.sent + outcome.skipped
    counts = ", ".join(f"{count:,} {what}" for what, count in outcome.counts._asdict().items() if count)
    speed = f"{done:,} points, {outcome.sent / max(seconds, 1e-3):,.0f}/s" + (f": {counts}" if counts else "")
    if done != progress.tasks[-1].completed:
        progress.update(task, completed=done, speed=speed, notice="")
