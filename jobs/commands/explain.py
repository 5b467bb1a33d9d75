"""`watchlift explain`: where one number of a readout comes from, from the events' SQL to its boundary."""

import argparse
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from jobs.arguments import parse_day
from jobs.commands.common import add_command, print_answer
from metrics import wording
from metrics.configuration.catalogue import Catalogue, Metric
from metrics.errors import InputError
from metrics.explanation import Formula, formula_of
from metrics.readout.document import jsonable
from metrics.readout.model import Readout
from metrics.rows import Estimate, LookRow

# What an estimate is computed from, and what is planned, or written with it or after it.
_READ = ("events", "exposures", "profile_days", "exposure_day_measures", "profile_windows")
_WRITTEN = ("moments", "estimates", "power", "looks")
_WIDTH = 80


def add_commands(commands: Any) -> None:
    parser = add_command(commands, "explain", "Where the estimate of one metric comes from.", _explain)
    parser.add_argument("experiment", metavar="EXPERIMENT")
    parser.add_argument("metric", metavar="METRIC")
    parser.add_argument(
        "--day", type=parse_day, help="analysis day, YYYY-MM-DD (default: the latest estimated)"
    )
    parser.add_argument("--arm", help="of several treatments (default: the first)")


def _explain(arguments: argparse.Namespace) -> None:
    from jobs.delta_reader import (
        analysis_days,
        moments_of,
        readout_rows_of,
        restarts_of,
        version_by,
        version_of,
    )
    from metrics.configuration.project import load_project
    from metrics.readout.build import build_readout
    from metrics.statistics.layout import ALL, has_outcome
    from metrics.statistics.passes import one_thread

    project = load_project(arguments.conf_dir, arguments.data_dir)
    experiment = project.experiment(arguments.experiment)
    metric = _metric(project.catalogue, arguments.metric, experiment.metric_names)
    arm = arguments.arm or experiment.treatments[0]
    if arm not in experiment.treatments:
        raise InputError(
            f"--arm is '{arm}'; treatments of '{experiment.id}': {', '.join(experiment.treatments)}"
        )
    days = analysis_days(project, experiment.id)
    if not days:
        raise InputError(f"experiment '{experiment.id}' has no estimates yet; run jobs/run_experiments.py")
    day = arguments.day or days[-1]
    experiment = restarts_of(project).as_of(experiment, day)
    rows = readout_rows_of(project, experiment, day)
    readout = build_readout(experiment, project.catalogue, day, rows)
    reading = next(
        (r for r in readout.metrics if (r.estimate.metric, r.estimate.arm) == (metric.name, arm)), None
    )
    if reading is None:
        raise InputError(
            f"'{experiment.id}' has no estimate of {metric.name} on {day}; run jobs/estimate_effects.py for that day"
        )
    row = reading.estimate
    of_all = [m for cell, m in moments_of(project, experiment, day).items() if cell.segment == ALL]
    of_metric = next((moments for moments in of_all if has_outcome(moments.columns, metric)), None)
    with one_thread():
        formula = formula_of(row, of_metric, metric, experiment) if of_metric else None
    looks = [look for look in readout.looks if (look.metric, look.arm) == (metric.name, arm)]
    explanation = {
        "definition": _definition(project.catalogue, metric) | {"of_estimate": row.metric_version},
        "population": _population(readout, row),
        "formula": jsonable(formula) if formula else None,
        "estimate": jsonable(asdict(row)),
        "look": jsonable(looks[-1]) if looks else None,
        "reading": jsonable(reading.reading),
        "table_versions": {
            "when_computed": {name: version_by(project.tables, name, row.computed_at) for name in _READ}
            if row.computed_at
            else {},
            "now": {name: version_of(project.tables, name) for name in _WRITTEN},
        },
    }
    text = "\n".join(_lines(explanation, row, formula, looks[-1] if looks else None, readout)) + "\n"
    print_answer(arguments, {"explanation": explanation}, text)


def _metric(catalogue: Catalogue, name: str, declared: tuple[str, ...]) -> Metric:
    if name not in declared:
        raise InputError(f"metric '{name}' is not of this experiment; its metrics: {', '.join(declared)}")
    return catalogue.metrics[name]


def _definition(catalogue: Catalogue, metric: Metric) -> dict[str, Any]:
    return {
        "kind": metric.kind,
        "window": metric.window,
        "unit": metric.unit,
        "better": metric.better,
        "winsorize": list(metric.winsorize),
        "measures": {name: catalogue.measures[name].sql for name in metric.measures},
        "version": catalogue.version(metric.name),
    }


def _population(readout: Readout, row: Estimate) -> dict[str, Any]:
    """By arm, each number part of the one before."""
    arms = {
        each.arm: {"exposed": each.exposed, "crossovers": each.crossovers}
        for each in readout.arms
        if each.arm in (row.control_arm, row.arm)
    }
    arms[row.control_arm]["matured"], arms[row.arm]["matured"] = row.n_profiles_control, row.n_profiles_arm
    return {"arms": arms, "households": row.n_households}


