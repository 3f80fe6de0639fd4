"""The templates of infra/monitoring, with each parameter replaced by its own name."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from infra.deploy.templates import parsed

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "infra" / "monitoring"
TEMPLATES = sorted(FOLDER.glob("*.yaml"))
ALARMS = [FOLDER / "alarms.yaml", FOLDER / "own-alarms.yaml"]
NAMESPACE = "Namespace"  # the name of the parameter that the metrics of our own have as their namespace


@cache
def resources(kind: str, *templates: Path) -> dict[str, dict[str, Any]]:
    """The properties of every resource of a kind, as if every condition held and each parameter were its name."""
    found: dict[str, dict[str, Any]] = {}
    for template in templates or TEMPLATES:
        source = parsed(template)
        found |= {n: resolved(r["Properties"]) for n, r in source["Resources"].items() if r["Type"] == kind}
    return found


def resolved(value: Any) -> Any:
    """A value without intrinsic functions."""
    match value:
        case {"Ref": name} | {"Fn::If": [_, [{"Ref": name}], _]}:
            return name
        case {"Fn::Sub": text}:
            return re.sub(r"\$\{([\w:]+)\}", r"\1", text)
        case {"Fn::If": [_, {"Fn::GetAtt": [name, _]}, _]} | {"Fn::GetAtt": [name, _]}:
            return name
        case dict():
            return {name: resolved(inner) for name, inner in value.items()}
        case list():
            return [resolved(inner) for inner in value]
    return value


def alarms() -> dict[str, dict[str, Any]]:
    """Every alarm that watches metrics."""
    return resources("AWS::CloudWatch::Alarm")


def composites() -> dict[str, dict[str, Any]]:
    """Every composite alarm."""
    return resources("AWS::CloudWatch::CompositeAlarm")


def exported(template: Path) -> list[str]:
    """The alarms whose ARNs a template gives to the dashboard."""
    [_, arns] = parsed(template)["Outputs"]["Arns"]["Value"]["Fn::Join"]
    return [str(name) for name in resolved(arns)]


def widgets(kind: str = "") -> list[dict[str, Any]]:
    """The dashboard's widgets, of one kind or all."""
    [dashboard] = resources("AWS::CloudWatch::Dashboard").values()
    found = json.loads(dashboard["DashboardBody"])["widgets"]
    return [widget for widget in found if widget["type"] == (kind or widget["type"])]


def queries() -> dict[str, dict[str, Any]]:
    """Every saved query."""
    return resources("AWS::Logs::QueryDefinition")
