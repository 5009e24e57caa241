"""The explorer beside the local stack, and the demo's year for it to show."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import demo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# Cost per order by region, beside the month before.
DEMO_QUESTION = "?metric=costs:Sum&per=orders:Sum&group_by=region&compare=timeframe"
_STOPS_WITHIN_SECONDS = 5


@contextlib.contextmanager
def beside(unitstream: Path | None, settings: Mapping[str, str], home: Path, port: int) -> Iterator[dict[str, str]]:
    """Run the explorer, if there is the command, say where it is, and yield what stack.env tells of it."""
    if unitstream is None:
        yield {}
        return
    with running(unitstream, settings, home, port) as address:
        print(f"\n▸ The explorer: {address}")
        print(f"Cost per order by region, beside the month before: {address}/{DEMO_QUESTION}", flush=True)
        yield {"EXPLORER_URL": address}


@contextlib.contextmanager
def running(unitstream: Path, settings: Mapping[str, str], home: Path, port: int) -> Iterator[str]:
    """Run the explorer with the stack's settings, on `port` or another one, and push the demo's year meanwhile.

    Saves the demo's unit metric too, which is what the explorer then shows first. Yields its address. What they say
    goes to files in `home`.
    """
    port = _free_port(port)
    demo.write(home / "demo.csv", datetime.now(UTC).date())
    commands = {
        "explorer": ["explore", "--port", str(port)],
        "demo": ["push", "demo.csv", "--agg-func", "Sum", "--wide", "--dimension", "region"],
        "saved": ["unit-metrics", "save", "cost per order", "costs:Sum", "orders:Sum", "--group-by", "region"],
    }
    with contextlib.ExitStack() as stack:
        for name, arguments in commands.items():
            log = stack.enter_context((home / f"{name}.log").open("wb"))
            process = subprocess.Popen(
                [str(unitstream.absolute()), *arguments],
                cwd=home,
                env=os.environ | settings,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is the stack's, which stops it
            )
            stack.callback(_stop, process)
        yield f"http://127.0.0.1:{port}"


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOPS_WITHIN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port(wanted: int) -> int:
    """Return the port that is wanted, or another one if that is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError, OverflowError):
            probe.bind(("127.0.0.1", port))
            found: int = probe.getsockname()[1]
            return found
    raise OSError("there is no free port")
