"""bellhop receive: what it responds, what it prints, and what it refuses. tests/e2e has it with a stack."""

import io
import json
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import requests
from rich.console import Console

from bellhop import tables
from bellhop.deliveries import Delivery
from bellhop.registry import App, Installation, Organization
from bellhop.secrets import SigningSecret, public_key
from deliver.attempt import signing
from deliver.attempt.oauth2 import AccessToken, Client, read
from deliver.attempt.signing import Keys
from deliver.http.response import Response
from health.transitions import TransitionDependencies
from infra.cli.commands import receive
from infra.cli.errors import CommandError
from infra.cli.receiving import Forwarded, Inbox, InTurn, Responses
from infra.local.receiver import busy_once, receiver
from infra.local.token_endpoint import SECONDS, TokenEndpoint
from infra.local.webhook_server import PlannedResponse, Request, WebhookServer, serving
from tests.support.fakes import NOW, SECRET, Recorder, app, delivery
from tests.support.key_pairs import KEY_PAIR, OTHER_PAIR
from tests.unit.cli.cli_runner import misused, refused

BODY = b'{"action":"created","resource":"issue","data":{"issue":{"title":"\\u001b[31mred"}}}'
WEBHOOK = delivery(body=BODY)
OK = InTurn([200], 0)


def headers(webhook: Delivery = WEBHOOK, age: int = 0) -> dict[str, str]:
    return signing.headers(webhook, Keys(SECRET), "request-1", int(time.time()) - age)


def post(
    inbox: Inbox, headers: dict[str, str], body: bytes = BODY, *, secret: str = SECRET, previous: str | None = None
) -> requests.Response:
    with serving(WebhookServer(inbox, secret, "127.0.0.1", previous=previous)) as server:
        return requests.post(f"http://127.0.0.1:{server.server_port}/", body, headers=headers, timeout=10)


@pytest.fixture
def inbox() -> Callable[..., Inbox]:
    def make(responses: Responses = OK, *, as_json: bool = False) -> Inbox:
        return Inbox(responses, Console(file=io.StringIO(), width=200), as_json)

    return make


def printed(inbox: Inbox) -> str:
    assert isinstance(inbox.console.file, io.StringIO)
    return inbox.console.file.getvalue()


def test_a_webhook_is_verified_and_printed_with_its_body(inbox: Callable[..., Inbox]) -> None:
    made = inbox()
    assert post(made, headers()).status_code == 200
    assert f"issue.created  {WEBHOOK.delivery_id}  -> 200" in printed(made)
    assert "both signatures verify" in printed(made)
    assert '"action": "created"' in printed(made)


def test_what_a_body_holds_cannot_steer_the_terminal(inbox: Callable[..., Inbox]) -> None:
    made = inbox()
    post(made, headers())
    assert "\x1b" not in printed(made)


@pytest.mark.parametrize(
    ("sent", "body", "wrong"),
    [
        (headers(), BODY + b" ", "webhook-signature and Sentry-Hook-Signature"),
        (headers(age=3600), BODY, "webhook-signature:"),
        (
            headers() | {"Sentry-Hook-Signature": "gr\u00fcn".encode().decode("latin-1")},
            BODY,
            "Sentry-Hook-Signature:",
        ),
        ({}, BODY, "(no webhook-id)"),
        (
            {"webhook-id": "a", "webhook-timestamp": "b", "webhook-signature": "v1,&&&"},
            b"\xff",
            "webhook-signature",
        ),
    ],
)
def test_what_does_not_verify_gets_401_and_the_reason_is_printed(
    inbox: Callable[..., Inbox], sent: dict[str, str], body: bytes, wrong: str
) -> None:
    made = inbox()
    assert post(made, sent, body).status_code == 401
    assert wrong in printed(made)


def test_the_classic_signature_did_not_verify_while_two_secrets_overlapped(inbox: Callable[..., Inbox]) -> None:
    new = "cd" * 32
    both = signing.headers(WEBHOOK, Keys(new, previous=SECRET), "request-1", int(time.time()))
    assert post(inbox(), both, secret=new).status_code == 401
    assert post(inbox(), both, secret=new, previous=SECRET).status_code == 200


