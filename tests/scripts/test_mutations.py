"""The list of mutations fits the code, and a mutation turns its tests red."""

from dataclasses import replace
from pathlib import Path

import pytest

from scripts.environment import ROOT
from scripts.mutation_list import MUTATIONS
from scripts.mutations import copied_project, first_failure


def test_everything_that_is_to_be_broken_is_there() -> None:
    texts = {m.file: (ROOT / "metrics" / m.file).read_text(encoding="utf-8") for m in MUTATIONS}
    assert [m for m in MUTATIONS if m.right not in texts[m.file]] == []
    assert [m for m in MUTATIONS if m.right == m.wrong] == []


def test_a_broken_formula_is_seen_and_the_right_one_is_not(tmp_path: Path) -> None:
    project = copied_project(tmp_path)
    mutation = next(m for m in MUTATIONS if m.formula == "spending")
    mutation = replace(mutation, tests=mutation.tests[:1])
    seen_by = first_failure(project, mutation)
    assert seen_by is not None and seen_by.startswith("sequential/test_spending.py::")
    assert first_failure(project, replace(mutation, wrong=mutation.right)) is None
    with pytest.raises(ValueError, match="bring scripts/mutation_list"):
        first_failure(project, replace(mutation, right="nowhere"))
