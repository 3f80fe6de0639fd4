"""What the app keeps secret, masked where its endpoint repeats it: an endpoint knows the app's own headers."""

import base64
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import quote

from deliver.attempt.signing import Keys

MASKED = "****"
SECRET_LENGTH = 8  # characters from which on a value of the app's own headers may be a secret

# Where a text goes on for so long, Python finds another in it in linear time, whatever both are. In a shorter one
# it may compare each character with each: an endpoint and the app's own headers can be made for that.
QUICK_FROM = 30_000
_AFTER = "\0" * QUICK_FROM  # in no secret

_WITH_SCHEME = re.compile(r"(?P<scheme>[\w-]+) +(?P<credentials>\S+)")  # RFC 9110 section 11.4


class Mask:
    """Masks what an app keeps secret, in each usual form.

    Of a header that begins with a scheme, such as `Bearer`, what follows is a secret by itself.
    """

    def __init__(self, keys: Keys) -> None:
        values = [keys.current, keys.previous or "", *keys.hidden]
        for value in (keys.headers or {}).values():
            values += [value, *_credentials(value)]
        forms = {form for value in values if len(value) >= SECRET_LENGTH for form in _forms(value)}
        self._forms = sorted(forms, key=len, reverse=True)

    @property
    def longest(self) -> int:
        """Characters of the longest form."""
        return len(self._forms[0]) if self._forms else 0

    def hide(self, text: str, *, cut: bool = False) -> str:
        """The text, with all of that masked; at the end of one that was `cut`, also the beginning of a secret."""
        text += _AFTER
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASKED)
        text = text[:-QUICK_FROM]
        return self._without_begun(text) if cut else text

    def _without_begun(self, text: str) -> str:
        for form in self._forms:
            if form[:SECRET_LENGTH] not in text[-len(form) :]:  # as nearly always
                continue
            for length in range(len(form) - 1, SECRET_LENGTH - 1, -1):
                if text.endswith(form[:length]):
                    return text[:-length] + MASKED
        return text


def _credentials(value: str) -> Iterator[str]:
    """What follows the scheme in `Authorization: Basic dXNlcjpwYXNzd29yZA==`, and the password that it has."""
    found = _WITH_SCHEME.fullmatch(value)
    if not found:
        return
    yield found["credentials"]
    if found["scheme"].lower() == "basic":
        with suppress(ValueError):  # it is no base64, or no text
            pair = base64.b64decode(found["credentials"], validate=True).decode()
            yield from (pair, pair.partition(":")[2])


def _forms(secret: str) -> Iterator[str]:
    """As it is, as a JSON text has it, and as a URL or a form has it."""
    yield secret
    for escaped in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        yield escaped
        yield escaped.replace("/", "\\/")  # as PHP writes it
    yield quote(secret, safe="")
