"""What all tests share: no way to a real AWS account, hypothesis without a clock, and the command, built once."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

import hypothesis
import pytest
import support
import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

# Machines are noisy: a slow example is no finding. Each run searches anew, so what few examples miss is found some runs
# later. The tests of the laws, which all else relies on, ask for more.
hypothesis.settings.register_profile("unitstream", deadline=None, print_blob=True, max_examples=40)
hypothesis.settings.load_profile("unitstream")

support.forget_this_machine()
os.environ["POWERTOOLS_SERVICE_NAME"] = "unitstream"


@pytest.fixture(scope="session", autouse=True)
def command_is_built_once() -> Iterator[None]:
    """As in a process of a user; `CliRunner` builds it for each call, which takes longer than most commands."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("typer.testing._get_command", functools.cache(typer.main.get_command))
        yield
