"""What the log keeps of a response's body, or why there is none: text, bounded, without what the app keeps secret.

A page that an endpoint shows for an error may repeat the app's own headers.
"""

from dataclasses import dataclass

from bellhop.long_responses import ROW_BYTES, LongResponse
from deliver.attempt import kept_headers
from deliver.attempt.masking import Mask
from deliver.http.faults import DETAIL_CHARACTERS
from deliver.http.response import Response, SendFailure


@dataclass(frozen=True, slots=True)
class KeptResponse:
    """The text for an attempt's row, and the whole where that is longer."""

    text: str
    long: LongResponse | None = None


def of(response: Response, mask: Mask) -> KeptResponse:
    """What is kept of the response to a failed attempt, or to a ping."""
    # It is hostile, and may have any bytes.
    text = mask.hide(response.body.decode("utf-8", "replace"), cut=response.cut)
    first = text.encode()[:ROW_BYTES].decode(errors="ignore")
    if len(response.body) <= ROW_BYTES:
        return KeptResponse(first)
    return KeptResponse(first, LongResponse(text, kept_headers.of_all(response.headers, mask), response.cut))


def of_failure(failure: SendFailure, mask: Mask) -> str:
    """Why there is no response; that may quote what came instead of one."""
    return mask.hide(failure.detail, cut=len(failure.detail) >= DETAIL_CHARACTERS)
