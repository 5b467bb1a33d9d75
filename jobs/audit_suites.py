"""Which suite and which floors a table's audit takes, from the project's declared schema and configuration."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date

from expectations import suites
from expectations.facts import enrolment_floors
from expectations.rules import Suite
from metrics.configuration.project import Project
from metrics.configuration.sources import Source
from metrics.errors import InputError
from metrics.reasons import STATUS_WORDS
from metrics.schemas import EVENT_COLUMNS, EVENT_TYPES, PROFILE_HASH, Table, declared_tables

Build = Callable[[Table, Project], Suite]
# Not null by other rules; or optional by nature.
_ALWAYS_OR_RARELY_GIVEN = ("event_id", "event_ts", "profile_id", "household_id", "event_type", "attributes")


def suite_of(name: str, project: Project) -> Suite:
    """A fresh suite of the table. Raises InputError for a table that has none."""
    if name not in _BUILDERS:
        raise InputError(f"table '{name}' has no audit; choose one of {', '.join(AUDITED)}")
    table = declared_tables(project.catalogue)[name]
    return replace(_BUILDERS[name](table, project), unit_hash=PROFILE_HASH)


def expected_words(project: Project) -> dict[str, dict[str, str]]:
    """What each expectation of a table expects, in words, by table."""
    suites_by_table = {name: suite_of(name, project) for name in AUDITED}
    return {
        name: {rule.name: rule.expected for rule in (*suite.day_rules, *suite.row_rules)}
        for name, suite in suites_by_table.items()
    }


def floors_of(
    name: str, project: Project, days: Sequence[date], enrolments: Sequence[tuple[date, date]]
) -> dict[date, int]:
    """The fewest rows that a day of the table may have (`min_daily_rows` of its sources).

    `enrolments`: their first and last days; on others no exposures are due.
    """
    sources = project.sources
    if name in ("exposures", "exposure_day_measures"):
        return enrolment_floors(days, enrolments, _rows_due(name, "exposures", sources.exposures))
    if name == "profiles":
        return dict.fromkeys(days, _rows_due(name, "profiles", sources.profiles))
    if name in ("events", "profile_days"):
        return dict.fromkeys(days, _rows_due(name, "events", sources.events))
    return dict.fromkeys(days, 1)


def _rows_due(name: str, landed: str, sources: Sequence[Source]) -> int:
    """A landed table's sources add up; what is derived from it has a row if there is any."""
    floor = sum(source.min_daily_rows for source in sources)
    return floor if name == landed else min(floor, 1)


def _arms(project: Project) -> dict[str, tuple[str, ...]]:
    return {experiment.id: tuple(experiment.arms) for experiment in project.experiments}


def _events(table: Table, project: Project) -> Suite:
    mapped = {name for source in project.sources.events for name in source.columns}
    given = [name for name in EVENT_COLUMNS if name in mapped and name not in _ALWAYS_OR_RARELY_GIVEN]
    return suites.events_suite(table.columns, table.key, EVENT_TYPES, given)


def _profiles(table: Table, _: Project) -> Suite:
    return suites.profiles_suite(table.columns, table.key)


def _exposures(table: Table, project: Project) -> Suite:
    return suites.exposures_suite(table.columns, table.key, _arms(project))


def _profile_days(table: Table, project: Project) -> Suite:
    return suites.profile_days_suite(table.columns, table.key, tuple(project.catalogue.measures))


def _exposure_day_measures(table: Table, project: Project) -> Suite:
    measures, experiments = tuple(project.catalogue.measures), tuple(_arms(project))
    return suites.exposure_day_measures_suite(table.columns, table.key, measures, experiments)


def _profile_windows(table: Table, project: Project) -> Suite:
    metrics = project.catalogue.metrics.values()
    outcomes = [column for metric in metrics for column in metric.outcome_columns]
    before = [f"pre_{measure}" for measure in project.catalogue.numbers]
    proportions = [column for metric in metrics if metric.is_share for column in metric.outcome_columns]
    return suites.profile_windows_suite(
        table.columns, table.key, _arms(project), (*outcomes, *before), proportions
    )


def _estimates(table: Table, project: Project) -> Suite:
    return suites.estimates_suite(table.columns, table.key, _arms(project), tuple(STATUS_WORDS))


_BUILDERS: Mapping[str, Build] = {
    "events": _events,
    "profiles": _profiles,
    "exposures": _exposures,
    "profile_days": _profile_days,
    "exposure_day_measures": _exposure_day_measures,
    "profile_windows": _profile_windows,
    "estimates": _estimates,
}
AUDITED = tuple(_BUILDERS)