@pytest.mark.parametrize("known", [KEY_PAIR, public_key(KEY_PAIR)])
def test_a_key_pairs_webhook_is_verified_by_its_public_key(inbox: Callable[..., Inbox], known: str) -> None:
    made, now = inbox(), int(time.time())
    sent = signing.headers(WEBHOOK, Keys(KEY_PAIR), "request-1", now)
    assert post(made, sent, secret=known).status_code == 200
    assert "the signature verifies" in printed(made)
    assert post(made, sent, BODY + b" ", secret=known).status_code == 401
    assert post(made, signing.headers(WEBHOOK, Keys(KEY_PAIR), "r", now - 3600), secret=known).status_code == 401
    assert post(made, sent | {"webhook-signature": "v1a,&&& v1a,AAAA"}, secret=known).status_code == 401
    assert post(made, signing.headers(WEBHOOK, Keys(OTHER_PAIR), "r", now), secret=known).status_code == 401


def test_from_an_hmac_secret_to_a_key_pair_the_overlap_verifies(inbox: Callable[..., Inbox]) -> None:
    sent = signing.headers(WEBHOOK, Keys(KEY_PAIR, previous=SECRET), "request-1", int(time.time()))
    assert post(inbox(), sent, secret=KEY_PAIR, previous=SECRET).status_code == 200


def test_statuses_come_in_turn() -> None:
    request = Request(0.0, {}, b"", standard=True, classic=True, authorized=None)
    responses = InTurn([200, 200, 500], 5)
    assert [responses.to(request).status for _ in range(6)] == [200, 200, 500, 200, 200, 500]
    assert responses.to(request) == PlannedResponse(200, 5)


def test_a_forwarded_webhook_still_verifies_and_its_response_comes_back(inbox: Callable[..., Inbox]) -> None:
    with receiver(busy_once(7), SECRET) as own:
        response = post(inbox(Forwarded(own.url)), headers())
        [arrived] = own.received
    assert arrived.verified
    assert arrived.body == BODY
    assert (response.status_code, response.headers["Retry-After"]) == (503, "7")


def test_a_webhook_that_cannot_be_forwarded_gets_502(inbox: Callable[..., Inbox]) -> None:
    with receiver(busy_once(1), SECRET) as closed:
        pass
    made = inbox(Forwarded(closed.url))
    assert post(made, headers()).status_code == 502
    assert closed.url in printed(made)


def test_json_has_a_document_for_each_webhook(
    inbox: Callable[..., Inbox], capsys: pytest.CaptureFixture[str]
) -> None:
    post(inbox(as_json=True), headers(replace(WEBHOOK, event="issue.created")))
    found = json.loads(capsys.readouterr().out)
    assert (found["event"], found["standard"], found["classic"], found["status"]) == (
        "issue.created",
        True,
        True,
        200,
    )
    assert found["body"] == BODY.decode()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--status", "200,99"], "--status '200,99': write a status from 200 to 599"),
        (["--forward", "localhost:3000"], "--forward 'localhost:3000' is no URL"),
        (["--signature", "rsa"], "--signature 'rsa' is none of hmac, ed25519"),
        (["--secret-env", "NOT_SET_HERE"], "the variable NOT_SET_HERE is not set"),
        (["--secret-env", "PATH"], "--secret-env: the value of PATH "),
        (["--stack", "bellhop"], "registers itself with the local stack only"),
    ],
)
def test_what_cannot_work_is_refused_with_the_way_out(arguments: list[str], reason: str) -> None:
    assert reason in misused("receive", *arguments)


def test_a_port_that_is_taken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    with receiver(busy_once(1), SECRET) as own:
        port = own.url.rpartition(":")[2].partition("/")[0]
        said = refused("receive", "--secret-env", "WEBHOOK_SECRET", "--port", port)
    assert f"something else listens at port {port}, perhaps another `bellhop receive`: end it, or name" in said


def test_it_registers_itself_and_again_at_another_port(aws: None) -> None:
    deps = TransitionDependencies(tables.connect(), lambda _: None, Recorder(), lambda: NOW)
    for port in (1, 2, 2):  # where nobody listens; at those of `bellhop receive` somebody may
        url = f"http://127.0.0.1:{port}/"
        receive.register("my-app", "acme", url, SECRET, deps)
        [installation] = Installation.query("acme")
        assert (App.get("my-app").url, App.get("my-app").kind, installation.app_id) == (url, "internal", "my-app")
        assert "issue.created" in installation.events
    assert SigningSecret.get("my-app").secret == SECRET


def test_it_registers_its_token_endpoint_and_without_one_takes_that_back(aws: None) -> None:
    deps, url = (
        TransitionDependencies(tables.connect(), lambda _: None, Recorder(), lambda: NOW),
        "http://127.0.0.1:8765/",
    )
    tokens = TokenEndpoint("my-app", "client-secret")
    receive.register("my-app", "acme", url, SECRET, deps, tokens=tokens)
    assert SigningSecret.get("my-app").oauth2 == {
        "token_url": "http://127.0.0.1:8765/token",
        "client_id": "my-app",
        "client_secret": "client-secret",
    }
    receive.register("my-app", "acme", url, SECRET, deps)
    assert SigningSecret.get("my-app").oauth2 is None


