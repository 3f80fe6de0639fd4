"""Bodies that are kept are given back byte for byte, whatever they are and however many."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop import kept_bodies
from bellhop.kept_bodies import PART_BYTES, QUICK_BYTES, IncompleteError
from tests.support.fakes import delivery

BODIES = st.lists(st.binary(max_size=2_000), min_size=1, max_size=20)


@given(BODIES, st.sampled_from([None, "web"]))
def test_every_body_comes_back_with_its_names(bodies: list[bytes], project: str | None) -> None:
    kept = [delivery(body=body, installation_id=f"in-{n}", project_id=project) for n, body in enumerate(bodies)]
    unpacked = kept_bodies.unpack(kept_bodies.pack(kept))
    for number, (each, (names, body)) in enumerate(zip(kept, unpacked, strict=True)):
        assert body == each.body
        assert names == {
            "organization_id": "acme",
            "installation_id": f"in-{number}",
            "project_id": project,
        }


def test_what_is_large_is_compressed_quickly_and_split() -> None:
    bodies = [str(list(range(n, n + 100_000))).encode() for n in range(3)]
    assert sum(map(len, bodies)) > QUICK_BYTES
    parts = kept_bodies.pack([delivery(body=body) for body in bodies])
    assert all(len(part) <= PART_BYTES for part in parts)
    assert len(parts) > 1
    assert [body for _, body in kept_bodies.unpack(parts)] == bodies


@pytest.mark.parametrize("size", [100, QUICK_BYTES])
def test_a_missing_part_is_told_from_one_that_cannot_be(size: int) -> None:
    [whole] = kept_bodies.pack([delivery(body=b"x" * size)])
    for broken in ([], [whole[:20]], [whole[20:]]):
        with pytest.raises(IncompleteError):
            kept_bodies.unpack(broken)


def test_after_the_last_part_another_one_was_looked_for() -> None:
    for count in (1, 3):
        parts = kept_bodies.pack([delivery(body=str(list(range(n, n + 100_000))).encode()) for n in range(count)])
        left = iter([*parts, b"not to be taken"])
        assert len(kept_bodies.unpack(left)) == count
        assert list(left) == [b"not to be taken"]
