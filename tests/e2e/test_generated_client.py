"""A client that a public generator makes of openapi.json."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from support import REPOSITORY

if TYPE_CHECKING:
    from support import Stack

CLIENT = REPOSITORY / ".local" / "client" / "bin"
PROGRAM = Path(__file__).with_name("with_generated_client.py")


def test_a_generated_client_saves_and_reads_back(stack: Stack, tmp_path: Path) -> None:
    """Points, views and errors have types of their own, and the generator has nothing to complain about."""
    without_formatting = tmp_path / "config.yaml"
    without_formatting.write_text("post_hooks: []\n")
    command: list[str | Path] = [CLIENT / "openapi-python-client", "generate", "--meta", "none"]
    command += ["--path", REPOSITORY / "openapi.json", "--output-path", tmp_path / "unitstream_client"]
    command += ["--config", without_formatting]
    generated = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (generated.returncode, generated.stderr) == (0, "")

    service = {"API_URL": stack.api_url, "API_KEY": stack.api_key, "DATA_STREAM_TOKEN": stack.token}
    environment = os.environ | service | {"PYTHONPATH": str(tmp_path)}
    ran = subprocess.run(
        [CLIENT / "python", PROGRAM], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