def _lines(
    told: Mapping[str, Any], row: Estimate, formula: Formula | None, look: LookRow | None, readout: Readout
) -> Iterator[str]:
    definition, population = told["definition"], told["population"]
    subject = f"{row.metric} of {row.experiment_id}, data to {readout.analysis_day}"
    yield from textwrap.wrap(f"{subject}: {row.arm} against {row.control_arm}", _WIDTH)
    yield ""
    window = "to date" if definition["window"] is None else f"over {definition['window']} days"
    yield from _wrap("WHAT", f"{definition['kind']} {window} from the exposure on, in {definition['unit']}")
    for name, sql in definition["measures"].items():
        yield from _wrap("", f"{name} = {sql}")
    if row.metric_version and row.metric_version != definition["version"]:
        yield from _wrap(
            "", "conf/metrics.yml has changed since: the estimate was made by an earlier definition"
        )
    if row.winsor_threshold is not None:
        yield from _wrap(
            "", f"cut at {row.winsor_threshold:g}, the quantile {definition['winsorize'][-1]} of all arms"
        )
    for arm, counts in population["arms"].items():
        parts = (
            f"{wording.count(counts['exposed'])} exposed, {wording.count(counts['crossovers'])} crossovers left out, "
            f"{wording.count(counts['matured'])} matured"
        )
        yield from _wrap("WHO" if arm == row.control_arm else "", f"{arm}: {parts}")
    yield from _wrap("", f"in {wording.count(population['households'])} households")
    yield from _formula_lines(row, formula)
    yield from _look_lines(row, look)
    yield from _wrap("READ AS", f"{told['reading']['kind']}: {told['reading']['sentence']}")
    then, now = (_versions(told["table_versions"][when]) for when in ("when_computed", "now"))
    yield from _wrap("RESTS ON", f"versions of tables when it was computed: {then}")
    yield from _wrap("", f"and now, of what was written before or after it: {now}")
    yield from _wrap(
        "",
        f"rows {row.input_version}, metric {row.metric_version}, experiment file {row.spec_hash}, "
        f"code {row.code_version}, audit {row.quality_run_id}",
    )


def _versions(found: Mapping[str, int | None]) -> str:
    known = [f"{name} {n}" for name, n in found.items() if n is not None]
    return ", ".join(known) or "not known any more"


def _formula_lines(row: Estimate, formula: Formula | None) -> Iterator[str]:
    if formula is None:
        yield from _wrap("HOW", f"{row.estimator}, status {row.status}: no closed formula to show")
        return
    title = "MOMENTS"
    for column, by_arm in formula.moments.items():
        for arm, of_arm in by_arm.items():
            yield from _wrap(
                title,
                f"{column}, {arm}: n {of_arm.n_profiles:,}, Σ {of_arm.total:,.6g}, Σ² {of_arm.total_of_squares:,.6g} "
                f"(mean {of_arm.mean:.6g}, sd {of_arm.sd:.6g})",
            )
            title = ""
    yield from _wrap("HOW", f"{row.estimator}: {formula.name}")
    for arm, (top, bottom) in formula.sums.items():
        yield from _wrap("", f"{arm}: {top:,.6g} / {bottom:,.6g} = {top / bottom:.6g}")
    yield from _wrap(
        "",
        f"{formula.arm_value:.6g} − {formula.control_value:.6g} = {formula.arm_value - formula.control_value:+.6g}",
    )
    for each in formula.adjustments:
        difference = f"({each.arm_mean:.6g} − {each.control_mean:.6g})"
        yield from _wrap("", f"{-each.theta:+.6g} × {difference} = {-each.amount:+.6g}  {each.covariate}")
    yield from _wrap("", f"effect {formula.effect:+.6g}; in estimates {row.effect:+.6g}")
    yield from _wrap(
        "",
        f"std_error {_number(formula.std_error)}, from the households' scores in the moments; in estimates "
        f"{_number(row.std_error)}",
    )


def _look_lines(row: Estimate, look: LookRow | None) -> Iterator[str]:
    yield from _wrap(
        "HOW SURE",
        f"std_error {_number(row.std_error)} ({row.vcov or wording.MISSING}, df {_number(row.df)}), interval "
        f"{_number(row.ci_low)} to {_number(row.ci_high)}, not adjusted for looks",
    )
    if look is None:
        return
    part = wording.percent(look.information_fraction, 1, signed=False)
    boundary = "no boundary" if look.z_boundary is None else f"boundary ±{look.z_boundary:.3f}"
    yield from _wrap(
        "LOOK",
        f"{look.look}, of {look.analysis_day}: z {look.statistic:+.3f}, {boundary}; information "
        f"1 / std_error² = {look.information:.6g}, {part} of the plan; {look.alpha_spent:.4g} of alpha spent"
        + ("; crossed" if look.crossed else ""),
    )


def _number(value: float | None) -> str:
    return wording.MISSING if value is None else f"{value:.6g}"


def _wrap(title: str, text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=f"{title:<10}", subsequent_indent=" " * 12)
