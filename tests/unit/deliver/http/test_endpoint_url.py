import pytest

from deliver.http.endpoint_url import problem
from deliver.http.guard import EndpointPolicy

LOCAL = EndpointPolicy(http=True, private=True, ports=None)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example",
        "https://hooks.example:443/a?b=c",
        "https://hooks.example:80/",
        "HTTPS://FakeRegistry.Example/x",
        "https://93.184.216.34/",
        "https://bücher.example/ü",
        "https://[2606:2800:220:1::1]/",
    ],
)
def test_a_public_https_url_is_accepted(url: str) -> None:
    assert problem(url, EndpointPolicy()) is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://hooks.example", "http is not allowed"),
        ("ftp://hooks.example", "no scheme that can be posted to"),
        ("hooks.example/x", "write https://hooks.example/x"),
        ("https://", "not a URL with a host"),
        ("https:///path", "not a URL with a host"),
        ("https://*.example", "not a URL with a host"),
        ("https://hooks.example:8443", "port 8443 is not allowed"),
        ("https://hooks.example:port", "not a URL with a host"),
        ("https://hooks.example/a b", "white space"),
        ("https://hooks.example\\@evil.example", "backslash"),
        ("https://hooks.example/\r\nX: y", "control character"),
        ("https://127.0.0.1/", "not a public address"),
        ("https://127.1/", "not a public address"),
        ("https://0x7f000001/", "not a public address"),
        ("https://2130706433/", "not a public address"),
        ("https://169.254.169.254/latest", "not a public address"),
        ("https://10.0.0.1./", "not a public address"),
        ("https://[::1]/", "not a public address"),
        ("https://[::ffff:10.0.0.1]/", "not a public address"),
        ("https://localhost/", "not a public address"),
        ("https://api.localhost/", "not a public address"),
    ],
)
def test_what_deliver_would_refuse_is_refused(url: str, expected: str) -> None:
    assert expected in str(problem(url, EndpointPolicy()))


def test_a_password_is_refused_and_not_repeated() -> None:
    for url in ("https://user:hunter2@hooks.example", "user:hunter2@hooks.example"):
        message = str(problem(url, EndpointPolicy()))
        assert "hunter2" not in message
    assert "contains a user or password" in str(problem("https://user:hunter2@hooks.example", EndpointPolicy()))


def test_a_local_stack_allows_more_but_never_the_metadata_address() -> None:
    assert problem("http://127.0.0.1:8080/hook", LOCAL) is None
    assert problem("http://localhost:8080/hook", LOCAL) is None
    assert "not a public address" in str(problem("http://169.254.169.254/", LOCAL))
