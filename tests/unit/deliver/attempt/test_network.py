"""When failures of unrelated endpoints are our network's, and when they are not."""

from types import NoneType
from typing import Any

import pytest

from bellhop import circuits, tables
from deliver.attempt.network import (
    FAILED_SECONDS,
    LONGEST_SECONDS,
    OUTAGE_SECONDS,
    RECENT_SECONDS,
    REMEMBERED,
    SITES,
    Attempted,
    Network,
    NetworkDownError,
    SharedOutages,
    site,
)
from deliver.dependencies import DeliverDependencies
from deliver.http.response import Response, SendFailure
from tests.support.endpoint import TIMEOUT, Endpoint, counters, record, recorded, response, run
from tests.support.fakes import Recorder, app, delivery, queue_message

NOW = 1_800_000_000.0
OK = Response(200, {}, b"")


def attempts(number: int, outcome: Response | SendFailure = TIMEOUT, provider: str = "") -> list[Attempted]:
    """One attempt each for as many apps, each at a site of its own, or all of them at one provider's."""
    return [
        Attempted(f"app-{n}", f"https://hooks.site-{n}.{provider or 'com'}/in", outcome) for n in range(number)
    ]


class Declared:
    """What the processes said of outages."""

    def __init__(self) -> None:
        self.at: float | None = None

    def declare(self, now: float) -> None:
        self.at = now

    def under_way(self, now: float) -> bool:
        return self.at is not None and now < self.at + OUTAGE_SECONDS

    def end(self, until: float) -> None:
        if self.at is not None and until == self.at + OUTAGE_SECONDS:
            self.at = None


@pytest.fixture
def network() -> Network:
    """All of the apps have just responded."""
    made = Network(Declared())
    assert made.judge(attempts(20, OK), NOW) is None
    return made


@pytest.mark.parametrize("kind", ["timeout", "connection_error", "dns_error"])
def test_when_everybody_who_just_responded_is_gone_at_once_it_is_our_network(network: Network, kind: str) -> None:
    failed = attempts(SITES, SendFailure(kind, ""))
    assert isinstance(network.judge(failed, NOW + RECENT_SECONDS - 1), NetworkDownError)


def test_a_process_that_makes_one_attempt_at_a_time_never_knew_that_its_network_was_down(network: Network) -> None:
    judged = [network.judge([each], NOW + 10 * n) for n, each in enumerate(attempts(SITES + 1))]
    assert [type(fault) for fault in judged] == [NoneType] * (SITES - 1) + [NetworkDownError] * 2


def test_one_response_in_between_shows_that_the_network_works(network: Network) -> None:
    for batch in (attempts(SITES - 1), attempts(1, OK), attempts(SITES)[SITES - 1 :]):
        assert network.judge(batch, NOW) is None


def test_failures_of_another_time_do_not_add_up(network: Network) -> None:
    assert network.judge(attempts(SITES - 1), NOW) is None
    assert network.judge(attempts(SITES)[SITES - 1 :], NOW + FAILED_SECONDS) is None


def test_fewer_sites_than_that_may_well_be_down(network: Network) -> None:
    assert network.judge(attempts(SITES - 1), NOW) is None
    assert network.judge(attempts(1), NOW) is None  # the same endpoint again is no further site


@pytest.mark.parametrize(
    "came", [Response(500, {}, b""), SendFailure("tls_error", ""), SendFailure("invalid_response", "")]
)
def test_whatever_anybody_responds_shows_that_the_network_works(
    network: Network, came: Response | SendFailure
) -> None:
    failed = [*attempts(SITES), Attempted("another", "https://another.net/", came)]
    assert network.judge(failed, NOW) is None


def test_endpoints_that_did_not_respond_lately_prove_nothing(network: Network) -> None:
    assert network.judge(attempts(SITES), NOW + RECENT_SECONDS) is None
    assert Network(Declared()).judge(attempts(20), NOW) is None


def test_a_clock_that_was_set_back_knows_nobody(network: Network) -> None:
    assert network.judge(attempts(SITES), NOW - 3600) is None


def test_an_outage_of_our_network_that_lasted_longer_than_five_minutes_was_counted_against_every_app(
    network: Network,
) -> None:
    for minute in range(1, 60):
        assert isinstance(network.judge(attempts(SITES), NOW + 60 * minute), NetworkDownError)


