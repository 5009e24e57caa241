"""What a token may have the right to do with its stream."""

from __future__ import annotations

from enum import StrEnum


class Right(StrEnum):
    """A right, in the order in which rights are told."""

    WRITE = "write"
    READ = "read"
    DELETE = "delete"
