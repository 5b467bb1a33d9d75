"""Rows of a user's own file of units as rows like those of profile_windows, and what forbids it."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, NumericType, StringType

from metrics.configuration.units import UnitExperiment, raw_name
from metrics.errors import InputError
from metrics.statistics.layout import STRATUM, UNKNOWN, covariate_sources, stratum_of

# A whole number as numbers are written, so that equal texts are equal numbers.
_WHOLE_NUMBER = "^(0|[1-9][0-9]{0,18})$"
_LONGEST_ID = 19
_LARGEST = 1e100  # squares of sums of more have no end
_NOTHING = ("", "na", "n/a", "nan", "null", "none")


def unit_windows(typed: DataFrame, experiment: UnitExperiment) -> DataFrame:
    """profile_id and household_id (texts), arm, stratum, strata and segments as texts, outcomes and covariates.

    typed: of `typed_units`. A unit without cluster, or whose cluster is missing, is its own. Ids that are all whole
    numbers are in the order of numbers. A covariate is a text where a tenth of its values or more are no numbers. A
    Spark job looks at the rows first. Raises InputError for a value that is no number, an arm that nobody declared, a
    unit without id. That no unit has two rows `refuse_repeats` says.
    """
    facts = _looked_at(typed, experiment)
    _check(facts, experiment)
    design, file = experiment.design, experiment.file
    name = _text(file.unit) if facts["texts as ids"] else F.lpad(_text(file.unit), _LONGEST_ID, "0")
    unit = F.concat(F.lit("unit:"), name)
    cluster = F.concat(F.lit("cluster:"), _said(file.cluster)) if file.cluster else F.lit(None)
    texts = {name: F.coalesce(_text(name), F.lit(UNKNOWN)) for name in (*design.strata, *design.segments)}
    numbers = {name: _number(column) for name, column in file.outcomes.items()}
    adjusting = {
        name: _text(raw_name(name)) if _is_text(facts, raw_name(name)) else _number(raw_name(name))
        for name in _covariates(experiment)
    }
    columns = {
        "profile_id": unit,
        "household_id": F.coalesce(cluster, unit),
        "arm": _text(file.arm),
        STRATUM: stratum_of([texts[name] for name in design.strata]),
        **texts,
        **numbers,
        **adjusting,
    }
    return typed.select([value.alias(name) for name, value in columns.items()])


def typed_units(raw: DataFrame, experiment: UnitExperiment) -> DataFrame:
    """Each column as a text, and those that may be numbers also as one; worth keeping while they are looked at.

    Raises InputError for a column that is not there.
    """
    _require_columns(raw, experiment)
    names = experiment.file.columns(experiment.design, experiment.catalogue)
    texts = [F.col(f"`{name}`").cast("string").alias(_text_name(name)) for name in names]
    numbers = [_read_number(raw, name).alias(_number_name(name)) for name in _numeric(experiment)]
    return raw.select(*texts, *numbers)


def _numeric(experiment: UnitExperiment) -> tuple[str, ...]:
    """Raw columns of outcomes and covariates, each once."""
    covariates = map(raw_name, _covariates(experiment))
    return tuple(dict.fromkeys((*experiment.file.outcomes.values(), *covariates)))


def _covariates(experiment: UnitExperiment) -> tuple[str, ...]:
    return covariate_sources(experiment.design, experiment.design.metrics(experiment.catalogue))


def _require_columns(raw: DataFrame, experiment: UnitExperiment) -> None:
    for name in experiment.file.columns(experiment.design, experiment.catalogue):
        # Spark adds its position to the name of a column that another one has, but for case.
        twins = [c for n, c in enumerate(raw.columns) if c.lower() == f"{name}{n}".lower()]
        if len(twins) > 1:
            raise InputError(
                f"{experiment.file.path} has {len(twins)} columns '{name}'; name each differently"
            )
        if name not in raw.columns:
            known = ", ".join(raw.columns) or "none; is it empty?"
            raise InputError(
                f"{experiment.file.path} has no column '{name}'; correct the specification: it has {known}"
            )


def _looked_at(typed: DataFrame, experiment: UnitExperiment) -> Row:
    """Counts of what is wrong, each with an example; one row."""
    file, arms = experiment.file, list(experiment.design.arms)
    unknown = F.coalesce(~_text(file.arm).isin(arms), F.lit(True))
    asked: dict[str, Column] = {
        "without unit": F.count_if(_text(file.unit).isNull()),
        "texts as ids": F.count_if(~_text(file.unit).rlike(_WHOLE_NUMBER)),
        "bad arm": F.count_if(unknown),
        "example arm": F.min(F.when(unknown, F.coalesce(_text(file.arm), F.lit("null")))),
    }
    for column in _numeric(experiment):
        finite = _number(column).isNotNull() & (F.abs(_number(column)) <= _LARGEST)
        broken = _said(column).isNotNull() & ~finite
        asked[f"known {column}"] = F.count(_said(column))
        asked[f"bad {column}"] = F.count_if(broken)
        asked[f"example {column}"] = F.min(F.when(broken, _text(column)))
    for column in _proportions(experiment):
        asked[f"not 0 or 1 {column}"] = F.min(F.when(~_number(column).isin(0.0, 1.0), _number(column)))
    return typed.agg(*(value.alias(name) for name, value in asked.items())).collect()[0]


def _proportions(experiment: UnitExperiment) -> Sequence[str]:
    metrics = experiment.design.metrics(experiment.catalogue)
    return [experiment.file.outcomes[metric.name] for metric in metrics if metric.is_share]


def _check(facts: Row, experiment: UnitExperiment) -> None:
    file = experiment.file
    where = file.path
    if facts["without unit"]:
        raise InputError(f"{where}: {facts['without unit']} rows have no {file.unit}; give each unit its id")
    if facts["bad arm"]:
        example = facts["example arm"]
        raise InputError(
            f"{where}: {facts['bad arm']} rows have {file.arm} '{example}', which arms does not declare; "
            "add the arm or leave the rows out"
        )
    covariates = [raw_name(name) for name in _covariates(experiment)]
    for column in (*file.outcomes.values(), *(name for name in covariates if not _is_text(facts, name))):
        if facts[f"bad {column}"]:
            example = facts[f"example {column}"]
            raise InputError(
                f"{where}: {facts[f'bad {column}']} rows of {column} are no number, such as '{example}'; "
                "correct them, or leave them empty (numbers go up to 1e100)"
            )
    for column in _proportions(experiment):
        if (example := facts[f"not 0 or 1 {column}"]) is not None:
            raise InputError(f"{where}: {column} is {example:g}; a proportion is 0 or 1, else use kind mean")


def _is_text(facts: Row, column: str) -> bool:
    """Whether a covariate's values are texts, and not numbers with a slip of the pen."""
    return bool(facts[f"bad {column}"] > 0 and 10 * facts[f"bad {column}"] >= facts[f"known {column}"])


