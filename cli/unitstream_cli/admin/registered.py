"""What the registry knows of streams and tokens, and what their items in the Streams table look like."""

from __future__ import annotations

import hashlib
import secrets
import unicodedata
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from unitstream.rights import Right
from unitstream.streams import ACTIVE
from unitstream_cli.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Item = dict[str, Any]

REVOKED = "revoked"
IN_GRACE = "in grace"
EXPIRED = "expired"
# The token with all rights, which a stream is made with.
OWNER = "owner"
STREAM_PREFIX = "name#"
LONGEST_NAME = 255
# Control characters, halves of surrogate pairs, and line and paragraph separators.
_NO_TEXT = {"Cc", "Cs", "Zl", "Zp"}


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a stream, by its SHA-256. `expires_at` is in epoch seconds, `lifetime` in seconds, for one that ends.

    It is `replaced` when another one follows it, and then it ends earlier.
    """

    sha256: str
    name: str
    rights: frozenset[str]
    created_at: str
    lifetime: int | None = None
    expires_at: int | None = None
    state: str = ACTIVE
    replaced: bool = False

    @classmethod
    def from_item(cls, item: Item) -> Token:
        return cls(
            item["token_sha256"]["S"],
            item["token_name"]["S"],
            frozenset(item["rights"]["SS"]),
            item["created_at"]["S"],
            _number(item, "lifetime"),
            _number(item, "expires_at"),
            item["state"]["S"],
            "replaced" in item,
        )

    def state_at(self, now: float) -> str:
        """Return `active`, `in grace`, `expired` or `revoked`."""
        if self.state != ACTIVE:
            return self.state
        if self.expires_at is not None and now >= self.expires_at:
            return EXPIRED
        return IN_GRACE if self.replaced else ACTIVE

    def works_at(self, now: float) -> bool:
        return self.state_at(now) in {ACTIVE, IN_GRACE}

    def ended_at(self, end: int) -> Token:
        """Return the token as it is when another follows it: it works until `end`, if not shorter anyhow."""
        return replace(self, expires_at=end if self.expires_at is None else min(self.expires_at, end), replaced=True)

    @property
    def listed_rights(self) -> list[str]:
        """The rights in their order."""
        return [right.value for right in Right if right in self.rights]


@dataclass(frozen=True, slots=True)
class RegisteredStream:
    """A stream with its tokens, the newest last. `max_series` is its own limit of series per metric, if it has one."""

    stream_id: str
    name: str
    state: str
    created_at: str
    tokens: tuple[Token, ...] = ()
    max_series: int | None = None

    @classmethod
    def from_items(cls, item: Item, tokens: Mapping[str, Item]) -> RegisteredStream:
        """Return the stream of a stream's `item`, with those of `tokens` (by their SHA-256) that are its own."""
        return cls(
            item["stream_id"]["S"],
            item["name"]["S"],
            item["state"]["S"],
            item["created_at"]["S"],
            tuple(Token.from_item(tokens[one]) for one in hashes_of(item) if one in tokens),
            _number(item, "max_series"),
        )

    def named(self, name: str) -> list[Token]:
        """Return the tokens with a name: the one in use, and those that it followed."""
        return [token for token in self.tokens if token.name == name]

    def shared_attributes(self) -> Item:
        """Return what the items of the stream and of its tokens have in common."""
        limit = {} if self.max_series is None else {"max_series": {"N": str(self.max_series)}}
        return {"stream_id": {"S": self.stream_id}, "name": {"S": self.name}} | limit

    def token_item(self, token: Token) -> Item:
        """Return the item of a new token."""
        numbers = {"lifetime": token.lifetime, "expires_at": token.expires_at}
        end = {name: {"N": str(number)} for name, number in numbers.items() if number is not None}
        own = {"token_name": {"S": token.name}, "rights": {"SS": token.listed_rights}, "state": {"S": token.state}}
        created = {"created_at": {"S": token.created_at}}
        return key_of(token.sha256) | self.shared_attributes() | own | created | end


def key_of(value: str) -> Item:
    return {"token_sha256": {"S": value}}


def hashes_of(item: Item) -> list[str]:
    """Return the SHA-256s of the tokens of a stream's item."""
    return [one["S"] for one in item["tokens"]["L"]]


def hashes(tokens: Iterable[Token]) -> Item:
    """Return what a stream's item says of its tokens."""
    return {"L": [{"S": token.sha256} for token in tokens]}


def new_token() -> str:
    """Return a new token: 32 random bytes, as text."""
    return f"ds_{secrets.token_urlsafe(32)}"


def sha256(token: str) -> str:
    """Return the SHA-256 of a token, in hex, under which it is found."""
    return hashlib.sha256(token.encode()).hexdigest()


def _number(item: Item, name: str) -> int | None:
    return int(item[name]["N"]) if name in item else None


def moment_of(seconds: float) -> str:
    """Return a moment, in epoch seconds, as the items say it."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat(timespec="seconds")


def check_name(name: str, whose: str = "stream") -> None:
    """Raise `BadInput` unless `name` can be a stream's, or a token's."""
    if not 1 <= len(name) <= LONGEST_NAME:
        raise BadInput(f"a {whose}'s name has 1 to {LONGEST_NAME} characters, and this one has {len(name)}.")
    if any(unicodedata.category(character) in _NO_TEXT for character in name):
        raise BadInput(f"a {whose}'s name has no line breaks and no control characters: {name!a}.")
    if name != name.strip():
        raise BadInput(f"a {whose}'s name has no space at its beginning or end: {name!r}.")
