import boto3
import pytest

from tests.unit.console.operating import CloudFormation


@pytest.fixture
def cloudformation(queue: str, monkeypatch: pytest.MonkeyPatch) -> CloudFormation:
    known, real = CloudFormation(queue), boto3.client
    monkeypatch.setattr(
        boto3,
        "client",
        lambda name, **options: known if name == "cloudformation" else real(name, **options),
    )
    return known
