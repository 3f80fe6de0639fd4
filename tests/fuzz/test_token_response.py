"""Responses of token endpoints: JSON of any shape, and bytes that are none."""

import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bellhop.text import one_line
from deliver.attempt.oauth2 import MOST_SECONDS, TOKEN_LENGTHS, AccessToken, Client, read
from deliver.http.response import Response, SendFailure

CLIENT = Client("https://login.example/token", "pager", "client-secret-of-pager")
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
TOKENS = st.text(st.characters(max_codepoint=0x17F), max_size=20) | st.from_regex(r"[A-Za-z0-9._~+/-]{8,20}=*\n?")
DOCUMENTS = st.fixed_dictionaries(
    {"access_token": TOKENS | VALUES, "token_type": st.sampled_from(["Bearer", "bearer", "mac"]) | VALUES},
    optional={"expires_in": SCALARS | st.from_regex(r"-?[0-9]{0,12}")},
)
BODIES = st.binary() | (DOCUMENTS | VALUES).map(lambda document: json.dumps(document).encode())


@given(body=BODIES, status=st.sampled_from([200, 201, 204, 301, 400, 401, 429, 500, 503]), cut=st.booleans())
def test_whatever_comes_is_a_token_that_can_be_sent_or_a_failure_in_a_line(
    body: bytes, status: int, cut: bool
) -> None:
    found = read(Response(status, {}, body, cut), CLIENT)
    if isinstance(found, AccessToken):
        assert re.fullmatch(r"[\x21-\x7e]+", found.value)
        assert len(found.value) in TOKEN_LENGTHS
        assert 0 <= found.seconds < MOST_SECONDS
    else:
        assert isinstance(found, SendFailure)
        assert (found.kind, found.refused) == ("token_error", False)
        assert one_line(found.detail, 300) == found.detail


@given(around=st.tuples(st.text(), st.text()), form=st.integers(0, 2), cut=st.integers(0, 10))
def test_no_form_of_the_secret_is_told_wherever_it_stands(around: tuple[str, str], form: int, cut: int) -> None:
    before, after = around
    secret = CLIENT.secrets[form]
    body = f"{before}{secret[: len(secret) - cut] if cut else secret + after}".encode("utf-8", "replace")
    found = read(Response(400, {}, body, bool(cut)), CLIENT)
    assert isinstance(found, SendFailure)
    assert (
        secret[:8] not in found.detail.removeprefix("token endpoint: http_400: ") or secret[:8] in before + after
    )


@given(document=DOCUMENTS)
def test_what_a_response_that_has_no_usable_token_says_is_not_told(document: dict[str, Any]) -> None:
    token = document["access_token"]
    found = read(Response(200, {}, json.dumps(document).encode()), CLIENT)
    if isinstance(found, SendFailure) and isinstance(token, str) and len(token.strip()) > 8:
        assert token not in found.detail
