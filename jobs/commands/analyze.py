"""`watchlift analyze`: every estimate of one file of units, on a Spark of its own."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.arguments import WorkFailed
from jobs.commands.common import add_command, print_answer, table

if TYPE_CHECKING:
    from jobs.unit_analysis import UnitAnalysis
    from metrics.rows import Estimate


def add_commands(commands: Any) -> None:
    analyze = add_command(commands, "analyze", "Every estimate of a file with one row per unit.", _analyze)
    analyze.add_argument("spec", type=Path, metavar="SPEC.yml", help="experiment with a `source`")
    analyze.add_argument(
        "--replicates",
        type=_replicates,
        default=0,
        help="bootstrap replicates, such as 10000 (default: none)",
    )


def _analyze(arguments: argparse.Namespace) -> None:
    from metrics.configuration.units import load_unit_experiment

    # What is wrong in the specification is said before anything heavy is loaded.
    experiment = load_unit_experiment(arguments.spec)

    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    from jobs.embedded import embedded_spark
    from jobs.unit_analysis import analyze_units, as_document, reason_of

    with embedded_spark("watchlift-analyze") as spark:
        try:
            analysis = analyze_units(spark, experiment, arguments.replicates)
        except (PySparkException, Py4JJavaError) as error:
            reason = reason_of(error)
            raise WorkFailed(f"{experiment.file.path}: Spark stopped: {reason}; check the file") from error
    print_answer(arguments, as_document(analysis), _text(analysis))


def _replicates(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if not 100 <= number <= 100_000:
        raise argparse.ArgumentTypeError(f"'{text}' replicates; give a whole number from 100 to 100,000")
    return number


def _text(analysis: "UnitAnalysis") -> str:
    """Sample ratio, then a block per metric and arm: everybody first, then segments; then interactions."""
    from metrics.reasons import STATUS_WORDS
    from metrics.wording import p_value

    blocks = [_sample_ratio(analysis)]
    for metric, arm in dict.fromkeys((row.metric, row.arm) for row in analysis.estimates):
        rows = [row for row in analysis.estimates if (row.metric, row.arm) == (metric, arm)]
        blocks.append(f"{metric} ({rows[0].role}): {arm} against {rows[0].control_arm}\n{_estimates(rows)}")
    tests = [
        [
            f"{row.metric} by {row.segment}",
            row.arm,
            p_value(row.p_value) if row.status == "ok" else STATUS_WORDS[row.status],
        ]
        for row in analysis.interactions
    ]
    if tests:
        blocks.append("Does the effect differ between segments?\n" + table(["", "arm", "p"], tests))
    return "\n".join(blocks)


def _sample_ratio(analysis: "UnitAnalysis") -> str:
    triggered = [check for check in analysis.srm_checks if check.triggered]
    if triggered:
        slices = ", ".join(f"{check.slice} {check.slice_value}" for check in triggered)
        return (
            f"Sample ratio mismatch ({slices}): the arms differ from the start; do not use these results.\n"
        )
    overall = [check for check in analysis.srm_checks if check.slice == "all"]
    if not overall:
        return "Sample ratio: not checked; there are no units, or they were not randomized.\n"
    counts = " and ".join(f"{count:,} {arm}" for arm, count in overall[-1].observed.items())
    return f"Sample ratio: as planned ({counts}, p = {overall[-1].p_value:.3f}).\n"


def _estimates(rows: Sequence["Estimate"]) -> str:
    lines = [[_place(row), *_numbers(row)] for row in rows]
    return table(["", "effect", "interval", "relative", "p"], lines)


def _place(row: "Estimate") -> str:
    estimator = row.estimator.replace("_", " ")
    return estimator if row.segment == "all" else f"{row.segment} {row.segment_value}: {estimator}"


def _numbers(row: "Estimate") -> list[str]:
    from metrics.reasons import STATUS_WORDS
    from metrics.wording import decimals_for, number, p_value, percent

    if row.effect is None:
        return [STATUS_WORDS[row.status], "", "", ""]
    digits = decimals_for(row.std_error)
    low, high = (number(end, digits) for end in (row.ci_low, row.ci_high))
    return [
        number(row.effect, digits, signed=True),
        f"{low} to {high}",
        percent(row.relative_effect, 2),
        p_value(row.p_value),
    ]
