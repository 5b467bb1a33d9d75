"""The readout as plain text of at most 80 columns: what a person reads in a terminal or an Airflow log."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from metrics import wording
from metrics.evidence import ALL
from metrics.readout.model import MetricReading, Readout
from metrics.readout.phrases import (
    balance_sentence,
    detectable,
    differences,
    epoch_sentence,
    headline,
    household_sentences,
    observed,
    people_sentences,
    quality_sentence,
    remainder,
    some,
    srm_sentence,
)
from metrics.reasons import slice_name
from metrics.rows import Estimate, LookRow

WIDTH = 80


class Column(NamedTuple):
    title: str
    is_text: bool = False


def render_text(readout: Readout) -> str:
    """The whole readout, lines of at most 80 columns, no control codes."""
    tables = (_metrics, _guardrails, _looks, _truth, _segments)
    parts = (_head, _decision, _business, *tables, _srm, _quality, _basis)
    sections = ("\n".join(lines) for part in parts if (lines := list(part(readout))))
    return "\n\n".join(sections) + "\n"


def _head(readout: Readout) -> Iterator[str]:
    yield "=" * WIDTH
    yield from _wrap(f"{readout.experiment_id}: readout of {readout.analysis_day}")
    if readout.hypothesis:
        yield from _wrap(readout.hypothesis)
    if readout.restart:
        yield from _wrap(epoch_sentence(readout))
    for told in people_sentences(readout):
        yield from _wrap(told)
    yield "=" * WIDTH


def _decision(readout: Readout) -> Iterator[str]:
    yield f"DECISION: {headline(readout).upper()}"
    for reason in readout.decision.reasons:
        yield from _bullet(reason)


def _business(readout: Readout) -> Iterator[str]:
    chosen = [term for term in readout.business if term.role != "guardrail"]
    if not chosen or not readout.is_trusted:
        return
    yield "IN BUSINESS TERMS" + ("" if readout.is_final else " (so far; not final)")
    for term in chosen:
        arm = f"{term.arm}: " if readout.has_several_treatments else ""
        yield from _bullet(f"{arm}{term.headline}: {term.detail}.")


def _metrics(readout: Readout) -> Iterator[str]:
    level = f"RELATIVE, {wording.share(readout.level)} INTERVAL"
    columns = (
        Column("METRIC", True),
        Column("CONTROL"),
        Column(_arm_title(readout)),
        Column("EFFECT"),
        Column(level),
        Column("P"),
    )
    yield from _table(columns, [_metric_cells(reading, readout) for reading in readout.metrics])
    for reading in readout.metrics:
        if reading.reading.kind in ("no power", "no effect", "inconclusive", "not computable"):
            name = _name(reading.estimate, readout)
            yield from _bullet(f"{name}: {reading.reading.kind}. {reading.reading.sentence}")
    for row in readout.other_estimators:
        if row.role == "primary":
            yield from _bullet(f"{_name(row, readout)} by {row.estimator}: {_relative(row)}")


def _metric_cells(reading: MetricReading, readout: Readout) -> list[str]:
    row, decimals = reading.estimate, wording.decimals_for(reading.estimate.std_error)
    return [
        _name(row, readout),
        wording.number(row.control_mean, decimals),
        wording.number(row.arm_mean, decimals),
        wording.number(row.effect, decimals, signed=True),
        _relative(row),
        wording.p_value(row.p_value),
    ]


def _guardrails(readout: Readout) -> Iterator[str]:
    if not readout.decision.guardrails:
        return
    columns = (
        Column("GUARDRAIL", True),
        Column("WORSE BY"),
        Column(f"{wording.share(readout.level)} REPEATED INTERVAL"),
        Column("MARGIN"),
        Column("VERDICT", True),
    )
    several = readout.has_several_treatments
    rows = []
    for v in readout.decision.guardrails:
        decimals = wording.decimals_for(v.margin)
        interval = _interval(*(wording.number(x, decimals, signed=True) for x in (v.harm_low, v.harm_high)))
        name = f"{v.metric} {v.arm}" if several else v.metric
        harm, margin = wording.number(v.harm, decimals, signed=True), wording.number(v.margin, decimals)
        rows.append([name, harm, interval, margin, v.verdict.upper()])
    yield from _table(columns, rows)


def _looks(readout: Readout) -> Iterator[str]:
    """The latest at each primary and guardrail, and what is left; the page has all of them."""
    if not readout.looks:
        return
    columns = (
        Column("LATEST LOOK AT", True),
        Column("LOOK"),
        Column("INFORMATION"),
        Column("ALPHA SPENT"),
        Column("Z"),
        Column("BOUNDARY"),
        Column("CROSSED", True),
    )
    yield from _table(columns, [_look_cells(look, readout) for look in readout.latest_looks])
    for look in readout.latest_looks:
        yield from _bullet(f"{_looked_at(look, readout)}: {remainder(look, readout)}")


def _look_cells(look: LookRow, readout: Readout) -> list[str]:
    boundary = wording.MISSING if look.z_boundary is None else f"±{look.z_boundary:.2f}"
    return [
        _looked_at(look, readout),
        str(look.look),
        wording.percent(look.information_fraction, 0, signed=False),
        f"{look.alpha_spent:.4f}",
        wording.number(look.statistic, 2, signed=True),
        boundary,
        "yes" if look.crossed else "",
    ]


def _looked_at(look: LookRow, readout: Readout) -> str:
    return f"{look.metric} {look.arm}" if readout.has_several_treatments else look.metric


def _truth(readout: Readout) -> Iterator[str]:
    known = [reading for reading in (*readout.metrics, *readout.new_profiles) if reading.truth]
    if not known:
        return
    columns = (
        Column("INJECTED TRUTH", True),
        Column("TRUE"),
        Column("ESTIMATE"),
        Column(f"{wording.share(readout.level)} INTERVAL"),
        Column("COVERS IT", True),
    )
    yield from _table(columns, [_truth_cells(reading, readout) for reading in known])


def _truth_cells(reading: MetricReading, readout: Readout) -> list[str]:
    row, truth = reading.estimate, reading.truth
    decimals = wording.decimals_for(row.std_error)
    effects = (truth.effect if truth else None, row.effect, row.ci_low, row.ci_high)
    true, estimate, low, high = (wording.number(x, decimals, signed=True) for x in effects)
    covered = {True: "yes", False: "NO", None: wording.MISSING}[truth.is_covered if truth else None]
    suffix = "" if row.segment == ALL else f" ({row.segment_value})"
    return [_name(row, readout) + suffix, true, estimate, _interval(low, high), covered]


def _segments(readout: Readout) -> Iterator[str]:
    first = next(iter(readout.of_role("primary")), None)
    shown = [s for s in readout.segments if first and s.estimate.metric == first.estimate.metric]
    if not shown:
        return
    columns = (
        Column("SEGMENT", True),
        Column("PROFILES"),
        Column("RELATIVE EFFECT"),
        Column("DETECTABLE"),
        Column("READING", True),
    )
    yield from _wrap(
        f"SEGMENTS of {shown[0].estimate.metric} (DETECTABLE: the smallest change to count on finding)"
    )
    yield from _table(columns, [_segment_cells(segment, readout) for segment in shown])
    yield from _wrap(differences(readout, shown[0].estimate.metric))


def _segment_cells(segment: MetricReading, readout: Readout) -> list[str]:
    row = segment.estimate
    name = f"{row.segment} {row.segment_value}" + (f" {row.arm}" if readout.has_several_treatments else "")
    profiles = (row.n_profiles_control or 0) + (row.n_profiles_arm or 0)
    return [name, wording.count(profiles), _relative(row), detectable(row), segment.reading.kind]


def _srm(readout: Readout) -> Iterator[str]:
    yield from _wrap(f"SAMPLE RATIO: {srm_sentence(readout)}")
    columns = (Column("ARM", True), Column("PLANNED"), Column("EXPOSED"), Column("CROSSOVERS"))
    rows = [
        [arm.arm, wording.share(arm.share), wording.count(arm.exposed), wording.count(arm.crossovers)]
        for arm in readout.arms
    ]
    matured = [wording.count(arm.matured) for arm in readout.arms]
    yield from _table(
        (*columns, Column("MATURED")), [[*cells, m] for cells, m in zip(rows, matured, strict=True)]
    )
    for check in readout.srm.triggered[:5]:
        yield from _bullet(f"{slice_name(check)}: {observed(check)}, p {wording.p_value(check.p_value)}")
    if readout.srm.incident:
        yield from _bullet(f"what was known when: watchlift srm {readout.experiment_id}")
    yield from _wrap(f"BEFORE THE EXPOSURE: {balance_sentence(readout)}")
    if told := household_sentences(readout):
        yield from _wrap(f"HOUSEHOLDS: {' '.join(told)}")


def _quality(readout: Readout) -> Iterator[str]:
    quality = readout.quality
    yield from _wrap(f"DATA QUALITY: {quality_sentence(readout)}")
    for failure in quality.failures[:5]:
        what = f"{failure.severity}: {failure.expectation} on {failure.table} of {failure.day}"
        yield from _bullet(what + (f", observed {failure.observed}" if failure.observed else ""))
    if len(quality.failures) > 5:
        yield from _bullet(f"and {len(quality.failures) - 5} more in data_quality_results")


def _basis(readout: Readout) -> Iterator[str]:
    provenance = readout.provenance
    computed = wording.moment(provenance.computed_at) if provenance.computed_at else "at an unknown time"
    yield from _wrap(
        f"RESTS ON: experiment file {provenance.spec_hash}, input {some(provenance.input_versions)}, "
        f"code {some(provenance.code_versions)}, computed {computed}; errors robust to households "
        f"({some(provenance.covariances)}); epoch {readout.epoch}."
    )
    if provenance.is_spec_changed:
        yield from _bullet("The experiment file has changed since these numbers were computed.")


def _name(row: Estimate, readout: Readout) -> str:
    return f"{row.metric} {row.arm}" if readout.has_several_treatments else row.metric


def _arm_title(readout: Readout) -> str:
    treatments = [arm.arm for arm in readout.arms if arm.arm != readout.control]
    return treatments[0].upper() if len(treatments) == 1 and len(treatments[0]) <= 9 else "ARM"


def _relative(row: Estimate) -> str:
    low, high = wording.percent(row.relative_ci_low), wording.percent(row.relative_ci_high)
    return f"{wording.percent(row.relative_effect)} {_interval(low, high)}"


def _interval(low: str, high: str) -> str:
    return wording.MISSING if wording.MISSING in (low, high) else f"({low} to {high})"


def _table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A header, a rule and the rows, as wide as their cells; a name for which no room is left gets its own line."""
    widths = [max(map(len, cells)) for cells in zip([c.title for c in columns], *rows, strict=True)]
    gap = "  " if sum(widths) + 2 * (len(widths) - 1) <= WIDTH else " "
    widths[0] = max(
        len(columns[0].title), min(widths[0], WIDTH - sum(widths[1:]) - len(gap) * (len(widths) - 1))
    )
    yield _line(columns, widths, gap, [column.title for column in columns])
    yield "-" * (sum(widths) + len(gap) * (len(widths) - 1))
    for cells in rows:
        if len(cells[0]) <= widths[0]:
            yield _line(columns, widths, gap, cells)
        else:
            yield from textwrap.wrap(cells[0], WIDTH)
            yield _line(columns, widths, gap, ["", *cells[1:]])


def _line(columns: Sequence[Column], widths: Sequence[int], gap: str, cells: Sequence[str]) -> str:
    parts = zip(columns, widths, cells, strict=True)
    return gap.join(
        f"{cell:<{width}}" if c.is_text else f"{cell:>{width}}" for c, width, cell in parts
    ).rstrip()


def _wrap(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent or "  ")


def _bullet(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  - ", subsequent_indent="    ")
