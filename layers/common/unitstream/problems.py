"""Errors that a client can do something about.

Problem
├── InvalidPayload     the request is wrong; nothing was saved
├── InvalidParameter   so is a parameter in its URL
├── StreamNotFound     the token names no active stream
└── OutOfTime          DynamoDB throttled or failed until the deadline; sending the request again completes it
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from unitstream.days import Counts

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_REPORTED_ERRORS = 100


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong with a request.

    `pointer` is an RFC 6901 JSON pointer into the request body, `code` is stable and made for programs, `detail` is
    made for people and may change.
    """

    pointer: str
    code: str
    detail: str


class Problem(Exception):
    """An error that a client can do something about."""


class InvalidPayload(Problem):
    """The request breaks the contract, so nothing of it was saved.

    `errors` holds the first `MAX_REPORTED_ERRORS` in the order of the document, `total` counts all of them.
    """

    def __init__(self, errors: Sequence[FieldError], total: int) -> None:
        super().__init__(f"{total} validation errors")
        self.errors = errors[:MAX_REPORTED_ERRORS]
        self.total = total


class InvalidParameter(Problem):
    """A query parameter is unknown or has a value that is not allowed."""

    def __init__(self, parameter: str, detail: str) -> None:
        super().__init__(detail)
        self.parameter = parameter
        self.detail = detail


class StreamNotFound(Problem):
    """The token names no stream, or a revoked one."""


class OutOfTime(Problem):
    """The deadline came before everything was saved. `saved` counts the points of which it is known that they are."""

    def __init__(self, saved: Counts = Counts()) -> None:  # noqa: B008  # frozen
        super().__init__(f"{saved.total} points saved before the deadline")
        self.saved = saved


def pointer(*path: str | int) -> str:
    """Return the RFC 6901 JSON pointer to `path`."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)
