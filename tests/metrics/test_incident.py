from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from metrics.enrollment import EnrollmentSlice
from metrics.incident import Culprit, Incident, incident_of
from metrics.reasons import of_incident
from metrics.rows import SrmCheck, row_of
from tests.result_rows import srm_check
from tests.srm_history import OPENS, looks

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def check(observed: tuple[int, int], log_e: float, hour: int = 0, **overrides: Any) -> dict[str, Any]:
    """Counts of control and treatment, planned half and half, so many hours after NOON; the limit is 4.6."""
    half = sum(observed) / 2
    return srm_check(
        window_end=NOON + timedelta(hours=hour),
        observed=dict(zip(("control", "treatment"), observed, strict=True)),
        expected={"control": half, "treatment": half},
        log_e_value=log_e,
        triggered=log_e >= 4.6,
        **overrides,
    )


def tv(observed: tuple[int, int], log_e: float, hour: int = 0, **overrides: Any) -> dict[str, Any]:
    return check(observed, log_e, hour, slice="device", slice_value="tv", **overrides)


def blocked(since: datetime, value: str = "tv") -> EnrollmentSlice:
    return EnrollmentSlice("homepage", 0, "device", value, "blocked", "sample ratio: 600 to 400", since)


def found(*checks: dict[str, Any], enrollment: tuple[EnrollmentSlice, ...] = ()) -> Incident | None:
    return incident_of([row_of(SrmCheck, row) for row in checks], enrollment, OPENS)


def culprit(*checks: dict[str, Any], enrollment: tuple[EnrollmentSlice, ...] = ()) -> Culprit:
    incident = found(*checks, enrollment=enrollment)
    assert incident and incident.culprit
    return incident.culprit


def name(of: Culprit) -> tuple[str, str, str]:
    return of.check.unit, of.check.slice, of.check.slice_value


@pytest.mark.parametrize(
    ("is_off", "expected"),
    [
        (lambda _, device: device == "android", ("device", "android")),
        (lambda region, _: region == "us", ("region", "us")),
        (lambda region, device: (region, device) == ("us", "android"), ("stratum", "us|android")),
        (lambda *_: True, ("all", "all")),
    ],
)
def test_the_slice_that_was_made_to_be_off_is_the_culprit_since_then(
    is_off: Callable[[str, str], bool], expected: tuple[str, str]
) -> None:
    """Though the strata, the device and the region that hold it, or are part of it, trigger as well."""
    of = culprit(*looks(is_off, since=30, n_hours=72))
    assert name(of) == ("profile", *expected)
    assert abs(of.off_since - OPENS - timedelta(hours=30)) <= timedelta(hours=4)
    assert of.off_since < of.triggered_at
    assert of.explains


def test_hours_that_were_not_checked_do_not_shift_the_start_by_more_than_they_last() -> None:
    missing = range(20, 28)
    rows = [
        row
        for row in looks(lambda _, device: device == "android", since=30, n_hours=72)
        if (row["window_end"] - OPENS) // timedelta(hours=1) not in missing
    ]
    assert abs(culprit(*rows).off_since - OPENS - timedelta(hours=30)) <= timedelta(hours=4)


def test_a_slice_off_from_its_first_unit_on_is_off_since_the_look_before() -> None:
    rows = [check((500, 500), -3.0), check((1100, 900), 3.0, 1), check((1700, 1300), 20.0, 2)]
    new = [tv((600, 400), 4.0, 1), tv((1200, 800), 30.0, 2)]
    assert culprit(*rows, *new).off_since == NOON
    assert culprit(*new).off_since == OPENS


def test_of_all_that_explain_it_the_strongest_evidence_counts_and_the_rest_is_tested() -> None:
    rows = [check((5600, 5400), 1.0), check((2500, 2400), -1.0, slice="device", slice_value="web")]
    of = culprit(*rows, tv((1150, 950), 6.0), tv((1100, 900), 5.0, unit="household"))
    assert name(of) == ("profile", "device", "tv")
    # 4450 and 4450 are left
    assert of.p_value_of_rest == 1.0
    assert (of.exposed, of.exposed_of_slice) == (11_000, 2_100)


def test_two_slices_off_against_each_other_do_not_make_everybody_off() -> None:
    web = check((1000, 1300), 9.0, slice="device", slice_value="web")
    of = culprit(check((5000, 5000), -4.0), tv((1300, 1000), 8.0), web)
    assert (name(of), of.explains) == (("profile", "device", "web"), False)


