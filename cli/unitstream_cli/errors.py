"""How a command may end: its exit codes, and the errors that a person can do something about.

CommandFailed
├── BadInput      what was given is wrong; nothing was changed
├── Rejected      the API key, the token or the AWS credentials are not accepted, or there is no such stream
├── Unreachable   the service or the stack does not answer
└── Interrupted   somebody pressed Ctrl-C
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the shell sees. Scripts rely on these numbers."""

    OK = 0
    # Not everything was done, or something unforeseen happened.
    FAILED = 1
    USAGE = 2
    BAD_INPUT = 3
    REJECTED = 4
    UNREACHABLE = 5
    # A unit metric is higher than --fail-above or --fail-rise allow.
    BEYOND_LIMIT = 6
    # No unit metric has a value that --fail-above or --fail-rise could judge.
    NOTHING_TO_JUDGE = 7
    INTERRUPTED = 130


class CommandFailed(Exception):
    """The command ends with `exit_code`. `message` says what is wrong, `hint` what to do about it."""

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, hint: str | None = None, *, exit_code: ExitCode | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code


class BadInput(CommandFailed):
    """A file, a name or a value is wrong."""

    exit_code = ExitCode.BAD_INPUT


class Rejected(CommandFailed):
    """The API key, the token or the AWS credentials are not accepted, or there is no such stream."""

    exit_code = ExitCode.REJECTED


class Unreachable(CommandFailed):
    """No connection, no answer in time, errors of the service that do not end, or no such stack."""

    exit_code = ExitCode.UNREACHABLE


class Interrupted(CommandFailed):
    """Somebody pressed Ctrl-C."""

    exit_code = ExitCode.INTERRUPTED
