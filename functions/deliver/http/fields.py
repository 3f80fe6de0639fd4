"""The status line and header fields of a response, so that whatever they look like, its status stands.

http.client gives up on more than a hundred fields and on long lines, and takes what follows a malformed line for
the body; urllib3 gives up on lengths that contradict each other. The receiver has decided by then.
"""

import http.client
import re
from http import HTTPStatus
from typing import Any

from deliver.http.faults import BudgetExceededError
from deliver.http.sockets import current_call

# The budget of lines and pieces, each of which costs some microseconds, however short it is.
MAX_HEADS = 16  # of a response and the 1xx before it
MAX_LINES = 600  # of them all; 6,000 took 10 ms of CPU, and servers accept some hundred
MAX_PIECES = 1000  # of a chunked body: three for each chunk, one for each trailer

# Of http.client's hundred lines: those that decide something are kept first.
KEPT_FIELDS, KEPT_DECIDING = 50, 40
_DECIDING = {b"connection", b"keep-alive", b"retry-after", b"webhook-delivery"}
_FRAMING = {b"content-length", b"transfer-encoding"}
_DECIDES = re.compile(rb"(?:" + b"|".join(sorted(_DECIDING | _FRAMING)) + rb")[ \t]*:", re.IGNORECASE)
_LENGTH_DIGITS = 18  # Python reads no number of more than 4300
_LINE_BYTES = 65_000  # http.client takes a few more

_NAME = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:")


class FieldsResponse(http.client.HTTPResponse):
    """A response that skips every 1xx but 101, and takes any number of fields."""

    fp: Any
    headers: Any
    chunked: bool
    _file: Any

    def begin(self) -> None:
        """Read the status and the fields."""
        if self.headers is not None:
            return
        self._file = self.fp
        self.fp = lines = _Lines(self.fp)
        try:
            super().begin()
            while self.status < HTTPStatus.OK and self.status != HTTPStatus.SWITCHING_PROTOCOLS:
                self.headers = None  # or begin() would do nothing
                super().begin()
        finally:
            if self.fp is lines:  # not where http.client closed it
                self.fp = _Pieces(lines.file) if self.chunked else lines.file
        # After 101 the connection speaks something else. A body without a frame we know may never end.
        if self.status == HTTPStatus.SWITCHING_PROTOCOLS or lines.unframed:
            current_call.get().unframed = True

    def _close_conn(self) -> None:
        """As http.client does after the last byte of the body; but note whether its reader has more."""
        call = current_call.get()
        if self.fp is not None and not self._file.closed:
            call.peeking = True
            try:
                call.unread = bool(self._file.peek(1))
            except OSError:  # from a reader whose read failed
                call.unread = True
            call.peeking = False
        super()._close_conn()  # type: ignore[misc]


class _Lines:
    """A response's lines as http.client reads them: a status line, its fields, an empty line; for a 1xx again.

    A field whose line is malformed is left out, as is the middle of the many and the end of the long. `unframed`:
    the fields do not say, or not in one voice, where the body ends.
    """

    def __init__(self, file: Any) -> None:
        self.file = file
        self.unframed = False
        self._in_fields = False
        self._heads = self._lines = 0

    def readline(self, limit: int) -> bytes:
        """The next line that http.client is to see."""
        if not self._in_fields:
            self._begin_fields()
            line: bytes = self.file.readline(limit)
            return line
        while True:
            line = self._whole_line()
            if line in {b"\r\n", b"\n", b""}:
                self._in_fields = False
                return line
            kept = self._field(line)
            if kept:
                return kept

    def close(self) -> None:
        """As http.client does after a malformed status line."""
        self.file.close()

    def _begin_fields(self) -> None:
        self._heads += 1
        if self._heads > MAX_HEADS:
            raise BudgetExceededError(f"more than {MAX_HEADS - 1} interim responses")
        self._in_fields, self.unframed = True, False
        self._others = self._deciding = 0
        self._framing: dict[bytes, bytes] = {}

    def _whole_line(self) -> bytes:
        self._lines += 1
        if self._lines > MAX_LINES:
            raise BudgetExceededError(f"more than {MAX_LINES} lines before the headers ended")
        line: bytes = self.file.readline(_LINE_BYTES)
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = self.file.readline(_LINE_BYTES)
        return line

    def _field(self, line: bytes) -> bytes | None:
        if self._others >= KEPT_FIELDS and not _DECIDES.match(line):  # at a third of the cost
            return None
        found = _NAME.match(line)
        if not found:  # also the second line of a folded field, which nobody has sent for years (RFC 9112 5.2)
            return None
        name = found[1].lower()
        # A bare CR ends a line for the parser of e-mail that http.client uses (RFC 9112 section 2.2).
        value = line[found.end() :].replace(b"\r", b" ").strip()[: _LINE_BYTES - found.end()]
        if name in _FRAMING:
            return self._frame(name, value)
        if not self._has_room(name):
            return None
        return found[1] + b": " + value + b"\r\n"

    def _frame(self, name: bytes, value: bytes) -> bytes | None:
        if name == b"content-length":
            known = value.isdigit() and len(value) <= _LENGTH_DIGITS
        else:
            known = value.lower() == b"chunked"
        if not known or self._framing.get(name, value) != value:
            self.unframed = True
            return None
        if name in self._framing:
            return None
        self._framing[name] = value
        return name + b": " + value + b"\r\n"

    def _has_room(self, name: bytes) -> bool:
        if name in _DECIDING:
            self._deciding += 1
            return self._deciding <= KEPT_DECIDING
        self._others += 1
        return self._others <= KEPT_FIELDS


class _Pieces:
    """The file that a chunked body is read from, for a bounded number of reads."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._pieces = 0

    def readline(self, limit: int) -> bytes:
        """The size of a chunk with its extensions, the end of one, or a trailer."""
        self._count()
        line: bytes = self._file.readline(limit)
        return line

    def read(self, amount: int) -> bytes:
        """Bytes of a chunk."""
        self._count()
        data: bytes = self._file.read(amount)
        return data

    def flush(self) -> None:
        """As http.client does before it closes it."""
        self._file.flush()

    def close(self) -> None:
        """As http.client does after the last byte."""
        self._file.close()

    def _count(self) -> None:
        self._pieces += 1
        if self._pieces > MAX_PIECES:
            raise BudgetExceededError(f"a chunked body of more than {MAX_PIECES} pieces")
