"""Settings from the environment: each function declares a frozen dataclass, and `load` fills it.

The field `retries_queue_url: str` is filled from the variable RETRIES_QUEUE_URL. Nothing else reads the
environment.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")


class SettingsError(Exception):
    """A variable is missing or malformed; the message names it and says what it must be."""


def on_lambda(environ: Mapping[str, str]) -> bool:
    """Whether this process is a Lambda function, rather than a test or a tool."""
    return "AWS_LAMBDA_FUNCTION_NAME" in environ


def _flag(text: str) -> bool:
    return {"true": True, "false": False}[text]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


_READERS: dict[Any, tuple[Callable[[str], Any], str]] = {
    str: (str, "text"),
    int: (int, "a whole number"),
    float: (float, "a number"),
    bool: (_flag, "true or false"),
    tuple[int, ...]: (_numbers, "whole numbers, comma-separated"),
}


def load(kind: type[T], environ: Mapping[str, str]) -> T:
    """Fill the dataclass `kind` from `environ`.

    Raises:
        SettingsError: a variable is missing, or is not of its field's type.
    """
    hints = get_type_hints(kind)
    return kind(**{f.name: _read(f.name.upper(), hints[f.name], environ) for f in fields(kind)})  # type: ignore[arg-type]


def _read(name: str, hint: Any, environ: Mapping[str, str]) -> Any:
    reader, meaning = _READERS[hint]
    if name not in environ:
        raise SettingsError(f"{name} is not set; template.yaml sets it for every function that needs it")
    try:
        return reader(environ[name])
    except (ValueError, KeyError):
        raise SettingsError(f"{name} is {environ[name]!r}, which is not {meaning}") from None
