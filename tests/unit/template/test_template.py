"""What the template deploys. It is read from SAM's translation, because the source alone hides too much."""

import copy
import json
import re
import subprocess
import sys
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

import deliver.app
import health.dependencies
import notify.app
from bellhop import settings
from bellhop.aws import TRY_SECONDS
from bellhop.budget import END_SECONDS
from bellhop.outcomes import OutcomeDay
from bellhop.queues import MAX_BATCH_BYTES
from deliver.dependencies import MARGIN_SECONDS
from deliver.http.connections import ATTEMPTS
from deliver.http.guard import EndpointPolicy
from health.dependencies import OVERDUE_SECONDS, RECEIVES, overdue_seconds
from health.mail.mailer import MAIL_SECONDS
from health.messages import AppSweep, RetrySweep, decode
from health.sweep.retries import RUN_SECONDS
from infra.deploy.templates import parsed
from tests.conftest import MODELS
from tests.support.monitoring import FOLDER, TEMPLATES

ROOT = Path(__file__).parents[3]


@cache
def translated() -> dict[str, Any]:
    source = copy.deepcopy(parsed(ROOT / "template.yaml"))
    source["Globals"]["Function"]["CodeUri"] = "s3://bucket/bundle.zip"
    for nested in (r for r in source["Resources"].values() if r["Type"] == "AWS::CloudFormation::Stack"):
        nested["Properties"]["TemplateURL"] = "https://s3.amazonaws.com/bucket/template"
    defaults = {n: p["Default"] for n, p in source["Parameters"].items() if "Default" in p}
    given = defaults | {"MailFrom": "bellhop@tracker.example", "MailIdentity": "tracker.example"}
    session = boto3.Session(region_name="eu-west-1")
    return dict(Translator({}, Parser(), boto_session=session).translate(source, given))


def parameters() -> dict[str, Any]:
    return dict(translated()["Parameters"])


def resources(kind: str) -> dict[str, dict[str, Any]]:
    return {n: r["Properties"] for n, r in translated()["Resources"].items() if r["Type"] == kind}


def value(reference: Any, profile: str = "default") -> Any:
    """The value of a reference, with the parameters' defaults and under a profile."""
    match reference:
        case {"Ref": name}:
            return parameters()[name]["Default"]
        case {"Fn::FindInMap": [mapping, {"Ref": "Profile"}, name]}:
            return translated()["Mappings"][mapping][profile][name]
    return reference


def attribute(reference: Any) -> str:
    """The logical id in a !GetAtt or !Ref."""
    target = reference.get("Fn::GetAtt") or reference["Ref"]
    return str(target[0] if isinstance(target, list) else target)


QUEUES = ["IssueEvents", "Deliveries", "Retries", "Transitions"]
SETTINGS: dict[str, type[Any]] = {
    "NotifyFunction": notify.app.Settings,
    "DeliverFunction": deliver.app.Settings,
    "HealthFunction": health.dependencies.Settings,
}
FUNCTIONS = list(SETTINGS)
# Computed at import: a stack gives the tables other names.
TABLES = {model.Meta.table_name: model for model in MODELS}


def mappings() -> list[dict[str, Any]]:
    return list(resources("AWS::Lambda::EventSourceMapping").values())


def sources() -> set[str]:
    """The queues that functions read."""
    return {attribute(m["EventSourceArn"]) for m in mappings()} & set(resources("AWS::SQS::Queue"))


def dead_letter_queues() -> set[str]:
    """The queues to which queues, streams, rules and schedules send what they give up."""
    queues, rules = resources("AWS::SQS::Queue").values(), resources("AWS::Events::Rule").values()
    scheduling = resources("AWS::Lambda::Function")["DeliverFunction"]["Environment"]["Variables"]
    targets = [
        *(queue["RedrivePolicy"]["deadLetterTargetArn"] for queue in queues if "RedrivePolicy" in queue),
        *(m["DestinationConfig"]["OnFailure"]["Destination"] for m in mappings() if "DestinationConfig" in m),
        *(target["DeadLetterConfig"]["Arn"] for rule in rules for target in rule["Targets"]),
        scheduling["SCHEDULES_DEAD_LETTERS_ARN"],
    ]
    return set(map(attribute, targets))