def test_it_took_the_app_away_from_another_that_has_not_ended(aws: None, inbox: Callable[..., Inbox]) -> None:
    deps = TransitionDependencies(tables.connect(), lambda _: None, Recorder(), lambda: NOW)
    with serving(WebhookServer(inbox(), SECRET, "127.0.0.1")) as server:
        url = f"http://127.0.0.1:{server.server_port}/"
        receive.register("my-app", "acme", url, SECRET, deps)
        receive.register("my-app", "acme", url, SECRET, deps)
        with pytest.raises(CommandError, match=f"my-app is served at {url}, by another `bellhop receive`"):
            receive.register("my-app", "acme", "http://127.0.0.1:1/", SECRET, deps)
        assert App.get("my-app").url == url
    receive.register("my-app", "acme", "http://127.0.0.1:1/", SECRET, deps)
    assert App.get("my-app").url == "http://127.0.0.1:1/"


@pytest.mark.parametrize("as_json", [False, True])
def test_it_printed_nothing_of_the_tokens_that_it_gave_or_refused(
    inbox: Callable[..., Inbox], capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    made = inbox(as_json=as_json)
    tokens = TokenEndpoint("my-app", "client-secret", now=NOW.timestamp, witness=made)
    tokens.respond({}, b"grant_type=client_credentials")
    tokens.respond({}, b"grant_type=client_credentials&client_id=my-app&client_secret=client-secret")
    if as_json:
        told = [json.loads(each)["access_token"] for each in capsys.readouterr().out.splitlines()]
        assert told == ["invalid_client", "given"]
    else:
        at = f"{NOW:%H:%M:%S}"
        assert printed(made) == f"{at}  access token refused: invalid_client\n{at}  access token given\n"


@pytest.mark.parametrize("authentication", ["basic", "body"])
def test_a_webhook_with_a_token_of_its_own_is_taken_and_any_other_gets_401(
    inbox: Callable[..., Inbox], authentication: str
) -> None:
    made, tokens, at = inbox(), TokenEndpoint("my-app"), [1000.0]
    tokens.now = lambda: at[0]
    with serving(WebhookServer(made, SECRET, "127.0.0.1", tokens=tokens)) as server:
        url = f"http://127.0.0.1:{server.server_port}/"
        client = Client.of(tokens.registration(url) | {"authentication": authentication})
        given = requests.post(client.token_url, client.body, headers=client.headers, timeout=10)
        token = read(Response(given.status_code, given.headers, given.content), client)
        assert isinstance(token, AccessToken)
        bearer = {"Authorization": f"Bearer {token.value}"}
        sent = [headers() | bearer, headers(), headers() | {"Authorization": "Bearer of-another"}]
        statuses = [requests.post(url, BODY, headers=each, timeout=10).status_code for each in sent]
        at[0] += SECONDS
        statuses.append(requests.post(url, BODY, headers=headers() | bearer, timeout=10).status_code)
    assert statuses == [200, 401, 401, 401]
    assert printed(made).count("the access token is valid") == 1
    assert printed(made).count("no access token that is valid") == 3


@pytest.mark.parametrize(
    ("changes", "body", "expected"),
    [
        ({"Authorization": "Basic bm8="}, b"grant_type=client_credentials", (401, "invalid_client")),
        ({"Authorization": "Basic \xff"}, b"grant_type=client_credentials", (401, "invalid_client")),
        ({}, b"grant_type=client_credentials", (401, "invalid_client")),
        ({}, b"grant_type=password", (400, "unsupported_grant_type")),
        ({}, b"\xff", (400, "unsupported_grant_type")),
    ],
)
def test_who_is_not_its_client_gets_no_token(
    changes: dict[str, str], body: bytes, expected: tuple[int, str]
) -> None:
    status, found = TokenEndpoint("my-app").respond({name.lower(): value for name, value in changes.items()}, body)
    assert (status, json.loads(found)) == (expected[0], {"error": expected[1]})


def test_it_leaves_an_app_of_another_organisation_alone(aws: None) -> None:
    Organization("globex", slug="globex", name="Globex", owners=[]).save()
    app("my-app", organization_id="globex").save()
    deps = TransitionDependencies(tables.connect(), lambda _: None, Recorder(), lambda: NOW)
    with pytest.raises(CommandError, match="globex"):
        receive.register("my-app", "acme", "http://127.0.0.1:1/", SECRET, deps)
