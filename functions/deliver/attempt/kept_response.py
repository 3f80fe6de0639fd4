"""What the log keeps of a response's body: text, bounded, in which what the app keeps secret is masked.

An endpoint knows the app's own headers, and a page that it shows for an error may repeat them.
"""

from dataclasses import dataclass

from bellhop.long_responses import ROW_BYTES, LongResponse
from deliver.attempt import kept_headers
from deliver.attempt.signing import Keys
from deliver.http.response import Response


@dataclass(frozen=True, slots=True)
class KeptResponse:
    """The text for an attempt's row, and the whole where that is longer."""

    text: str
    long: LongResponse | None = None


def of(response: Response, keys: Keys) -> KeptResponse:
    """What is kept of the response to a failed attempt, or to a ping."""
    text = response.body.decode("utf-8", "replace")  # it is hostile
    text = kept_headers.hide(text, kept_headers.secrets(keys))
    if len(response.body) <= ROW_BYTES:
        return KeptResponse(text)
    first = text.encode()[:ROW_BYTES].decode(errors="ignore")
    return KeptResponse(first, LongResponse(text, kept_headers.of_long(response.headers, keys), response.cut))
