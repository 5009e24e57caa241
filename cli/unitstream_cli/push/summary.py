"""What there is to say of a push in the end, to a person or as JSON."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unitstream_cli.answers import NotTheApi, Refused
from unitstream_cli.console import counted, printable, written
from unitstream_cli.deletes.deleting import Deletion, added, span
from unitstream_cli.errors import Interrupted, Unreachable
from unitstream_cli.push.faults import Faults
from unitstream_cli.push.names import listed
from unitstream_cli.push.sending import Change, Delivery, index_of

if TYPE_CHECKING:
    from unitstream_cli.push.batches import Batch
    from unitstream_cli.push.checking import Reading

_SHOWN_ERRORS = 20


@dataclass
class Summary:
    """What there is to say of a push, however far it got."""

    agg_func: str
    dry_run: bool
    replaces: bool
    reading: Reading | None = None
    faults: Faults = field(default_factory=Faults)
    outcome: Delivery = field(default_factory=Delivery)
    seconds: float = 0.0
    # The first that are known, each with the place of its row.
    changes: list[tuple[str, Change]] = field(default_factory=list)
    # How many points change a value by a factor of 100 or more, or at least so many of those that are known.
    large_changes: int = 0
    at_least: bool = False
    deletion: Deletion = field(default_factory=Deletion)
    # Whether somebody said that large changes are meant so.
    let_through: bool = False

    def take(self, changes: list[Change], large_changes: int) -> None:
        """Take note of some of the values that are replaced, for as long as it is known where their rows stand."""
        self.large_changes = large_changes
        if self.reading:
            places = [self.reading.spool.places(change.point)[0] for change in changes]
            self.changes = list(zip(map(self.reading.where, places), changes, strict=True))

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
        outcome, spool = self.outcome, self.reading and self.reading.spool
        first_day, last_day = (spool and spool.days) or (None, None)
        received_from, received_to = outcome.received or (None, None)
        return {
            "dry_run": self.dry_run,
            "rows": self.rows,
            "invalid_rows": self.faults.rows,
            "points": self.points,
            "series": spool.series if spool else 0,
            "metrics": list(spool.metrics) if spool else [],
            "dimensions": sorted(spool.keys) if spool else [],
            "first_day": first_day,
            "last_day": last_day,
            "repeated_points": self.faults.repeated,
            "sent": outcome.sent,
            **outcome.counts._asdict(),
            "deleted": self.deletion.points,
            "deleted_series": self.deletion.series,
            "received_from": received_from,
            "received_to": received_to,
            "skipped": outcome.skipped,
            "in_doubt": outcome.in_doubt,
            "not_sent": self.not_sent,
            "requests": outcome.requests,
            "retries": outcome.retries,
            "notices": list(outcome.notices),
            "large_changes": self.large_changes,
            "changes": [_document(where, change) for where, change in self.changes],
            "seconds": round(self.seconds, 3),
            "points_per_second": round(outcome.sent / self.seconds) if self.seconds else None,
        }

    def text(self) -> str:
        outcome, complete = self.outcome, self.outcome.failure is None
        did = "Would save" if self.dry_run else "Saved"
        did = f"{did} {'all' if complete and not outcome.skipped else counted(outcome.sent, 'point')}"
        speed = f"{self.seconds:.1f} s ({outcome.sent / max(self.seconds, 1e-3):,.0f} points/s)"
        lines = [
            self._read(),
            f"{did} in {counted(outcome.requests, 'request')}, {speed}",
        ]
        figures = outcome.counts._asdict()
        if self.replaces:
            lost = ", or more: an answer was lost" if self.deletion.in_doubt else ""
            figures[f"deleted{lost}"] = self.deletion.points
        if outcome.skipped:
            figures["skipped, saved by an earlier push"] = outcome.skipped
        if outcome.in_doubt:
            figures["in doubt: their requests failed, and some may be saved"] = outcome.in_doubt
        if self.not_sent:
            figures["not saved"] = self.not_sent
        width = max(len(f"{count:,}") for count in figures.values())
        lines += [f"  {count:>{width},}  {what}" for what, count in figures.items()]
        lines += self._replaced()
        lines += [f"Notice: {notice}." for notice in outcome.notices]
        if outcome.received and not self.dry_run:
            first, last = outcome.received
            lines.append(f"Received at {first}." if first == last else f"Received from {first} to {last}.")
        lines += self._undo()
        if complete and added(self.deletion.found.values()).points:
            lines.append(f"What was deleted was {span(self.deletion.found)}. It does not come back by itself.")
        if self.replaces and outcome.failure:
            lines.append(
                f"Not everything is replaced: of what was there before, {counted(self.deletion.points, 'point')} "
                f"{'was' if self.deletion.points == 1 else 'were'} deleted."
            )
        if outcome.retries:
            lines.append(
                f"Requests had to be sent again {counted(outcome.retries, 'time')}; "
                "what an attempt saved before it failed counts as unchanged."
            )
        passes = isinstance(outcome.failure, Interrupted | Unreachable) and not isinstance(outcome.failure, NotTheApi)
        if passes and not self.dry_run:
            lines.append("The same command again completes it, safely; with --resume it skips what is saved.")
        return "\n".join(lines)

    def _read(self) -> str:
        """What the files hold."""
        if not self.reading:
            return ""
        sources, spool = self.reading.sources, self.reading.spool
        name = sources[0].name if len(sources) == 1 else f"{len(sources)} files"
        counts = [counted(self.rows, "row"), counted(self.points, "point")]
        counts.append(f"{spool.series:,} series")
        told = [f"{name}: {', '.join(counts)}"]
        if len(spool.metrics) > 1:
            told.append(f"metrics {listed(list(spool.metrics))}")
        told.append(f"dimensions {listed(sorted(spool.keys))}" if spool.keys else "no dimensions")
        if spool.days:
            told.append(" to ".join(spool.days))
        return "; ".join(told)

    def _replaced(self) -> list[str]:
        """Say how many points replace other values, and show the first that are known."""
        updated = self.outcome.counts.updated
        if not updated:
            return []
        did = "would replace another value that is saved" if self.dry_run else "replaced another value that was saved"
        known = 0 < self.large_changes <= updated and (self.dry_run or not self.outcome.failure)
        least = "at least " if self.at_least else ""
        by_far = f", {least}{self.large_changes:,} of them by a factor of 100 or more" if known else ""
        examples = self.changes if self.dry_run else self.changes[:1]
        lines = [f"{counted(updated, 'point')} {did}{by_far}{', such as:' if examples else '.'}"]
        lines += [f"  {where}: {shown_change(change)}" for where, change in examples]
        if self.reading and self.reading.combines:
            lines.append("Rows are combined within a push, not with what is saved: push all files of an hour at once.")
        return lines

    def _undo(self) -> list[str]:
        """Say how to take back what was let through although it looked like a mistake."""
        received, spool = self.outcome.received, self.reading and self.reading.spool
        doubtful = self.let_through or "new_dimension_keys" in self.outcome.notices.values()
        if self.dry_run or not (doubtful and received and spool and spool.days):
            return []
        first, last = spool.days
        metric, *others = spool.metrics
        command = f"unitstream delete {shlex.quote(f'{metric}:{self.agg_func}')} --from {first} --to {last}"
        lines = [f"To take it back: {printable(command)} --received-from {received[0]}"]
        if others:
            lines.append("The same for each of the other metrics.")
        if before := self.outcome.counts.updated + self.outcome.counts.unchanged:
            lines.append(
                f"That deletes {counted(before, 'point')} too that had a value before, which does not come back."
            )
        return lines


def _document(where: str, change: Change) -> dict[str, Any]:
    point = {name: change.point[name] for name in ("timestamp", "metric_name", "custom_dimensions")}
    return {"where": where, **point, "stored_value": change.stored_value, "new_value": change.new_value}


def shown_change(change: Change) -> str:
    """Return what is there and what is to be, as a person is told."""
    point = change.point
    names = [point["metric_name"], *(f"{key}={value}" for key, value in point["custom_dimensions"].items())]
    values = f"{written(change.stored_value)} \N{RIGHTWARDS ARROW} {written(change.new_value)}"
    return printable(f"{', '.join(names)} at {point['timestamp']}: {values}")


def with_places(failure: Refused, refused: Batch, reading: Reading) -> Refused:
    """Say which rows the server's errors are about."""
    listed, points = [], refused.listed()
    for error in failure.errors[:_SHOWN_ERRORS]:
        index, where = index_of(error.get("pointer")), ""
        if 0 <= index < refused.points:
            where = ", ".join(map(reading.where, reading.spool.places(points[index]))) + ": "
        listed.append(printable(f"{where}{error.get('detail', error.get('code', ''))}"))
    return Refused("\n".join([failure.message, *listed]), failure.hint, errors=failure.errors)
