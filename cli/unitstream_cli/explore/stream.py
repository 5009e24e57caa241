"""The stream behind the page: what it has, and what it answers. Here alone the API is asked; here secrets stay."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from unitstream.questions import MAX_LIMIT
from unitstream_cli.api import Api
from unitstream_cli.reads.asking import Question

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from unitstream_cli.explore.question import Asked
    from unitstream_cli.settings import Service

# Somebody waits in front of the page.
GIVE_UP_AFTER_SECONDS = 15.0
# Turning a page of the table or sorting it asks nothing anew.
KEPT_SECONDS = 60.0
_MOST_KEPT = 16
_CONNECTIONS = 4
# Of more series than these, the page offers the values of the first ones.
_MOST_SERIES = 5_000


class Dimensions(NamedTuple):
    """The keys of a metric's dimensions with the values that there are; `complete` unless there are too many series."""

    values: dict[str, list[str]]
    complete: bool = True


class Answer(NamedTuple):
    """What the API answered, and when."""

    document: dict[str, Any]
    read_at: datetime


class Stream:
    """Asks the API, from any thread, and keeps what it answers for a minute.

    Each method raises `CommandFailed`.
    """

    def __init__(self, service: Service, give_up_after: float) -> None:
        self._api = Api(service, stop=Event(), give_up_after=give_up_after, connections=_CONNECTIONS)
        self._kept: dict[tuple[str, str], tuple[float, Any]] = {}
        self._reading: dict[tuple[str, str], Lock] = {}
        self._lock = Lock()

    def metrics(self) -> list[dict[str, Any]]:
        return self._listed("/api/metrics", "metrics")

    def saved(self) -> list[dict[str, Any]]:
        return self._listed("/api/saved-unit-metrics", "unit_metrics")

    def dimensions(self, metric: str) -> Dimensions:
        """Return the dimensions of a metric, `name:Function`."""
        found: Dimensions = self._keep(("dimensions", metric), lambda: self._read_dimensions(metric))
        return found

    def definition(self, asked: Asked) -> dict[str, Any] | None:
        """Return that of the saved unit metric that is asked for, if there is such a one."""
        return next((one for one in self.saved() if one["name"] == asked.saved), None) if asked.saved else None

    def answer(self, asked: Asked) -> Answer:
        path, parameters = asked.path(), asked.parameters(today())
        found: Answer = self._keep(
            (path, repr(parameters)),
            lambda: Answer(self._api.document(path, parameters, {"series": list}), datetime.now(UTC)),
        )
        return found

    def csv(self, asked: Asked) -> bytes:
        """Return the answer as the API writes it for spreadsheets."""
        return self._api.get(asked.path(), asked.parameters(today()), "text/csv").data

    def forget(self) -> None:
        """Ask anew from now on."""
        with self._lock:
            self._kept.clear()

    def _listed(self, path: str, rows: str) -> list[dict[str, Any]]:
        question = Question(path, {"limit": MAX_LIMIT}, rows, "")
        found: list[dict[str, Any]] = self._keep((path, ""), lambda: question.document(self._api)[rows])
        return found

    def _read_dimensions(self, metric: str) -> Dimensions:
        name, _, function = metric.rpartition(":")
        path = f"/api/metrics/{quote(name, safe='')}/{quote(function, safe='')}/series"
        values: dict[str, set[str]] = {}
        parameters: dict[str, Any] = {"limit": MAX_LIMIT}
        for _ in range(_MOST_SERIES // MAX_LIMIT):
            page = self._api.document(path, parameters, {"series": list})
            for series in page["series"]:
                for key, value in series["dimensions"].items():
                    values.setdefault(key, set()).add(value)
            if (cursor := page.get("next_cursor")) is None:
                break
            parameters["cursor"] = cursor
        return Dimensions({key: sorted(values[key]) for key in sorted(values)}, complete=cursor is None)

    def _keep(self, what: tuple[str, str], read: Callable[[], Any]) -> Any:
        """Return what was read a moment ago, or what `read` returns: who asks the same meanwhile waits for it."""
        with self._lock:
            reading = self._reading.setdefault(what, Lock())
        with reading:
            kept = self._kept.get(what)
            if kept and time.monotonic() - kept[0] < KEPT_SECONDS:
                return kept[1]
            try:
                found = read()
            finally:
                with self._lock:
                    self._reading.pop(what, None)
            with self._lock:
                self._kept[what] = time.monotonic(), found
                while len(self._kept) > _MOST_KEPT:
                    del self._kept[min(self._kept, key=lambda one: self._kept[one][0])]
            return found


def today() -> date:
    """Return the day that it is in UTC."""
    return datetime.now(UTC).date()
