"""make deploy and make adopt on an embedded AWS of their own: a stack, and one that takes over its state."""

from tests.e2e.operator import Operator


def test_without_region_or_credentials_nothing_is_deployed(operator: Operator) -> None:
    done = operator.make(
        "deploy", AWS_REGION="", AWS_DEFAULT_REGION="", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY=""
    )
    assert done.returncode == 1
    assert [line.partition(".")[0] for line in done.stderr.splitlines()] == [
        "No region is set",
        "No AWS credentials are found",
    ]


def test_a_stacks_tables_and_queues_are_taken_over_by_the_next_one(operator: Operator) -> None:
    done = operator.make("deploy")
    assert done.returncode == 0, done.stdout + done.stderr
    first = operator.outputs()
    operator.client("dynamodb").put_item(TableName=first["SecretsTable"], Item={"app_id": {"S": "pager"}})
    operator.client("sqs").send_message(QueueUrl=first["RetriesQueueUrl"], MessageBody="waiting", DelaySeconds=900)
    deleted = operator.delete()

    for goal in (["adopt", "--left-by", deleted], ["deploy"]):
        done = operator.make(*goal)
        assert done.returncode == 0, done.stdout + done.stderr
    assert operator.stack()["StackStatus"] == "UPDATE_COMPLETE"
    second = operator.outputs()
    kept = [name for name in first if name.endswith(("Table", "QueueUrl"))]
    assert {name: second[name] for name in kept} == {name: first[name] for name in kept}
    assert operator.client("dynamodb").scan(TableName=second["SecretsTable"])["Count"] == 1
    queue = operator.client("sqs").get_queue_attributes(QueueUrl=second["RetriesQueueUrl"], AttributeNames=["All"])
    assert queue["Attributes"]["ApproximateNumberOfMessagesDelayed"] == "1"