def test_crossovers_explain_an_imbalance_of_the_profiles_that_they_are_part_of() -> None:
    of = culprit(check((5300, 5000), 5.0), check((400, 100), 60.0, unit="crossover"))
    assert (name(of)[0], of.is_everybody) == ("crossover", False)
    assert of.p_value_of_rest == 1.0


def test_what_is_blocked_is_told_by_its_last_look_that_triggered() -> None:
    everybody = [check((5100, 4900), 0.0), check((5600, 5400), 1.0, 1), check((7000, 7000), -2.0, 2)]
    slices = [tv((600, 400), 20.0), tv((1100, 900), 5.0, 1), tv((2000, 2000), -2.0, 2)]
    incident = found(*everybody, *slices, enrollment=(blocked(NOON),))
    assert incident and incident.culprit and not incident.triggers
    assert incident.culprit.check.observed == {"control": 1100, "treatment": 900}
    assert (incident.culprit.triggered_at, incident.culprit.exposed_of_slice) == (NOON, 1000)
    assert of_incident(incident).endswith("no slice triggers any more, but only a restart reopens it.")
    assert found(*everybody, *slices) is None


def test_a_block_whose_checks_were_made_again_or_are_gone_is_an_incident_still() -> None:
    again = found(check((5100, 4900), 0.0), tv((510, 490), 0.5), enrollment=(blocked(NOON),))
    assert again and again.culprit and again.culprit.check.observed == {"control": 510, "treatment": 490}
    gone = found(check((5100, 4900), 0.0), enrollment=(blocked(NOON),))
    assert gone and gone.culprit is None
    assert of_incident(gone) == (
        "Sample ratio broken: device tv, since 2026-03-10 12:00 UTC; sample ratio: 600 to 400."
    )


def test_slices_are_told_by_when_they_broke() -> None:
    rows = [tv((600, 400), 20.0), tv((700, 450), 22.0, 1), check((1500, 1200), 9.0, 1)]
    incident = found(*rows, enrollment=(blocked(NOON - timedelta(hours=3), "web"),))
    assert incident
    assert [(each.name, each.since.hour) for each in incident.broken] == [
        ("device web", 9),
        ("device tv", 12),
        ("everybody", 13),
    ]


def test_all_is_well() -> None:
    assert found() is None
    assert found(*looks(lambda *_: False, since=0, n_hours=24)) is None
    hourly = tv((600, 400), 20.0, window_kind="hour")
    assert found(check((5000, 5000), -4.0), hourly) is None


@pytest.mark.parametrize(
    ("checks", "sentence"),
    [
        (
            [check((5100, 5100), -1.0), tv((513, 487), 5.0)],
            "Sample ratio broken: device tv, control 51.3% / treatment 48.7% of 1,000 profiles (planned 50% / 50%), "
            "off since about 2026-03-02 00:00 UTC; triggered 2026-03-10 12:00 UTC, when 10,200 profiles were exposed, "
            "1,000 of them in the slice. Without it the others fit the plan (p 0.786).",
        ),
        (
            [check((5300, 4700), 9.0), tv((100, 100), 0.0)],
            "Sample ratio broken: everybody, control 53.0% / treatment 47.0% of 10,000 profiles (planned 50% / 50%), "
            "off since about 2026-03-02 00:00 UTC; triggered 2026-03-10 12:00 UTC, when 10,000 profiles were exposed. "
            "No slice alone explains it.",
        ),
        (
            [check((5000, 5000), 0.0), check((80, 20), 9.0, unit="crossover")],
            "Sample ratio broken: everybody, control 80% / treatment 20% of 100 crossovers (planned 50% / 50%), "
            "off since about 2026-03-02 00:00 UTC; triggered 2026-03-10 12:00 UTC, when 10,000 profiles were exposed, "
            "100 of them crossovers. Without them the others fit the plan (p 0.546).",
        ),
        (
            [check((5000, 5000), 0.0), tv((1300, 1000), 9.0)],
            "Sample ratio broken: device tv, control 56.5% / treatment 43.5% of 2,300 profiles (planned 50% / 50%), "
            "off since about 2026-03-02 00:00 UTC; triggered 2026-03-10 12:00 UTC, when 10,000 profiles were exposed, "
            "2,300 of them in the slice. Without it the others are off, too (p <0.001).",
        ),
    ],
)
def test_the_sentence(checks: list[dict[str, Any]], sentence: str) -> None:
    incident = found(*checks)
    assert incident and of_incident(incident) == sentence
