from pathlib import Path
from typing import Any

import pytest

from infra.cli.doctor import functions
from infra.cli.doctor.findings import OK, PROBLEM, UNSEEN, Finding
from infra.cli.doctor.looking import Check, Deployed
from tests.unit.cli.doctor.fake_deployment import code, deployed, function, lambda_service, mapping
from tests.unit.deployment.fake_account import refusal

STATE, BUNDLE, TRIGGERS, CONCURRENCY = functions.CHECKS


def found(check: Check[Any], stack: Deployed) -> list[tuple[str, str]]:
    return [(finding.state, finding.text) for finding in check.findings(stack)]


def deliver(**configuration: Any) -> Deployed:
    return deployed(**{"lambda": lambda_service({"fn-deliver": function("deliver", **configuration)})})


def test_functions_that_are_what_the_parameters_say_are_well() -> None:
    assert found(STATE, deployed()) == [(OK, "notify, deliver, health run python3.13 on arm64")]


@pytest.mark.parametrize(
    ("configuration", "said"),
    [
        ({"Runtime": "python3.12"}, "deliver runs python3.12 on arm64, but the stack's parameters say python3.13"),
        ({"Architectures": ["x86_64"]}, "deliver runs python3.13 on x86_64"),
        ({"LastUpdateStatus": "Failed"}, "deliver is Active, its last update Failed"),
        ({"State": "Failed"}, "deliver is Failed"),
    ],
)
def test_a_function_that_failed_or_is_another_is_a_problem(configuration: dict[str, Any], said: str) -> None:
    [(state, text)] = found(STATE, deliver(**configuration))
    assert state == PROBLEM
    assert said in text


def test_code_for_another_python_or_processor_is_named(tmp_path: Path) -> None:
    module = "greenlet/_greenlet.cpython-313-aarch64-linux-gnu.so"
    fine = code(tmp_path, module)
    same = {f"fn-{name}": function(name, fine) for name in ("notify", "deliver", "health")}
    assert found(BUNDLE, deployed(**{"lambda": lambda_service(same)})) == [
        (OK, "the deployed code can be loaded by python3.13 on arm64")
    ]
    other = same | {"fn-deliver": function("deliver", code(tmp_path, module, machine=0x3E), CodeSha256="two")}
    [(state, text)] = found(BUNDLE, deployed(**{"lambda": lambda_service(other)}))
    assert state == PROBLEM
    assert text.endswith(f"of their code {module} is for python3.13 on x86_64")


def test_code_that_cannot_be_downloaded_is_not_judged(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no zip")
    for url in ("file:///nowhere", (tmp_path / "text").as_uri()):
        service = lambda_service({"fn-health": function("health", url)})
        [(state, text)] = found(BUNDLE, deployed(**{"lambda": service}))
        assert (state, "cannot be downloaded" in text) == (UNSEEN, True)


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (mapping(State="Disabled"), "DeliverFunctionDeliveries is Disabled"),
        (mapping(LastProcessingResult="PROBLEM: Function call failed"), "PROBLEM: Function call failed"),
        (refusal("ResourceNotFoundException"), "DeliverFunctionDeliveries is gone"),
    ],
)
def test_a_queue_that_invokes_nothing_is_a_problem(response: Any, said: str) -> None:
    stack = deployed(**{"lambda": lambda_service(get_event_source_mapping=response)})
    [(state, text)] = found(TRIGGERS, stack)
    assert state == PROBLEM
    assert said in text


def test_a_trigger_that_is_switched_off_is_switched_on_by_its_uuid() -> None:
    stack = deployed(**{"lambda": lambda_service(get_event_source_mapping=mapping(State="Disabled"))})
    [finding] = TRIGGERS.findings(stack)
    assert finding.remedy == "aws lambda update-event-source-mapping --uuid uuid-1 --enabled"


def test_triggers_that_are_enabled_are_well_and_a_refusal_is_no_missing_trigger() -> None:
    assert found(TRIGGERS, deployed()) == [(OK, "1 queues and streams invoke their functions")]
    stack = deployed(**{"lambda": lambda_service(get_event_source_mapping=refusal("AccessDeniedException"))})
    assert [state for state, _ in found(TRIGGERS, stack)] == [UNSEEN]


def concurrency(unreserved: int, wanted: dict[str, int], **reserved: int) -> list[Finding]:
    return functions.judge_concurrency(functions.Concurrency(unreserved, wanted, reserved))


def test_an_account_with_fewer_processes_than_the_triggers_ask_for_is_a_problem() -> None:
    [finding] = concurrency(10, {"notify": 50, "deliver": 120})
    assert finding.text == "the functions may ask for 170 processes at a time, the account leaves 10"
    assert "--quota-code L-B99A9384 --desired-value 1000" in finding.remedy
    assert [f.state for f in concurrency(170, {"notify": 50, "deliver": 120})] == [OK]


def test_a_reservation_that_is_less_than_what_the_triggers_ask_for_is_a_problem() -> None:
    [finding] = concurrency(1000, {"fn-deliver": 120}, **{"fn-deliver": 5})
    assert finding.remedy.endswith("delete-function-concurrency --function-name fn-deliver")
    assert [f.state for f in concurrency(10, {"deliver": 120}, deliver=120)] == [OK]


def test_what_triggers_may_ask_for_and_what_is_reserved_is_read_from_lambda() -> None:
    reserved = function("deliver") | {"Concurrency": {"ReservedConcurrentExecutions": 7}}
    stream = mapping(ScalingConfig={}, ParallelizationFactor=2)
    for response, wanted in ((mapping(), 100), (stream, 2)):
        service = lambda_service({"fn-deliver": reserved}, get_event_source_mapping=response)
        facts = functions.read_concurrency(deployed(**{"lambda": service}))
        assert facts.unreserved == 1000
        assert facts.wanted == {"fn-notify": 0, "fn-deliver": wanted, "fn-health": 0}
        assert facts.reserved == {"fn-deliver": 7}
