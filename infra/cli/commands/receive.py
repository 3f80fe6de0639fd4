"""bellhop receive: an endpoint on this machine that verifies, prints and responds to webhooks.

With the local stack it registers itself as an app. With a secret it is told, it needs no stack.
"""

import json
import os
import signal
import socket
import threading
import time
from errno import EADDRINUSE
from typing import Any
from urllib.parse import urlsplit

from bellhop.registry import INSTALLED, INTERNAL, App, Organization, find
from bellhop.secrets import SigningSecret
from deliver.http.guard import EndpointPolicy
from health.transitions import TransitionDependencies
from infra.cli import forwarding, identity, local_stack, signing_secrets, stack, terminal
from infra.cli.errors import CommandError, UsageError
from infra.cli.receiving import Forwarded, Inbox, InTurn, Responses
from infra.cli.registry import effects, loading
from infra.cli.registry.document import RegistryFileError
from infra.cli.registry.events import events_of
from infra.cli.stack import Stack
from infra.cli.terminal import labelled, line
from infra.cli.views import print_forms, verified_by
from infra.local.token_endpoint import TokenEndpoint
from infra.local.webhook_server import WebhookServer, serving

HOST = "127.0.0.1"
_LOCAL = EndpointPolicy(http=True, private=True, ports=None)
_STATUSES = range(200, 600)  # an interim response is not one


def run(
    stack_name: str,
    app_id: str,
    organization_id: str,
    *,
    port: int,
    secret_env: str | None,
    signature: str,
    token_endpoint: bool,
    statuses: str,
    delay: float,
    forward: str | None,
    as_json: bool,
) -> None:
    """Serve until Ctrl-C."""
    inbox = Inbox(_responses(statuses, delay, forward), terminal.console(), as_json)
    signing_secrets.read_signature("--signature", signature)
    if secret_env is not None:
        secret = signing_secrets.read_variable("--secret-env", secret_env, os.environ, signing_secrets.read_key)
        previous, found = None, None
    else:
        found = _local(stack_name)
        connection = stack.bind(found)
        stored = find(SigningSecret, app_id, consistent=True)
        secret = stored.secret if stored else signing_secrets.generate(signature)
        previous = stored.live_previous(time.time()) if stored else None
    tokens = TokenEndpoint(app_id, witness=inbox) if token_endpoint else None
    server = _server(inbox, secret, previous, tokens, port)
    url = f"http://{HOST}:{server.server_port}/"
    with serving(server):
        if found:
            deps = identity.transition_dependencies(found, connection)
            register(app_id, organization_id, url, secret, deps, tokens=tokens)
        if not as_json:
            _introduce(url, secret, app_id if found else None, organization_id, tokens)
        _wait_for_the_end()


def register(
    app_id: str,
    organization_id: str,
    url: str,
    secret: str,
    deps: TransitionDependencies,
    *,
    tokens: TokenEndpoint | None = None,
) -> None:
    """Bring the app and its installation to what this endpoint needs, with the token endpoint, if there is one.

    Raises:
        CommandError: an app of that name belongs to another organisation, is installed in one, or is another
            `bellhop receive` that has not ended.
    """
    registered = find(App, app_id, consistent=True)
    if registered and registered.organization_id != organization_id:
        owner = registered.organization_id or "no organisation"
        raise CommandError(f"the app {app_id} is there already and belongs to {owner}: name another with --app")
    if registered and registered.url != url and _is_served(registered.url):
        raise CommandError(
            f"the app {app_id} is served at {registered.url}, by another `bellhop receive`: end that one, or name "
            "another app with --app"
        )
    try:
        oauth2 = tokens.registration(url) if tokens else None
        content = _registry_file(app_id, organization_id, url, secret, oauth2)
        plan = effects.prepare(loading.parse(content, _LOCAL, {}))
    except RegistryFileError as error:
        raise CommandError(*map(str, error.problems)) from None
    effects.execute(plan, deps, identity.operator())


def _is_served(url: str) -> bool:
    """Whether somebody listens at an endpoint on this machine; one that is elsewhere is not looked at."""
    found = urlsplit(url)
    if found.hostname != HOST or not found.port:
        return False
    with socket.socket() as looking:
        looking.settimeout(1.0)
        return looking.connect_ex((HOST, found.port)) == 0


def _responses(statuses: str, delay: float, forward: str | None) -> Responses:
    if forward is None:
        return InTurn(_read_statuses(statuses), delay)
    return Forwarded(forwarding.read_url("--forward", forward))


def _read_statuses(text: str) -> list[int]:
    words = text.split(",")
    if not all(word.isdecimal() and int(word) in _STATUSES for word in words):
        raise UsageError(f"--status {text!r}: write a status from 200 to 599, or several, such as 200,200,500")
    return [int(word) for word in words]


def _local(stack_name: str) -> Stack:
    if stack_name != local_stack.NAME:
        raise UsageError(
            f"receive registers itself with the local stack only, not with {stack_name!r}, which cannot reach "
            "this machine: leave --stack out, or name the secret of a registered app with --secret-env"
        )
    return stack.find(stack_name)


def _server(
    inbox: Inbox, secret: str, previous: str | None, tokens: TokenEndpoint | None, port: int
) -> WebhookServer:
    try:
        return WebhookServer(inbox, secret, HOST, port, previous=previous, tokens=tokens, waited_for=False)
    except OSError as error:
        if error.errno == EADDRINUSE:
            raise CommandError(
                f"something else listens at port {port}, perhaps another `bellhop receive`: end it, or name "
                "another port with --port"
            ) from None
        raise CommandError(f"port {port}: {error.strerror}: name another with --port") from None


def _registry_file(app_id: str, organization_id: str, url: str, secret: str, oauth2: dict[str, str] | None) -> str:
    registered = find(Organization, organization_id)
    slug = registered.slug if registered else organization_id
    app: dict[str, Any] = {"kind": INTERNAL, "organization": slug, "url": url, "events": [*events_of()]}
    app |= {"secret": secret, "oauth2": oauth2}
    installation = {"app": app_id, "organization": slug, "status": INSTALLED, "events": None, "projects": None}
    new: dict[str, Any] = {} if registered else {"organizations": {slug: {"owners": []}}}
    return json.dumps(new | {"apps": {app_id: app}, "installations": [installation]})  # JSON is YAML


def _introduce(
    url: str, secret: str, app_id: str | None, organization_id: str, tokens: TokenEndpoint | None
) -> None:
    console = terminal.console()
    line(console, f"Receiving at {url} until Ctrl-C.", "bold")
    for number, (name, text) in enumerate((tokens.registration(url) if tokens else {}).items()):
        labelled(console, "" if number else "oauth2", f"{name}: {text}")
    if app_id is None:
        line(console, "Have your app's webhooks sent here, for instance by a tunnel.")
        return
    labelled(console, "app", f"{app_id}, installed in {organization_id}, listens to every event")
    line(console, f"It verifies by the app's {verified_by(secret)}:")
    print_forms(secret, console)
    line(
        console,
        f"Next, in another terminal: bellhop example issue.created --organization {organization_id} | "
        "bellhop publish - --stack local",
    )


def _wait_for_the_end() -> None:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
