"""Files and stdin: opened, unpacked, told apart by how they begin, and read as text."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from unitstream_cli.errors import BadInput, CommandFailed, ExitCode
from unitstream_cli.push.csv_files import csv_parts
from unitstream_cli.push.json_files import is_document, json_parts, ndjson_parts
from unitstream_cli.push.rows import Format, Lines
from unitstream_cli.settings import STDIN

if TYPE_CHECKING:
    from _hashlib import HASH
    from collections.abc import Iterator
    from typing import BinaryIO

    from unitstream_cli.push.rows import Dialect, Part


_HEAD_BYTES = 65_536
_GZIP = b"\x1f\x8b"
_UTF_8_MARK = codecs.BOM_UTF8
# What people take for CSV or JSON, by its first bytes.
_OTHER_FILES = {
    b"PK\x03\x04": "an Excel workbook, or another zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    _GZIP: "compressed with gzip twice",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"\xfd7zXZ\x00": "compressed with xz",
    b"BZh": "compressed with bzip2",
    b"\x04\x22\x4d\x18": "compressed with lz4",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"PAR1": "Parquet",
    b"ORC": "ORC",
    b"Obj\x01": "Avro",
    b"ARROW1": "Arrow",
    b"SQLite format 3\x00": "an SQLite database",
    b"%PDF-": "PDF",
    b"{\\rtf": "a document of a word processor",
    b"<": "HTML or XML",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
}
_TAR = (257, b"ustar")
_DOUBLED_MARKS = (_UTF_8_MARK * 2, _UTF_8_MARK.decode("cp1252").encode())
# Encodings whose text has zeros where the letters of English do, by the zeros among its first four bytes.
_ZEROS = {
    b"\0\1\1\1": "utf-32-le",
    b"\1\1\1\0": "utf-32-be",
    b"\0\1\0\1": "utf-16-le",
    b"\1\0\1\0": "utf-16-be",
}
_MARKS = {
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}


class Source:
    """A file or stdin, of which it is counted and hashed what was read so far."""

    def __init__(self, path: Path, digest: HASH) -> None:
        self.name = "stdin" if path == STDIN else str(path)
        self._path = path
        self._digest = digest
        self._input = _Input(io.BytesIO(), digest)

    @property
    def bytes_read(self) -> int:
        return self._input.count

    def parts(self, dialect: Dialect) -> Iterator[Part]:
        """Yield the rows in order, a fault for each that cannot be read, and what the file says beside them.

        Raises `BadInput` for what makes the file unreadable.
        """
        try:
            with self._open() as stream:
                # Files have other rows when they are divided in another place.
                self._digest.update(b"\0")
                self._input = _Input(stream, self._digest)
                path = self._path
                if self._input.head.startswith(_GZIP):
                    path = path.with_suffix("") if path.suffix.lower() == ".gz" else path
                    self._input = _Input(gzip.GzipFile(fileobj=self._input), self._digest)
                self._check_kind(dialect.encoding)
                text = io.TextIOWrapper(self._input, dialect.encoding, newline="")
                yield from self._parts(text, dialect, dialect.format or self._format(path, dialect))
        except UnicodeError as exc:
            raise self._undecodable(exc, dialect.encoding) from exc
        except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
            raise BadInput(f"{self.name} is compressed with gzip, and damaged or cut off: {exc}.") from exc
        except OSError as exc:
            raise BadInput(f"cannot read {self.name}: {exc.strerror}.") from exc

    def _parts(self, text: io.TextIOWrapper, dialect: Dialect, kind: Format) -> Iterator[Part]:
        match kind:
            case Format.CSV:
                return csv_parts(self.name, Lines(self.name, text, dialect), dialect)
            case Format.NDJSON:
                return ndjson_parts(Lines(self.name, text, dialect))
            case Format.JSON:
                return json_parts(self.name, text, dialect.skipped_lines)

    def _open(self) -> BinaryIO:
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb") if self._path == STDIN else self._path.open("rb")

    def _check_kind(self, encoding: str) -> None:
        head = self._input.head
        what = next((what for start, what in _OTHER_FILES.items() if head.startswith(start)), None)
        if head.startswith(_TAR[1], _TAR[0]):
            what = "a tar archive"
        if what:
            raise BadInput(f"{self.name} is {what}: save it as CSV, NDJSON or JSON, which may be compressed with gzip.")
        if head.startswith(_DOUBLED_MARKS):
            raise BadInput(
                f"{self.name} begins with two byte-order marks, or with one that was encoded twice.",
                "Save it as UTF-8 again, with one or without.",
            )
        name = codecs.lookup(encoding).name
        looks_like = _ZEROS.get(bytes(byte == 0 for byte in head[:4]))
        marked = next((name for name, marks in _MARKS.items() if head.startswith(marks)), None)
        if name in _MARKS and head and marked != name:
            raise BadInput(
                f"{self.name} is not {name.upper()} with a byte-order mark.",
                f"If it is that without one, say --encoding {looks_like or f'{name}-le'}.",
            )
        if name.startswith(tuple(_MARKS)):
            return
        if marked:
            raise BadInput(f"{self.name} is {marked.upper()}.", f"Say --encoding {marked}.")
        if looks_like:
            raise BadInput(
                f"{self.name} is {looks_like[:6].upper()} without a byte-order mark.", f"Say --encoding {looks_like}."
            )
        if b"\0" in head:
            raise BadInput(f"{self.name} is no text: it has zero bytes.", "Save it as CSV, NDJSON or JSON.")

    def _format(self, path: Path, dialect: Dialect) -> Format:
        """Tell the format by the file's name, or else by how it begins: .json and .jsonl are used for all of JSON."""
        suffix = path.suffix.lower()
        if suffix in {".csv", ".tsv"}:
            return Format.CSV
        head = self._input.head.decode(dialect.encoding, "ignore")
        for _ in range(dialect.skipped_lines):
            head = head.partition("\n")[2]
        while dialect.comment and head.startswith(dialect.comment):
            head = head.partition("\n")[2]
        first, ended, _ = head.lstrip().partition("\n")
        if not first.startswith(("[", "{")):
            return {".json": Format.JSON, ".ndjson": Format.NDJSON, ".jsonl": Format.NDJSON}.get(suffix, Format.CSV)
        document = is_document(first)
        if document is None:
            # Cut off by a line end or by what is looked at, it is a document; else a row that is wrong.
            document = suffix not in {".ndjson", ".jsonl"} and not first.rstrip().endswith("}")
            document |= not ended and len(self._input.head) == _HEAD_BYTES
        return Format.JSON if document else Format.NDJSON

    def _undecodable(self, exc: UnicodeError, encoding: str) -> BadInput:
        """Say where the byte is. `exc` knows the part that was read last."""
        if not isinstance(exc, UnicodeDecodeError):
            return BadInput(f"{self.name}: the text is not {encoding.upper()}: {exc}.")
        wrong = exc.object[exc.start : exc.start + 1]
        line = self._input.line_ends - exc.object.count(b"\n", exc.start) + 1
        place = self._input.count - len(exc.object) + exc.start + 1
        return BadInput(
            f"{self.name}:{line}: the text is not {exc.encoding.upper()}: byte {place:,} of the file, 0x{wrong.hex()}, "
            "does not fit.",
            "Say which encoding it has; perhaps it is --encoding cp1252.",
        )