def test_every_queue_is_read_by_a_function_or_is_a_dead_letter_queue_and_none_is_both() -> None:
    assert sources() == set(QUEUES)
    assert dead_letter_queues().isdisjoint(QUEUES)
    assert dead_letter_queues() | set(QUEUES) == set(resources("AWS::SQS::Queue"))


def test_every_queue_that_a_function_reads_has_a_dead_letter_queue_after_at_least_ten_receives() -> None:
    for name in QUEUES:
        redrive = resources("AWS::SQS::Queue")[name]["RedrivePolicy"]
        assert redrive["maxReceiveCount"] >= 10
        assert attribute(redrive["deadLetterTargetArn"]) == f"{name}DeadLetters"


def test_what_a_rule_cannot_deliver_goes_to_the_dead_letter_queue_of_its_target() -> None:
    policy = resources("AWS::SQS::QueuePolicy")["MailEventsPolicy"]
    for rule in resources("AWS::Events::Rule").values():
        for target in rule["Targets"]:
            queues = [attribute(target["Arn"]), attribute(target["DeadLetterConfig"]["Arn"])]
            assert queues[1] == f"{queues[0]}DeadLetters"
            assert [attribute(queue) for queue in policy["Queues"]] == queues


def test_every_queue_keeps_messages_for_fourteen_days() -> None:
    for queue in resources("AWS::SQS::Queue").values():
        assert queue["MessageRetentionPeriod"] == 14 * 86_400


@pytest.mark.parametrize("profile", ["default", "throughput"])
@pytest.mark.parametrize("name", QUEUES)
def test_a_message_stays_invisible_for_six_timeouts_and_the_batching_window(name: str, profile: str) -> None:
    # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    [mapping] = [m for m in mappings() if attribute(m["EventSourceArn"]) == name]
    function = resources("AWS::Lambda::Function")[attribute(mapping["FunctionName"])]
    visibility = value(resources("AWS::SQS::Queue")[name]["VisibilityTimeout"])
    window = value(mapping.get("MaximumBatchingWindowInSeconds", 0), profile)
    assert visibility >= 6 * value(function["Timeout"]) + window


def test_a_function_has_time_for_its_attempts() -> None:
    assert value({"Ref": "DeliverTimeoutSeconds"}) >= value({"Ref": "DeliveryDeadlineSeconds"}) + 15


@pytest.mark.parametrize("function", ["Notify", "Deliver", "Health"])
def test_no_timeout_is_allowed_in_which_no_call_of_a_function_would_be_made(function: str) -> None:
    # A call is refused unless its timeouts fit into the invocation: two tries of one, and the end that is kept.
    assert parameters()[f"{function}TimeoutSeconds"]["MinValue"] >= 2 * TRY_SECONDS + END_SECONDS


# ---- Values of the template that the code pairs with values of its own


def variables(function: str) -> dict[str, str]:
    """What the template puts into a function's environment: parameters' defaults, what is not known as a word."""
    given = resources("AWS::Lambda::Function")[function]["Environment"]["Variables"]

    def known(reference: Any) -> Any:
        match reference:
            case {"Ref": parameter} if "Default" in parameters().get(parameter, {}):
                return value(reference)
            case str() | int():
                return reference
        return "reference"

    return {name: str(known(reference)) for name, reference in given.items()}


def of_function(function: str) -> list[dict[str, Any]]:
    return [m for m in mappings() if attribute(m["FunctionName"]) == function]


def batch_sizes(function: str) -> set[int]:
    profiles = translated()["Mappings"]["Profiles"]
    return {int(value(m["BatchSize"], profile)) for m in of_function(function) for profile in profiles}


@pytest.mark.parametrize("name", ["NotifyFunction", "DeliverFunction", "HealthFunction"])
def test_every_setting_can_be_read_from_what_the_template_gives_by_default(name: str) -> None:
    assert settings.load(SETTINGS[name], variables(name))


