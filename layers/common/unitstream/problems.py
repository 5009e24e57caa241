"""Errors that a client can do something about.

Problem
├── InvalidPayload     the request is wrong; nothing was saved
├── InvalidParameters  parameters of its URL are wrong
├── TooMuch            the question asks for more than one answer can hold, or than can be read in time
├── StreamNotFound     the token names no active stream
└── OutOfTime          DynamoDB throttled or failed until the deadline; sending the request again completes it
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from unitstream.days import Counts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_REPORTED_ERRORS = 100
# A near miss is worth a hint only for something that could be a name.
_LONGEST_NEAR_MISS = 40


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong with a request.

    `pointer` is an RFC 6901 JSON pointer into the request body, `code` is stable and made for programs, `detail` is
    made for people and may change.
    """

    pointer: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class ParameterError:
    """One thing that is wrong with the parameters of a request; `code` and `detail` as a `FieldError` has them."""

    parameter: str
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


class InvalidParameters(Problem):
    """Parameters of a request are wrong; `errors` holds the first `MAX_REPORTED_ERRORS`, `total` counts all."""

    def __init__(self, errors: Sequence[ParameterError]) -> None:
        super().__init__(f"{len(errors)} wrong parameters")
        self.errors = errors[:MAX_REPORTED_ERRORS]
        self.total = len(errors)


class TooMuch(Problem):
    """The question asks for more than one answer can hold, or than can be read in time.

    `detail` is a sentence that says what to narrow.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class StreamNotFound(Problem):
    """The token names no stream, or a revoked one."""


class OutOfTime(Problem):
    """The deadline came before everything was saved. `saved` counts the points of which it is known that they are."""

    def __init__(self, saved: Counts = Counts()) -> None:  # noqa: B008  # immutable
        super().__init__(f"{saved.total} points saved before the deadline")
        self.saved = saved


def near_miss(given: str, known: Iterable[str], cutoff: float = 0.53) -> str:
    """Return the one of the `known` names that `given` resembles, or nothing."""
    if len(given) > _LONGEST_NEAR_MISS:
        return ""
    by_lower_case = {name.lower(): name for name in known}
    close = get_close_matches(given.lower(), by_lower_case, n=1, cutoff=cutoff)
    return by_lower_case[close[0]] if close else ""


def pointer(*path: str | int) -> str:
    """Return the RFC 6901 JSON pointer to `path`."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)
