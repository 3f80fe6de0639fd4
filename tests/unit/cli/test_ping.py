import json
import re

import pytest

from bellhop import attempts, pings
from bellhop.attempts import RETRYING, Attempt, NextState
from bellhop.secrets import SigningSecret
from infra.cli.commands import ping
from infra.cli.commands.ping import PingResult
from infra.cli.errors import CommandError
from tests.support.fakes import NOW, SECRET
from tests.support.key_pairs import KEY_PAIR
from tests.unit.cli.cli_runner import CloudFormation, bellhop, misused, refused, succeed
from tests.unit.cli.failing_app import ESCAPED, HOSTILE, Endpoint, register, switch_off

pytestmark = pytest.mark.usefixtures("cloudformation")


def test_a_good_response_is_shown_whole_and_ends_with_0(endpoint: Endpoint) -> None:
    register()
    shown = succeed("ping", "pager")
    for part in (
        "pager: pinged https://hooks.example/in\n",
        "result     http_200 (status 200)\n",
        "time       84 ms, at 20",
        "headers    Content-Type: text/plain\n",
        "body       ok\n",
        "It is well",
    ):
        assert part in shown
    (sent,) = endpoint.pinged
    assert (sent.app_id, sent.ping) == ("pager", True)


def test_an_app_that_is_off_is_pinged_too(endpoint: Endpoint) -> None:
    register()
    switch_off()
    assert "It is well" in succeed("ping", "pager")


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (302, "redirects are never followed"),
        (401, "does it verify with this app's secret?"),
        (404, "there is nothing at this url"),
        (410, "gone for good"),
        (418, "the body of its response may say why"),
        (500, "its own log says why"),
        (799, "nothing else is known of it"),
    ],
)
def test_a_bad_response_says_what_it_means_and_ends_with_1(endpoint: Endpoint, status: int, hint: str) -> None:
    register()
    endpoint.refuse(status)
    result = bellhop("ping", "pager")
    assert (result.exit_code, result.stderr) == (1, "")
    assert f"http_{status} (status {status})" in result.stdout
    assert "body       (empty)" in result.stdout
    assert f"It is not well. http_{status}" in result.stdout
    assert hint in result.stdout


def without_response(endpoint: Endpoint, result: str, reason: str) -> str:
    """What `bellhop ping` shows of an endpoint from which nothing came, for a reason."""
    register()
    endpoint.result, endpoint.status, endpoint.headers, endpoint.body = result, None, {}, reason
    return bellhop("ping", "pager").stdout


def test_a_send_failure_says_what_to_mend(endpoint: Endpoint) -> None:
    shown = without_response(endpoint, "tls_error", "expired")
    assert "result     tls_error\n" in shown
    assert "its certificate must be valid" in shown
    assert "headers" not in shown


def test_why_no_response_came_was_shown_as_a_body(endpoint: Endpoint) -> None:
    shown = without_response(endpoint, "dns_error", "no such name")
    assert "reason     no such name\n" in shown
    assert "body" not in shown


def test_a_send_failure_of_which_nothing_more_is_known_has_no_reason(endpoint: Endpoint) -> None:
    shown = without_response(endpoint, "timeout", "")
    assert "(empty)" not in shown
    assert "reason" not in shown


TOKEN_URL = "https://login.example/token"


def with_tokens(endpoint: Endpoint, secret: str = SECRET) -> None:
    register()
    SigningSecret("pager", secret=secret, oauth2={"token_url": TOKEN_URL}).save()
    endpoint.result, endpoint.status, endpoint.headers = "token_error", None, {}
    endpoint.body = "token endpoint: http_401: invalid_client"


def test_without_an_access_token_it_says_that_nothing_was_posted_and_who_gave_none(endpoint: Endpoint) -> None:
    with_tokens(endpoint)
    result = bellhop("ping", "pager")
    assert result.exit_code == 1
    nothing = f"nothing was posted to https://hooks.example/in: no access token from {TOKEN_URL}"
    assert f"pager: {nothing}\n" in result.stdout
    assert "pinged" not in result.stdout
    assert "reason     token endpoint: http_401: invalid_client\n" in result.stdout
    assert "it says why above; mend oauth2 in the registry file" in result.stdout
    endpoint.slept.clear()
    told = json.loads(bellhop("ping", "pager", "--json").stdout)
    assert (told["not_posted"], told["token_url"]) == (f"no access token from {TOKEN_URL}", TOKEN_URL)


def test_an_app_that_is_switched_on_says_the_same_of_its_token_endpoint(endpoint: Endpoint) -> None:
    with_tokens(endpoint)
    switch_off()
    assert f"no access token from {TOKEN_URL}" in bellhop("enable", "pager").stdout


@pytest.mark.parametrize("result", ["address_not_allowed", "invalid_header", "invalid_url"])
def test_what_the_guard_refused_was_not_posted(endpoint: Endpoint, result: str) -> None:
    shown = without_response(endpoint, result, "10.0.0.1")
    assert "pager: nothing was posted to https://hooks.example/in: " in shown