def check_encoding(name: str) -> str:
    """Return the encoding called `name`; UTF-8 with or without a byte-order mark is the same."""
    try:
        found = codecs.lookup(name).name
        "".encode(name)
    except (LookupError, UnicodeError) as exc:
        raise CommandFailed(
            f"there is no encoding {name!r}; known are utf-8, utf-16, cp1252, latin-1 and many more.",
            exit_code=ExitCode.USAGE,
        ) from exc
    return "utf-8-sig" if found == "utf-8" else found


class _Input(io.BufferedIOBase):
    """Bytes for a `TextIOWrapper` or to be unpacked: counted, hashed, and their beginning is known beforehand."""

    def __init__(self, stream: BinaryIO | gzip.GzipFile, digest: HASH) -> None:
        self._stream = stream
        self._digest = digest
        self.head = self._rest = stream.read(_HEAD_BYTES)
        self.count = 0
        self.line_ends = 0

    @property
    def name(self) -> str:
        """What `TextIOWrapper` asks for, to be represented."""
        return "input"

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1, /) -> bytes:
        """Return what comes next: more than `size`, which is little."""
        return self.read(max(size, _HEAD_BYTES))

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = _HEAD_BYTES if size is None or size < 0 else size
        part, self._rest = self._rest[:wanted], self._rest[wanted:]
        part = part or self._stream.read(wanted)
        self.count += len(part)
        self.line_ends += part.count(b"\n")
        self._digest.update(part)
        return part


def size_of(paths: list[Path]) -> int | None:
    """Return how many bytes there are to read, or None when that is not known.

    It is not of stdin, pipes, files that are missing, and those that are to be unpacked.
    """
    if not all(path.is_file() and path.suffix.lower() != ".gz" for path in paths):
        return None
    return sum(path.stat().st_size for path in paths)