def test_deliver_keeps_as_many_connections_to_a_host_as_its_largest_batch_may_open() -> None:
    assert max(batch_sizes("DeliverFunction")) == ATTEMPTS


def test_openssl_finds_its_configuration_in_the_bundle() -> None:
    path = resources("AWS::Lambda::Function")["DeliverFunction"]["Environment"]["Variables"]["OPENSSL_CONF"]
    assert (ROOT / "functions" / path.removeprefix("/var/task/")).is_file()


def test_deliver_has_time_for_an_attempt_and_for_writing_its_result() -> None:
    timeout = value(resources("AWS::Lambda::Function")["DeliverFunction"]["Timeout"])
    assert timeout >= float(variables("DeliverFunction")["DEADLINE_SECONDS"]) + MARGIN_SECONDS


def test_a_claim_lasts_as_long_as_the_function_that_made_it_and_ends_before_its_message_comes_back() -> None:
    function = resources("AWS::Lambda::Function")["DeliverFunction"]
    assert function["Environment"]["Variables"]["LEASE_SECONDS"] == function["Timeout"]
    for mapping in of_function("DeliverFunction"):
        queue = resources("AWS::SQS::Queue")[attribute(mapping["EventSourceArn"])]
        assert value(queue["VisibilityTimeout"]) > value(function["Timeout"])


def test_health_has_time_for_a_mail_however_short_its_timeout_may_be_set() -> None:
    shortest = translated()["Parameters"]["HealthTimeoutSeconds"]["MinValue"]
    assert shortest >= MAIL_SECONDS + END_SECONDS


@pytest.mark.parametrize("name", ["DashboardUrl", "UnsubscribeUrl"])
def test_a_link_in_mail_can_only_be_a_web_page(name: str) -> None:
    pattern = translated()["Parameters"][name]["AllowedPattern"]
    assert re.fullmatch(pattern, "https://tracker.example/{app}")
    for url in ("javascript:alert(1)", "ftp://tracker.example", "tracker.example", "data:text/html,x"):
        assert not re.fullmatch(pattern, url)


def test_health_knows_the_deadline_and_the_timeout_of_deliver() -> None:
    functions = resources("AWS::Lambda::Function")
    deliver_function, health_function = functions["DeliverFunction"], functions["HealthFunction"]
    known = health_function["Environment"]["Variables"]
    assert known["DEADLINE_SECONDS"] == deliver_function["Environment"]["Variables"]["DEADLINE_SECONDS"]
    assert known["DELIVER_TIMEOUT_SECONDS"] == deliver_function["Timeout"]


def test_every_function_caches_the_registry_for_the_same_time() -> None:
    functions = resources("AWS::Lambda::Function").values()
    cached = [f["Environment"]["Variables"].get("CACHE_SECONDS", {"Ref": "CacheSeconds"}) for f in functions]
    assert cached == [{"Ref": "CacheSeconds"}] * 3


def test_a_batch_of_more_than_ten_has_the_window_that_lambda_asks_for() -> None:
    # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-parameters.html
    for mapping in mappings():
        for profile in translated()["Mappings"]["Profiles"]:
            if attribute(mapping["EventSourceArn"]) in QUEUES and value(mapping["BatchSize"], profile) > 10:
                assert value(mapping["MaximumBatchingWindowInSeconds"], profile) >= 1


def test_the_ports_of_endpoints_are_by_default_those_that_the_code_assumes() -> None:
    chosen = settings.load(deliver.app.Settings, variables("DeliverFunction"))
    assert chosen.endpoints == EndpointPolicy()


def test_the_attribute_that_the_stream_is_filtered_by_is_one_that_outcomes_are_written_with() -> None:
    [stream] = [m for m in mappings() if attribute(m["EventSourceArn"]) == "Outcomes"]
    [found] = stream["FilterCriteria"]["Filters"]
    image = json.loads(found["Pattern"])["dynamodb"]["NewImage"]
    assert set(image) == {OutcomeDay.has_failure.attr_name}


def nested() -> dict[Path, dict[str, Any]]:
    """The nested stacks, by the files of their templates."""
    source = parsed(ROOT / "template.yaml")["Resources"]
    stacks = [resource for resource in source.values() if resource["Type"] == "AWS::CloudFormation::Stack"]
    return {ROOT / stack["Properties"]["TemplateURL"]: stack for stack in stacks}


