"""How many deliveries a second may go out after a pause."""

import math

from bellhop import circuits
from bellhop.circuits import Circuit
from bellhop.slow_start import start_rate

NOW = 1_800_000_000.0


def test_the_rate_doubles_every_ten_seconds_until_it_is_no_limit() -> None:
    assert [start_rate(NOW, NOW + seconds) for seconds in (0, 10, 20, 50, 60)] == [1, 2, 4, 32, math.inf]


def test_a_clock_that_is_behind_and_an_app_without_a_pause_have_the_first_rate_and_none() -> None:
    assert (start_rate(NOW, NOW - 5), start_rate(None, NOW)) == (1, math.inf)


def test_a_pause_of_another_generation_is_followed_by_no_slow_start() -> None:
    circuit = Circuit("pager", generation=2, closed_at=NOW)
    assert [circuits.closed_at(circuit, generation) for generation in (1, 2, 3)] == [None, NOW, None]
    assert circuits.closed_at(Circuit("pager"), 1) is None
