"""An AWS account whose services respond as they are told."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from infra.deploy.account import Account

NUMBER, REGION = "123456789012", "eu-west-1"


def refusal(code: str, message: str = "no") -> ClientError:
    """A service's refusal."""
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")


class FakeService:
    """A client: each operation returns or raises what it was given; calls are kept."""

    def __init__(self, **responses: Any) -> None:
        self.responses = responses
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def respond(**arguments: Any) -> Any:
            self.calls.append((operation, arguments))
            response = self.responses[operation]
            if isinstance(response, Exception):
                raise response
            return response

        return respond

    def get_waiter(self, _: str) -> "FakeService":
        """A waiter that does not wait."""
        return FakeService(wait=self.responses.get("wait"))

    def get_paginator(self, operation: str) -> "FakeService":
        """A paginator with one page."""
        response = self.responses[operation]
        return FakeService(paginate=response if isinstance(response, Exception) else [response])


def account(**services: FakeService) -> Account:
    """An account with these services."""
    return Account(NUMBER, f"arn:aws:iam::{NUMBER}:user/ada", REGION, lambda name: services[name])


def stack(status: str, **parameters: str) -> FakeService:
    """CloudFormation with one stack."""
    values = [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]
    return FakeService(describe_stacks={"Stacks": [{"StackStatus": status, "Parameters": values}]})