def test_every_template_of_the_monitoring_is_deployed_with_the_parameters_that_it_asks_for() -> None:
    assert sorted(nested()) == TEMPLATES
    for path, stack in nested().items():
        assert set(stack["Properties"]["Parameters"]) == set(parsed(path)["Parameters"]), path


def test_metrics_are_watched_in_the_namespace_of_their_stack_in_which_the_functions_count_them() -> None:
    functions = resources("AWS::Lambda::Function").values()
    counted = [f["Environment"]["Variables"]["POWERTOOLS_METRICS_NAMESPACE"] for f in functions]
    given = [stack["Properties"]["Parameters"] for stack in nested().values()]
    watched = [parameters["Namespace"] for parameters in given if "Namespace" in parameters]
    assert len(watched) == 3
    assert counted + watched == [{"Fn::Sub": "Bellhop/${AWS::StackName}"}] * 6


@pytest.mark.parametrize("name", ["NotifyFunction", "DeliverFunction", "HealthFunction"])
def test_a_function_counts_its_metrics_under_its_own_service(name: str) -> None:
    assert variables(name)["POWERTOOLS_SERVICE_NAME"] == name.removesuffix("Function").lower()


def test_the_dashboard_can_be_left_out() -> None:
    condition = nested()[FOLDER / "dashboard.yaml"]["Condition"]
    assert translated()["Conditions"][condition] == {"Fn::Equals": [{"Ref": "CloudWatchDashboard"}, "true"]}
    assert translated()["Outputs"]["Dashboard"]["Condition"] == condition


def test_only_what_the_embedded_aws_does_not_know_is_left_out_of_local_stacks() -> None:
    unknown = {"AWS::CloudWatch::CompositeAlarm", "AWS::Logs::QueryDefinition"}
    left_out = nested()[FOLDER / "queries.yaml"].get("Condition") == "OnAws"
    for path in TEMPLATES:
        for name, resource in parsed(path)["Resources"].items():
            with_math = "Metrics" in resource["Properties"]
            is_unknown = with_math or resource["Type"] in unknown
            conditional = resource.get("Condition") == "OnAws" or (left_out and path.name == "queries.yaml")
            assert conditional is is_unknown, name


def test_every_source_reports_partial_batches() -> None:
    assert len(mappings()) == 5
    assert all(m["FunctionResponseTypes"] == ["ReportBatchItemFailures"] for m in mappings())


def test_every_queue_source_is_limited_in_concurrency() -> None:
    queued = [m for m in mappings() if attribute(m["EventSourceArn"]) in QUEUES]
    assert all(value(m["ScalingConfig"]["MaximumConcurrency"]) >= 2 for m in queued)


def test_the_stream_bisects_retries_finitely_and_reports_what_it_gave_up() -> None:
    [stream] = [m for m in mappings() if attribute(m["EventSourceArn"]) == "Outcomes"]
    assert stream["BisectBatchOnFunctionError"] is True
    assert 0 < stream["MaximumRetryAttempts"] < 100
    assert attribute(stream["DestinationConfig"]["OnFailure"]["Destination"]) == "TransitionsDeadLetters"


def test_the_stream_wakes_health_only_for_failures() -> None:
    [stream] = [m for m in mappings() if attribute(m["EventSourceArn"]) == "Outcomes"]
    [found] = stream["FilterCriteria"]["Filters"]
    assert json.loads(found["Pattern"]) == {"dynamodb": {"NewImage": {"has_failure": {"BOOL": [True]}}}}


NOT_REPLACEABLE = {"Organizations", "Apps", "Installations", "Audit", "Secrets"}
STATEFUL = {"AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::Scheduler::ScheduleGroup"}


