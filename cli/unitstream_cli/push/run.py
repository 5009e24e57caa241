"""A push on its way: it looks ahead, sends, and deletes what is replaced."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from unitstream_cli.answers import Refused
from unitstream_cli.api import Api
from unitstream_cli.console import counted, say
from unitstream_cli.errors import CommandFailed, Interrupted, Rejected, Unreachable
from unitstream_cli.push.journal import Journal
from unitstream_cli.push.precautions import Probe, ask_about_deletion, deleted_since, look_ahead
from unitstream_cli.push.replacing import found_in, replace, to_be_replaced
from unitstream_cli.push.sending import Delivery, Sender
from unitstream_cli.push.summary import with_places

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.progress import Progress, TaskID

    from unitstream_cli.deletes.deleting import Selection
    from unitstream_cli.interrupts import Signals
    from unitstream_cli.push.checking import Reading
    from unitstream_cli.push.sending_options import CheckOptions, SendingOptions
    from unitstream_cli.push.summary import Summary
    from unitstream_cli.settings import Service


@dataclass(frozen=True)
class Run:
    """What was read is sent `to` the service, and then what it replaces is deleted; `summary` is told."""

    to: Service
    agg_func: str
    how: SendingOptions
    checks: CheckOptions
    replaced: list[Selection]
    reading: Reading
    summary: Summary
    signals: Signals
    progress: Progress

    def run(self) -> CommandFailed | None:
        """Return why not everything was done. Raises `BadInput` where nothing is sent as it looks like a mistake."""
        journal, earlier = Journal(self.to, self.reading.digest), dict[str, str]()
        if not self.how.dry_run:
            try:
                earlier = self._earlier(journal)
                # What is resumed has been looked at before.
                if not (self.how.resume and earlier):
                    self._look_at_replaced()
                    self._look_ahead()
            except (Refused, Rejected, Unreachable) as failure:
                self.summary.outcome.failure = failure
                return failure
        kept, confirmed = self._begin(journal, earlier)
        outcome = self.summary.outcome = self._send(kept, confirmed)
        if self.how.dry_run:
            self.summary.take(outcome.changes, outcome.large_changes)
        if outcome.failure is None and outcome.sent + outcome.skipped < self.reading.points:
            outcome.failure = Interrupted("interrupted.")
        if outcome.failure is None and self.replaced:
            self._replace(outcome)
        if kept:
            kept.close(complete=outcome.failure is None)
        if isinstance(outcome.failure, Refused) and outcome.refused:
            return with_places(outcome.failure, outcome.refused, self.reading)
        return outcome.failure

    def _earlier(self, journal: Journal) -> dict[str, str]:
        """Return the batches that an interrupted push saved: none where some of them are to be skipped and are gone."""
        earlier = journal.confirmed()
        if not self.how.resume:
            return earlier
        if not earlier:
            say(
                "There is nothing to resume: the last push from here to this API was complete, or another one. "
                "All is sent."
            )
        elif deleted_since(self._probe(), earlier):
            say("What the interrupted push saved was deleted since: all is sent again.")
            return {}
        return earlier

    def _look_at_replaced(self) -> None:
        """Ask where much would vanish. Raises `Rejected` where the token may not delete: later, all would be sent."""
        if not self.replaced:
            return
        task = self.progress.add_task("Looking", total=None, notice="", speed="")
        with contextlib.closing(self._api(task, Event())) as api:
            there = found_in(api, self.replaced)
        self.progress.remove_task(task)
        if not self.checks.yes:
            ask_about_deletion(there, self.reading.points, self.progress)

    def _look_ahead(self) -> None:
        everything = bool(self.replaced) and not self.replaced[0].filters
        if (self.checks.large_changes or self.checks.yes) and (self.checks.new_dimensions or everything):
            return
        ahead = look_ahead(self._probe(), self.checks, self.replaced)
        self.summary.take(ahead.changes, ahead.large_changes)
        self.summary.at_least, self.summary.let_through = ahead.at_least, ahead.let_through

    def _probe(self) -> Probe:
        return Probe(self.to, self.agg_func, self.reading, self.how.give_up_after, self.progress)

    def _begin(self, journal: Journal, earlier: dict[str, str]) -> tuple[Journal | None, Mapping[str, str]]:
        """Return the journal, if there is to be one, and the batches that are not to be sent again."""
        if self.how.dry_run:
            return None, {}
        try:
            # The earlier push stays one that can be resumed, should this one be interrupted in its turn.
            journal.start(earlier)
        except OSError as exc:
            # Nor may an older one be left.
            journal.close(complete=True)
            say(f"No journal is kept, so this push could not be resumed: {exc.strerror}.")
            return None, {}
        if earlier and not self.how.resume:
            say("An earlier push of the same was interrupted. This one sends all again; --resume skips what is saved.")
        return journal, earlier if self.how.resume else {}

    def _send(self, journal: Journal | None, confirmed: Mapping[str, str]) -> Delivery:
        word, started = "Asking" if self.how.dry_run else "Sending", time.monotonic()
        task = self.progress.add_task(word, total=self.reading.points, notice="", speed="")
        with contextlib.closing(self._api(task)) as api:
            sender = Sender(api, self.to.token, self.agg_func, parallel=self.how.parallel, dry_run=self.how.dry_run)
            outcome = sender.send(
                self.reading.spool.batches(),
                confirmed=confirmed,
                journal=journal,
                progress=lambda so_far: _show_sending(self.progress, task, so_far, time.monotonic() - started),
            )
        self.summary.seconds = time.monotonic() - started
        return outcome

    def _replace(self, outcome: Delivery) -> None:
        task = self.progress.add_task("Deleting", total=None, notice="", speed="")
        received_at, _ = outcome.received or ("", "")
        deletion = self.summary.deletion
        with contextlib.closing(self._api(task)) as api:
            try:
                if self.how.dry_run:
                    kept = outcome.counts.updated + outcome.counts.unchanged
                    deletion.points, deletion.series = to_be_replaced(api, self.replaced, received_at, kept), None
                else:
                    told = lambda: self.progress.update(task, speed=counted(deletion.points, "point"), notice="")  # noqa: E731
                    replace(api, self.replaced, received_at, deletion, told)
            except CommandFailed as failure:
                outcome.failure = failure

    def _api(self, task: TaskID, stop: Event | None = None) -> Api:
        return Api(
            self.to,
            stop=stop or self.signals.changing(),
            give_up_after=self.how.give_up_after,
            connections=self.how.parallel,
            notice=lambda reason: self.progress.update(task, notice=reason),
        )


def _show_sending(progress: Progress, task: TaskID, outcome: Delivery, seconds: float) -> None:
    done = outcome.sent + outcome.skipped
    counts = ", ".join(f"{count:,} {what}" for what, count in outcome.counts._asdict().items() if count)
    speed = f"{done:,} points, {outcome.sent / max(seconds, 1e-3):,.0f}/s" + (f": {counts}" if counts else "")
    if done != progress.tasks[-1].completed:
        progress.update(task, completed=done, speed=speed, notice="")
