"""bellhop receive: an endpoint on this machine that verifies, prints and responds to webhooks.

With the local stack it registers itself as an app. With a secret it is told, it needs no stack.
"""

import os
import signal
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

from bellhop.registry import INSTALLED, INTERNAL, Organization, find
from bellhop.secrets import SigningSecret
from health.transitions import TransitionDependencies
from infra.cli import identity, local_stack, signing_secrets, stack, terminal
from infra.cli.errors import CommandError
from infra.cli.receiving import Forwarded, Inbox, InTurn, Responses
from infra.cli.registry import effects
from infra.cli.registry.events import events_of
from infra.cli.registry.loading import installation_id
from infra.cli.registry.model import AppSpec, InstallationSpec, OrganizationSpec, RegistryFile, Spec
from infra.cli.registry.plan import PlanConflictError
from infra.cli.signing_secrets import SecretRefusedError
from infra.cli.stack import Stack
from infra.cli.terminal import labelled, line
from infra.local.webhook_server import WebhookServer, serving

HOST = "127.0.0.1"
_STATUSES = range(200, 600)  # an interim response is not one


def run(
    stack_name: str,
    app_id: str,
    organization_id: str,
    *,
    port: int,
    secret_env: str | None,
    statuses: str,
    delay: float,
    forward: str | None,
    as_json: bool,
) -> None:
    """Serve until Ctrl-C."""
    inbox = Inbox(_responses(statuses, delay, forward), terminal.console(), as_json)
    if secret_env is not None:
        secret, found = _imported(secret_env, os.environ), None
    else:
        found = _local(stack_name)
        connection = stack.bind(found)
        stored = find(SigningSecret, app_id, consistent=True)
        secret = stored.secret if stored else signing_secrets.generate()
    server = _server(inbox, secret, port)
    url = f"http://{HOST}:{server.server_port}/"
    with serving(server):
        if found:
            deps = identity.transition_dependencies(found, connection)
            desired = RegistryFile(_specs(app_id, organization_id, url), {app_id: secret})
            register(desired, deps)
        if not as_json:
            _introduce(url, secret, app_id if found else None, organization_id)
        _wait_for_the_end()


def register(desired: RegistryFile, deps: TransitionDependencies) -> None:
    """Bring the app and its installation to what this endpoint needs.

    Raises:
        CommandError: an app of that name belongs to another organisation.
    """
    try:
        effects.execute(effects.prepare(desired), deps, identity.operator())
    except PlanConflictError as error:
        raise CommandError(*error.problems) from None


def _responses(statuses: str, delay: float, forward: str | None) -> Responses:
    if forward is None:
        return InTurn(_read_statuses(statuses), delay)
    if urlsplit(forward).scheme not in {"http", "https"} or not urlsplit(forward).hostname:
        raise CommandError(f"--forward {forward!r} is no URL: write http://localhost:3000/webhooks")
    return Forwarded(forward)


def _read_statuses(text: str) -> list[int]:
    words = text.split(",")
    if not all(word.isdecimal() and int(word) in _STATUSES for word in words):
        raise CommandError(f"--status {text!r}: write a status from 200 to 599, or several, such as 200,200,500")
    return [int(word) for word in words]


def _imported(variable: str, environ: Mapping[str, str]) -> str:
    if variable not in environ:
        raise CommandError(f"--secret-env: the variable {variable} is not set")
    try:
        return signing_secrets.read(environ[variable])
    except SecretRefusedError as error:
        raise CommandError(f"--secret-env: the value of {variable} {error}") from None


def _local(stack_name: str) -> Stack:
    if stack_name != local_stack.NAME:
        raise CommandError(
            f"receive registers itself with the local stack only, not with {stack_name!r}, which cannot reach "
            "this machine: leave --stack out, or name the secret of a registered app with --secret-env"
        )
    return stack.find(stack_name)


def _server(inbox: Inbox, secret: str, port: int) -> WebhookServer:
    try:
        return WebhookServer(inbox, secret, HOST, port, waited_for=False)
    except OSError as error:
        raise CommandError(f"port {port}: {error.strerror}: name another with --port") from None


def _specs(app_id: str, organization_id: str, url: str) -> tuple[Spec, ...]:
    events = tuple(name for names in events_of().values() for name in names)
    app = AppSpec(app_id, app_id, INTERNAL, organization_id, url, events)
    identifier = installation_id(organization_id, app_id)
    installation = InstallationSpec(organization_id, identifier, app_id, INSTALLED, events, None)
    if find(Organization, organization_id):
        return app, installation
    return OrganizationSpec(organization_id, organization_id, organization_id, ()), app, installation


def _introduce(url: str, secret: str, app_id: str | None, organization_id: str) -> None:
    console = terminal.console()
    line(console, f"Receiving at {url} until Ctrl-C.", "bold")
    if app_id is None:
        line(console, "Have your app's webhooks sent here, for instance by a tunnel.")
        return
    labelled(console, "app", f"{app_id}, installed in {organization_id}, listens to every event")
    labelled(console, "classic", secret)
    labelled(console, "standard", signing_secrets.standard_form(secret))
    line(console, "Next, in another terminal: bellhop publish infra/local/example-event.json --stack local")


def _wait_for_the_end() -> None:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
