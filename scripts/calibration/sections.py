"""The words and tables of sections 2 to 5."""

from collections.abc import Sequence

import numpy as np

from metrics.statistics.moments import Floats
from scripts.calibration import few_clusters, looks, quantiles, replicates, sample_ratio
from scripts.calibration.markdown import SHARE_HEADER, percent, prose, share_cells, shown, table
from scripts.calibration.sections_of_intervals import NAMES


def clusters_section(findings: Sequence[few_clusters.Findings]) -> str:
    rows = [
        [each.setting.name, estimator, *_pair(each, estimator)]
        for each in findings
        for estimator in dict.fromkeys(estimator for estimator, _ in each.coverages)
    ]
    header = ["randomised", "estimator", "CR2 coverage", "CR2 SE / SD", "cr1s coverage", "cr1s SE / SD"]
    some = next(iter(findings[0].coverages.values())).covered
    return "\n\n".join(
        [
            f"## 2. {few_clusters.CLUSTERS} clusters: why CR2",
            prose(f"""
                {few_clusters.CLUSTERS} clusters of 2 to 12 profiles, a normal outcome with as much variance between
                clusters as within, one covariate, the same effect on everybody; in the last four rows households of the
                population of section 1. {some.n:,} experiments each, Monte Carlo error {percent(some.error)}.
            """),
            table(header, rows),
            prose("""
                With few clusters residuals are smaller than errors, most so in clusters that pull the fit towards
                them. cr1s makes up for it by one factor, and takes its quantile from t(19) whatever the design: where
                10 clusters are treated it misses the truth in 6 to 8% of experiments, and where 4 are, in 13 to 17%.
                CR2 rescales each cluster's residuals, and Satterthwaite's degrees of freedom fall to what the design
                has. It keeps its promise, and with 4 treated clusters does a little more: with so few degrees of
                freedom Satterthwaite's approximation is known to be on the safe side (Pustejovsky and Tipton 2018).
                Standard errors are below the spread of the estimates on average: the root of a variance from few
                degrees of freedom is, and CR2 is exact only where profiles of a cluster are unrelated. The wider
                quantile of t makes up for it.

                The last rows have a few heavy viewers among some 47 profiles. They move an estimate and its standard
                error together, so that intervals rather cover too often than too rarely. lin falls short: it has a
                slope for each arm, and the slopes follow the heavy viewers.
            """),
        ]
    )


def _pair(found: few_clusters.Findings, estimator: str) -> list[str]:
    coverages = [found.coverages[estimator, vcov] for vcov in few_clusters.VCOVS]
    return [cell for each in coverages for cell in (shown(each.covered), f"{each.se_ratio:.3f}")]


def bootstrap_section(
    findings: Sequence[replicates.Findings], of_quantiles: Sequence[quantiles.Findings]
) -> str:
    ratios = [
        [
            NAMES[metric],
            f"{each.replicates:,}",
            f"{each.experiments:,}",
            f"{found.ratios.mean():.4f}",
            f"{found.ratios.std(ddof=1):.4f}",
            f"{1 / np.sqrt(2 * each.replicates):.4f}",
            *(f"{bound:.3f}" for bound in np.quantile(found.ratios, [0.025, 0.975])),
        ]
        for each in findings
        for metric, found in each.metrics.items()
    ]
    coverages = [
        [NAMES[metric], f"{each.replicates:,}", name, *share_cells(coverage.covered), *_tails(coverage)]
        for each in findings
        for metric, found in each.metrics.items()
        for name, coverage in (("percentile", found.percentile), ("closed form", found.closed_form))
    ]
    return "\n\n".join(
        [
            "## 3. The bootstrap beside the closed form",
            prose("""
                The household Poisson bootstrap's standard error over the closed-form one without small-sample factor
                (CR0, which is what it estimates), in experiments of `profiles 1:1`; every household is a bucket of its
                own.
            """),
            table(
                [
                    "metric",
                    "replicates",
                    "experiments",
                    "mean",
                    "SD",
                    "SD by replicates alone",
                    "2.5%",
                    "97.5%",
                ],
                ratios,
            ),
            prose("""
                The two agree on average, and what sets them apart is the number of replicates: a standard deviation
                of R draws is off by 1/√(2R), a little more where draws have heavy tails. At 10,000 replicates that is
                under one percent.
            """),
            table(["metric", "replicates", "interval", *SHARE_HEADER, "too low", "too high"], coverages),
            prose("""
                Percentile intervals hold the truth nearly as often as those of the closed form in the same
                experiments, a few times less in a thousand: they know of no t(G-1) and no G/(G-1), and the percentiles
                of so many replicates are themselves estimates.
            """),
            "### Quantiles",
            *_quantiles(of_quantiles),
        ]
    )


