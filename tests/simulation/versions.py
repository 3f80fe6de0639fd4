"""A deployment in the middle: messages of the release before, of this version and of a newer one at once."""

import json
import random
from dataclasses import dataclass

NEWER = 2


@dataclass
class Versions:
    """While `mixed`, some messages are as 0.1.0 wrote them, and some have fields that only a newer version knows.

    While `behind`, a newer version wrote some before it was rolled back: they wait until it is `behind` no more.
    """

    mixed: bool = False
    behind: bool = False

    def write(self, body: str, chance: random.Random) -> str:
        """A message as one of the versions writes it."""
        if not self.behind and not self.mixed:
            return body
        values = json.loads(body)
        if self.behind and values.get("v") == 1 and chance.random() < 0.2:
            return json.dumps(values | {"v": NEWER})
        if not self.mixed:
            return body
        match chance.choice(("older", "this", "newer")):
            case "older" if values.get("kind") == "retry" and not {"deferral", "reserved"} & values.keys():
                values.pop("organization_id", None)
                return json.dumps(values | {"deferred_since": None})
            case "newer" if "v" in values:
                return json.dumps(values | {"from_a_newer_version": True})
        return body

    def read(self, body: str) -> str:
        """A message as the version that is deployed reads it: the newer one knows what it wrote."""
        if self.behind or f'"v": {NEWER}' not in body:
            return body
        return json.dumps(json.loads(body) | {"v": 1})
