"""The readout as one self-contained HTML file: decision first, no scripts, no request to anywhere."""

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from metrics import wording
from metrics.enrollment import start_of
from metrics.evidence import ALL
from metrics.incident import Incident
from metrics.readout import phrases
from metrics.readout.business import BusinessTerm
from metrics.readout.model import MetricReading, Readout, SrmLook, SrmSummary
from metrics.readout.plots import Course, Forest, Interval, course, forest
from metrics.reasons import STATUS_WORDS, slice_name
from metrics.rows import Estimate, LookRow, SrmCheck

# An interval much wider than the overall one would squash the others; it is cut there and marked.
_REACH_IN_OVERALL_WIDTHS = 4
_REACH_IN_MARGINS = 4.0
_VISIBLE_SRM_ROWS = 8
_VISIBLE_LOOKS = 48


@dataclass(frozen=True)
class MetricTable:
    """Estimates of one table with their common forest plot, bar by bar in the order of `readings`."""

    title: str
    readings: tuple[MetricReading, ...]
    forest: Forest


@dataclass(frozen=True)
class IncidentLooks:
    """What the sample-ratio monitor knew: all looks; of many, those that told of a slice, with the others folded
    away and drawn.
    """

    shown: tuple[SrmLook, ...]
    folded: tuple[SrmLook, ...]
    course: Course | None


@dataclass(frozen=True)
class LedgerTable:
    """The looks at one metric in one arm; `course`: its statistic between its boundaries, from two looks on."""

    title: str
    looks: tuple[LookRow, ...]
    course: Course | None


def render_page(readout: Readout) -> str:
    """The page; every value is escaped."""
    template, shown = environment().get_template("readout.html.j2"), _srm_shown(readout.srm)
    main = [reading for reading in readout.metrics if reading.estimate.role != "guardrail"]
    return template.render(
        readout=readout,
        headline=phrases.headline(readout),
        epoch_sentence=phrases.epoch_sentence(readout),
        by_people=phrases.people_sentences(readout),
        business=_business(readout),
        main=_effects("Primary and secondary metrics", main),
        guardrails=_guardrails(readout),
        ledgers=_ledgers(readout),
        segments=[_effects(name, readings, _reach(readout, name)) for name, readings in _by_metric(readout)],
        truths=[reading for reading in (*readout.metrics, *readout.new_profiles) if reading.truth],
        more_truths=[r for r in readout.segments if r.truth and r not in readout.new_profiles],
        srm_shown=shown,
        srm_rest=[check for check in readout.srm.checks if check not in shown],
        incident=_incident(readout.srm),
        srm_sentence=phrases.srm_sentence(readout),
        balance_sentence=phrases.balance_sentence(readout),
        household_sentences=phrases.household_sentences(readout),
        quality_sentence=phrases.quality_sentence(readout),
        level=wording.share(readout.level),
        several=readout.has_several_treatments,
    )