def test_an_outage_that_lasts_for_ever_is_the_endpoints(network: Network) -> None:
    assert isinstance(network.judge(attempts(SITES), NOW + 1), NetworkDownError)
    assert isinstance(network.judge(attempts(SITES), NOW + LONGEST_SECONDS), NetworkDownError)
    assert network.judge(attempts(SITES), NOW + LONGEST_SECONDS + OUTAGE_SECONDS) is None


def test_who_responded_before_another_outage_does_not_count_for_this_one(network: Network) -> None:
    network.judge(attempts(SITES), NOW + 1)
    network.judge(attempts(1, OK), NOW + RECENT_SECONDS)  # it is over; the others may have gone meanwhile
    assert network.judge(attempts(SITES), NOW + RECENT_SECONDS + 1) is None


def test_one_app_with_many_hosts_cannot_make_it_our_network() -> None:
    network = Network(Declared())
    for n in range(20):  # it changes its URL, and responds
        network.judge([Attempted("attacker", f"https://site-{n}.com/", OK)], NOW)
    gone = [Attempted("attacker", f"https://site-{n}.com/", TIMEOUT) for n in range(20)]
    others = [Attempted(f"other-{n}", f"https://dead-{n}.com/", TIMEOUT) for n in range(20)]
    assert network.judge(gone + others, NOW) is None


def test_many_apps_at_one_provider_are_down_with_their_provider() -> None:
    network = Network(Declared())
    network.judge(attempts(20, OK, "provider.com"), NOW)
    assert network.judge(attempts(20, TIMEOUT, "provider.com"), NOW) is None


def test_what_was_never_sent_counts_for_nothing(network: Network) -> None:
    refused = attempts(20, SendFailure("address_not_allowed", "", refused=True))
    assert network.judge(refused, NOW) is None
    assert isinstance(network.judge(refused + attempts(SITES), NOW), NetworkDownError)


def test_only_so_many_are_remembered(network: Network) -> None:
    network.judge([Attempted(f"new-{n}", "https://one.com/", OK) for n in range(REMEMBERED)], NOW)
    assert len(network._responded) == REMEMBERED
    assert network.judge(attempts(SITES), NOW) is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://hooks.eu.Example.com:8443/in", "example.com"),
        ("https://example.com./in", "example.com"),
        ("https://192.0.2.7/in", "192.0.2.7"),
        ("https://[2001:db8::0:1]/in", "2001:db8::1"),
        ("https://localhost/in", "localhost"),
        ("https://ex\N{ACCOUNT OF}mple.com/", ""),
    ],
)
def test_a_site_is_the_end_of_a_name_or_an_address(url: str, expected: str) -> None:
    assert site(url) == expected


# ---- For all processes


def test_the_slow_lane_knew_nobody_and_counted_every_attempt_of_an_outage() -> None:
    declared = Declared()
    fast, slow = Network(declared), Network(declared)
    fast.judge(attempts(20, OK), NOW)
    assert slow.judge(attempts(1), NOW) is None
    assert isinstance(fast.judge(attempts(SITES), NOW), NetworkDownError)
    assert isinstance(slow.judge(attempts(1), NOW + OUTAGE_SECONDS - 1), NetworkDownError)
    assert slow.judge(attempts(1), NOW + OUTAGE_SECONDS) is None


def test_whoever_responds_is_believed_more_than_another_process() -> None:
    declared = Declared()
    declared.declare(NOW)
    assert Network(declared).judge([*attempts(1), *attempts(1, OK)], NOW) is None


def test_an_outage_is_known_to_all_processes_for_two_minutes(aws: None) -> None:
    mine, theirs = SharedOutages(Recorder()), SharedOutages(Recorder())
    assert not theirs.under_way(NOW)
    mine.declare(NOW)
    assert theirs.under_way(NOW + OUTAGE_SECONDS - 1)
    assert not theirs.under_way(NOW + OUTAGE_SECONDS)
    assert not theirs.under_way(NOW - 3600)  # a clock that was set back


def test_a_table_that_does_not_respond_says_nothing_of_the_network(aws: None) -> None:
    telemetry = Recorder()
    tables.bind(tables.connect(retries=0), {circuits.SlowList: "nowhere"})
    outages = SharedOutages(telemetry)
    outages.declare(NOW)
    assert not outages.under_way(NOW)
    outages.end(NOW)
    assert [level for level, *_ in telemetry.lines] == ["error", "error", "error"]


