"""The links in a mail, as the stack's parameters give them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Links:
    """URLs with slots: `{organization}` and `{app}`, and in `unsubscribe_url` also `{owner}`."""

    dashboard_url: str
    unsubscribe_url: str