def environment() -> Environment:
    """Of every page: the filters that word its values."""
    environment = Environment(
        loader=PackageLoader("metrics.readout", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "label": wording.label,
        "count": wording.count,
        "share": wording.share,
        "p": wording.p_value,
        "percent": wording.percent,
        "number": wording.number,
        "decimals": wording.decimals_for,
        "slice_name": slice_name,
        "observed": phrases.observed,
        "detectable": phrases.detectable,
        "differences": phrases.differences,
        "some": phrases.some,
        "remainder": phrases.remainder,
        "moment": wording.moment,
        "interval": _interval,
        "repeated": _repeated,
        "relative": _relative,
        "status": lambda status: STATUS_WORDS.get(status, status),
        "observed_share": _observed_share,
    }
    return environment


def _business(readout: Readout) -> list[BusinessTerm]:
    """In the order of the roles; nothing where the numbers are not used."""
    order = ("primary", "secondary", "guardrail")
    return sorted(readout.business, key=lambda term: order.index(term.role)) if readout.is_trusted else []


def _effects(title: str, readings: Sequence[MetricReading], reach: float | None = None) -> MetricTable:
    """Metrics of different units share a scale of relative effects."""
    intervals = [_relative_interval(reading.estimate) for reading in readings]
    return MetricTable(title, tuple(readings), forest(intervals, _percent_tick, reach=reach))


def _guardrails(readout: Readout) -> MetricTable:
    """Harm in multiples of the margin: guardrails of different units share the line at 1."""
    intervals: list[Interval | None] = []
    for v in readout.decision.guardrails:
        known = v.harm is not None and v.harm_low is not None and v.harm_high is not None
        harm = (v.harm_low or 0.0, v.harm or 0.0, v.harm_high or 0.0)
        intervals.append((harm[0] / v.margin, harm[1] / v.margin, harm[2] / v.margin) if known else None)
    plot = forest(intervals, lambda value: f"{value:g}×", marks=(1.0,), reach=_REACH_IN_MARGINS)
    return MetricTable("Guardrails", readout.of_role("guardrail"), plot)


def _ledgers(readout: Readout) -> list[LedgerTable]:
    """Of the primaries, then of the guardrails, each in its arms."""
    found: dict[str, list[LookRow]] = {}
    for look in readout.looks:
        arm = f" – {look.arm}" if readout.has_several_treatments else ""
        found.setdefault(f"{wording.label(look.metric)}{arm}", []).append(look)
    return [LedgerTable(title, tuple(looks), _path(looks)) for title, looks in found.items()]


def _path(looks: Sequence[LookRow]) -> Course | None:
    """The statistic first, then its boundaries above and below; those that could cross."""
    open_ = [(look, look.z_boundary) for look in looks if look.z_boundary is not None]
    if len(open_) < 2:
        return None
    above = [boundary for _, boundary in open_]
    statistics = [look.statistic for look, _ in open_]
    days = [start_of(look.analysis_day) for look, _ in open_]
    return course(days, [statistics, above, [-boundary for boundary in above]])


def _by_metric(readout: Readout) -> list[tuple[str, list[MetricReading]]]:
    names = dict.fromkeys(reading.estimate.metric for reading in readout.segments)
    return [(name, [r for r in readout.segments if r.estimate.metric == name]) for name in names]


def _reach(readout: Readout, metric: str) -> float | None:
    overall = [_relative_interval(r.estimate) for r in readout.metrics if r.estimate.metric == metric]
    widths = [abs(interval[1]) + (interval[2] - interval[0]) for interval in overall if interval]
    return _REACH_IN_OVERALL_WIDTHS * max(widths) if widths else None


def _relative_interval(row: Estimate) -> Interval | None:
    if row.relative_ci_low is None or row.relative_effect is None or row.relative_ci_high is None:
        return None
    return (row.relative_ci_low, row.relative_effect, row.relative_ci_high)


def _percent_tick(value: float) -> str:
    return f"{100 * value:+.3g}%".replace("-", wording.MINUS) if value else "0"


def _srm_shown(srm: SrmSummary) -> list[SrmCheck]:
    """The overall checks, those of broken slices, then those with the smallest p values, up to a handful."""
    first = [check for check in srm.checks if check.slice == ALL or srm.is_broken(check)]
    rest = [check for check in srm.checks if check not in first]
    rest.sort(key=lambda check: 1.0 if check.p_value is None else check.p_value)
    return [*first, *rest[: max(0, _VISIBLE_SRM_ROWS - len(first))]]


def _incident(srm: SrmSummary) -> IncidentLooks | None:
    """Nothing where all is well, or where no look is known."""
    if not srm.incident or not srm.timeline:
        return None
    if len(srm.timeline) <= _VISIBLE_LOOKS:
        return IncidentLooks(srm.timeline, (), None)
    telling = tuple(look for look in srm.timeline if look.broke)
    return IncidentLooks(telling, srm.timeline, _course(srm.timeline, srm.incident))


def _course(looks: Sequence[SrmLook], incident: Incident) -> Course:
    """The evidence against its limit, none below zero; marked: since when the culprit was off, when it triggered."""
    culprit = incident.culprit
    return course(
        [look.until for look in looks],
        [[max(0.0, look.log_e_value or 0.0) for look in looks], [look.threshold or 0.0 for look in looks]],
        (culprit.off_since, culprit.triggered_at) if culprit else (),
    )


def _observed_share(check: SrmCheck, arm: str) -> str:
    total = sum(check.observed.values())
    return f"{100 * check.observed.get(arm, 0) / total:.2f}%" if total else wording.MISSING


def _interval(row: Estimate) -> str:
    decimals = wording.decimals_for(row.std_error)
    if row.ci_low is None or row.ci_high is None:
        return wording.MISSING
    return f"{wording.number(row.ci_low, decimals, True)} to {wording.number(row.ci_high, decimals, True)}"


def _repeated(look: LookRow) -> str:
    if look.repeated_ci_low is None or look.repeated_ci_high is None:
        return wording.MISSING
    decimals = wording.decimals_for(look.information**-0.5)
    ends = (look.repeated_ci_low, look.repeated_ci_high)
    return " to ".join(wording.number(end, decimals, signed=True) for end in ends)


def _relative(row: Estimate) -> str:
    if row.relative_ci_low is None or row.relative_ci_high is None:
        return wording.MISSING
    return f"{wording.percent(row.relative_ci_low)} to {wording.percent(row.relative_ci_high)}"
