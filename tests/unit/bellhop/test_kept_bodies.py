"""Bodies that are kept are given back byte for byte, whatever they are and however many."""

import bz2
import json
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop import kept_bodies
from bellhop.deliveries import Delivery
from bellhop.kept_bodies import PART_BYTES, QUICK_BYTES, IncompleteError
from bellhop.known_text import KnownText
from tests.support.fakes import delivery

HOUR = "2026-11-23T12"
LETTERS = st.sampled_from('0123456789abc:-T"{},\\\x01\x05\x0e\n') | st.characters(codec="utf-8")
TEXTS = st.text(LETTERS, max_size=300)
BODIES = st.lists(st.binary(max_size=2_000) | TEXTS.map(str.encode), min_size=1, max_size=20)


def known(kept: Sequence[Delivery]) -> dict[int, KnownText]:
    return {number: KnownText(each.event, each.event_id, HOUR) for number, each in enumerate(kept)}


def names(kept: Delivery) -> dict[str, Any]:
    return {name: getattr(kept, name) for name in ("organization_id", "installation_id", "project_id")}


def unpacked(parts: Iterable[bytes], kept: Sequence[Delivery]) -> list[tuple[dict[str, Any], bytes]]:
    found = kept_bodies.unpack(parts, known(kept))
    return [found[number] for number in range(len(kept))]


def comes_back(kept: Sequence[Delivery]) -> bool:
    return unpacked(kept_bodies.pack(kept, HOUR), kept) == [(names(each), each.body) for each in kept]


@given(BODIES, st.sampled_from([None, "web"]))
def test_every_body_comes_back_with_its_names(bodies: list[bytes], project: str | None) -> None:
    assert comes_back(
        [delivery(body=body, installation_id=f"in-{n}", project_id=project) for n, body in enumerate(bodies)]
    )


@given(st.lists(TEXTS, min_size=1, max_size=10))
def test_bodies_that_notify_makes_come_back(texts: list[str]) -> None:
    assert comes_back([notify_made(number, text) for number, text in enumerate(texts)])


def test_known_text_and_digits_take_less_room_where_nothing_forbids_it() -> None:
    kept = [notify_made(number, f"2026-11-23T12:34:{number}9.048Z {number * 7919}") for number in range(10)]
    [short], [plain] = (kept_bodies.pack(each, HOUR) for each in (kept, [*kept, delivery(body=b"\x01")]))
    assert len(short) < 0.6 * len(plain)


def test_a_body_that_a_transform_made_comes_back_with_its_names() -> None:
    assert comes_back([delivery(body=b'{"text":"in-pager of acme"}', project_id="web"), delivery(body=b"[]")])


def test_a_body_that_only_looks_like_one_of_notify_comes_back_with_its_own_names() -> None:
    [other] = [notify_made(0, "x", installation_id="in-chat")]
    assert comes_back([delivery(body=other.body), delivery(body=other.body, project_id="web")])


def test_bodies_that_were_packed_as_before_are_read() -> None:
    kept = [notify_made(number, "text") for number in range(3)]
    head = json.dumps([names(each) | {"bytes": len(each.body)} for each in kept]).encode()
    whole = b"\n".join([head, b"".join(each.body for each in kept)])
    for compress in (bz2.compress, zlib.compress):
        assert unpacked([compress(whole)], kept) == [(names(each), each.body) for each in kept]


def test_only_bodies_of_which_something_is_known_are_given_back() -> None:
    for odd in (b"[]", b"\x01"):
        kept = [notify_made(0, "text"), delivery(body=odd), notify_made(2, "text")]
        found = kept_bodies.unpack(kept_bodies.pack(kept, HOUR), {2: known(kept)[2]})
        assert found == {2: (names(kept[2]), kept[2].body)}


def test_what_is_large_is_compressed_quickly_and_split() -> None:
    kept = [delivery(body=str(list(range(n, n + 100_000))).encode()) for n in range(3)]
    assert sum(len(each.body) for each in kept) > QUICK_BYTES
    parts = kept_bodies.pack(kept, HOUR)
    assert all(len(part) <= PART_BYTES for part in parts)
    assert len(parts) > 1
    assert unpacked(parts, kept) == [(names(each), each.body) for each in kept]


@pytest.mark.parametrize("body", [b"x" * 100, b"\x01" * 100, b"x" * (QUICK_BYTES + 1)])
def test_a_missing_part_is_told_from_one_that_cannot_be(body: bytes) -> None:
    kept = [delivery(body=body)]
    [whole] = kept_bodies.pack(kept, HOUR)
    for broken in ([], [whole[:20]], [whole[20:]]):
        with pytest.raises(IncompleteError):
            kept_bodies.unpack(broken, known(kept))


def test_after_the_last_part_another_one_was_looked_for() -> None:
    for count in (1, 3):
        kept = [delivery(body=str(list(range(n, n + 100_000))).encode()) for n in range(count)]
        left = iter([*kept_bodies.pack(kept, HOUR), b"not to be taken"])
        assert len(kept_bodies.unpack(left, known(kept))) == count
        assert list(left) == [b"not to be taken"]


def notify_made(number: int, text: str, **changes: Any) -> Delivery:
    body = {
        "action": "created",
        "installation": {"uuid": changes.get("installation_id", "in-pager")},
        "data": {"issue": {"id": str(number), "title": text}},
        "actor": {"type": "user", "id": 7, "name": "Ada"},
        "event_id": f"ev{number}",
        "resource": "issue",
        "occurred_at": f"{HOUR}:34:56.789Z",
        "organization_id": "acme",
        "project_id": None,
    }
    written = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    return delivery(event_id=f"ev{number}", body=written, **changes)
