"""The templates of CloudFormation, parsed."""

from functools import cache
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse


@cache  # a quarter of a second each time
def parsed(template: Path) -> dict[str, Any]:
    """A template, its intrinsic functions as mappings. Nobody may change it: it is parsed once."""
    return dict(yaml_parse(template.read_text()))
