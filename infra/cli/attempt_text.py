"""How an attempt is told: its number, its result with the status that came back, why nothing was posted. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from deliver.http.response import TOKEN_ERROR

PUBLISHED_AGAIN = "published_again"  # of an attempt: the first since its event was published again

_NOT_POSTED = {
    "address_not_allowed": "its address is not allowed",
    "invalid_header": "one of the app's own headers cannot be sent",
    "invalid_url": "its URL cannot be posted to",
}


def with_repeats(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Attempts as the log keeps them, the oldest first; those are marked with which a delivery began anew.

    Its numbers then begin anew too, which a resend does not have them do.
    """
    marked: list[dict[str, Any]] = []
    for row in rows:
        again = bool(marked) and int(row["n"]) <= int(marked[-1]["n"])
        marked.append({**row} | ({PUBLISHED_AGAIN: True} if again else {}))
    return marked


def number_text(number: int, *, resent: bool, published_again: bool) -> str:
    """The number of an attempt, such as "1, published again"; "none yet" where it was not made."""
    said = [name for name, is_so in (("resent", resent), ("published again", published_again)) if is_so]
    return ", ".join([str(number or "none yet"), *said])


def result_text(result: str, status: int | None) -> str:
    """The result, with the status where it does not say it: "abort_requested (400)"."""
    return f"{result} ({status})" if status and str(status) not in result else result


def not_posted_text(result: str, token_url: str | None) -> str:
    """Why an attempt with that result posted nothing to the endpoint; empty where it did, or tried to."""
    if result == TOKEN_ERROR:
        return f"no access token from {token_url or 'its token endpoint'}"
    return _NOT_POSTED.get(result, "")
