"""How unwell an endpoint is: decisions without effects."""

from hypothesis import given
from hypothesis import strategies as st

from deliver.circuit import strikes
from deliver.circuit.strikes import STRIKES_OF_SLOW, STRIKES_TO_PAUSE, Sign, sign


def test_a_failure_is_a_strike_and_one_that_held_its_batch_is_four() -> None:
    assert sign("pager", 1, well=False, seconds=0.1, deadline=10).strikes == 1
    assert sign("pager", 1, well=False, seconds=5, deadline=10).strikes == STRIKES_OF_SLOW
    assert sign("pager", 1, well=True, seconds=9, deadline=10).strikes == 0
    assert 2 * STRIKES_OF_SLOW < STRIKES_TO_PAUSE <= 3 * STRIKES_OF_SLOW


def test_quick_failures_of_one_organisation_do_not_pause_an_app_that_others_installed() -> None:
    assert not strikes.pause(STRIKES_TO_PAUSE, {"acme"})
    assert strikes.pause(STRIKES_TO_PAUSE, {"acme", "globex"})
    assert not strikes.pause(STRIKES_TO_PAUSE - 1, {"acme", "globex"})
    for each in (sign("pager", 1, well=False, seconds=5, deadline=10, by="acme"), INTERNAL):
        assert strikes.pause(STRIKES_TO_PAUSE, each.by)


INTERNAL = sign("pager", 1, well=False, seconds=0.1, deadline=10)
SIGNS = st.builds(
    sign,
    st.sampled_from(["a", "b"]),
    st.integers(1, 2),
    well=st.booleans(),
    seconds=st.sampled_from([0.1, 9.0]),
    deadline=st.just(10.0),
    by=st.sampled_from(["acme", "globex"]),
)


@given(st.lists(SIGNS))
def test_of_a_batch_one_response_in_time_outweighs_every_failure(signs: list[Sign]) -> None:
    for merged in strikes.merge(signs):
        mine = [s for s in signs if (s.app_id, s.generation) == (merged.app_id, merged.generation)]
        assert merged.well == any(s.well for s in mine)
        assert merged.by == frozenset().union(*(s.by for s in mine if not merged.well))
        assert merged.strikes == (0 if merged.well else sum(s.strikes for s in mine))
    assert len(strikes.merge(signs)) == len({(s.app_id, s.generation) for s in signs})
