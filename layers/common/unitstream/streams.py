"""Data streams and their tokens: the Streams table."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unitstream.dynamodb import CALL_ERRORS, is_transient, paced
from unitstream.problems import OutOfTime, StreamNotFound

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

ACTIVE = "active"
REMEMBERED_SECONDS = 60
_REMEMBERED_STREAMS = 1_000


@dataclass(frozen=True, slots=True)
class Stream:
    """A data stream, as the Streams table keeps it under the SHA-256 of its token."""

    stream_id: str
    name: str
    state: str
    # Epoch seconds from which on the token is unknown. Only a token that was rotated has them.
    expires_at: int | None = None

    @classmethod
    def from_item(cls, item: dict[str, AttributeValueTypeDef]) -> Stream:
        expires_at = int(item["expires_at"]["N"]) if "expires_at" in item else None
        return cls(item["stream_id"]["S"], item["name"]["S"], item["state"]["S"], expires_at)

    def accepts(self, now: float) -> bool:
        """Whether the token opens the stream at `now`, in epoch seconds."""
        return self.state == ACTIVE and (self.expires_at is None or now < self.expires_at)


def token_key(token: str) -> dict[str, AttributeValueTypeDef]:
    """Return the key of the stream with `token`. The token itself is stored nowhere."""
    return {"token_sha256": {"S": hashlib.sha256(token.encode()).hexdigest()}}


class StreamsTable:
    """Finds streams by token, and remembers them for `REMEMBERED_SECONDS`: a revoked token may work so much longer."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name
        self._remembered: dict[str, tuple[float, Stream]] = {}

    def find(self, token: str, deadline: float) -> Stream:
        """Return the active stream with `token`.

        Raises `StreamNotFound`, also when the token has expired, or `OutOfTime` when DynamoDB does not answer until
        `deadline` (monotonic clock).
        """
        remembered = self._remembered.get(token)
        if remembered and time.monotonic() < remembered[0] and remembered[1].accepts(time.time()):
            return remembered[1]
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
            self._remembered[token] = (time.monotonic() + REMEMBERED_SECONDS, stream)
            return stream
        raise OutOfTime
