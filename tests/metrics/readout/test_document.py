import json
import math
from pathlib import Path

from metrics.readout.document import document, jsonable, render_json
from tests.metrics.readout.readouts import readout_of
from tests.result_rows import crash_rate, empty


def test_the_document_is_strict_json(tmp_path: Path) -> None:
    text = render_json(readout_of(tmp_path, estimates=[empty(), crash_rate()]))
    found = json.loads(text, parse_constant=lambda name: (_ for _ in ()).throw(ValueError(name)))
    assert found["metrics"][0]["estimate"]["effect"] is None
    assert found["metrics"][0]["estimate"]["analysis_day"] == "2026-03-21"


def test_decision_and_business_terms_are_in_words(tmp_path: Path) -> None:
    found = document(readout_of(tmp_path))
    assert (found["decision"]["action"], found["decision"]["headline"]) == ("ship", "Ship treatment")
    assert found["business"][0]["sentence"].startswith("10,000 more play starts a week: at full rollout")
    assert found["decision"]["guardrails"][0]["verdict"] == "passed"


def test_a_number_that_json_does_not_have_is_null() -> None:
    assert jsonable({"a": (math.inf, math.nan, 1.5)}) == {"a": [None, None, 1.5]}
