"""What `make run` does when something is in the way."""

from __future__ import annotations

import os
import socket
import subprocess
from typing import TYPE_CHECKING

import support

if TYPE_CHECKING:
    from pathlib import Path

    from support import Stack


def start(home: Path, port: int, sam: str = "sam") -> subprocess.CompletedProcess[str]:
    """Run the local stack, which is expected to give up by itself."""
    return subprocess.run(
        [
            str(support.REPOSITORY / ".local" / "ministack" / "bin" / "python"),
            str(support.REPOSITORY / "local" / "stack.py"),
            *("--home", str(home), "--port", str(port), "--sam", sam),
        ],
        env=os.environ
        | {"PYTHONPATH": f"{support.REPOSITORY / 'layers' / 'common'}{os.pathsep}{support.REPOSITORY / 'cli'}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_second_stack_says_that_one_runs_already(stack: Stack) -> None:
    """And leaves the first one, with its stack.env, alone."""
    second = start(stack.home, support.free_port())
    assert second.returncode == 1
    assert "A stack runs already" in second.stdout
    assert (stack.home / "stack.env").exists()


def test_a_taken_port_is_named(stack: Stack, tmp_path: Path) -> None:
    """With the way out."""
    port = int(stack.endpoint.rsplit(":", 1)[1])
    second = start(tmp_path, port)
    assert second.returncode == 1
    assert f"port {port} is taken; choose another one with PORT=" in second.stderr


def test_a_failed_step_is_named_and_what_was_started_is_stopped(tmp_path: Path) -> None:
    """Here the build fails, with MiniStack up already."""
    sam = tmp_path / "sam"
    sam.write_text("#!/bin/sh\necho no luck today\nexit 3\n")
    sam.chmod(0o755)
    port = support.free_port()
    failed = start(tmp_path, port, str(sam))
    assert failed.returncode == 1
    assert "sam build ended with 3" in failed.stderr
    assert "no luck today" in failed.stderr
    assert not listens(port)
    assert not (tmp_path / "stack.env").exists()
