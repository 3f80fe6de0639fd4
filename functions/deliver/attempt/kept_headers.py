"""What the log keeps of a response's headers: of a failure a few, all beside a long response, and of a ping's.

Those say who responded, and when to come again. What is kept is an endpoint's, and so hostile: it is made text
without control characters, within a bound.
"""

from collections.abc import Mapping

from deliver.attempt.masking import MASKED, Mask

ALL_BYTES = 4096  # names and values together
FAILURE_BYTES = 512
COOKIES = {"set-cookie", "set-cookie2"}
OF_FAILURES = (
    *("Retry-After", "Content-Type", "Server"),
    *("X-Request-Id", "Request-Id", "X-Correlation-Id", "X-Amzn-RequestId", "X-Amzn-Trace-Id", "CF-Ray"),
)
_CONTROL = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], "\N{REPLACEMENT CHARACTER}")


def of_all(headers: Mapping[str, str], mask: Mask) -> dict[str, str]:
    """All of them, cut off after `ALL_BYTES`, without the values of cookies.

    One that repeats what the app keeps secret, which its endpoint knows, is masked.
    """
    shown = {name: MASKED if name.lower() in COOKIES else value for name, value in headers.items()}
    return _masked(shown, mask, ALL_BYTES)


def of_failure(headers: Mapping[str, str], mask: Mask) -> dict[str, str]:
    """Those of a failure that are harmless, cut off after `FAILURE_BYTES`, and masked likewise."""
    return _masked({name: headers[name] for name in OF_FAILURES if name in headers}, mask, FAILURE_BYTES)


def _masked(headers: Mapping[str, str], mask: Mask, most: int) -> dict[str, str]:
    room, searched = most, dict[str, str]()
    for name in headers:
        if room <= 0:
            break
        # What is cut off below is not searched: to search all of it takes long.
        searched[name] = headers[name][:room].replace("\0", "\N{REPLACEMENT CHARACTER}")
        room -= len(name) + len(headers[name])
    shown = mask.hide_each([*searched.values()], cut=room < 0)
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
