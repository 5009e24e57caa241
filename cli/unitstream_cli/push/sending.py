"""Sending batches: several at a time, and with a journal of those that are confirmed."""

from __future__ import annotations

import json
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from unitstream.days import Counts
from unitstream_cli.api import Exchange
from unitstream_cli.errors import CommandFailed, Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from unitstream_cli.answers import Ingested
    from unitstream_cli.api import Api
    from unitstream_cli.push.batches import Batch
    from unitstream_cli.push.journal import Journal

# Batches that wait to be sent, so that building them takes no time from sending.
_AHEAD = 2
_LOOK_UP_EVERY_SECONDS = 0.2
_SHOWN_CHANGES = 20


class Change(NamedTuple):
    """A point as it is sent, whose hour holds another value."""

    point: dict[str, Any]
    stored_value: float
    new_value: float


def changes_of(answer: Ingested, batch: Batch) -> list[Change]:
    """Return the changes that a dry run's answer to `batch` lists."""
    points = batch.listed() if answer.changes else []
    return [
        Change(points[index_of(change["pointer"])], change["stored_value"], change["new_value"])
        for change in answer.changes
    ]


def index_of(pointer: object) -> int:
    """Return the index of the point that a JSON pointer such as `/data/3/metric_value` is about, or -1."""
    _, data, index, *_rest = [*str(pointer).split("/"), "", "", ""]
    return int(index) if data == "data" and index.isdecimal() else -1


@dataclass
class Delivery:
    """What became of a push so far. `in_doubt` are points of requests that failed and may be saved in part.

    `received` is when the service received the first and the last of the requests that saved something, also those of
    an earlier push that this one resumes. `notices` are the service's, each once, with their codes. `changes` are the
    first that a dry run lists, and `large_changes` how many it counts.
    """

    sent: int = 0
    counts: Counts = field(default_factory=Counts)
    skipped: int = 0
    in_doubt: int = 0
    batches: int = 0
    requests: int = 0
    retries: int = 0
    received: tuple[str, str] | None = None
    notices: dict[str, str] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    large_changes: int = 0
    failure: CommandFailed | None = None
    refused: Batch | None = None

    def note(self, received_at: str) -> None:
        """Take note of when a request was received."""
        first, last = self.received or (received_at, received_at)
        self.received = min(first, received_at), max(last, received_at)


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
        confirmed: Mapping[str, str],
        journal: Journal | None,
        progress: Callable[[Delivery], None],
    ) -> Delivery:
        """Send all `batches` that are not `confirmed` already, until one fails or the API client is to stop.

        Then those under way are let end, which takes as long as an attempt may take. `progress` is told after each.
        """
        outcome = Delivery()
        under_way: dict[Future[Ingested], tuple[Batch, Exchange]] = {}
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
                        under_way[pool.submit(self.deliver, batch, exchange)] = batch, exchange
                    if not under_way:
                        break
                    # Looking up now and then, because a signal handler runs in this thread and cannot wake it.
                    done, _ = wait(under_way, _LOOK_UP_EVERY_SECONDS, FIRST_COMPLETED)
                    for future in done:
                        batch, exchange = under_way.pop(future)
                        _settle(outcome, future, batch, exchange)
                        if journal and not future.exception():
                            journal.confirm(batch, future.result().received_at)
                    progress(outcome)
            finally:
                # Whatever happens here, the threads do not go on by themselves.
                self._stop.set()
        progress(outcome)
        return outcome

    @staticmethod
    def _unconfirmed(batches: Iterator[Batch], confirmed: Mapping[str, str], outcome: Delivery) -> Iterator[Batch]:
        for batch in batches:
            if batch.digest in confirmed:
                outcome.skipped += batch.points
                outcome.note(confirmed[batch.digest])
            else:
                yield batch

    def deliver(self, batch: Batch, exchange: Exchange) -> Ingested:
        """Send one batch."""
        if self._stop.is_set():
            raise Interrupted("interrupted.")
        body = f"{self._start}{batch.data}{self._end}".encode()
        try:
            return self._api.ingest(body, batch.points, exchange, dry_run=self._dry_run)
        except CommandFailed:
            # Here, so that this thread does not begin with the next.
            self._stop.set()
            raise


def _settle(outcome: Delivery, future: Future[Ingested], batch: Batch, exchange: Exchange) -> None:
    outcome.requests += exchange.attempts
    outcome.retries += max(exchange.attempts - 1, 0)
    outcome.notices |= {notice["detail"]: notice["code"] for notice in exchange.notices}
    try:
        answer = future.result()
    except CommandFailed as failure:
        if exchange.in_doubt:
            outcome.in_doubt += batch.points
        if exchange.received_at:
            outcome.note(exchange.received_at)
        # What stopped the push, rather than what was stopped by it.
        if outcome.failure is None or isinstance(outcome.failure, Interrupted):
            outcome.failure = failure
            outcome.refused = batch
        return
    outcome.batches += 1
    outcome.sent += batch.points
    outcome.counts += answer.counts
    outcome.note(answer.received_at)
    outcome.large_changes += answer.large_changes
    if len(outcome.changes) < _SHOWN_CHANGES:
        outcome.changes = [*outcome.changes, *changes_of(answer, batch)][:_SHOWN_CHANGES]
