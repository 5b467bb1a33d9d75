"""The rows of table srm_checks at one window end: profiles, households and crossovers, overall and per slice."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import reduce

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from metrics.configuration.design import Design
from metrics.rows import CROSSOVER, HOUSEHOLD, PROFILE, SrmCheck
from metrics.statistics.layout import ALL, STRATUM, column, stratum_of
from metrics.statistics.srm import TRIGGER_ALPHA, e_bh, srm_test

WINDOWS = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
# (window_kind, unit, slice, slice_value) -> units by arm
Counts = Mapping[tuple[str, str, str, str], Mapping[str, int]]


def srm_checks(
    exposed: DataFrame,
    design: Design,
    window_end: datetime,
    kinds: tuple[str, ...] = ("day",),
    epoch: int = 0,
    has_households: bool = True,
    columns: Sequence[str] = (),
) -> tuple[SrmCheck, ...]:
    """Checks of the cumulative window up to `window_end` (excluded) and of the last hour or day before it.

    exposed: one row per profile with its first exposure, crossovers included: profile_id, household_id, arm,
    exposed_at and the experiment's strata, n_arms where it is known. Collects the counts by arm. Slices are each
    stratum and each value of the `columns` among those that make strata, such as a platform in all regions. Of
    crossovers, which no analysis holds, there must be as many in each arm as planned, too. Only cumulative rows
    trigger, by e-BH over all slices and units; their threshold is on the scale of log_e_value. Without randomisation
    there is nothing to check; where clusters are randomised, profiles of a household are no independent draws and only
    households count; where there are none, only profiles do.
    """
    if design.randomized_by == "none":
        return ()
    units = _units_of(design, has_households, can_cross="n_arms" in exposed.columns)
    sliced = _slices(design, columns)
    counts = _counts(exposed, design, window_end, kinds, units, sliced)
    checks = [_check(design, epoch, window_end, key, by_arm) for key, by_arm in sorted(counts.items())]
    return tuple(_triggered(checks))


def _counts(
    exposed: DataFrame,
    design: Design,
    window_end: datetime,
    kinds: tuple[str, ...],
    units: Sequence[str],
    sliced: Mapping[str, Sequence[str]],
) -> Counts:
    before = exposed.where(F.col("exposed_at") < F.lit(window_end))
    started = {kind: window_end - WINDOWS[kind] for kind in kinds}
    counted = reduce(DataFrame.unionByName, [_units(before, sliced, unit) for unit in units])
    rows = (
        counted.groupBy("unit", *map(_frame_column, sliced), "arm")
        .agg(
            F.count(F.lit(1)).alias("cumulative"),
            *(F.count_if(F.col("exposed_at") >= F.lit(start)).alias(kind) for kind, start in started.items()),
        )
        .collect()
    )
    counts: dict[tuple[str, str, str, str], dict[str, int]] = defaultdict(
        lambda: dict.fromkeys(design.arms, 0)
    )
    for row in rows:
        for kind in ("cumulative", *kinds):
            if row[kind] and row["arm"] in design.arms:
                counts[kind, row["unit"], ALL, ALL][row["arm"]] += row[kind]
                # Crossovers are few, and a slice of them fewer.
                for slice_ in sliced if row["unit"] != CROSSOVER else ():
                    counts[kind, row["unit"], slice_, row[_frame_column(slice_)]][row["arm"]] += row[kind]
    return counts


def _slices(design: Design, columns: Sequence[str]) -> dict[str, Sequence[str]]:
    """The columns that make each way of slicing, by its name."""
    sliced: dict[str, Sequence[str]] = {STRATUM: design.strata} if design.strata else {}
    return sliced | {name: (name,) for name in columns if len(design.strata) > 1}


def _frame_column(slice_: str) -> str:
    return f"_slice_{slice_}"


def _units_of(design: Design, has_households: bool, can_cross: bool) -> tuple[str, ...]:
    if design.randomized_by == "cluster" and has_households:
        return (HOUSEHOLD,)
    return (PROFILE, *([HOUSEHOLD] if has_households else []), *([CROSSOVER] if can_cross else []))


def _units(exposed: DataFrame, sliced: Mapping[str, Sequence[str]], unit: str) -> DataFrame:
    """unit, slices, arm, exposed_at of each profile, or of each household's first exposed one (tie: smallest id)."""
    slices = [stratum_of([*map(column, names)]).alias(_frame_column(name)) for name, names in sliced.items()]
    chosen = exposed.where(F.col("n_arms") > 1) if unit == CROSSOVER else exposed
    profiles = chosen.select("household_id", "profile_id", "arm", "exposed_at", *slices)
    if unit == HOUSEHOLD:
        order = Window.partitionBy("household_id").orderBy("exposed_at", "profile_id")
        profiles = profiles.withColumn("_place", F.row_number().over(order)).where(F.col("_place") == 1)
    return profiles.select(F.lit(unit).alias("unit"), *map(_frame_column, sliced), "arm", "exposed_at")


def _check(
    design: Design,
    epoch: int,
    window_end: datetime,
    key: tuple[str, str, str, str],
    by_arm: Mapping[str, int],
) -> SrmCheck:
    kind, unit, slice_, value = key
    test = srm_test(list(by_arm.values()), list(design.arms.values()))
    return SrmCheck(
        experiment_id=design.id,
        epoch=epoch,
        window_kind=kind,
        window_end=window_end,
        unit=unit,
        slice=slice_,
        slice_value=value,
        observed=by_arm,
        expected=dict(zip(design.arms, test.expected, strict=True)),
        chi_square=test.chi_square,
        df=float(test.df),
        p_value=test.p_value,
        log_e_value=test.log_e_value,
        triggered=False,
    )


def _triggered(checks: list[SrmCheck]) -> Iterator[SrmCheck]:
    cumulative = [check.log_e_value or 0.0 for check in checks if check.window_kind == "cumulative"]
    threshold = e_bh(cumulative, TRIGGER_ALPHA) if cumulative else None
    for check in checks:
        if threshold is None or check.window_kind != "cumulative":
            yield check
        else:
            yield replace(check, threshold=threshold, triggered=(check.log_e_value or 0.0) >= threshold)
