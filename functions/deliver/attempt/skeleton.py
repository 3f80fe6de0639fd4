"""A text without all that an escaping may change: its ASCII letters and digits, which nobody escapes.

So a secret's skeleton stands in that of any text that has the secret, in whatever way the text was escaped. Pure,
and in linear time, whatever the text is: it is hostile.
"""

import re
from urllib.parse import quote

# Escapes of HTML, of JSON and programs, of URLs and forms; each also escaped once more. Of several backslashes the
# last one begins it: to look for all of them takes a time that grows with the square of their number. Each
# alternative begins with one character, by which they are found quickly.
_ESCAPES = re.compile(
    r"&(?:amp;)*#?[0-9A-Za-z]{1,8};"
    r"|\\(?:u0026(?:amp;)*#?[0-9A-Za-z]{1,8};|u[0-9A-Fa-f]{4}|u\{[0-9A-Fa-f]{1,6}\}|x[0-9A-Fa-f]{2})"
    r"|%(?:25)*[0-9A-Fa-f]{2}"
)
_BEGUN_ESCAPE = re.compile(
    r"(?:&|\\u0026)(?:amp;)*#?[0-9A-Za-z]{0,8}\Z"
    r"|\\(?:u[0-9A-Fa-f]{0,3}|u\{[0-9A-Fa-f]{0,6}|x[0-9A-Fa-f]?)\Z"
    r"|%(?:25)*[0-9A-Fa-f]?\Z"
)
_LONGEST_ESCAPE = 32  # characters
_OTHERS = bytes(each for each in range(128) if not chr(each).isalnum())


def of(text: str, *, cut: bool = False) -> str:
    """The skeleton of a text; of one that was `cut`, also without an escape that has begun at its end."""
    if cut:
        text = text[:-_LONGEST_ESCAPE] + _BEGUN_ESCAPE.sub("", text[-_LONGEST_ESCAPE:])
    return _letters(_ESCAPES.sub("", text))


def of_secret(secret: str) -> set[str]:
    """Each skeleton that a secret may have in a text.

    Only one that looks as if it had escapes itself has several: some ways of escaping take them apart.
    """
    whole, letters = of(secret), _letters(secret)
    return {whole} if whole == letters else {whole, letters, of(quote(secret, safe=""))}


def _letters(text: str) -> str:
    return text.encode("ascii", "ignore").translate(None, _OTHERS).decode()
