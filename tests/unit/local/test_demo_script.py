from ruamel.yaml import YAML

from infra.local import demo_script
from tests.unit.cli.cli_runner import EXAMPLE


def test_applying_the_example_to_the_stack_of_make_run_changed_the_organisation_of_the_demo() -> None:
    example = YAML(typ="safe", pure=True).load(EXAMPLE.read_text())
    apps = {demo_script.PAGER, demo_script.BOARD, demo_script.RETIRED, demo_script.SLEEPY}
    assert demo_script.ORGANIZATION not in example["organizations"]
    assert not apps & example["apps"].keys()
