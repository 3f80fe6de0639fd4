"""What a body need not say where it is kept: the contract's text, and what the log knows of its delivery."""

import re
from dataclasses import dataclass

MARKS = bytes(range(14, 22))  # each stands for a text; no body with one of them may be shortened

# The names of a body as notify writes it.
_NAMED = re.compile(
    rb'\{"action":"[^"]*","installation":\{"uuid":"([^"]*)"\},'
    rb'.*"organization_id":"([^"]*)","project_id":(?:"([^"]*)"|null)\}',
    re.DOTALL,
)

Names = tuple[str, str, str | None]  # organization_id, installation_id, project_id


@dataclass(frozen=True, slots=True)
class KnownText:
    """What is known of a body by its delivery's row, and by the hour of its page, such as `2026-11-28T08`."""

    event: str
    event_id: str
    hour: str

    def shorten(self, body: bytes) -> bytes:
        """The body with marks for what is known."""
        for mark, text in self._marked():
            body = body.replace(text, mark)
        return body

    def restore(self, short: bytes) -> bytes:
        """The body that was shortened."""
        for mark, text in self._marked():
            short = short.replace(mark, text)
        return short

    def _marked(self) -> list[tuple[bytes, bytes]]:
        # What is kept is read by these texts, each by its number. Whoever changes one needs another format.
        resource, _, action = self.event.partition(".")
        texts = (
            f'{{"action":"{action}","installation":{{"uuid":"',
            '"},"data":{',
            '"issue":{"id":"',
            '}},"actor":{"type":"user","id":',
            f'"}},"event_id":"{self.event_id}","resource":"{resource}","occurred_at":"',
            '","organization_id":"',
            '","project_id":"',
            f"{self.hour}:",
        )
        return [(bytes([mark]), text.encode()) for mark, text in zip(MARKS, texts, strict=True)]


def names_in(body: bytes) -> Names | None:
    """Whose a body as notify writes it is; None for one that a transform made."""
    found = _NAMED.fullmatch(body)
    if found is None:
        return None
    installation, organization, project = found.groups()
    return organization.decode(), installation.decode(), None if project is None else project.decode()
