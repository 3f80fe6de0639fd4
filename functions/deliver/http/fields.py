"""The status line and header fields of a response, so that whatever they look like, its status stands.

http.client gives up on more than a hundred fields and on long lines, and takes what follows a malformed line for
the body; urllib3 gives up on lengths that contradict each other. The receiver has decided by then.
"""

import http.client
import re
from http import HTTPStatus
from typing import Any

from deliver.http.sockets import current_call

# Of http.client's hundred lines: those that decide something are kept first.
KEPT_FIELDS, KEPT_DECIDING = 50, 40
_DECIDING = {b"connection", b"keep-alive", b"retry-after", b"webhook-delivery"}
_LENGTH_DIGITS = 18  # Python reads no number of more than 4300
_LINE_BYTES = 65_000  # http.client takes a few more

_NAME = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:")


class FieldsResponse(http.client.HTTPResponse):
    """A response that skips every 1xx but 101, and takes any number of fields."""

    fp: Any
    headers: Any

    def begin(self) -> None:
        """Read the status and the fields."""
        if self.headers is not None:
            return
        self.fp = lines = _Lines(self.fp)
        try:
            super().begin()
            while self.status < HTTPStatus.OK and self.status != HTTPStatus.SWITCHING_PROTOCOLS:
                self.headers = None  # or begin() would do nothing
                super().begin()
        finally:
            if self.fp is lines:  # not where http.client closed it
                self.fp = lines.file
        # After 101 the connection speaks something else. A body without a frame we know may never end.
        if self.status == HTTPStatus.SWITCHING_PROTOCOLS or lines.unframed:
            current_call.get().unframed = True

    def _close_conn(self) -> None:
        """As http.client does after the last byte of the body; but note whether its reader has more."""
        call = current_call.get()
        if self.fp is not None and not self.fp.closed:
            call.peeking = True
            try:
                call.unread = bool(self.fp.peek(1))
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
        self._in_fields, self.unframed = True, False
        self._others = self._deciding = 0
        self._framing: dict[bytes, bytes] = {}

    def _whole_line(self) -> bytes:
        line: bytes = self.file.readline(_LINE_BYTES)
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = self.file.readline(_LINE_BYTES)
        return line

    def _field(self, line: bytes) -> bytes | None:
        found = _NAME.match(line)
        if not found:  # also the second line of a folded field, which nobody has sent for years (RFC 9112 5.2)
            return None
        name = found[1].lower()
        # A bare CR ends a line for the parser of e-mail that http.client uses (RFC 9112 section 2.2).
        value = line[found.end() :].replace(b"\r", b" ").strip()[: _LINE_BYTES - found.end()]
        if name in {b"content-length", b"transfer-encoding"}:
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
