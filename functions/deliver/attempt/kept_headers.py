"""What the log keeps of a response's headers: all of a ping's, and of a failure a few.

Those say who responded, and when to come again. What is kept is an endpoint's, and so hostile: it is made text
without control characters, within a bound.
"""

from collections.abc import Iterable, Mapping

from deliver.attempt.signing import Keys

PING_BYTES = 4096  # names and values together
FAILURE_BYTES = 512
LONG_BYTES = 4096
COOKIES = {"set-cookie", "set-cookie2"}
OF_FAILURES = (
    *("Retry-After", "Content-Type", "Server"),
    *("X-Request-Id", "Request-Id", "X-Correlation-Id", "X-Amzn-RequestId", "X-Amzn-Trace-Id", "CF-Ray"),
)
MASK = "****"
SECRET_LENGTH = 8  # characters from which on a value of the app's own headers may be a secret

# Where a text goes on for so long, Python finds another in it in linear time, whatever both are. In a shorter one
# it may compare each character with each: an endpoint and the app's own headers can be made for that.
QUICK_FROM = 30_000
_BETWEEN = "\0"  # stands in no header

_CONTROL = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], "\N{REPLACEMENT CHARACTER}")


def of_ping(headers: Mapping[str, str]) -> dict[str, str]:
    """All of a ping's, cut off after `PING_BYTES`."""
    return _bounded(headers, PING_BYTES)


def of_failure(headers: Mapping[str, str], keys: Keys) -> dict[str, str]:
    """Those of a failure that are harmless, cut off after `FAILURE_BYTES`.

    One that repeats what the app keeps secret, which its endpoint knows, is masked.
    """
    return _masked({name: headers[name] for name in OF_FAILURES if name in headers}, keys, FAILURE_BYTES)


def of_long(headers: Mapping[str, str], keys: Keys) -> dict[str, str]:
    """Those that are kept beside a long response: all, cut off after `LONG_BYTES`, without its cookies' values."""
    shown = {name: MASK if name.lower() in COOKIES else value for name, value in headers.items()}
    return _masked(shown, keys, LONG_BYTES)


def secrets(keys: Keys) -> list[str]:
    """What the app keeps secret, of which a response may repeat something."""
    known = [keys.current, keys.previous or "", *(keys.headers or {}).values()]
    return [secret for secret in known if len(secret) >= SECRET_LENGTH]


def hide(text: str, hidden: Iterable[str]) -> str:
    """The text, in which each of these is masked."""
    after = _BETWEEN * QUICK_FROM
    for secret in hidden:
        text = (text + after).replace(secret, MASK)[:-QUICK_FROM]
    return text


def _masked(headers: Mapping[str, str], keys: Keys, most: int) -> dict[str, str]:
    hidden = secrets(keys)
    longest, room, searched = max(map(len, hidden), default=0), most, dict[str, str]()
    for name in headers:
        if room <= 0:
            break
        # Of what is cut off below, a secret that begins before it matters. To search all of it takes long.
        searched[name] = headers[name][: room + longest].replace(_BETWEEN, "\N{REPLACEMENT CHARACTER}")
        room -= len(name) + len(searched[name])
    values = [*searched.values()]
    after = hide(_BETWEEN.join(values), hidden).split(_BETWEEN) if values else []  # in all of them at once
    shown = [value if value == kept else MASK for value, kept in zip(values, after, strict=True)]
    return _bounded(dict(zip(searched, shown, strict=True)), most)


def _bounded(headers: Mapping[str, str], room: int) -> dict[str, str]:
    kept: dict[str, str] = {}
    for name, value in headers.items():
        safe_name = _harmless(name)
        safe_value = _harmless(value)[: max(0, room - len(safe_name))]
        room -= len(safe_name) + len(safe_value)
        if room < 0:
            break
        kept[safe_name.decode()] = safe_value.decode("utf-8", "ignore")
    return kept


def _harmless(text: str) -> bytes:
    # What was read as bytes may hold anything, also what UTF-8 cannot encode.
    return text.translate(_CONTROL).encode("utf-8", "replace")
