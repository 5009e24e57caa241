"""A local stack of the tests' own, deployed from template.yaml by the SAM CLI, on a free port."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import support
from support import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

STARTS_WITHIN_SECONDS = 180
STOPS_WITHIN_SECONDS = 30


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("stack")
    log = home / "stack.log"
    local = support.REPOSITORY / ".local"
    command = [
        str(local / "ministack" / "bin" / "python"),
        str(support.REPOSITORY / "local" / "stack.py"),
        *("--port", str(support.free_port()), "--home", str(home), "--sam", str(local / "sam" / "bin" / "sam")),
    ]
    with log.open("w") as output:
        environment = os.environ | {"PYTHONPATH": str(support.REPOSITORY / "layers" / "common")}
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True)
    try:
        ready = home / "stack.env"
        give_up = time.monotonic() + STARTS_WITHIN_SECONDS
        while not ready.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < give_up, log.read_text()
            time.sleep(0.2)
        values = dict(line.split("=", 1) for line in ready.read_text().splitlines())
        yield Stack(
            process,
            home,
            values["INGEST_URL"],
            values["API_KEY"],
            values["DATA_STREAM_TOKEN"],
            values["AWS_ENDPOINT_URL"],
            values["STACK_NAME"],
        )
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(STOPS_WITHIN_SECONDS)
    assert process.returncode == 0
    assert "Stopped." in log.read_text()
    assert not ready.exists()
    assert not commands_with(str(home)), "Ctrl-C must leave no process behind"


def commands_with(text: str) -> list[bytes]:
    """Return the command lines of this machine's processes that contain `text`; none where there is no /proc."""
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            commands.append(path.read_bytes())
    return [command for command in commands if text.encode() in command]
