"""The words and tables of section 1."""

from collections.abc import Sequence

import numpy as np

from scripts.calibration.experiment import CUT_WATCH
from scripts.calibration.intervals import Findings
from scripts.calibration.markdown import (
    COVERAGE_HEADER,
    coverage_cells,
    percent,
    prose,
    shown,
    table,
)
from scripts.calibration.reasons import Reasons

NAMES = {
    "plays": "plays",
    "watch": "minutes",
    CUT_WATCH: "minutes, winsorized",
    "failure_rate": "failed plays (ratio)",
}


def intervals_section(findings: Sequence[Findings], reasons: Reasons) -> str:
    details = [f"### In detail: {_title(each)}\n\n{_detail(each)}" for each in findings]
    return "\n\n".join(
        [
            "## 1. Intervals of every estimator",
            _population(),
            _estimand(),
            "### Coverage of absolute effects",
            _overview(findings, "absolute"),
            "### Coverage of relative effects",
            _overview(findings, "relative"),
            "### Interaction test: rejections at 5% where effects are equal",
            _interactions(findings),
            "### What this shows",
            _reading(findings, reasons),
            *details,
        ]
    )


def _population() -> str:
    return prose("""
        Households have 1 to 5 profiles that share a habit and a connection; larger ones play less per profile. Plays
        are Poisson around gamma habits, and four in ten profiles have none. Minutes are a gamma mixture over plays:
        the largest of an experiment is some fifty times the mean. 15% of profiles signed up too late to have
        covariates, which are replaced by the mean, with the indicator for ols and lin; those play less and react twice
        as strongly, so that effects differ between profiles. Treatment adds 10% to plays (20% for new profiles) and
        takes 10% off the share of plays that fail. Covariates are plays and minutes before, and the device.
    """)


def _estimand() -> str:
    return prose("""
        **What the truth is.** Each experiment is a fresh sample of households, and the truth is that of the
        superpopulation: the mean of treated less untreated outcomes over all profiles there could be, in closed form.
        (With the sample held fixed and only the arms drawn anew, these intervals would cover too often wherever effects
        differ between profiles: they allow for other profiles, too.) Winsorized minutes are cut at each experiment's
        own pooled type-1 quantile; their truth is the difference of means cut at the superpopulation's quantile, from
        one draw of two million households with both outcomes, whose own error is about 1% of an experiment's standard
        error. Ratios and relative effects have the same functions of the superpopulation's means as their truth.

        In `profiles 1:1` and `profiles 4:1` the arms are drawn by profile, so that households straddle them. `few` and
        `many` are like the first with fewer and more households, `many 4:1` like the second. `strong effect` adds 100%
        to plays instead of 10%. In each table, the number of households is in brackets.
    """)


def _title(found: Findings) -> str:
    return f"{found.setting.name}, {found.setting.n_households:,} households"


def _header(findings: Sequence[Findings]) -> list[str]:
    return [f"{each.setting.name} ({each.setting.n_households:,})" for each in findings]


def _overview(findings: Sequence[Findings], scale: str) -> str:
    rows = [
        [NAMES[metric], estimator, *(shown(f.coverages[metric, estimator, scale].covered) for f in findings)]
        for metric, estimator, each in findings[0].coverages
        if each == scale
    ]
    errors = [percent(next(iter(each.coverages.values())).covered.error) for each in findings]
    return table(["metric", "estimator", *_header(findings)], [*rows, ["Monte Carlo error", "", *errors]])


def _interactions(findings: Sequence[Findings]) -> str:
    rows = [
        [NAMES[metric], *(shown(each.rejections[metric]) for each in findings)]
        for metric in findings[0].rejections
    ]
    errors = [percent(next(iter(each.rejections.values())).error) for each in findings]
    return table(["metric", *_header(findings)], [*rows, ["Monte Carlo error", *errors]])


def _detail(found: Findings) -> str:
    rows = [
        [NAMES[metric], estimator, scale, *coverage_cells(coverage)]
        for (metric, estimator, scale), coverage in found.coverages.items()
    ]
    return table(["metric", "estimator", "effect", *COVERAGE_HEADER], rows)


def _reading(findings: Sequence[Findings], reasons: Reasons) -> str:
    by_name = {found.setting.name: found for found in findings}
    usual, few = by_name["profiles 1:1"], by_name["few"]
    uneven = by_name["profiles 4:1"].coverages["watch", "difference_in_means", "absolute"]
    skewed = few.coverages["watch", "difference_in_means", "relative"]
    lowest, highest = _range(usual, "absolute")
    least, most = _range(by_name["households 1:1"], "absolute")
    return prose(f"""
        **Every estimator's interval keeps its promise where there are households enough.** With 800 of them and even
        shares absolute intervals hold the truth in {lowest} to {highest} of experiments, {least} to {most} where
        households are assigned; mean standard errors are the estimates' spread. With 4,000 nothing of what follows
        can be told from chance.

        **Heavy tails want more households, in the smaller arm above all.** In `profiles 4:1` a fifth of the profiles
        are treated. A treated sample that happens to lack heavy viewers has a low mean and, because it lacks them, a
        small standard error: the interval lies below the truth. For minutes that is {percent(uneven.below)} of
        intervals, against {percent(uneven.above)} that lie above. With equal arms such errors cancel. The column
        *coverage with known SD* shows that estimates themselves are fine: it is about 95% throughout. `many 4:1` is the
        same design with 4,000 households; winsorizing helps, too.

        **Relative effects need more than absolute ones.** The delta method's interval is symmetric; an effect over
        a mean that is itself estimated is not. Where the control happens to have heavy viewers the relative effect is
        small, and its standard error, too: of minutes in `few`, {percent(skewed.below)} of intervals lie below the
        truth and {percent(skewed.above)} above. At 60 households a relative interval of a heavy-tailed metric is a
        hint, no more.

        **At 60 households** absolute intervals of means cover a little too often (an outlier moves effect and standard
        error together), those of ratio and lin too rarely: a linearised ratio leaves out part of what a denominator
        of so few households adds, and lin has ten coefficients. Both are for larger experiments; the interaction test
        of a ratio, which is linearised in the same way, rejects too often there, too.

        **Two intervals are for something narrower than this truth, and a strong effect shows it.** Winsorizing takes
        the cut as given; when treatment doubles minutes the cut moves with the sample, and the effect with it. Mean
        standard error over spread is {reasons.own_cut:.3f} at each sample's own cut and {reasons.fixed_cut:.3f} at the
        superpopulation's ({reasons.experiments:,} further experiments, errors of about
        {1 / np.sqrt(2 * reasons.experiments):.3f}). lin centres covariates on the sample at hand: its interval is for
        the effect on profiles with that mix of covariates (Negi and Wooldridge 2021 give the missing term).
        The ratio is {reasons.lin:.3f} for lin, and {reasons.lin_given_covariates:.3f} when what the sample's mix adds
        to the effect is taken out. (post_stratified takes the mix of strata as given, which differs too little here
        to be seen.) ols, cuped and the difference in means have no such term. At effects of some percent, which is
        what experiments find, neither is visible: see the other columns.
    """)


def _range(found: Findings, scale: str) -> tuple[str, str]:
    shares = [each.covered.found for (_, _, own), each in found.coverages.items() if own == scale]
    return percent(min(shares), 1), percent(max(shares), 1)
