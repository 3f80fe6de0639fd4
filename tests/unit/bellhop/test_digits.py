"""A text whose digits were taken out of it is the same when they are put back."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop import digits


@given(st.text(st.sampled_from("0012345678999abc-:\n"), max_size=1000))
def test_digits_come_back_where_they_were(text: str) -> None:
    assert digits.put_back(*digits.take_out(text.encode())) == text.encode()


@pytest.mark.parametrize("number", [0, 1, 153, 154, 155, 308, 5000])
def test_however_many_digits_come_back(number: int) -> None:
    for text in (b"0" * number, b"9" * number, b"9" * (number // 2) + b"x" + b"0" * (number // 2)):
        assert digits.put_back(*digits.take_out(text)) == text


def test_random_digits_take_as_much_room_as_a_number_has_bytes_and_repeated_ones_less() -> None:
    text = "".join(random.Random(1).choices("0123456789", k=3000)).encode()
    assert len(digits.take_out(text)[1]) < 0.418 * len(text)
    assert len(digits.take_out(text * 10)[1]) < 0.06 * 10 * len(text)
