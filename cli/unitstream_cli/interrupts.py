"""Ctrl-C and SIGTERM, for commands that change something."""

from __future__ import annotations

import contextlib
import os
import signal
from threading import Event
from typing import TYPE_CHECKING

from unitstream_cli.console import err, say
from unitstream_cli.errors import ExitCode, Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator


class Signals:
    """Ctrl-C and SIGTERM: until something is changed they end the command, then they only ask it to stop."""

    def __init__(self, nothing: str) -> None:
        self._nothing = nothing
        self._stop: Event | None = None
        self._asked = False

    def changing(self) -> Event:
        """Return what is set when the command is to stop, from now on."""
        self._stop = Event()
        if self._asked:
            self._stop.set()
        return self._stop

    def handle(self, *_: object) -> None:
        if self._stop is None:
            raise Interrupted(f"interrupted; {self._nothing}.")
        if self._asked:
            err.show_cursor()
            os._exit(ExitCode.INTERRUPTED)  # whatever is under way
        self._asked = True
        self._stop.set()
        say("Stopping: waiting for the requests that are under way. Once more, and it ends at once.")

    @classmethod
    @contextlib.contextmanager
    def handled(cls, nothing: str) -> Iterator[Signals]:
        """Handle them. `nothing` says what holds for as long as nothing is changed."""
        signals = cls(nothing)
        before = {number: signal.signal(number, signals.handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield signals
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