def _quantiles(findings: Sequence[quantiles.Findings]) -> list[str]:
    rows = [
        [
            *(each.name, asked.of, f"p{100 * asked.probability:.0f}", scale),
            *(*share_cells(coverage.covered), *_tails(coverage), _moderate(coverage.se_ratio)),
            f"{coverage.silent:,}",
        ]
        for each in findings
        for asked, coverages in each.coverages.items()
        for scale, coverage in zip(("absolute", "relative"), coverages, strict=True)
    ]
    one = findings[0]
    return [
        prose(f"""
            For quantiles the percentile interval is all there is, here of {one.replicates:,} replicates in
            {one.n_experiments:,} experiments of {one.n_households:,} households each way. Minutes of profiles are those
            of section 1, four in ten of them 0. Start delays of plays are lognormal, by the household's connection and
            by the play, and a tenth shorter under treatment; they reach the estimator as histograms, and households
            differ widely in how many plays they have. The truth of delays is in closed form, that of minutes comes from
            two million households with both outcomes.
        """),
        table(
            [
                *("randomised", "quantile of", "at", "effect", *SHARE_HEADER),
                *("too low", "too high", "mean SE / SD", "without number"),
            ],
            rows,
        ),
        prose(f"""
            {_verdict(findings)} Values of heavy viewers lie far apart, and replicates jump between them: there the
            standard error can be above the spread of the estimates. The interval does not use it. A relative standard
            error says nothing of a median that may be next to 0, as that of minutes here, because some replicates
            divide by nearly nothing; replicates, and experiments, whose control has a median of 0 have no relative
            effect, and are left out. Delays are rounded to the middles of their bins, 0.14% at most, which these
            experiments cannot see.
        """),
    ]


def _moderate(ratio: float) -> str:
    return f"{ratio:.3f}" if ratio < 10 else "above 10"


def _verdict(findings: Sequence[quantiles.Findings]) -> str:
    shares = [each.covered for found in findings for pair in found.coverages.values() for each in pair]
    others = [share for share in shares if not share.as_promised]
    often = sum(share.found > share.nominal for share in others)
    lowest, highest = (percent(bound([share.found for share in shares]), 1) for bound in (min, max))
    return (
        f"{len(shares) - len(others)} of {len(shares)} intervals keep their promise; {often} hold the truth too often "
        f"and {len(others) - often} too rarely. Coverage is {lowest} to {highest}."
    )


def _tails(coverage: replicates.Coverage) -> list[str]:
    return [percent(coverage.below), percent(coverage.above)]


def looks_section(found: looks.Findings, experiments: int) -> str:
    paths = [
        [_rule(rule), str(looks_), *share_cells(share)]
        for (rule, looks_), share in found.paths.rejections.items()
    ]
    return "\n\n".join(
        [
            "## 4. Looking every day",
            prose(f"""
                {looks.DAYS} looks at unequal information (profiles come fast at first), two-sided at 5%, no effect: how
                often does a rule ever reject? First on normal paths with independent increments, which the boundaries
                assume; five equally spaced looks beside it for the known fault.
            """),
            table(["rule", "looks", *SHARE_HEADER], paths),
            prose("""
                The product's boundaries spend 5%, no more and no less. *Cumulative alpha as the look's level* is the
                fault that is easily made: each look is tested at all the alpha spent so far, as if earlier looks had
                not had their chance; 9.7% at five Pocock looks, and more with each further one. Testing each look at
                5% is worse.
            """),
            _accumulating(found.looked, experiments),
            _sequence(found),
        ]
    )


