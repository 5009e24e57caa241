"""Errors that a client can do something about.

Problem
├── InvalidRequest  its body or its parameters are wrong; nothing was saved or read
├── BodyTooLarge    its body, as it was sent or unpacked, has more bytes than it may have
├── ContentTypeUnsupported  its body is said to be something else than JSON
├── EncodingUnsupported     its body is said to be packed in another way than gzip
├── TooMuch         the question asks for more than one answer can hold, or than can be read in time
├── StreamNotFound  the token names no stream, was revoked, or has expired
├── UnitMetricNotFound  the stream has no saved unit metric of that name
├── RightMissing    the token may not do what it is used for
└── OutOfTime       DynamoDB throttled or failed until the deadline; sending the request again completes it
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from unitstream.days import Counts, Deletions
    from unitstream.rights import Right

# Lambda takes events of 6 MB.
MAX_BODY_BYTES = 6 * 1024 * 1024
MAX_REPORTED_ERRORS = 100
# A near miss is worth a hint only for something that could be a name.
_LONGEST_NEAR_MISS = 40


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to say of a request: an error in it, or a notice about what is allowed but looks like a mistake.

    `code` is stable and made for programs, `detail` is made for people and may change. `pointer`, an RFC 6901 JSON
    pointer into the body, or `parameter`, the name of a query parameter or header, says where.
    """

    code: str
    detail: str
    pointer: str | None = None
    parameter: str | None = None

    def to_json(self) -> dict[str, str]:
        """Return what an answer says of it."""
        place = {"pointer": self.pointer, "parameter": self.parameter}
        return {name: text for name, text in place.items() if text is not None} | {
            "code": self.code,
            "detail": self.detail,
        }


class Problem(Exception):
    """An error that a client can do something about."""


class InvalidRequest(Problem):
    """The body or the parameters break the contract, so nothing was saved or read.

    `errors` holds the first `MAX_REPORTED_ERRORS` in the order of the request, `total` counts all of them.
    """

    def __init__(self, errors: Sequence[Finding], total: int | None = None) -> None:
        self.errors = errors[:MAX_REPORTED_ERRORS]
        self.total = len(errors) if total is None else total
        super().__init__(f"{self.total} errors")


class BodyTooLarge(Problem):
    """The body, as it was sent or unpacked, has more bytes than it may have."""


class ContentTypeUnsupported(Problem):
    """The body has a Content-Type that is not JSON."""


class EncodingUnsupported(Problem):
    """The body has a Content-Encoding other than gzip."""


class TooMuch(Problem):
    """The question asks for more than one answer can hold, or than can be read in time.

    `detail` is a sentence that says what to narrow.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class StreamNotFound(Problem):
    """The token names no stream, was revoked, or has expired."""


class UnitMetricNotFound(Problem):
    """The stream has no saved unit metric of that name."""


class RightMissing(Problem):
    """The token has its `rights`, and not the one that is `needed`."""

    def __init__(self, needed: Right, rights: frozenset[str]) -> None:
        super().__init__(needed)
        self.needed = needed
        self.rights = rights


class OutOfTime(Problem):
    """The deadline came first. `counts` are the points of which it is known what became of them, None for none."""

    def __init__(self, counts: Counts | Deletions | None = None, notices: Sequence[Finding] = ()) -> None:
        super().__init__(f"{counts} before the deadline")
        self.counts = counts
        self.notices = notices


def invalid_body(reason: str) -> InvalidRequest:
    """Return the error of a body that cannot be read at all."""
    return InvalidRequest([Finding("json_invalid", f"the body {reason}", "")])


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
