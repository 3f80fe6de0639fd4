from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from bellhop.deliveries import Retry
from deliver.attempt.kept_headers import ALL_BYTES, FAILURE_BYTES, OF_FAILURES, of_all, of_failure
from deliver.attempt.masking import MASKED, Mask
from deliver.attempt.signing import Keys
from deliver.dependencies import DeliverDependencies
from deliver.http.response import Response
from tests.support.endpoint import TIMEOUT, Endpoint, record, response, run
from tests.support.fakes import delivery, queue_message

TOKEN = "Bearer 0123456789"
KEYS = Keys("c" * 64, "p" * 24, {"Authorization": TOKEN, "X-Source": "ok"})
HIDDEN = Mask(KEYS)


def sent(*pairs: tuple[str, str]) -> Mapping[str, str]:
    return CaseInsensitiveDict(pairs)


# Long texts by repetition: to draw every character takes seconds.
LONG = st.builds(lambda text, times: text * times, st.text(min_size=1, max_size=20), st.integers(0, 150))


@given(st.dictionaries(st.one_of(st.text(min_size=1, max_size=20), LONG), LONG, max_size=8))
def test_the_headers_that_are_kept_are_text_within_their_bound(headers: dict[str, str]) -> None:
    kept = of_all(headers, HIDDEN)
    assert sum(len(n.encode()) + len(v.encode()) for n, v in kept.items()) <= ALL_BYTES
    assert not any(c < " " or "\x7f" <= c < "\xa0" for text in [*kept, *kept.values()] for c in text)
    whole = sum(len(n.encode("utf-8", "replace")) + len(v.encode("utf-8", "replace")) for n, v in headers.items())
    if whole * 3 <= ALL_BYTES:
        assert len(kept) <= len(headers)
        assert bool(kept) == bool(headers)


def test_of_a_failure_those_are_kept_that_say_who_responded_and_when_to_come_again() -> None:
    headers = sent(("RETRY-AFTER", "120"), ("server", "nginx"), ("Set-Cookie", "id=1"), ("x-request-id", "r-1"))
    assert of_failure(headers, HIDDEN) == {"Retry-After": "120", "Server": "nginx", "X-Request-Id": "r-1"}


@pytest.mark.parametrize("secret", [TOKEN, KEYS.current, KEYS.previous])
def test_a_header_that_repeats_what_the_app_keeps_secret_is_masked(secret: str) -> None:
    assert of_failure(sent(("Server", f"you sent {secret}!")), HIDDEN) == {"Server": MASKED}


def test_a_short_value_of_the_apps_own_headers_masks_nothing() -> None:
    assert of_failure(sent(("Server", "ok")), HIDDEN) == {"Server": "ok"}


def test_the_whole_of_a_long_header_was_searched_for_each_of_the_apps_own_though_its_start_alone_is_kept() -> None:
    kept = of_failure(sent(("Server", "a" * 60_000 + TOKEN), ("Retry-After", "5")), HIDDEN)
    assert kept == {"Retry-After": "5", "Server": "a" * (FAILURE_BYTES - len("Retry-After5Server"))}


def test_a_secret_is_masked_before_the_bound_cuts_it() -> None:
    value = "s" * (FAILURE_BYTES - len("Server") - 5) + TOKEN
    assert of_failure(sent(("Server", value)), HIDDEN) == {"Server": MASKED}


def test_an_escaped_secret_masks_its_own_header_alone() -> None:
    mask = Mask(Keys("", headers={"X-Key": "a/secret/of/mine"}))
    headers = sent(("Server", "nginx"), ("X-Request-Id", "got a%2Fsecret%2fof/mine"), ("Request-Id", "b"))
    assert of_failure(headers, mask) == {"Server": "nginx", "X-Request-Id": MASKED, "Request-Id": "b"}


def test_two_headers_that_have_one_half_of_a_secret_each_are_kept() -> None:
    mask = Mask(Keys("", headers={"X-Key": "0123456789abcdef"}))
    headers = sent(("Server", "01234567"), ("X-Request-Id", "89abcdef"))
    assert of_failure(headers, mask) == dict(headers)


@pytest.mark.parametrize("form", ["a/secret/of/mine", "a%2Fsecret%2Fof%2Fmine", "a&#x2F;secret&#x2F;of&#x2F;mine"])
def test_an_escaped_secret_that_the_bound_cuts_is_masked(form: str) -> None:
    mask = Mask(Keys("", headers={"X-Key": "a/secret/of/mine"}))
    value = "s" * (FAILURE_BYTES - len(form) + 1) + form
    assert of_failure(sent(("Server", value)), mask) == {"Server": MASKED}


@given(st.dictionaries(st.sampled_from(OF_FAILURES), LONG))
def test_the_headers_of_a_failure_are_text_within_their_bound(headers: dict[str, str]) -> None:
    kept = of_failure(headers, HIDDEN)
    assert sum(len(n.encode()) + len(v.encode()) for n, v in kept.items()) <= FAILURE_BYTES
    assert not any(c < " " or "\x7f" <= c < "\xa0" for text in kept.values() for c in text)


@pytest.mark.parametrize(
    ("outcome", "kept"),
    [
        (response(503, b"busy", {"Retry-After": "120"}), {"Retry-After": "120"}),
        (response(500, headers={"Set-Cookie": "id=1"}), None),
        (TIMEOUT, None),
    ],
)
def test_a_failed_attempt_is_logged_with_them(
    deps: DeliverDependencies, outcome: Response, kept: dict[str, str] | None
) -> None:
    run(deps, Endpoint(outcome), queue_message(delivery()))
    [row] = record().attempts
    assert row.get("headers") == kept


def test_a_success_is_logged_without_any(deps: DeliverDependencies) -> None:
    endpoint = Endpoint(*(response(status, headers={"Server": "nginx"}) for status in (500, 200)))
    run(deps, endpoint, queue_message(delivery()))
    run(deps, endpoint, queue_message(Retry(delivery().delivery_id, "pager", 2), "second"))
    assert ["headers" in row for row in record().attempts] == [True, False]
