"""Registry rows for the demo and for tests, written straight into a stack's tables."""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass

from bellhop import aws
from bellhop.registry import INTERNAL, App, Installation, Organization
from bellhop.secrets import SigningSecret
from infra.cli import stack as cli_stack
from infra.local.stack import Stack

EVENTS = ("issue.created", "issue.resolved", "issue.assigned")


@dataclass(frozen=True)
class Hook:
    """An internal app, installed in its one organisation."""

    app_id: str
    url: str
    secret: str
    events: Sequence[str] = EVENTS
    projects: Sequence[str] | None = None
    transform: str | None = None


def use_stack(stack: Stack, environ: MutableMapping[str, str]) -> None:
    """Make this process's models and clients use the stack's AWS; `environ` is this process's environment."""
    for name in [name for name in environ if name.startswith("AWS_")]:
        del environ[name]
    environ.update(stack.env)
    aws.core.cache_clear()  # it has the credentials of the stack that this process used before
    cli_stack.bind(cli_stack.Stack(stack.name, stack.outputs, {}))


def register(organization_id: str, owners: Sequence[str], hooks: Sequence[Hook]) -> None:
    """Write an organisation with its apps. Rows that have the same ids are replaced."""
    name = organization_id.replace("-", " ").title()
    Organization(organization_id, slug=organization_id, name=name, owners=list(owners)).save()
    for hook in hooks:
        _write(organization_id, hook)


def _write(organization_id: str, hook: Hook) -> None:
    SigningSecret(hook.app_id, secret=hook.secret).save()
    App(
        hook.app_id,
        uuid=f"uuid-{hook.app_id}",
        name=hook.app_id.replace("-", " ").title(),
        kind=INTERNAL,
        organization_id=organization_id,
        url=hook.url,
        events=list(hook.events),
        transform=hook.transform,
    ).save()
    Installation(
        organization_id,
        f"installation-{hook.app_id}",
        app_id=hook.app_id,
        events=list(hook.events),
        projects=None if hook.projects is None else list(hook.projects),
    ).save()


def event(organization_id: str, event_id: str, kind: str = "created", **fields: object) -> Mapping[str, object]:
    """An issue event, as the issue tracker publishes it."""
    issue = {"id": "4711", "title": "TypeError: undefined is not a function", "status": "unresolved"}
    names = {"event_id": event_id, "type": kind, "organization_id": organization_id}
    return names | {"project_id": "frontend", "issue": issue} | fields
