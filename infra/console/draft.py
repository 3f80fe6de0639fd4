"""What is understood of a registry file so far, and the readers its sections share."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bellhop.events import subscribed_name
from deliver.http.guard import EndpointPolicy
from infra.console.catalogue import events_of, expand
from infra.console.specs import AppSpec, OrganizationSpec
from infra.console.yaml_nodes import Problem, Value, did_you_mean

MAX_RATE = 1000  # deliveries a second; more is no limit worth keeping count for

_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_RATE = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3})?")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass
class Draft:
    """What is understood so far. An entry that has a problem is None, so that references still find it."""

    policy: EndpointPolicy
    environ: Mapping[str, str] = field(repr=False)
    problems: list[Problem] = field(default_factory=list)
    organizations: dict[str, OrganizationSpec | None] = field(default_factory=dict)
    apps: dict[str, AppSpec | None] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)

    def organization_id(self, fields: Mapping[str, Value], owner: Value) -> str | None:
        """The id of the organisation that the field `organization` refers to by slug."""
        slug = required(fields, "organization", owner)
        if slug is None:
            return None
        if slug not in self.organizations:
            refuse_reference(fields["organization"], slug, "organizations", self.organizations)
        found = self.organizations.get(slug)
        return found.organization_id if found else None


def required(fields: Mapping[str, Value], name: str, owner: Value) -> str | None:
    """The text of a field that must be there."""
    if name in fields:
        return fields[name].text()
    owner.refuse(f"has no `{name}`; add it")
    return None


def optional(fields: Mapping[str, Value], name: str, default: str) -> str | None:
    """The text of a field, or `default` where it is not written."""
    return fields[name].text() if name in fields else default


def refuse_reference(value: Value, name: str, section: str, known: Mapping[str, object]) -> None:
    """Note that `value` refers to what the file does not hold."""
    value.refuse(f"is {name!r}, which is not among the {section} of this file{did_you_mean(name, known)}")


def is_slug(value: Value, text: str) -> bool:
    """Whether `text` can be a slug; notes why not."""
    if _SLUG.fullmatch(text):
        return True
    value.refuse(f"is keyed {text!r}; use 1 to 64 of a-z, 0-9, - and _, a letter or digit first")
    return False


def is_id(value: Value, text: str) -> bool:
    """Whether `text` can be the id of an organisation or installation; notes why not."""
    if _ID.fullmatch(text):
        return True
    value.refuse(f"is {text!r}; use 1 to 64 of A-Z, a-z, 0-9, - . and _, a letter or digit first")
    return False


def read_events(value: Value) -> tuple[str, ...]:
    """The event names of a list in which a resource stands for all of its events."""
    names: dict[str, None] = {}
    for item in value.items():
        text = item.text()
        expanded = expand(text) if text else ()
        if expanded is None:
            item.refuse(f"is {text!r}, which is no event; {_event_hint(str(text))}")
        names.update(dict.fromkeys(expanded or ()))
    return tuple(names)


def read_rate(value: Value) -> float | None:
    """Deliveries a second."""
    text = value.text()
    rate = float(text) if text and _RATE.fullmatch(text) else 0.0
    if text is not None and not 0 < rate <= MAX_RATE:
        value.refuse(f"is {text!r}, which is no rate; use a number above 0, at most {MAX_RATE}, such as 5 or 0.5")
    return (int(rate) if rate.is_integer() else rate) or None


def read_flag(value: Value) -> bool:
    """A yes or no."""
    return value.choice(("true", "false")) == "true"


def refuse_unlisted(value: Value, events: tuple[str, ...], app: AppSpec) -> None:
    """Note the events of a hook that its app does not list, and which would therefore never be sent."""
    for name in events:
        if subscribed_name(name, list(app.events)) is None:
            value.refuse(f"lists {name}, which app {app.app_id} does not; add it to the app, or drop it here")


def _event_hint(text: str) -> str:
    known = events_of().get(text.partition(".")[0])
    if known:
        return f"use {', '.join(known)}"
    everything = [*events_of(), *(name for names in events_of().values() for name in names)]
    return f"resources are {', '.join(events_of())}{did_you_mean(text, everything)}"