def test_one_tenant_with_five_sites_had_everybodys_failures_excused_for_ever() -> None:
    declared = Declared()
    fast, slow, busy = Network(declared), Network(declared), Network(declared)
    fast.judge(attempts(20, OK), NOW)
    assert isinstance(fast.judge(attempts(SITES), NOW), NetworkDownError)
    assert isinstance(slow.judge(attempts(1), NOW), NetworkDownError)
    busy.judge(attempts(1, OK), NOW + 1)
    busy.take_back(NOW + OUTAGE_SECONDS, NOW + 1)
    assert slow.judge(attempts(1), NOW + 2) is None


def test_an_outage_is_taken_back_once_by_a_process_and_after_its_batch_is_written(
    many: DeliverDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[str] = []
    monkeypatch.setattr(circuits, "end_outage", lambda _: states.append(record("msg_0").state))
    circuits.declare_outage(many.time() + OUTAGE_SECONDS)
    run(many, Endpoint(response(500)), *messages(1))
    assert states == ["retrying"]
    run(many, Endpoint(response(200)), *messages(2)[1:])
    assert states == ["retrying"]


def test_an_outage_that_was_declared_again_meanwhile_is_not_taken_back(aws: None) -> None:
    outages = SharedOutages(Recorder())
    outages.declare(NOW)
    outages.declare(NOW + 10)
    outages.end(NOW + OUTAGE_SECONDS)
    assert outages.under_way(NOW + OUTAGE_SECONDS)
    outages.end(NOW + 10 + OUTAGE_SECONDS)
    assert not outages.under_way(NOW + 11)


def test_whoever_looks_at_the_list_of_slow_apps_sees_an_outage_and_reaching_anybody_ends_it(
    many: DeliverDependencies,
) -> None:
    circuits.declare_outage(many.time() + OUTAGE_SECONDS)
    run(many, Endpoint(response(200)), *messages(1))
    assert many.slow.outage_until == many.time() + OUTAGE_SECONDS
    assert circuits.slow_list().outage_until is None


# ---- In a batch


def messages(number: int) -> list[dict[str, Any]]:
    return [queue_message(delivery(delivery_id=f"msg_{n}", app_id=f"app-{n}"), f"m{n}") for n in range(number)]


@pytest.fixture
def many(deps: DeliverDependencies, apps: dict[str, Any]) -> DeliverDependencies:
    """Five apps, each at a site of its own."""
    for n in range(SITES):
        apps[f"app-{n}"] = app(app_id=f"app-{n}", url=f"https://hooks.site-{n}.com/in")
    return deps


def test_a_network_that_went_away_was_counted_against_every_app(many: DeliverDependencies) -> None:
    assert run(many, Endpoint(response(200)), *messages(SITES)) == []
    assert run(many, Endpoint(TIMEOUT), *messages(SITES)) == []
    assert recorded(many).counts["OurFault"] == SITES
    assert counters()["timeout"] == 0
    for n in range(SITES):
        assert not circuits.load(f"app-{n}").strikes


def test_one_endpoint_that_is_down_is_counted(many: DeliverDependencies) -> None:
    run(many, Endpoint(response(200)), *messages(SITES))
    run(many, Endpoint(TIMEOUT), *messages(1))
    assert "OurFault" not in recorded(many).counts
    assert counters()["timeout"] == 1


def test_a_ping_is_told_what_became_of_it_while_our_network_is_down(many: DeliverDependencies) -> None:
    run(many, Endpoint(response(200)), *messages(SITES))
    ping = queue_message(delivery(delivery_id="ping", app_id="app-0", ping=True), "ping")
    assert run(many, Endpoint(TIMEOUT), *messages(SITES), ping) == []
    assert recorded(many).counts["OurFault"] == SITES


def test_three_apps_with_token_endpoints_of_their_own_had_our_network_declared_down() -> None:
    network = Network(Declared())
    for url in ("https://{}.com/", "https://login-{}.com/"):
        places = [(f"app-{n}", url.format(n)) for n in range(SITES - 1)]
        network.judge([Attempted(app_id, at, OK) for app_id, at in places], NOW)
    for url in ("https://{}.com/", "https://login-{}.com/"):
        gone = [Attempted(f"app-{n}", url.format(n), TIMEOUT) for n in range(SITES - 1)]
        assert network.judge(gone, NOW + 1) is None
