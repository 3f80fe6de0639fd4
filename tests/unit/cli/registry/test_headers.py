import pytest

from infra.cli.registry.document import RegistryFileError
from infra.cli.registry.model import AppSpec
from tests.unit.cli.cli_runner import EXAMPLE
from tests.unit.cli.registry.in_memory import desired

OWN = "      X-Source: bellhop\n"
SECRET = "Bearer hunter2hunter2"
PLAIN = "not-a-secret-either"


def with_headers(lines: str) -> str:
    return EXAMPLE.read_text().replace(OWN, "".join(f"      {line}\n" for line in lines.splitlines()))


def headers(lines: str, **environ: str) -> dict[str, str]:
    specs = desired(with_headers(lines), environ=environ).specs
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
        ("X-A: {}", "names no variable"),
        ("X-A: {env: hunter2}", "names a variable that is not set or empty, and no value is stored; export it"),
        (
            "X-A: {hunter2}",
            "apps.deploy-bot.headers.X-A: must be one value, or {env: NAME} with nothing beside it",
        ),
        ("X-A: {env: [hunter2]}", "must be one value"),
        ('"Authorization: hunter2":', "apps.deploy-bot.headers: has a name that is no header name"),
        ("X-A: " + "hunter2" * 600, "at most 4,096"),
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
    specs = desired(EXAMPLE.read_text().replace("max_per_second: 5 ", f"max_per_second: {text} ")).specs
    assert [s.max_per_second for s in specs if isinstance(s, AppSpec)] == [rate, None]


@pytest.mark.parametrize("text", ["0", "0.0", "-1", "1001", "1000.1", "1e3", "nan", "inf", "fast", "[1]"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(RegistryFileError, match=r"apps\.deploy-bot\.max_per_second: "):
        desired(EXAMPLE.read_text().replace("max_per_second: 5 ", f"max_per_second: {text} "))
