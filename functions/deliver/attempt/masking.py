"""What the app keeps secret, masked where its endpoint repeats it: an endpoint knows the app's own headers.

A secret that stands in a text as it is, is masked there. Where one stands that was escaped cannot be said without
knowing how, so the whole text is masked: see skeleton.py.
"""

import base64
import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice, zip_longest
from urllib.parse import quote

from deliver.attempt import skeleton
from deliver.attempt.signing import Keys

MASKED = "****"
SECRET_LENGTH = 8  # characters from which on a value of the app's own headers may be a secret; of skeletons too
MOST_WITHOUT_SKELETON = 5  # secrets of an app, of which the usual forms are looked for; more would take long
ENOUGH = 256  # characters that tell a secret from all others

# Where a text goes on for so long, Python finds another in it in linear time, whatever both are. In a shorter one
# it may compare each character with each: an endpoint and the app's own headers can be made for that.
QUICK_FROM = 30_000
_AFTER = "\0" * QUICK_FROM  # in no secret
_BETWEEN = "\0"

_WITH_SCHEME = re.compile(r"(?P<scheme>[\w-]+) +(?P<credentials>\S+)")  # RFC 9110 section 11.4
# RFC 9110 section 11.2, RFC 6265 section 4.2.1: what stands after the name of a parameter or a cookie
_VALUE = re.compile(rf'=[ \t]*"?([^\s;,"]{{{SECRET_LENGTH},}})')
MOST_VALUES = 10  # of an app's headers; more would take long


class _Sought:
    """What is looked for in texts of one kind."""

    def __init__(self) -> None:
        self._wholes: dict[str, set[str]] = {}  # by what each contains: where that is not, the whole is not either

    def add(self, part: str, wholes: Iterable[str]) -> None:
        """Look for these too, each of which contains the part, and for the part."""
        self._wholes.setdefault(part, {part}).update(wholes)

    def masked(self, text: str, *, cut: bool) -> str:
        """The text with these masked; at the end of one that was `cut`, also the beginning of one."""
        text += _AFTER
        found = {whole for part, wholes in self._wholes.items() if part in text for whole in wholes}
        for whole in sorted(found, key=len, reverse=True):
            text = text.replace(whole, MASKED)
        text = text[:-QUICK_FROM]
        return self._without_begun(text) if cut else text

    def _without_begun(self, text: str) -> str:
        wholes = sorted(set().union(*self._wholes.values()))
        longest = max(map(len, wholes), default=0)
        for length in range(min(longest, ENOUGH), SECRET_LENGTH - 1, -1):
            end = text[-length:]
            at = bisect_left(wholes, end)  # what begins with it comes next
            if at < len(wholes) and wholes[at].startswith(end):
                return text[:-length] + MASKED
        return text


class Mask:
    """Masks what an app keeps secret, as it is and escaped.

    Of a header that begins with a scheme, such as `Bearer`, what follows is a secret by itself; so is the value
    of a cookie or a parameter.
    """

    def __init__(self, keys: Keys) -> None:
        self._plain, self._skeletons, few = _Sought(), _Sought(), MOST_WITHOUT_SKELETON
        for nested in _nested(keys):
            skeletons = [_skeletons(secret) for secret in nested]
            self._plain.add(nested[0], nested)
            # By few characters nobody could tell it from other texts.
            if not skeletons[0] and few and len(nested[-1]) <= ENOUGH:
                few -= 1
                for forms in zip(*map(_forms, nested), strict=True):
                    self._plain.add(forms[0], forms)
            for part in next(filter(None, skeletons), ()):
                self._skeletons.add(part, set().union(*skeletons))

    def hide(self, text: str, *, cut: bool = False) -> str:
        """The text, with all of that masked; at the end of one that was `cut`, also the beginning of a secret."""
        text = self._plain.masked(text, cut=cut)
        left = skeleton.of(text, cut=cut)
        return text if self._skeletons.masked(left, cut=cut) == left else MASKED

    def hide_each(self, texts: Sequence[str], *, cut: bool = False) -> list[str]:
        """Each of some texts without NUL, or MASKED where it has any of that; `cut`: the last one was.

        All are searched at once, as there may be many.
        """
        if not texts:
            return []
        left = [skeleton.of(text, cut=cut and number == len(texts)) for number, text in enumerate(texts, 1)]
        plain = self._plain.masked(_BETWEEN.join(texts), cut=cut).split(_BETWEEN)
        escaped = self._skeletons.masked(_BETWEEN.join(left), cut=cut).split(_BETWEEN)
        searched = zip(texts, plain, left, escaped, strict=True)
        return [text if (text, before) == (masked, after) else MASKED for text, masked, before, after in searched]


def _nested(keys: Keys) -> Iterator[list[str]]:
    """The secrets; one that is a part of another stands before it."""
    values = (keys.headers or {}).values()
    single = ([secret] for secret in (keys.current, keys.previous or "", *keys.hidden))
    of_headers = (nested for value in values for nested in _of_header(value))
    for nested in (*single, *of_headers, *islice(_parameters(values), MOST_VALUES)):
        if long := [secret for secret in nested if len(secret) >= SECRET_LENGTH]:
            yield long


def _of_header(value: str) -> Iterator[list[str]]:
    """Of `Authorization: Basic dXNlcjpwYXNzd29yZA==` also what follows the scheme, and its password."""
    found = _WITH_SCHEME.fullmatch(value)
    if not found:
        yield [value]
        return
    yield [found["credentials"], value]
    if found["scheme"].lower() == "basic":
        with suppress(ValueError):  # it is no base64, or no text
            unpadded = found["credentials"].rstrip("=")
            pair = base64.b64decode(unpadded + "=" * (-len(unpadded) % 4), validate=True).decode()
            yield [pair.partition(":")[2], pair]


def _parameters(values: Iterable[str]) -> Iterator[list[str]]:
    """Of `Cookie: session=dXNlcjpwYXNzd29yZA; theme=dark` the session.

    One of each header in turn: where there are many, none uses up what is looked for.
    """
    found = [[[part, value] for part in _VALUE.findall(value)[:MOST_VALUES]] for value in values]
    for turn in zip_longest(*found):
        yield from filter(None, turn)


def _skeletons(secret: str) -> set[str]:
    """Those by which a secret is found; none where one is too short for that."""
    found = skeleton.of_secret(secret)
    return {each[:ENOUGH] for each in found} if min(map(len, found)) >= SECRET_LENGTH else set()


def _forms(secret: str) -> Iterator[str]:
    """As a JSON text has it, and as a URL or a form has it; each contains that of a part of the secret."""
    for escaped in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        yield escaped
        yield escaped.replace("/", "\\/")  # as PHP writes it
    yield quote(secret, safe="")
