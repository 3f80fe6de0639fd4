import json
from pathlib import Path

import pytest

from bellhop.registry import App
from deliver.http.guard import EndpointPolicy
from infra.console import apply
from infra.console.registry_file import RegistryFileError, parse
from infra.console.specs import AppSpec
from tests.unit.console.cli_runner import bellhop, succeed

EXAMPLE = (Path(apply.__file__).parent / "example-registry.yaml").read_text()
OWN = "      X-Source: bellhop\n"
SECRET = "Bearer hunter2hunter2"
PLAIN = "not-a-secret-either"


def with_headers(lines: str) -> str:
    return EXAMPLE.replace(OWN, "".join(f"      {line}\n" for line in lines.splitlines()))


def headers(lines: str, **environ: str) -> dict[str, str]:
    specs = parse(with_headers(lines), EndpointPolicy(), environ).specs
    return dict(next(s for s in specs if isinstance(s, AppSpec) and s.app_id == "deploy-bot").headers or {})


def problem(lines: str, **environ: str) -> str:
    with pytest.raises(RegistryFileError) as caught:
        headers(lines, **environ)
    (found,) = caught.value.problems
    return str(found)


def test_a_value_stands_in_the_file_or_in_the_environment() -> None:
    assert headers("X-A: 1\nAuthorization: {env: TOKEN}", TOKEN=SECRET) == {"X-A": "1", "Authorization": SECRET}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("Host: evil", "apps.deploy-bot.headers.Host: is denied: it belongs to the connection"),
        ("transfer-encoding: chunked", "belongs to the connection"),
        ("User-Agent: me", "belongs to the connection"),
        ("Content-Type: text/xml", "describes the body"),
        ("WebHook-Id: msg_1", "identifies or signs the webhook"),
        ("Sentry-Hook-Signature: 0", "identifies or signs the webhook"),
        ("request-id: 0", "identifies or signs the webhook"),
        ("X A: 1", "is no header name"),
        ('"X:A": 1', "is no header name"),
        ("Xä: 1", "is no header name"),
        ("X-A: 1\nx-a: 2", "is written twice"),
        ('X-A: "hunter2\\r\\nHost: evil"', "control or invisible character"),
        ("X-A: hunter2ä", "not printable ASCII"),
        ('X-A: "hunter2 "', "ends with a space"),
        ("X-A: [hunter2]", "must be one value"),
        ("X-A:", "is empty"),
        ("X-A: {}", "names no variable"),
        ("X-A: {env: TOKEN}", "names TOKEN, which is not set or empty; export it"),
        ("X-A: " + "hunter2" * 600, "at most 4096"),
        ("\n".join(f"X-{n}: 1" for n in range(21)), "has 21 headers; at most 20"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_the_reason_and_without_the_value(lines: str, expected: str) -> None:
    said = problem(lines)
    assert expected in said
    assert "hunter2" not in said


@pytest.mark.parametrize("value", ["hunter2\r\nHost: evil", "hunter2ä", " hunter2"])
def test_a_value_of_the_environment_is_held_to_the_same(value: str) -> None:
    said = problem("X-A: {env: TOKEN}", TOKEN=value)
    assert "not printable ASCII" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(("text", "rate"), [("5", 5), ("0.5", 0.5), ("1000", 1000), ("0.001", 0.001), ("2.0", 2)])
def test_a_rate_is_a_number_of_deliveries_a_second(text: str, rate: float) -> None:
    specs = parse(EXAMPLE.replace("max_per_second: 5 ", f"max_per_second: {text} "), EndpointPolicy(), {}).specs
    assert [s.max_per_second for s in specs if isinstance(s, AppSpec)] == [rate, None]


@pytest.mark.parametrize("text", ["0", "0.0", "-1", "1001", "1000.1", "1e3", "nan", "inf", "fast", "[1]"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(RegistryFileError, match=r"apps\.deploy-bot\.max_per_second: "):
        parse(EXAMPLE.replace("max_per_second: 5 ", f"max_per_second: {text} "), EndpointPolicy(), {})


@pytest.fixture
def secret(cloudformation: object, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TOKEN", SECRET)
    return with_headers(f"X-Source: {PLAIN}\nAuthorization: {{env: TOKEN}}")


def test_headers_and_rate_are_stored_and_go_with_their_lines(secret: str) -> None:
    succeed("apply", "-", "--yes", stdin=secret)
    stored = App.get("deploy-bot")
    assert stored.headers == {"X-Source": PLAIN, "Authorization": SECRET}
    assert float(stored.max_per_second) == 5
    assert succeed("apply", "-", "--yes", stdin=secret) == "0 to create, 0 to update, 7 unchanged.\n"
    without = "\n".join(line for line in secret.splitlines() if not line.startswith(("    max_per", "      ")))
    without = without.replace("    headers:\n", "")
    shown = succeed("apply", "-", "--yes", stdin=without)
    assert "-X-Source, -Authorization" in shown
    assert "5 -> (not set)" in shown
    stored = App.get("deploy-bot")
    assert (stored.headers, stored.max_per_second) == (None, None)


def test_no_output_ever_shows_a_value(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = bellhop("apply", "-", "--json", stdin=secret).output
    shown += succeed("apply", "-", "--yes", stdin=secret)
    shown += succeed("app", "deploy-bot") + succeed("app", "deploy-bot", "--json")
    monkeypatch.setenv("TOKEN", SECRET[::-1])
    shown += bellhop("apply", "-", "--json", stdin=secret).output
    changed = succeed("apply", "-", "--yes", stdin=secret)
    assert "headers         Authorization: **** changed\n" in changed
    assert "X-Source" not in changed
    assert not any(text in shown + changed for text in (SECRET, SECRET[::-1], PLAIN))


def test_a_plan_as_json_names_the_header_whose_value_changes(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    succeed("apply", "-", "--yes", stdin=secret)
    monkeypatch.setenv("TOKEN", "another")
    (change,) = json.loads(bellhop("apply", "-", "--json", stdin=secret).stdout)["changes"]
    masked = {"X-Source": "****", "Authorization": "****"}
    assert change["fields"] == {"headers": {"old": masked, "new": masked, "changed": ["Authorization"]}}


def test_the_app_shows_which_headers_it_has_and_its_rate(secret: str) -> None:
    succeed("apply", "-", "--yes", stdin=secret)
    shown = succeed("app", "deploy-bot")
    assert "headers X-Source: ****, Authorization: ****\n" in shown
    assert "rate    at most 5 a second\n" in shown
    view = json.loads(succeed("app", "deploy-bot", "--json"))
    assert view["headers"] == {"X-Source": "****", "Authorization": "****"}
    assert view["max_per_second"] == 5