def test_every_table_is_on_demand() -> None:
    tables = resources("AWS::DynamoDB::Table")
    assert len(tables) == 10
    for table in tables.values():
        assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_every_table_can_be_protected_from_deletion_but_not_before_a_first_deployment_has_succeeded() -> None:
    for table in resources("AWS::DynamoDB::Table").values():
        assert table["DeletionProtectionEnabled"] == {"Fn::If": ["Protected", True, False]}
    assert translated()["Conditions"]["Protected"] == {"Fn::Equals": [{"Ref": "DeletionProtection"}, "true"]}
    assert parameters()["DeletionProtection"]["Default"] == "false"


def test_point_in_time_recovery_is_paid_for_only_where_a_loss_cannot_be_made_good() -> None:
    tables = resources("AWS::DynamoDB::Table")
    recoverable = {n for n, t in tables.items() if t.get("PointInTimeRecoverySpecification")}
    assert recoverable == NOT_REPLACEABLE
    for name in recoverable:
        assert tables[name]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_what_has_state_survives_the_stack_but_not_a_first_deployment_that_fails() -> None:
    found = {n: r for n, r in translated()["Resources"].items() if r["Type"] in STATEFUL or n == "ScheduleRole"}
    assert len(found) == 10 + 9 + 1 + 1
    for name, resource in found.items():
        assert resource["DeletionPolicy"] == "RetainExceptOnCreate", name
        assert resource["UpdateReplacePolicy"] == "Retain", name


def test_nothing_has_a_fixed_name_that_would_stand_in_the_next_stacks_way() -> None:
    names = {"TableName", "QueueName", "RoleName", "Name"}
    for logical_id, resource in translated()["Resources"].items():
        assert names.isdisjoint(resource.get("Properties", {})), logical_id


def test_what_grows_expires_by_the_attribute_that_its_model_writes() -> None:
    tables = {name.lower(): table for name, table in resources("AWS::DynamoDB::Table").items()}
    for name, model in TABLES.items():
        ends = model.get_attributes().get("expires_at")
        expected = {"AttributeName": ends.attr_name, "Enabled": True} if ends else None
        assert tables[name].get("TimeToLiveSpecification") == expected
    growing = {name for name, table in tables.items() if "TimeToLiveSpecification" in table}
    assert growing == {"outcomes", "attempts", "delivered", "successes"}


def test_every_function_has_a_role_of_its_own_and_a_log_group_with_retention() -> None:
    functions = resources("AWS::Lambda::Function")
    assert sorted(functions) == sorted(FUNCTIONS)
    assert len({attribute(f["Role"]) for f in functions.values()}) == 3
    for function in functions.values():
        group = resources("AWS::Logs::LogGroup")[attribute(function["LoggingConfig"]["LogGroup"])]
        assert value(group["RetentionInDays"]) == 30


def test_sam_adds_no_role_of_its_own() -> None:
    assert sorted(resources("AWS::IAM::Role")) == ["DeliverRole", "HealthRole", "NotifyRole", "ScheduleRole"]


def test_both_sweeps_begin_every_hour_by_messages_that_health_knows() -> None:
    rule = resources("AWS::Events::Rule")["SweepRule"]
    assert rule["ScheduleExpression"] == "rate(1 hour)"
    assert [decode(target["Input"]) for target in rule["Targets"]] == [RetrySweep(), AppSweep()]
    assert RUN_SECONDS < 3600


def test_nothing_is_taken_for_lost_while_its_queue_may_still_deliver_it() -> None:
    health_function = variables("HealthFunction")
    for name, setting in (("Retries", "DELIVER"), ("Transitions", "HEALTH")):
        queue = resources("AWS::SQS::Queue")[name]
        assert float(health_function[f"{setting}_VISIBILITY_SECONDS"]) == value(queue["VisibilityTimeout"])
        assert queue["RedrivePolicy"]["maxReceiveCount"] == RECEIVES
    assert overdue_seconds(190, 360) == OVERDUE_SECONDS
    assert overdue_seconds(190, 3600) == 36_000


def test_a_message_by_which_an_event_goes_on_fits_with_the_fullest_cursor() -> None:
    for queue in ("IssueEvents", "IssueEventsDeadLetters"):
        assert resources("AWS::SQS::Queue")[queue]["MaximumMessageSize"] == MAX_BATCH_BYTES


