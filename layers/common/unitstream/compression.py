"""Bodies that are compressed with gzip."""

from __future__ import annotations

import zlib

from unitstream.problems import MAX_BODY_BYTES, BodyTooLarge, Finding, InvalidRequest

_MAGIC = b"\x1f\x8b"
_WITH_GZIP_HEADER = 16 + zlib.MAX_WBITS
# A body may consist of many small members, and what follows one is copied when it ends.
_CHUNK = 4_096


def unpacked(body: bytes) -> bytes:
    """Return what `body` holds if it is in gzip's format, and `body` itself if not.

    By the content, because API Gateway unpacks a body and leaves its Content-Encoding. Raises `BodyTooLarge` as soon as
    there is more than a body may have, and `InvalidRequest` if something is wrong with the format.
    """
    if not body.startswith(_MAGIC):
        return body
    content = bytearray()
    member = zlib.decompressobj(_WITH_GZIP_HEADER)
    position = 0
    try:
        while position < len(body):
            if member.eof:
                member = zlib.decompressobj(_WITH_GZIP_HEADER)
            chunk = body[position : position + _CHUNK]
            content += member.decompress(chunk, MAX_BODY_BYTES + 1 - len(content))
            if len(content) > MAX_BODY_BYTES:
                raise BodyTooLarge
            position += len(chunk) - len(member.unused_data)
    except zlib.error as exc:
        raise _invalid(f"is not valid gzip: {exc}") from exc
    if not member.eof:
        raise _invalid("is gzip that was cut off")
    return bytes(content)


def _invalid(reason: str) -> InvalidRequest:
    return InvalidRequest([Finding("gzip_invalid", f"the body {reason}", "")])
