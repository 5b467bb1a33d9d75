"""Readouts of hand-written rows, for the tests of what lays them out."""

from datetime import date
from pathlib import Path
from typing import Any

from metrics.readout.build import build_readout, readout_rows
from metrics.readout.model import Readout
from tests.result_rows import DAY, EXPERIMENT, configuration, quality, srm_check, truth, usual_estimates


def readout_of(folder: Path, text: str = EXPERIMENT, day: date = DAY, **rows: Any) -> Readout:
    """The usual readout, where `rows` replaces the rows of a table."""
    usual: dict[str, Any] = {
        "estimates": usual_estimates(),
        "srm_checks": [srm_check(), srm_check(unit="household"), srm_check(slice="device", slice_value="tv")],
        "quality": [quality(), quality(severity="warning", success=False, expectation="row count as usual")],
        "truth": [truth(), truth("crash_rate", effect=0.002)],
        "population": 20_000,
        "analysed": {"control": 10_000, "treatment": 9_985},
    }
    experiment, catalogue = configuration(folder, text)
    return build_readout(experiment, catalogue, day, readout_rows(**{**usual, **rows}))