def test_what_fits_on_the_deliveries_queue_fits_where_it_is_handed_over_or_waits() -> None:
    queues = resources("AWS::SQS::Queue")
    for name in ("Deliveries", "DeliveriesDeadLetters", "Retries", "RetriesDeadLetters"):
        assert queues[name]["MaximumMessageSize"] == MAX_BATCH_BYTES


def test_chains_of_messages_are_not_taken_for_runaway_recursion() -> None:
    # Unless it is allowed, Lambda ends a chain of messages between a queue and a function after 16 rounds.
    functions = resources("AWS::Lambda::Function")
    assert {name for name, f in functions.items() if f.get("RecursiveLoop") == "Allow"} == {
        "NotifyFunction",
        "DeliverFunction",
        "HealthFunction",
    }


def test_addresses_that_bounced_or_complained_are_suppressed() -> None:
    [configuration] = resources("AWS::SES::ConfigurationSet").values()
    assert configuration["SuppressionOptions"] == {"SuppressedReasons": ["BOUNCE", "COMPLAINT"]}


def test_retries_go_on_for_about_three_days() -> None:
    delays = [int(d) for d in value({"Ref": "RetryDelaysSeconds"}).split(",")]
    assert len(delays) == 10
    assert 2.5 * 86_400 < sum(delays) < 4 * 86_400


def test_every_setting_a_function_reads_is_set_by_the_template() -> None:
    for name, declared in SETTINGS.items():
        given = set(resources("AWS::Lambda::Function")[name]["Environment"]["Variables"])
        wanted = {field.name.upper() for field in fields(declared)}
        ours = {n for n in given if not n.startswith(("POWERTOOLS_", "AWS_", "OPENSSL_"))}
        assert ours == wanted


def test_the_models_and_the_template_agree_on_keys_and_indexes() -> None:
    tables = {n.lower(): t for n, t in resources("AWS::DynamoDB::Table").items()}
    for name, model in TABLES.items():
        table = tables[name]
        assert {k["KeyType"]: k["AttributeName"] for k in table["KeySchema"]} == _keys(model)
        indexes = {i["IndexName"] for i in table.get("GlobalSecondaryIndexes", [])}
        assert indexes == set(model._indexes)


def _keys(model: Any) -> dict[str, str]:
    keys = {"HASH": model._hash_keyname, "RANGE": model._range_keyname}
    return {kind: name for kind, name in keys.items() if name}


def test_every_parameter_and_output_is_described() -> None:
    source = parsed(ROOT / "template.yaml")
    for name, described in (source["Parameters"] | source["Outputs"]).items():
        assert described.get("Description"), name


IGNORED_RULES = {
    "ES1001": "asks each mapping for a dead-letter queue; that of an SQS source belongs to the queue",
    "ES6000": "asks for a dead-letter queue of each dead-letter queue",
    "WS1000": "tracing needs a policy on every resource, and its SDK is in maintenance",
    "WS1004": "expects log groups named after the function; ours are explicit, and a test above checks them",
    "I3011": "asks log groups and nested stacks what becomes of them: they go; a test above checks what survives",
    "I4010": "asks for the architecture as metadata; docs/flows.md and the comments have it",
}
# With informational and experimental rules, and types that are not converted.
STRICTLY = ["-a", "cfn_lint_serverless.rules", "-c", "I", "-e", "-x", "E3012:strict=true"]


def test_cfn_lint_accepts_the_source_and_the_translation_by_its_strictest_rules(tmp_path: Path) -> None:
    flat = tmp_path / "translated.json"
    flat.write_text(json.dumps(translated(), default=str))
    command = [str(Path(sys.executable).with_name("cfn-lint")), *STRICTLY, "--format", "json", "--"]
    templates = map(str, (ROOT / "template.yaml", flat, *TEMPLATES))
    done = subprocess.run([*command, *templates], capture_output=True, text=True, check=False)
    found = [(match["Rule"]["Id"], match["Filename"], match["Message"]) for match in json.loads(done.stdout)]
    assert [match for match in found if match[0] not in IGNORED_RULES] == []
    assert {rule for rule, _, _ in found} == set(IGNORED_RULES)  # each is still needed
