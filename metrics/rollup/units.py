"""Rows of a user's own file of units as rows like those of profile_windows, and what forbids it."""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from metrics.configuration.units import UnitExperiment, raw_name
from metrics.errors import InputError
from metrics.statistics.layout import STRATUM, UNKNOWN

_NOTHING = ("", "na", "n/a", "nan", "null", "none")
_TRUTHS = {"true": 1.0, "false": 0.0}


def unit_windows(raw: DataFrame, experiment: UnitExperiment) -> DataFrame:
    """profile_id and household_id (texts), arm, stratum, strata and segments as texts, outcomes and covariates.

    A unit without cluster, or whose cluster is null, is its own. A covariate is a number where all its values are,
    else a text. One Spark job looks at the rows first. Raises InputError for a column that is not there, a value that
    is no number, an arm that nobody declared, a unit without id or with two rows.
    """
    _require_columns(raw, experiment)
    facts = _looked_at(raw, experiment)
    _check(facts, experiment)
    design, file = experiment.design, experiment.file
    unit = F.concat(F.lit("unit:"), _text(file.unit))
    cluster = F.concat(F.lit("cluster:"), _text(file.cluster)) if file.cluster else F.lit(None)
    texts = {name: F.coalesce(_text(name), F.lit(UNKNOWN)) for name in (*design.strata, *design.segments)}
    stratum = F.concat_ws("|", *(texts[name] for name in design.strata)) if design.strata else F.lit("all")
    numbers = {name: _number(raw, column) for name, column in file.outcomes.items()}
    adjusting = {
        name: _text(raw_name(name)) if facts[f"bad {raw_name(name)}"] else _number(raw, raw_name(name))
        for name in _covariates(experiment)
    }
    columns = {
        "profile_id": unit,
        "household_id": F.coalesce(cluster, unit),
        "arm": _text(file.arm),
        STRATUM: stratum,
        **texts,
        **numbers,
        **adjusting,
    }
    return raw.select([value.alias(name) for name, value in columns.items()])


def _covariates(experiment: UnitExperiment) -> tuple[str, ...]:
    metrics = experiment.design.metrics(experiment.catalogue)
    return tuple(dict.fromkeys(name for metric in metrics for name in metric.covariates))


def _require_columns(raw: DataFrame, experiment: UnitExperiment) -> None:
    for name in experiment.file.columns(experiment.design, experiment.catalogue):
        if name not in raw.columns:
            known = ", ".join(raw.columns)
            raise InputError(f"{experiment.file.path} has no column '{name}'; it has {known}")


def _looked_at(raw: DataFrame, experiment: UnitExperiment) -> Row:
    """Counts of what is wrong, each with an example; one row."""
    file, arms = experiment.file, list(experiment.design.arms)
    unknown = F.coalesce(~_text(file.arm).isin(arms), F.lit(True))
    asked: dict[str, Column] = {
        "rows": F.count(F.lit(1)),
        "units": F.count_distinct(_text(file.unit)),
        "without unit": F.count_if(_text(file.unit).isNull()),
        "bad arm": F.count_if(unknown),
        "example arm": F.min(F.when(unknown, F.coalesce(_text(file.arm), F.lit("null")))),
    }
    columns = (*file.outcomes.values(), *(raw_name(name) for name in _covariates(experiment)))
    for column in dict.fromkeys(columns):
        broken = _is_no_number(raw, column)
        asked[f"bad {column}"] = F.count_if(broken)
        asked[f"example {column}"] = F.min(F.when(broken, _text(column)))
    for column in _proportions(experiment):
        value = _number(raw, column)
        asked[f"not 0 or 1 {column}"] = F.min(F.when(~value.isin(0.0, 1.0), value))
    return raw.agg(*(value.alias(name) for name, value in asked.items())).collect()[0]


def _proportions(experiment: UnitExperiment) -> Sequence[str]:
    metrics: Mapping[str, str] = {
        metric.name: metric.kind for metric in experiment.design.metrics(experiment.catalogue)
    }
    return [column for name, column in experiment.file.outcomes.items() if metrics.get(name) == "proportion"]


def _check(facts: Row, experiment: UnitExperiment) -> None:
    file = experiment.file
    where = file.path
    if facts["without unit"]:
        raise InputError(f"{where}: {facts['without unit']} rows have no {file.unit}; give each unit its id")
    if facts["units"] < facts["rows"]:
        twice = facts["rows"] - facts["units"]
        raise InputError(f"{where}: {twice} rows repeat a {file.unit}; give one row per unit")
    if facts["bad arm"]:
        example = facts["example arm"]
        raise InputError(
            f"{where}: {facts['bad arm']} rows have {file.arm} '{example}', which arms does not declare; "
            "add the arm or leave the rows out"
        )
    for column in file.outcomes.values():
        if facts[f"bad {column}"]:
            example = facts[f"example {column}"]
            raise InputError(
                f"{where}: {facts[f'bad {column}']} rows of {column} are no number, such as '{example}'; "
                "correct them, or leave them empty"
            )
    for column in _proportions(experiment):
        if (example := facts[f"not 0 or 1 {column}"]) is not None:
            raise InputError(f"{where}: {column} is {example:g}; a proportion is 0 or 1, else use kind mean")


def _text(name: str) -> Column:
    return F.col(f"`{name}`").cast("string")


def _number(raw: DataFrame, name: str) -> Column:
    """The value as a double; texts are read as numbers or truths, and null where they say nothing."""
    if not isinstance(raw.schema[name].dataType, StringType):
        value = F.col(f"`{name}`").cast("double")
        return F.when(~F.isnan(value), value)
    text = F.lower(F.trim(F.col(f"`{name}`")))
    truth = F.coalesce(*(F.when(text == word, F.lit(value)) for word, value in _TRUTHS.items()))
    return F.when(~text.isin(*_NOTHING), F.coalesce(truth, text.try_cast("double")))


def _is_no_number(raw: DataFrame, name: str) -> Column:
    """Whether a value is there and is no finite number."""
    value = _number(raw, name)
    infinite = F.abs(value) == F.lit(float("inf"))
    if not isinstance(raw.schema[name].dataType, StringType):
        return F.coalesce(infinite, F.lit(False))
    said = ~F.lower(F.trim(F.col(f"`{name}`"))).isin(*_NOTHING)
    return F.coalesce(said & (value.isNull() | infinite), F.lit(False))
