"""A local stack of the tests' own, deployed from template.yaml by the SAM CLI, on a free port."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import support
from support import Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STARTS_WITHIN_SECONDS = 180
STOPS_WITHIN_SECONDS = 30
COMMAND_ENDS_WITHIN_SECONDS = 120


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
        paths = [str(support.REPOSITORY / path) for path in ("layers/common", "cli")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
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


@pytest.fixture
def unitstream(stack: Stack, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command beside the stack's files, as a person does; keywords change the environment."""
    (tmp_path / ".local").symlink_to(stack.home)

    def run(*arguments: str | Path, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [Path(sys.executable).parent / "unitstream", *arguments],
            cwd=tmp_path,
            env=os.environ | environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_ENDS_WITHIN_SECONDS,
            check=False,
        )

    return run


def commands_with(text: str) -> list[bytes]:
    """Return the command lines of this machine's processes that contain `text`; none where there is no /proc."""
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            commands.append(path.read_bytes())
    return [command for command in commands if text.encode() in command]
