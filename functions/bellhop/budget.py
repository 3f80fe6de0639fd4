"""The time that calls to AWS may take: what is left of the invocation, less what later steps need."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from botocore.exceptions import ConnectionError as NotConnectedError
from botocore.exceptions import HTTPClientError

if TYPE_CHECKING:
    from botocore.session import Session

END_SECONDS = 1.0  # always kept: for the SDK's sleep before a second try, the log, the metrics and the return
SILENCES = 2  # of an operation in a row; the first may be a kept-alive connection that died between invocations


class OutOfBudgetError(Exception):
    """A call to AWS that was not made: too little time is left for it, or its operation has stopped responding.

    Neither a botocore nor a pynamodb error, so that nothing below the record boundary retries it, or takes it for
    a call whose result is unknown: this one certainly did nothing.
    """


class Budget:
    """The time of one invocation after another. Outside of an invocation every call is allowed.

    Policy: each try of each call is refused unless its timeouts fit into the time that is left, less what is kept
    for later steps. An operation on one table or queue that was silent `SILENCES` times in a row is refused for
    the rest of the step, so that forty deliveries do not each wait for it. A refused call costs what it was
    needed for, and nothing else: the record boundary of its caller says what that is.
    """

    def __init__(self) -> None:
        self._remaining: Callable[[], int] | None = None
        self._kept = END_SECONDS
        self._silences: dict[tuple[str, str], int] = {}

    @classmethod
    def watching(cls, session: "Session") -> Self:
        """A budget that checks every try of the clients that `session` makes from now on, also pynamodb's."""
        budget, events = cls(), session.get_component("event_emitter")
        events.register("before-parameter-build", budget._name_target)
        events.register("request-created", budget._check)  # outside of botocore's retries, before each try
        events.register("response-received", budget._note)
        return budget

    @contextmanager
    def invocation(self, remaining_milliseconds: Callable[[], int]) -> Iterator[None]:
        """Within: no call outlasts the invocation, which has `remaining_milliseconds()` left."""
        self._remaining, self._silences = remaining_milliseconds, {}
        try:
            yield
        finally:
            self._remaining = None

    @contextmanager
    def keeping(self, seconds: float) -> Iterator[None]:
        """Within, a step: calls leave `seconds` for the steps that follow, and END_SECONDS.

        Each step asks anew what responds: one silent key must not keep what was posted from being written.
        """
        before, self._kept, self._silences = self._kept, seconds + END_SECONDS, {}
        try:
            yield
        finally:
            self._kept = before

    def fits(self, seconds: float) -> bool:
        """Whether what takes up to `seconds` fits into what is left, beside what is kept."""
        return self._remaining is None or seconds <= self._left(self._remaining)

    def _name_target(self, params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        target = params.get("TableName") or params.get("QueueUrl") or ""
        context["bellhop_operation"] = (f"{model.service_model.service_name}.{model.name}", target)

    def _check(self, request: Any, operation_name: str, **_: Any) -> None:
        if self._remaining is None:
            return
        operation = request.context.get("bellhop_operation", (operation_name, ""))
        if self._silences.get(operation, 0) >= SILENCES:
            raise OutOfBudgetError(f"{' '.join(operation)} has stopped responding in this invocation")
        config = request.context["client_config"]
        left = self._left(self._remaining)
        if left < config.connect_timeout + config.read_timeout:
            raise OutOfBudgetError(
                f"{' '.join(operation)} does not fit into the {max(0.0, left):.1f} s left for it"
            )

    def _left(self, remaining_milliseconds: Callable[[], int]) -> float:
        return remaining_milliseconds() / 1000 - self._kept

    def _note(self, context: dict[str, Any], exception: Exception | None, **_: Any) -> None:
        operation = context.get("bellhop_operation")
        if self._remaining is None or operation is None:
            return
        if isinstance(exception, (HTTPClientError, NotConnectedError)):
            self._silences[operation] = self._silences.get(operation, 0) + 1
        else:
            self._silences.pop(operation, None)
