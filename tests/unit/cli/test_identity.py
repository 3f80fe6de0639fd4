import getpass

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from infra.cli import identity, stack


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        ("arn:aws:sts::1:assumed-role/Ops/ada@acme", "ada@acme"),
        ("arn:aws:iam::1:user/team/ada", "ada"),
        ("arn:aws:iam::1:root", "root"),
    ],
)
def test_the_actor_is_the_last_part_of_the_callers_arn(
    arn: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Sts:
        def get_caller_identity(self) -> dict[str, str]:
            return {"Arn": arn}

    monkeypatch.setattr(boto3, "client", lambda *_, **__: Sts())
    assert identity.operator() == f"operator:{name}"


def test_where_sts_does_not_respond_the_actor_is_the_local_user(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = (EndpointConnectionError(endpoint_url="x"), ClientError({"Error": {"Code": "AccessDenied"}}, "x"))
    for fault in faults:

        def refuse(raised: Exception = fault) -> str:
            raise raised

        monkeypatch.setattr(stack, "caller", refuse)
        monkeypatch.setattr(getpass, "getuser", lambda: "ada")
        assert identity.operator() == "operator:ada"

    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert identity.operator() == "operator:unknown"
