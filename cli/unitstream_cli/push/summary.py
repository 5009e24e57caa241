"""What there is to say of a push in the end, to a person or as JSON."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unitstream_cli.api import NotTheApi, Refused
from unitstream_cli.console import print_json, printable
from unitstream_cli.errors import CommandFailed, Interrupted, Unreachable
from unitstream_cli.push.checking import Faults, Reading, counted
from unitstream_cli.push.names import listed
from unitstream_cli.push.sending import Delivery

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unitstream_cli.push.spool import Batch

_SHOWN_ERRORS = 20


@dataclass
class Summary:
    """What there is to say of a push, however far it got."""

    dry_run: bool
    reading: Reading | None = None
    faults: Faults = field(default_factory=Faults)
    outcome: Delivery = field(default_factory=Delivery)
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
        outcome, spool = self.outcome, self.reading and self.reading.spool
        first_day, last_day = (spool and spool.days) or (None, None)
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
            "skipped": outcome.skipped,
            "in_doubt": outcome.in_doubt,
            "not_sent": self.not_sent,
            "requests": outcome.requests,
            "retries": outcome.retries,
            "notices": list(outcome.notices),
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
        if outcome.skipped:
            figures["skipped, saved by an earlier push"] = outcome.skipped
        if outcome.in_doubt:
            figures["in doubt: their requests failed, and some may be saved"] = outcome.in_doubt
        if self.not_sent:
            figures["not saved"] = self.not_sent
        width = max(len(f"{count:,}") for count in figures.values())
        lines += [f"  {count:>{width},}  {what}" for what, count in figures.items()]
        if outcome.replacing:
            lines += self._replaced(*outcome.replacing)
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

    def _replaced(self, batch: Batch, replaced: int) -> list[str]:
        """Say how many points replaced other values, and name one, if the answer to a batch tells which it were."""
        names = [_name_of(point) for point in json.loads(f"[{batch.data}]")]
        which = f"such as {names[0]}" if replaced == len(names) else f"among those from {names[0]} to {names[-1]}"
        did = "would replace another value that is saved" if self.dry_run else "replaced another value that was saved"
        lines = [f"{counted(self.outcome.counts.updated, 'point')} {did}, {which}."]
        if self.reading and self.reading.combines:
            lines.append("Rows are combined within a push, not with what is saved: push all files of an hour at once.")
        return lines


def _name_of(point: dict[str, Any]) -> str:
    names = [point["metric_name"], *(f"{key}={value}" for key, value in point["custom_dimensions"].items())]
    return printable(f"{', '.join(names)} at {point['timestamp']}")


@contextlib.contextmanager
def as_document(summary: Summary) -> Iterator[None]:
    """Print the summary as JSON, however the push ends."""
    try:
        yield
    except CommandFailed as failure:
        print_json({"complete": False, "error": failure.message} | summary.document())
        raise
    print_json({"complete": True, "error": None} | summary.document())


def with_places(failure: Refused, refused: Batch, reading: Reading) -> CommandFailed:
    """Say which rows the server's errors are about."""
    listed = []
    for error in failure.errors[:_SHOWN_ERRORS]:
        _, data, index, *_rest = [*str(error.get("pointer", "")).split("/"), "", "", ""]
        where = ""
        if data == "data" and index.isdecimal() and int(index) < refused.points:
            places = reading.spool.places(refused, int(index))
            where = ", ".join(map(reading.where, places)) + ": "
        listed.append(printable(f"{where}{error.get('detail', error.get('code', ''))}"))
    return Refused("\n".join([failure.message, *listed]), failure.errors)