def _accumulating(looked: Sequence[looks.Looked], experiments: int) -> str:
    names = list(looked[0].rejections)
    header = ["rule", *(f"{each.setting.name}, {each.estimator}" for each in looked)]
    rows = [[_rule(name), *(shown(each.rejections[name]) for each in looked)] for name in names]
    dependence = ["correlation of looks less √(I₁/I₂)", *(f"{each.dependence:+.3f}" for each in looked)]
    error = percent(looked[0].rejections[names[0]].error)
    words = prose(f"""
        Now the same on data: {experiments:,} experiments of each kind whose profiles come day by day, members of one
        household on different days; at each look the estimator reads all rows so far, and the look's information is the
        inverse square of its own standard error over the planned one. Monte Carlo error {error}.
    """)
    reading = prose("""
        The boundaries hold on data: information that is itself estimated, heavy tails, and households that come in
        parts do no visible harm. Looks of one experiment are correlated as independent increments are (the last row is
        the mean over pairs of looks), which is not a matter of course when later profiles belong to households that
        were there before.

        `few households` has 150 of them, and a first look at some 50 with eight failed plays. There the z of an
        early look is no normal variable, and a boundary above 3 is far in its tail. Reading z off the p-value, which
        is on t with the degrees of freedom that the look has, takes back a part; nothing makes up for a ratio that
        rests on a handful of failures. So no look should be planned before there are some hundred households, and for
        rare events some dozen of them in each arm.
    """)
    return f"{words}\n\n{table(header, [*rows, dependence])}\n\n{reading}"


def _sequence(found: looks.Findings) -> str:
    rows = [
        *([f"normal paths, {n:,} looks", *share_cells(share)] for n, share in found.paths.coverages.items()),
        *([f"{each.setting.name}, {each.estimator}", *share_cells(each.coverage)] for each in found.looked),
    ]
    words = prose("""
        The asymptotic confidence sequence promises *at least* 95% over all looks there could ever be, planned or not,
        and it is narrowest at the planned end. Over 14 looks it holds the truth more often than it promises, because
        nobody looked in between and nobody went on: that is the price of not having to say when one looks. Where looks
        are planned the spending boundaries are narrower.
    """)
    return f"{table(['all intervals hold the truth', *SHARE_HEADER], rows)}\n\n{words}"


def _rule(name: str) -> str:
    label = name.replace("pocock", "Pocock-type").replace("obrien_fleming", "O'Brien–Fleming-type")
    if name == "fault: unadjusted":
        return "*fault*: 5% at each look"
    if name.startswith("fault: "):
        return f"*fault*: cumulative alpha as the look's level, {label.removeprefix('fault: ')}"
    return label


def sample_ratio_section(found: sample_ratio.Findings) -> str:
    n = sample_ratio.HYPOTHESES
    fired = [
        [f"e-BH over {n} hypotheses, every hour", *share_cells(found.fired)],
        ["*fault*: chi-square of all profiles at 1%, every hour", *share_cells(found.tested)],
    ]
    delays = [
        [f"one stratum: e-BH over all {n}", *_quartiles(found.delays)],
        [f"one stratum: its own e-value reaches {100 * n:,}", *_quartiles(found.delays_alone)],
        [f"one platform, in all regions: e-BH over all {n}", *_quartiles(found.delays_platform)],
    ]
    return "\n\n".join(
        [
            "## 5. The sample-ratio alarm, every hour",
            prose(f"""
                {sample_ratio.PROFILES:,} profiles in {sample_ratio.HOURS} hours; all of them, 15 strata, 3 regions and
                5 platforms, of profiles and of households, and crossovers are {n} hypotheses. How often does the alarm
                ever fire in a clean experiment? It promises 1% at most, over all hours together.
            """),
            table(["alarm", *SHARE_HEADER], fired),
            prose(f"""
                The e-process keeps its promise with room to spare: its bound is for looking for ever, and each of
                {n} hypotheses has its part. A chi-square test that is read every hour does not.

                And when one stratum, or one platform, is split 51.3 to 48.7: its profiles when the alarm fires.
            """),
            table(["alarm", "experiments", "25%", "median", "75%", "never in 14 days"], delays),
            prose("""
                The design says about 27,500 profiles in the median for a slice among 32 hypotheses, which is what was
                found with 32. Asking regions, platforms and crossovers too costs a stratum little, and gives a platform
                that is skewed everywhere what a stratum has: without them each region's part of it would have to get
                there alone. Households, skewed along with their profiles, make the alarm hardly earlier.
            """),
        ]
    )


def _quartiles(delays: Floats) -> list[str]:
    bounds = np.quantile(delays, [0.25, 0.5, 0.75], method="inverted_cdf")
    return [f"{len(delays):,}", *(f"{bound:,.0f}" for bound in bounds), percent(np.isinf(delays).mean())]
