import os
from http.client import BadStatusLine

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from bellhop import long_responses
from bellhop.deliveries import Retry
from bellhop.long_responses import ROW_BYTES
from deliver.attempt import kept_headers, kept_response, masking
from deliver.attempt.kept_headers import ALL_BYTES
from deliver.attempt.masking import MASKED, Mask
from deliver.attempt.signing import Keys
from deliver.dependencies import DeliverDependencies
from deliver.http.faults import DETAIL_CHARACTERS, reason
from deliver.http.response import KEPT_BYTES, Response, SendFailure
from tests.support.endpoint import Endpoint, record, response, run
from tests.support.fakes import delivery, queue_message

TOKEN = "Bearer 0123456789"
KEYS = Keys("c" * 64, "p" * 24, {"Authorization": TOKEN, "X-Source": "ok"})
HIDDEN = Mask(KEYS)
HEADERS = CaseInsensitiveDict(
    {"Server": "nginx", "Set-Cookie": "id=secret", "X-Echo": f"you sent {TOKEN}", "X-A": "b"}
)


@given(st.binary(max_size=ROW_BYTES))
def test_a_short_body_is_kept_as_it_is(body: bytes) -> None:
    text = HIDDEN.hide(body.decode(errors="replace"))
    assert kept_response.of(response(500, body), HIDDEN) == kept_response.KeptResponse(text)


@pytest.mark.parametrize("secret", [TOKEN, KEYS.current, KEYS.previous])
def test_a_body_that_repeats_what_the_app_keeps_secret_is_masked(secret: str) -> None:
    short = kept_response.of(response(500, f"you sent {secret}!".encode()), HIDDEN)
    assert short.text == f"you sent {MASKED}!"
    page = "x" * (ROW_BYTES - 5) + secret + "y" * 9000 + secret
    long = kept_response.of(response(500, page.encode()), HIDDEN)
    assert long.long
    assert long.long.text == page.replace(secret, MASKED)
    assert long.text == long.long.text[:ROW_BYTES]


def test_a_search_for_secrets_compared_each_character_with_each_as_its_text_was_short() -> None:
    looked_in = list[int]()

    class Text(str):
        __slots__ = ()

        def __add__(self, after: str) -> "Text":
            return Text(str(self) + after)

        def __contains__(self, sought: object) -> bool:
            looked_in.append(len(self))
            return str.__contains__(self, str(sought))

    assert Mask(Keys("a" * 9)).hide(Text("a" * 9 + "b")) == f"{MASKED}b"
    assert min(looked_in) > masking.QUICK_FROM


def test_a_secret_that_the_kept_length_cut_was_kept_but_for_its_end() -> None:
    begun = KEYS.current[:-4]
    assert HIDDEN.hide("you sent " + begun, cut=True) == f"you sent {MASKED}"
    assert HIDDEN.hide("you sent " + begun) == f"you sent {begun}"
    page = "x" * (KEPT_BYTES - len(begun)) + begun
    kept = kept_response.of(Response(500, {}, page.encode(), cut=True), HIDDEN)
    assert kept.long
    assert kept.long.text == page.removesuffix(begun) + MASKED


def test_a_status_line_that_repeated_a_secret_was_kept_as_it_was() -> None:
    failure = SendFailure("connection_error", f"BadStatusLine: you sent {TOKEN}")
    assert kept_response.of_failure(failure, HIDDEN) == f"BadStatusLine: you sent {MASKED}"


@pytest.mark.parametrize("before", range(DETAIL_CHARACTERS - 60, DETAIL_CHARACTERS - 30, 5))
def test_a_malformed_status_line_was_cut_before_the_secret_that_it_repeated_was_masked(before: int) -> None:
    secret = "sk_live_" + "0123456789abcdef" * 3
    detail = reason(BadStatusLine("x" * before + secret))
    mask = Mask(Keys("", headers={"X-Key": secret}))
    kept = kept_response.of_failure(SendFailure("invalid_response", detail), mask)
    assert kept.partition("x" * before)[2] == MASKED


def test_what_was_not_cut_keeps_what_a_secret_begins_with() -> None:
    detail = "BadStatusLine: you sent " + KEYS.current[:-1]
    assert kept_response.of_failure(SendFailure("invalid_response", detail), HIDDEN) == detail


def test_a_header_that_has_no_value_or_a_nul_hides_no_other() -> None:
    headers = CaseInsensitiveDict({"Server": "", "X-Request-Id": f"a\0{TOKEN}", "Request-Id": "b"})
    assert kept_headers.of_failure(headers, HIDDEN) == {"Server": "", "X-Request-Id": MASKED, "Request-Id": "b"}
    assert kept_headers.of_failure({}, HIDDEN) == {}


def test_a_long_body_has_all_headers_beside_it_but_what_is_secret() -> None:
    kept = kept_response.of(Response(500, HEADERS, b"x" * 2000, cut=True), HIDDEN)
    assert kept.long
    assert kept.long.headers == {"Server": "nginx", "Set-Cookie": MASKED, "X-Echo": MASKED, "X-A": "b"}
    assert kept.long.cut


def test_many_headers_are_cut_off() -> None:
    headers = CaseInsensitiveDict({f"X-{number}": "v" * 1000 for number in range(50)})
    kept = kept_response.of(Response(500, headers, b"x" * 2000), HIDDEN)
    assert kept.long
    assert 4000 < sum(len(n) + len(v) for n, v in kept.long.headers.items()) <= ALL_BYTES


def test_a_row_has_never_half_a_character() -> None:
    kept = kept_response.of(response(500, ("x" + "é" * 2000).encode()), HIDDEN)
    assert kept.text == "x" + "é" * 511


def test_a_failed_attempt_keeps_the_whole_of_a_long_response_until_the_next(deps: DeliverDependencies) -> None:
    page = "<html>" + "détail " * 1000
    endpoint = Endpoint(response(500, page.encode(), HEADERS), response(503, b"busy"))
    run(deps, endpoint, queue_message(delivery()))
    [row] = long_responses.rows(record())
    assert (row["response"], row["headers"]["X-A"]) == (page, "b")
    run(deps, endpoint, queue_message(Retry(delivery().delivery_id, "pager", 2), "second"))
    first, second = long_responses.rows(record())
    assert (first["response"], second["response"]) == (page, "busy")


def test_the_worst_response_is_kept_within_its_bound(deps: DeliverDependencies) -> None:
    run(deps, Endpoint(Response(500, HEADERS, os.urandom(KEPT_BYTES), cut=True)), queue_message(delivery()))
    packed = record().long_response
    assert packed
    assert len(packed) < 2 * KEPT_BYTES


def test_a_success_keeps_nothing_of_it(deps: DeliverDependencies) -> None:
    endpoint = Endpoint(response(500), response(200, b"x" * 5000))
    run(deps, endpoint, queue_message(delivery()))
    run(deps, endpoint, queue_message(Retry(delivery().delivery_id, "pager", 2), "second"))
    assert record().long_response is None


def test_bytes_that_are_no_text_took_three_times_the_room_of_a_row() -> None:
    assert (
        len(kept_response.of(Response(400, {}, b"\xff" * ROW_BYTES), Mask(Keys("s" * 40))).text.encode())
        <= ROW_BYTES
    )
