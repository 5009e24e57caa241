"""A local stack of the tests' own, deployed from template.yaml by the SAM CLI, on a free port."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import support
from _pytest.nodeid import NodeId
from support import Stack
from typer.testing import CliRunner

from unitstream_cli.main import app

if TYPE_CHECKING:
    from collections.abc import Callable

HOME = "UNITSTREAM_TESTED_STACK"
STARTS_WITHIN_SECONDS = 180
STOPS_WITHIN_SECONDS = 30
COMMAND_ENDS_WITHIN_SECONDS = 120
STARTED = pytest.StashKey[subprocess.Popen[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the stack, which comes up while the tests are collected: one for all workers, who inherit where it is."""
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    home = Path(tempfile.mkdtemp(prefix="unitstream-stack-"))
    os.environ[HOME] = str(home)
    local = support.REPOSITORY / ".local"
    command = [
        str(local / "ministack" / "bin" / "python"),
        str(support.REPOSITORY / "local" / "stack.py"),
        *("--port", str(support.free_port()), "--home", str(home), "--sam", str(local / "sam" / "bin" / "sam")),
    ]
    with log_of(home).open("w") as output:
        paths = [str(support.REPOSITORY / path) for path in ("layers/common", "cli")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        started = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True)
    config.stash[STARTED] = started


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the stack as Ctrl-C does."""
    if STARTED not in config.stash:
        return
    process, home = config.stash[STARTED], Path(os.environ.pop(HOME))
    process.send_signal(signal.SIGINT)
    process.wait(STOPS_WITHIN_SECONDS)
    log = log_of(home).read_text()
    assert process.returncode == 0, log
    assert "Stopped." in log
    assert not (home / "stack.env").exists()
    assert not commands_with(str(home)), "Ctrl-C must leave no process behind"
    shutil.rmtree(home)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Name the operation in the ID of a test of schemathesis: pytest leaves it out, and xdist runs one test per ID."""
    if item.name.endswith("]") and not item.nodeid.endswith("]"):
        item._id = NodeId.parse(f"{item.nodeid}[{item.name.partition('[')[2]}")  # noqa: SLF001  # there is no other way


def log_of(home: Path) -> Path:
    return home / "stack.log"


@pytest.fixture(scope="session")
def stack() -> Stack:
    home = Path(os.environ[HOME])
    ready = home / "stack.env"
    give_up = time.monotonic() + STARTS_WITHIN_SECONDS
    while not ready.exists():
        log = log_of(home).read_text()
        assert "Failed:" not in log, log
        assert time.monotonic() < give_up, log
        time.sleep(0.1)
    values = dict(line.split("=", 1) for line in ready.read_text().splitlines())
    return Stack(
        home,
        values["INGEST_URL"],
        values["API_KEY"],
        values["DATA_STREAM_TOKEN"],
        values["AWS_ENDPOINT_URL"],
        values["STACK_NAME"],
    )


@pytest.fixture
def unitstream(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command beside the stack's files, as a person does; keywords change the environment.

    With rows on stdin it is a process of its own, else it runs in this one, which has imported all that it needs.
    """
    (tmp_path / ".local").symlink_to(stack.home)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        if stdin:
            return subprocess.run(
                [Path(sys.executable).parent / "unitstream", *arguments],
                env=os.environ | environment,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=COMMAND_ENDS_WITHIN_SECONDS,
                check=False,
            )
        done = CliRunner().invoke(app, [str(one) for one in arguments], env=environment)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)

    return run


def commands_with(text: str) -> list[bytes]:
    """Return the command lines of this machine's processes that contain `text`; none where there is no /proc."""
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            commands.append(path.read_bytes())
    return [command for command in commands if text.encode() in command]
