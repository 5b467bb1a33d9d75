from datetime import date
from typing import Any

import pytest

from metrics.errors import InputError
from metrics.simulation.settings import Effects, Faults, Settings


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ({"late": 1.5}, "--late is 1.5; give a share from 0 to 1"),
        ({"null_keys": -0.1}, "--null-keys is -0.1"),
        ({"late": 0.6, "broken": 0.6}, "add up to 1.2; give at most 1"),
        ({"srm_device": "fridge"}, "--srm-device is 'fridge'; choose among tv, "),
        ({"srm_share": 1.0}, "--srm-share is 1.0"),
    ],
)
def test_faults_that_make_no_sense_are_refused(faults: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Faults(**faults)


def test_only_rates_that_the_service_has_can_be_harmed() -> None:
    with pytest.raises(
        InputError, match="harm on 'churn' cannot be simulated; choose among start_failure_rate"
    ):
        Effects(harm={"churn": 0.1})


def test_an_empty_service_is_refused() -> None:
    with pytest.raises(InputError, match="0 profiles over 3 days is empty"):
        Settings(0, date(2026, 3, 2), 3)
