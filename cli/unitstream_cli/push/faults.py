"""What is wrong with the rows of a push: counted, the first shown, and all written to a file if there is one."""

from __future__ import annotations

import contextlib
import csv
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unitstream_cli.console import printable, say
from unitstream_cli.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

    from unitstream_cli.push.rows import Fault

SHOWN_FAULTS = 20


@dataclass
class Faults:
    """What is wrong: the first is shown in the end, all is written to a file if there is one.

    `rows` are wrong by themselves; `repeated` points are named by several rows, and these do not add up to one.
    """

    file: TextIO | None = None
    rows: int = 0
    repeated: int = 0
    count: int = 0
    _shown: list[str] = field(default_factory=list)

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path | None) -> Iterator[Faults]:
        if path is None:
            yield cls()
            return
        try:
            file = path.open("w", encoding="utf-8", newline="")
        except OSError as exc:
            raise BadInput(f"cannot write {path}: {exc.strerror}.") from exc
        with file:
            csv.writer(file).writerow(("file", "line", "column", "reason"))
            yield cls(file)

    def add_row(self, file: str, faults: list[Fault]) -> None:
        """Add what is wrong with one row."""
        self.rows += 1
        for fault in faults:
            self._add(file, fault)

    def add_repeated(self, file: str, fault: Fault) -> None:
        """Add what is wrong with several rows for one point."""
        self.repeated += 1
        self._add(file, fault)

    def _add(self, file: str, fault: Fault) -> None:
        line, column, reason = fault
        self.count += 1
        if self.file:
            csv.writer(self.file).writerow((file, line, column, reason))
        if self.count <= SHOWN_FAULTS:
            self._shown.append(printable(f"{file}:{line}: {column + ': ' if column else ''}{reason}"))

    def show(self) -> None:
        """Show the first."""
        for shown in self._shown:
            say(shown)
