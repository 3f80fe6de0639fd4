"""The planted defects of `make mutants` still fit the code. Whether they are caught takes it minutes."""

from collections import Counter

import pytest

from tests.mutants.defect import ROOT, Defect, DriftError, load

DEFECTS = load()
NAMED = {defect.name: defect for defect in DEFECTS}


@pytest.mark.parametrize("name", NAMED)
def test_a_defect_still_fits_its_file_and_leaves_it_readable(name: str) -> None:
    defect = NAMED[name]
    planted = defect.planted_in((ROOT / defect.file).read_text())
    compile(planted, defect.file, "exec")
    assert defect.search != defect.replace


@pytest.mark.parametrize("name", NAMED)
def test_the_tests_that_are_to_catch_a_defect_exist(name: str) -> None:
    assert NAMED[name].caught_by
    for test in NAMED[name].caught_by:
        file, _, function = test.partition("::")
        assert f"def {function}" in (ROOT / file).read_text(), test


@pytest.mark.parametrize("name", NAMED)
def test_no_defect_that_the_simulation_sees_has_a_reason_why_it_does_not(name: str) -> None:
    assert not (NAMED[name].simulated and NAMED[name].unseen)


def test_there_are_at_least_forty_defects_each_with_a_name_of_its_own() -> None:
    assert len(DEFECTS) >= 40
    assert max(Counter(defect.name for defect in DEFECTS).values()) == 1


@pytest.mark.parametrize("text", ["nothing of it", "once\nonce\n"])
def test_a_defect_whose_text_is_gone_or_stands_there_twice_has_drifted(text: str) -> None:
    with pytest.raises(DriftError, match="not once"):
        Defect("a defect", "functions/file.py", "once\n", "twice\n", ("tests",)).planted_in(text)