def test_a_refusal_names_the_token_and_the_public_key_where_the_app_has_them(endpoint: Endpoint) -> None:
    with_tokens(endpoint, secret=KEY_PAIR)
    endpoint.refuse(401)
    shown = bellhop("ping", "pager").stdout
    assert f"token      a new one, from {TOKEN_URL}\n" in shown
    assert "does it take this token, which has the scope and audience of oauth2 in the registry file, " in shown
    assert "does it verify with this app's public key, which bellhop app shows?" in shown
    assert "secret" not in shown
    endpoint.slept.clear()
    endpoint.refuse(403)
    assert (
        "public key, which bellhop app shows, is there a firewall in front of it?"
        in bellhop("ping", "pager").stdout
    )


def test_without_a_signing_secret_it_says_at_once_what_makes_one(endpoint: Endpoint) -> None:
    register()
    SigningSecret("pager").delete()
    said = refused("ping", "pager")
    assert "pager has no signing secret, so nothing is posted: `bellhop apply FILE` makes one" in said
    assert endpoint.slept == []


def test_a_success_that_asks_to_be_switched_off_is_not_well(endpoint: Endpoint) -> None:
    register()
    endpoint.headers = {"Webhook-Delivery": " Disable"}
    result = bellhop("ping", "pager")
    assert result.exit_code == 1
    assert "http_200 (status 200)" in result.stdout
    assert "It is not well. It sends the header webhook-delivery: disable" in result.stdout


def test_what_an_endpoint_writes_cannot_command_the_terminal(endpoint: Endpoint) -> None:
    register(url="https://hooks.example/\x1b[2J")
    endpoint.refuse(500, HOSTILE + "\n" * 900)
    endpoint.headers = {"X-\x1b[31mEvil": "a\rb\x9b"}
    shown = bellhop("ping", "pager").stdout
    assert f"body       {ESCAPED}\n" in shown
    assert "               more\n" in shown
    assert "headers    X-\\x1b[31mEvil: a\\rb\\x9b\n" in shown
    assert "... and 861 more lines: --json has all" in shown
    assert not any(c in shown for c in "\x1b\x07\r\x9b\u202e")


def test_as_json_it_is_the_same_for_a_program(endpoint: Endpoint) -> None:
    register()
    endpoint.refuse(503, HOSTILE)
    result = bellhop("ping", "pager", "--json")
    response = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (response["well"], response["status"], response["body"]) == (False, 503, HOSTILE)
    assert response["headers"] == {"Content-Type": "text/plain"}
    assert response["delivery_id"] == endpoint.pinged[0].delivery_id
    assert "\x1b" not in result.stdout


def test_without_a_record_in_time_it_says_where_to_look(endpoint: Endpoint) -> None:
    register()
    endpoint.silent = True
    said = refused("ping", "pager")
    assert "no record of the ping of pager within 40 s" in said
    assert re.search(r"deliver's log \(`bellhop tail --text msg_[0-9a-f]{32}`\)", said)
    assert "age of the oldest message" in said
    assert sum(endpoint.slept) == 40
    assert max(endpoint.slept) <= 3


def test_how_long_it_waits_can_be_chosen(endpoint: Endpoint, cloudformation: CloudFormation) -> None:
    register()
    endpoint.silent = True
    assert "within 5 s" in refused("ping", "pager", "--wait", "5s")
    assert sum(endpoint.slept) == 5
    assert "--wait 'soon' is not a time" in misused("ping", "pager", "--wait", "soon")
    endpoint.slept.clear()
    cloudformation.parameters["DeliveryDeadlineSeconds"] = "20"
    assert "within 50 s" in refused("ping", "pager")


def test_an_attempt_that_deliver_has_only_begun_is_no_result_yet(aws: None) -> None:
    known, slept = register(), list[float]()
    sent = pings.make(known, "token", NOW)
    begun = NextState(RETRYING, attempt=Attempt(1, NOW, 5, "r", "http_500", 500))
    attempts.open_record(sent, begun, NOW)
    with pytest.raises(CommandError, match="no record"):
        ping.await_result(known, sent, 2, sleep=slept.append, clock=lambda: sum(slept))


def test_of_two_pings_each_is_made(endpoint: Endpoint) -> None:
    register()
    succeed("ping", "pager")
    endpoint.slept.clear()
    succeed("ping", "pager")
    first, second = endpoint.pinged
    assert first.delivery_id != second.delivery_id


def test_an_unknown_app_is_not_pinged(endpoint: Endpoint) -> None:
    register()
    assert "did you mean pager?" in refused("ping", "pagr")
    assert endpoint.slept == []


def test_every_result_of_deliver_has_a_hint() -> None:
    nothing_came = ("timeout", "dns_error", "tls_error", "connection_error", "invalid_response")
    for result in (*nothing_came, "address_not_allowed", "invalid_header", "invalid_url", "token_error"):
        known = PingResult("pager", "u", "d", False, result, None, 1, "", {}, "")
        assert "nothing else is known" not in known.meaning
        assert "?." not in known.meaning