def refuse_repeats(typed: DataFrame, experiment: UnitExperiment) -> None:
    """One Spark job. Raises InputError for a unit with two rows."""
    file = experiment.file
    repeated = typed.groupBy(_text(file.unit).alias("unit")).count().where("count > 1").limit(1).collect()
    for row in repeated:
        raise InputError(
            f"{file.path}: {file.unit} '{row['unit']}' has {row['count']} rows; give one row per unit"
        )


def _text_name(raw: str) -> str:
    return f"text {raw}"


def _number_name(raw: str) -> str:
    return f"number {raw}"


def _text(raw: str) -> Column:
    return F.col(f"`{_text_name(raw)}`")


def _said(raw: str) -> Column:
    """The text, null where it says that there is none."""
    return F.when(~F.lower(F.trim(_text(raw))).isin(*_NOTHING), _text(raw))


def _number(raw: str) -> Column:
    return F.col(f"`{_number_name(raw)}`")


def _read_number(raw: DataFrame, name: str) -> Column:
    """The value as a double, null where it is none or not a number; texts may also be truths."""
    kind = raw.schema[name].dataType
    if isinstance(kind, NumericType | BooleanType):
        value = F.col(f"`{name}`").cast("double")
        return F.when(~F.isnan(value), value)
    if not isinstance(kind, StringType):
        return F.lit(None).cast("double")
    text = F.lower(F.trim(F.col(f"`{name}`")))
    value = text.try_cast("double")
    truth = F.when(text == "true", F.lit(1.0)).when(text == "false", F.lit(0.0))
    return F.coalesce(F.when(~F.isnan(value), value), truth)
