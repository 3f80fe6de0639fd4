from health.pages import page_size


def test_a_chain_hands_over_what_goes_out_in_ten_seconds_and_never_more_than_a_hundred() -> None:
    assert [page_size(rate) for rate in (0.01, 0.1, 2, 9.95, 10, 1000)] == [1, 1, 20, 100, 100, 100]
