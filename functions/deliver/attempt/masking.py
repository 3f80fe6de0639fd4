"""What the app keeps secret, masked where its endpoint repeats it: an endpoint knows the app's own headers."""

from collections.abc import Iterable

from deliver.attempt.signing import Keys

MASK = "****"
SECRET_LENGTH = 8  # characters from which on a value of the app's own headers may be a secret

# Where a text goes on for so long, Python finds another in it in linear time, whatever both are. In a shorter one
# it may compare each character with each: an endpoint and the app's own headers can be made for that.
QUICK_FROM = 30_000
_AFTER = "\0" * QUICK_FROM  # in no secret


def secrets(keys: Keys) -> list[str]:
    """What the app keeps secret, of which a response may repeat something."""
    known = [keys.current, keys.previous or "", *(keys.headers or {}).values()]
    return [secret for secret in known if len(secret) >= SECRET_LENGTH]


def hide(text: str, hidden: Iterable[str], *, cut: bool = False) -> str:
    """The text, in which each of these is masked; at the end of one that was `cut`, also the beginning of one."""
    for secret in hidden:
        text = (text + _AFTER).replace(secret, MASK)[:-QUICK_FROM]
        if cut:
            text = _without_begun(text, secret)
    return text


def _without_begun(text: str, secret: str) -> str:
    for length in range(len(secret) - 1, SECRET_LENGTH - 1, -1):
        if text.endswith(secret[:length]):
            return text[:-length] + MASK
    return text
