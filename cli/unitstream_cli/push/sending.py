"""Sending batches: several at a time, and with a journal of those that are confirmed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import typer

from unitstream.days import Counts
from unitstream_cli.api import Exchange
from unitstream_cli.console import err, say
from unitstream_cli.errors import CommandFailed, ExitCode, Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import TextIOWrapper

    from unitstream_cli.api import Api
    from unitstream_cli.push.spool import Batch
    from unitstream_cli.settings import Service

# Where journals are kept; for those who want them elsewhere.
STATE_DIR = "UNITSTREAM_STATE_DIR"

_DIGEST_DIGITS = 64
# Batches that wait to be sent, so that building them takes no time from sending.
_AHEAD = 2
_LOOK_UP_EVERY_SECONDS = 0.2


class Journal:
    """The batches of the last push to an API that are confirmed, so that it can be resumed.

    There is one for each address, and a push of other content, or with another token, replaces it before it sends
    anything: otherwise the first content, resumed later, would leave out what the second has overwritten. Not one for
    each token, since two of them may be of the same stream. Each batch is written down as soon as it is confirmed, as a
    digest, so it survives that the process is killed. There is no secret in it.
    """

    def __init__(self, service: Service, content: str) -> None:
        """`content` is a digest of all that decides what the batches are."""
        folder = os.environ.get(STATE_DIR)
        address = hashlib.sha256(service.url.encode()).hexdigest()[:32]
        self._path = Path(folder or typer.get_app_dir("unitstream")) / "journals" / f"{address}.txt"
        token = hashlib.sha256(service.token.encode()).hexdigest()
        self._content = hashlib.sha256(f"{token}\n{content}".encode()).hexdigest()
        self._file: TextIOWrapper | None = None

    def confirmed(self) -> set[str]:
        """Return the digests of the batches that an earlier push of the same content has confirmed."""
        try:
            first, *rest = self._path.read_text(errors="replace").splitlines() or [""]
        except FileNotFoundError:
            return set()
        if first != self._content:
            return set()
        # The last line is cut off if the process was killed while it wrote.
        return {line for line in rest if len(line) == _DIGEST_DIGITS}

    def start(self, confirmed: set[str]) -> None:
        """Replace the journal by one of this push, with the batches that are confirmed already."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self._path.with_suffix(f".{os.getpid()}.partial")
        self._file = partial.open("w")
        self._file.writelines(f"{line}\n" for line in (self._content, *sorted(confirmed)))
        self._file.flush()
        partial.replace(self._path)

    def confirm(self, batch: Batch) -> None:
        """Note that `batch` is saved."""
        # A journal that can no longer be written is a shorter one.
        with contextlib.suppress(OSError):
            if self._file:
                self._file.write(f"{batch.digest}\n")
                self._file.flush()

    def close(self, *, complete: bool) -> None:
        with contextlib.suppress(OSError):
            if self._file:
                self._file.close()
            if complete:
                self._path.unlink(missing_ok=True)


class Signals:
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

    @classmethod
    @contextlib.contextmanager
    def handled(cls) -> Iterator[Signals]:
        """Handle them."""
        signals = cls()
        before = {number: signal.signal(number, signals.handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield signals
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@dataclass
class Delivery:
    """What became of a push so far. `in_doubt` are points of requests that failed and may be saved in part.

    `notices` are the service's, each once. `replacing` is a batch of which so many points replaced other values, all of
    them if there is such a one.
    """

    sent: int = 0
    counts: Counts = field(default_factory=Counts)
    skipped: int = 0
    in_doubt: int = 0
    batches: int = 0
    requests: int = 0
    retries: int = 0
    notices: dict[str, None] = field(default_factory=dict)
    failure: CommandFailed | None = None
    refused: Batch | None = None
    replacing: tuple[Batch, int] | None = None


class Sender:
    """Sends batches with `api`, `parallel` of them at a time."""

    def __init__(self, api: Api, token: str, agg_func: str, *, parallel: int, dry_run: bool) -> None:
        self._api = api
        self._parallel = parallel
        self._dry_run = dry_run
        self._stop = api.stop
        envelope = json.dumps({"data_stream_token": token, "metric_agg_func": agg_func, "data": []})
        self._start, self._end = envelope[:-2], envelope[-2:]

    def send(
        self,
        batches: Iterator[Batch],
        *,
        confirmed: set[str],
        journal: Journal | None,
        progress: Callable[[Delivery], None],
    ) -> Delivery:
        """Send all `batches` that are not `confirmed` already, until one fails or the API client is to stop.

        Then those under way are let end, which takes as long as an attempt may take. `progress` is told after each.
        """
        outcome = Delivery()
        under_way: dict[Future[Counts], tuple[Batch, Exchange]] = {}
        left = self._unconfirmed(batches, confirmed, outcome)
        with ThreadPoolExecutor(self._parallel) as pool:
            try:
                while True:
                    if self._stop.is_set():
                        left = iter(())
                        for future in [future for future in under_way if future.cancel()]:
                            del under_way[future]
                    for batch in islice(left, self._parallel + _AHEAD - len(under_way)):
                        exchange = Exchange()
                        under_way[pool.submit(self._deliver, batch, exchange)] = batch, exchange
                    if not under_way:
                        break
                    # Looking up now and then, because a signal handler runs in this thread and cannot wake it.
                    done, _ = wait(under_way, _LOOK_UP_EVERY_SECONDS, FIRST_COMPLETED)
                    for future in done:
                        batch, exchange = under_way.pop(future)
                        _settle(outcome, future, batch, exchange)
                        if journal and not future.exception():
                            journal.confirm(batch)
                    progress(outcome)
            finally:
                # Whatever happens here, the threads do not go on by themselves.
                self._stop.set()
        progress(outcome)
        return outcome

    @staticmethod
    def _unconfirmed(batches: Iterator[Batch], confirmed: set[str], outcome: Delivery) -> Iterator[Batch]:
        for batch in batches:
            if batch.digest in confirmed:
                outcome.skipped += batch.points
            else:
                yield batch

    def _deliver(self, batch: Batch, exchange: Exchange) -> Counts:
        if self._stop.is_set():
            raise Interrupted("interrupted.")
        body = f"{self._start}{batch.data}{self._end}".encode()
        try:
            return self._api.ingest(body, batch.points, exchange, dry_run=self._dry_run)
        except CommandFailed:
            # Here, so that this thread does not begin with the next.
            self._stop.set()
            raise


def _settle(outcome: Delivery, future: Future[Counts], batch: Batch, exchange: Exchange) -> None:
    outcome.requests += exchange.attempts
    outcome.retries += max(exchange.attempts - 1, 0)
    outcome.notices |= dict.fromkeys(exchange.notices)
    try:
        counts = future.result()
    except CommandFailed as failure:
        if exchange.in_doubt:
            outcome.in_doubt += batch.points
        # What stopped the push, rather than what was stopped by it.
        if outcome.failure is None or isinstance(outcome.failure, Interrupted):
            outcome.failure = failure
            outcome.refused = batch
        return
    outcome.batches += 1
    outcome.sent += batch.points
    outcome.counts += counts
    if counts.updated and (not outcome.replacing or counts.updated == batch.points):
        outcome.replacing = batch, counts.updated
