"""How a token is asked for, and which responses have one."""

import base64
from typing import Any
from urllib.parse import parse_qs

import pytest

from deliver.attempt.oauth2 import (
    DEFAULT_SECONDS,
    EARLY_SECONDS,
    MOST_SECONDS,
    TOKEN_LENGTHS,
    AccessToken,
    Client,
    read,
)
from deliver.http.response import KEPT_BYTES, Response, SendFailure
from tests.support.endpoint import response
from tests.support.oauth2 import CLIENT_SECRET, grant

CLIENT = Client("https://login.example/token", "pager", CLIENT_SECRET)
TOKEN = "a-token.of~RFC_6750+/=="
ODD: list[object] = [..., None, "", "soon", "9" * 11, "-5", True, [], {}]  # of which no number can be read


def token(**changes: Any) -> AccessToken | SendFailure:
    return read(response(200, grant(TOKEN, **changes)), CLIENT)


def refusal(found: Response | SendFailure) -> str:
    failed = read(found, CLIENT)
    assert isinstance(failed, SendFailure)
    assert failed.kind == "token_error"
    return failed.detail


def form(client: Client) -> dict[str, list[str]]:
    return parse_qs(client.body.decode(), strict_parsing=True)


def test_a_client_authenticates_by_basic_as_rfc_6749_writes_it() -> None:
    odd = Client(
        "https://login.example/token", "id:1", "pass word%ü!", scope="a b", audience="https://api.example"
    )
    kind, _, credentials = odd.headers["Authorization"].partition(" ")
    assert (kind, base64.b64decode(credentials)) == ("Basic", b"id%3A1:pass+word%25%C3%BC%21")
    assert form(odd) == {
        "grant_type": ["client_credentials"],
        "scope": ["a b"],
        "audience": ["https://api.example"],
    }


def test_a_client_authenticates_in_the_body_where_it_is_told_to() -> None:
    odd = Client("https://login.example/token", "id", "pass&word", authentication="body")
    assert "Authorization" not in odd.headers
    assert form(odd) == {"grant_type": ["client_credentials"], "client_id": ["id"], "client_secret": ["pass&word"]}


def test_what_a_newer_version_stored_is_ignored() -> None:
    stored = {"token_url": "u", "client_id": "i", "client_secret": "s" * 8, "private_key": "k"}
    assert Client.of(stored) == Client("u", "i", "s" * 8)


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
def test_a_token_of_the_type_bearer_in_any_case_is_used(kind: str) -> None:
    assert token(token_type=kind) == AccessToken(TOKEN, 3600 - EARLY_SECONDS)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (3600, 3600 - EARLY_SECONDS),
        ("3599", 3599 - EARLY_SECONDS),
        (20, 10),
        (0.5, 0.25),
        (0, 0),
        (-1, 0),
        (-(10**400), 0),
        (10**9, MOST_SECONDS - EARLY_SECONDS),
        (10**400, MOST_SECONDS - EARLY_SECONDS),
        ("9" * 10, MOST_SECONDS - EARLY_SECONDS),
        *((odd, DEFAULT_SECONDS - EARLY_SECONDS) for odd in ODD),
    ],
)
def test_a_token_is_used_for_less_than_it_is_valid_and_for_an_hour_at_most(said: object, seconds: float) -> None:
    assert token(expires_in=said) == AccessToken(TOKEN, seconds)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"access_token": ...}, "has no access_token that is a text"),
        ({"access_token": ["a"]}, "has no access_token that is a text"),
        ({"access_token": "short"}, "has an access_token of 5 characters; 8 to 7,168 can be sent"),
        ({"access_token": "t" * (TOKEN_LENGTHS[-1] + 1)}, "has an access_token of 7,169 characters"),
        ({"access_token": "hunter2hunter2\r\nHost: evil"}, "characters that no bearer token has"),
        ({"access_token": "hunter2hunter2\n"}, "characters that no bearer token has"),
        ({"access_token": "hunter2 hunter2"}, "characters that no bearer token has"),
        ({"access_token": "hunter2hunter2ä"}, "characters that no bearer token has"),
        ({"access_token": "hunter2hunter2\ud800"}, "characters that no bearer token has"),
        ({"token_type": ...}, "has another token_type than Bearer"),
        ({"token_type": "mac"}, "has another token_type than Bearer"),
        ({"token_type": 1}, "has another token_type than Bearer"),
        ({"expires_in": float("nan")}, "is no JSON object"),
        ({"expires_in": float("inf")}, "is no JSON object"),
        ({"deep": [[[[[[[[[[]]]]]]]]]]}, "is no JSON object"),
    ],
)
def test_a_token_that_cannot_be_sent_is_refused_and_nothing_of_it_is_told(changes: Any, expected: str) -> None:
    said = refusal(response(200, grant(TOKEN, **changes)))
    assert said.startswith("token endpoint: its response ")
    assert expected in said
    assert "hunter2" not in said
    assert TOKEN not in said


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b'"x"', b"{", b"\xff", b"[" * 16_000, b"9" * 16_000, b"<p>"]
)
def test_what_is_no_json_object_has_no_token(body: bytes) -> None:
    assert refusal(response(200, body)) == "token endpoint: its response is no JSON object"


def test_a_response_that_was_cut_off_has_no_token() -> None:
    whole = grant(TOKEN).ljust(KEPT_BYTES)
    assert isinstance(read(Response(200, {}, whole), CLIENT), AccessToken)
    assert (
        refusal(Response(200, {}, whole, cut=True)) == "token endpoint: its response is longer than 16,384 bytes"
    )


def test_a_refusal_tells_the_status_and_the_beginning_of_the_response_without_the_secret() -> None:
    basic = CLIENT.headers["Authorization"]
    said = refusal(response(401, f'{{"error":\n"invalid_client \x1b[1m{CLIENT_SECRET} {basic}"}}'.encode()))
    assert said == 'token endpoint: http_401: {"error": "invalid_client [1m**** Basic ****"}'
    assert len(refusal(response(500, b"x" * 5000))) < 300
    assert refusal(response(302)) == "token endpoint: http_302: without a body"


def test_a_secret_of_which_only_the_beginning_came_is_masked() -> None:
    cut = Response(400, {}, b"x " + CLIENT_SECRET.encode()[:-3], cut=True)
    assert refusal(cut) == "token endpoint: http_400: x ****"


def test_why_nothing_came_is_told() -> None:
    assert refusal(SendFailure("tls_error", "expired")) == "token endpoint: tls_error: expired"
    refused = read(SendFailure("address_not_allowed", "10.0.0.1", refused=True), CLIENT)
    assert refused == SendFailure("token_error", "token endpoint: address_not_allowed: 10.0.0.1", refused=True)


def test_neither_a_client_nor_a_token_shows_its_secret_when_it_is_printed() -> None:
    shown = repr(CLIENT) + repr(token())
    assert CLIENT_SECRET not in shown
    assert TOKEN not in shown
