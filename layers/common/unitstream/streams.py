"""Data streams and their tokens: the Streams table.

    item     token_sha256          holds
    token    SHA-256 of the token  stream_id, name (the stream's), token_name, rights, state, created_at; lifetime and
                                   expires_at, if it ends; replaced, if another followed; max_series, as below
    stream   name#{name}           stream_id, name, state, created_at, tokens (their SHA-256s), rev; max_series, if the
                                   stream has a limit of its own

The functions read the first kind alone, one item for a token that they do not remember. The command writes both.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unitstream.dynamodb import CALL_ERRORS, is_transient, paced
from unitstream.problems import OutOfTime, RightMissing, StreamNotFound

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    from unitstream.rights import Right

ACTIVE = "active"
REMEMBERED_SECONDS = 60
_REMEMBERED_STREAMS = 1_000


@dataclass(frozen=True, slots=True)
class Stream:
    """A data stream, as one of its tokens opens it."""

    stream_id: str
    token_name: str
    rights: frozenset[str]
    state: str
    # Epoch seconds from which on the token is unknown.
    expires_at: int | None = None
    # How many series a metric may have; None is what the template says.
    max_series: int | None = None

    @classmethod
    def from_item(cls, item: dict[str, AttributeValueTypeDef]) -> Stream:
        numbers = {name: int(item[name]["N"]) for name in ("expires_at", "max_series") if name in item}
        rights = frozenset(item["rights"]["SS"])
        return cls(item["stream_id"]["S"], item["token_name"]["S"], rights, item["state"]["S"], **numbers)

    def accepts(self, now: float) -> bool:
        """Whether the token opens the stream at `now`, in epoch seconds."""
        return self.state == ACTIVE and (self.expires_at is None or now < self.expires_at)

    def require(self, right: Right) -> None:
        """Raise `RightMissing` unless the token has `right`."""
        if right not in self.rights:
            raise RightMissing(right, self.rights)


def token_key(token: str) -> dict[str, AttributeValueTypeDef]:
    """Return the key of the item of `token`. The token itself is stored nowhere."""
    return {"token_sha256": {"S": hashlib.sha256(token.encode()).hexdigest()}}


class StreamsTable:
    """Finds streams by token, and remembers them for `REMEMBERED_SECONDS`: a revoked token may work so much longer."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name
        # With the ends of remembering by both clocks: in a sandbox that is frozen the monotonic one may stand still.
        self._remembered: dict[str, tuple[float, float, Stream]] = {}

    def find(self, token: str, deadline: float) -> Stream:
        """Return the active stream with `token`.

        Raises `StreamNotFound`, also when the token has expired, or `OutOfTime` when DynamoDB does not answer until
        `deadline` (monotonic clock).
        """
        if recalled := self._recall(token):
            return recalled
        for _ in paced(deadline):
            try:
                answer = self._client.get_item(TableName=self._table_name, Key=token_key(token), ConsistentRead=True)
            except CALL_ERRORS as exc:
                if not is_transient(exc):
                    raise
                continue
            if "Item" not in answer or not (stream := Stream.from_item(answer["Item"])).accepts(time.time()):
                self._remembered.pop(token, None)
                raise StreamNotFound
            if len(self._remembered) >= _REMEMBERED_STREAMS:
                self._remembered.clear()
            ends = time.monotonic() + REMEMBERED_SECONDS, time.time() + REMEMBERED_SECONDS
            self._remembered[token] = (*ends, stream)
            return stream
        raise OutOfTime

    def _recall(self, token: str) -> Stream | None:
        if token not in self._remembered:
            return None
        monotonic_end, wall_end, stream = self._remembered[token]
        now = time.time()
        return stream if time.monotonic() < monotonic_end and now < wall_end and stream.accepts(now) else None
