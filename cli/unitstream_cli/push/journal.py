"""What an interrupted push has saved, so that the next can skip it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from io import TextIOWrapper

    from unitstream_cli.push.batches import Batch
    from unitstream_cli.settings import Service

# Where journals are kept; for those who want them elsewhere.
STATE_DIR = "UNITSTREAM_STATE_DIR"

# Of a batch: its digest, and when the service received it.
_LINE = re.compile(r"([0-9a-f]{64}) (\S{24})")


class Journal:
    """The batches of the last push to an API that are confirmed, so that it can be resumed.

    There is one for each address, and a push of other content, or with another token, replaces it before it sends
    anything: otherwise the first content, resumed later, would leave out what the second has overwritten. Not one for
    each token, since two of them may be of the same stream. Each batch is written down as soon as it is confirmed, as a
    digest and with the time at which the service received it, so it survives that the process is killed. There is no
    secret in it.
    """

    def __init__(self, service: Service, content: str) -> None:
        """`content` is a digest of all that decides what the batches are."""
        folder = os.environ.get(STATE_DIR)
        address = hashlib.sha256(service.url.encode()).hexdigest()[:32]
        self._path = Path(folder or typer.get_app_dir("unitstream")) / "journals" / f"{address}.txt"
        token = hashlib.sha256(service.token.encode()).hexdigest()
        self._content = hashlib.sha256(f"{token}\n{content}".encode()).hexdigest()
        self._file: TextIOWrapper | None = None

    def confirmed(self) -> dict[str, str]:
        """Return the digests of the batches that an earlier push of the same content has confirmed, each with its time.

        None of one that cannot be read.
        """
        try:
            first, *rest = self._path.read_text(errors="replace").splitlines() or [""]
        except OSError:
            return {}
        if first != self._content:
            return {}
        # The last line is cut off if the process was killed while it wrote.
        return {found[1]: found[2] for found in map(_LINE.fullmatch, rest) if found}

    def start(self, confirmed: dict[str, str]) -> None:
        """Replace the journal by one of this push, with the batches that are confirmed already."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self._path.with_suffix(f".{os.getpid()}.partial")
        self._file = partial.open("w")
        self._file.write(f"{self._content}\n")
        self._file.writelines(f"{digest} {received_at}\n" for digest, received_at in confirmed.items())
        self._file.flush()
        partial.replace(self._path)

    def confirm(self, batch: Batch, received_at: str) -> None:
        """Note that `batch` is saved, and when it was received."""
        # A journal that can no longer be written is a shorter one.
        with contextlib.suppress(OSError):
            if self._file:
                self._file.write(f"{batch.digest} {received_at}\n")
                self._file.flush()

    def close(self, *, complete: bool) -> None:
        with contextlib.suppress(OSError):
            if self._file:
                self._file.close()
            if complete:
                self._path.unlink(missing_ok=True)
