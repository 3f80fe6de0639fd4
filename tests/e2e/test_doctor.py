"""bellhop doctor on a stack that make deploy has made, whose alarms tell somebody, each with the policy for it."""

import json
from typing import Any

from infra.cli.commands import doctor
from tests.e2e.operator import NAME, Operator
from tests.support.identities import credentials, policy

SEEN_ONLY_ON_AWS = {"storage", "schedules"}


def subscribed_topic(operator: Operator) -> tuple[str, str]:
    """A topic, and the URL of a queue that subscribes to it."""
    sns, sqs = operator.client("sns"), operator.client("sqs")
    topic, url = sns.create_topic(Name="on-call")["TopicArn"], sqs.create_queue(QueueName="on-call")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allow = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = {"Version": "2012-10-17", "Statement": [allow | {"Resource": arn}]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return topic, url


def let_bundles_be_uploaded(operator: Operator, deployer: dict[str, str]) -> None:
    """Have sam make its bucket, which refuses plain HTTP, and let it take that: the embedded AWS has no other."""
    done = operator.make("deploy", **deployer)
    assert "with an explicit deny in a resource-based policy" in done.stdout + done.stderr
    s3 = operator.client("s3")
    [bucket] = s3.list_buckets()["Buckets"]
    s3.delete_bucket_policy(Bucket=bucket["Name"])


def test_a_stack_is_well_once_its_alarms_tell_somebody_and_a_ring_reaches_them(operator: Operator) -> None:
    topic, queue = subscribed_topic(operator)
    operator.client("sesv2").create_email_identity(EmailIdentity="tracker.example")
    operator.set(AlarmTopicArn=topic, DeletionProtection="true")
    deployer, looking = (credentials(operator, policy(name, NAME)) for name in ("deployer", "operator"))
    let_bundles_be_uploaded(operator, deployer)
    done = operator.make("deploy", **deployer)
    assert done.returncode == 0, done.stdout + done.stderr

    done = operator.bellhop("doctor", "--ring", "--json", **looking)
    assert done.returncode == 0, done.stdout + done.stderr
    findings: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    assert {f["check"] for f in findings} == {check.name for check in doctor.CHECKS} | {"ring"}
    assert {f["check"] for f in findings if f["state"] != "ok"} == SEEN_ONLY_ON_AWS
    [message] = operator.client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=10)["Messages"]
    notice = json.loads(message["Body"])
    [rung] = [finding["text"] for finding in findings if finding["check"] == "ring"]
    assert f'"{json.loads(notice["Message"])["AlarmName"]}"' in rung
