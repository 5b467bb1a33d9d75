"""Each formula of the statistics, broken once: the list that scripts/mutations.py works through."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """In `file`, under metrics/, `right` becomes `wrong`; `tests`, under tests/metrics/, must then fail."""

    formula: str
    broken: str
    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]


def _of(
    formula: str, file: str, tests: tuple[str, ...], *broken: tuple[str, str, str]
) -> tuple[Mutation, ...]:
    return tuple(Mutation(formula, how, file, right, wrong, tests) for how, right, wrong in broken)


_ESTIMATORS = ("statistics/test_estimators.py", "statistics/test_ols.py")
_SEQUENTIAL = ("sequential/test_boundaries.py", "sequential/test_designs.py", "sequential/test_inference.py")

MUTATIONS = (
    *_of(
        "moments",
        "statistics/moments.py",
        ("statistics/test_moments.py", *_ESTIMATORS),
        ("no cross products between arms", "products[b, :, a, :] = block.T", "pass"),
        ("shift added with the wrong sign", "self.shift - shift\n", "shift - self.shift\n"),
        ("few households forgotten on merging", "needed |= present[:, 0] | present[:, arm]", "pass"),
        ("households of an arm's rows only once", "ones @ rows", "ones @ rows[::-1]"),
    ),
    *_of(
        "CR1, CR1S",
        "statistics/vcov.py",
        _ESTIMATORS,
        ("no G/(G-1)", "return n_households / (n_households - 1)", "return 1.0"),
        ("no (N-1)/(N-K)", "* (n_rows - 1) / (n_rows - n_coefficients)", "* 1.0"),
    ),
    *_of(
        "CR2, Satterthwaite",
        "statistics/vcov.py",
        _ESTIMATORS,
        ("leverage without its root", "(scores / np.sqrt(1 - leverage)", "(scores / (1 - leverage)"),
        ("overlap once instead of twice", "- 2 * overlap", "- overlap"),
        ("degrees without the shared part", "+ (shared**2).sum()))", "))"),
    ),
    *_of("HC2", "statistics/vcov.py", _ESTIMATORS, ("no shrinking", "1 - 1 / products[0, 0]", "1.0")),
    *_of(
        "interval, p",
        "statistics/results.py",
        _ESTIMATORS,
        ("one-sided quantile", "stdtrit(numbers.df, 1 - level / 2)", "stdtrit(numbers.df, 1 - level)"),
        ("one-sided p", "float(2 * stdtr(", "float(stdtr("),
        ("relative error without the mean's", "np.array([1.0, -relative])", "np.array([1.0, 0.0])"),
    ),
    *_of(
        "difference in means",
        "statistics/estimators.py",
        _ESTIMATORS,
        ("score without N", "scores.append(residual / sums[0])", "scores.append(residual)"),
        ("arms the other way round", "= -control, arm", "= control, -arm"),
    ),
    *_of(
        "CUPED",
        "statistics/estimators.py",
        _ESTIMATORS,
        ("theta added", "row[kept] = -theta.values", "row[kept] = theta.values"),
        (
            "theta of the control alone",
            "pooled = moments.row_products.sum(axis=0)\n    kept",
            "pooled = moments.row_products[0]\n    kept",
        ),
        ("X not centred", "row[0] += theta.values @ (pooled[kept] / pooled[0])", "pass"),
        (
            "variance left as variance reduction",
            "float(explained / covariance[y, y])",
            "float(1 - explained / covariance[y, y])",
        ),
    ),
    *_of(
        "ratio",
        "statistics/estimators.py",
        _ESTIMATORS,
        ("no delta method", "(top - (sums @ top) / total * bottom) / total", "top / total"),
        ("score without the denominator", "/ total * bottom) / total", "/ total * bottom)"),
        (
            "ratio_cuped with one theta",
            "_cuped_row(moments, name, theta) for",
            "_cuped_row(moments, name, thetas[0]) for",
        ),
        (
            "ratio_cuped of the raw sums",
            "(sums @ fraction[0]) / (sums @ fraction[1])",
            "(sums @ raw[0]) / (sums @ raw[1])",
        ),
    ),
    *_of(
        "collinearity",
        "statistics/collinearity.py",
        _ESTIMATORS,
        ("nothing is dropped", "TOLERANCE = 1e-10", "TOLERANCE = -1.0"),
    ),
    *_of(
        "OLS",
        "statistics/ols.py",
        ("statistics/test_ols.py",),
        ("projection without covariates", "functional[(0, *kept), 1] = root[:-1] @ root[-1]", "pass"),
        ("residual without the effect", "terms[0, 1, :2] = -beta[-1],", "terms[0, 1, :2] = 0.0,"),
    ),
    *_of(
        "errors of regressions",
        "statistics/regression.py",
        ("statistics/test_ols.py", "statistics/test_lin.py", "statistics/test_post_stratified.py"),
        (
            "CR1 instead of CR1S",
            "v.cr1s_factor(counts.n_households, counts.n_rows, k)",
            "v.cr1_factor(counts.n_households)",
        ),
        ("K = 2 for HC2", "df = counts.n_rows - k", "df = counts.n_rows - 2"),
        (
            "terms of the first level for all",
            "np.take(fit.terms.reshape(-1, 3).T, pair.kind,",
            "np.take(fit.terms[0].T, pair.arm,",
        ),
        ("treated rows in the control's mean", "own[2] *= in_control", "pass"),
        ("CR2 without the stretch squared", "leverages * stretch**2)", "leverages * stretch)"),
        ("CR2 scores not stretched", "(along * stretch * turned)", "(along * turned)"),
        ("HC2 without leverage", "np.maximum(1 - leverage, v.LEVERAGE_TOLERANCE)", "np.ones_like(leverage)"),
    ),
    *_of(
        "Lin",
        "statistics/lin.py",
        ("statistics/test_lin.py",),
        ("one slope for both arms", "0] -= betas[position]", "0] -= betas[0]"),
        ("contrast adds the arms", "zip((-1, 1), roots", "zip((1, 1), roots"),
        (
            "centred on the control",
            "centre = pair.sum(axis=0)[0, list(regressors)] / counts.n_rows",
            "centre = pair[0][0, list(regressors)] / counts.n_profiles_control",
        ),
        (
            "covariates of one arm kept",
            "independent(pair[1], independent(pair[0], positions))",
            "independent(pair.sum(axis=0), positions)",
        ),
        ("too few rows accepted", "<= 1 + len(kept)", "<= 0"),
    ),
    *_of(
        "post-stratified",
        "statistics/post_stratified.py",
        ("statistics/test_post_stratified.py",),
        (
            "strata of equal weight",
            "weights = sizes.sum(axis=1) / sizes.sum()",
            "weights = np.ones(len(sizes)) / len(sizes)",
        ),
        ("residuals about the common mean", "terms[:, :, 0] = -means", "terms[:, :, 0] = -means.mean()"),
        ("a stratum lacking an arm accepted", "if not sizes[present].all():", "if False:"),
        (
            "K = 2",
            "np.arange(2 * present.sum()).reshape(-1, 2)",
            "np.arange(2 * present.sum()).reshape(-1, 2) * 0",
        ),
    ),
    *_of(
        "interactions",
        "statistics/interactions.py",
        ("statistics/test_interactions.py",),
        ("arms added", "scored[1] * np.array([[-1.0], [1.0]])", "scored[1]"),
        ("K = levels", "fit.n_rows, 2 * (q + 1)) if", "fit.n_rows, q + 1) if"),
        (
            "Wald instead of F",
            "np.linalg.solve(covariance, differences)) / q",
            "np.linalg.solve(covariance, differences))",
        ),
        ("a household's levels as households", "in found.twos():", "in ():"),
        ("ratios not linearised", "(top - ratios[:, None] * bottom)", "(top - 0 * bottom)"),
        ("df2 of rows", "df2 = sums.n_households - 1", "df2 = fit.n_rows - 1"),
    ),
    *_of(
        "quantile",
        "statistics/quantile.py",
        ("statistics/test_quantile.py",),
        ("negative values out of order", "np.where(bits < 0, np.iinfo(np.int64).min - bits, bits)", "bits"),
        ("replicates forget what is below", "reached = totals[-2] + np.cumsum", "reached = np.cumsum"),
        (
            "the estimate forgets what is below",
            "reached = self.below.sum() + np.cumsum",
            "reached = np.cumsum",
        ),
        ("rank one too low", "probability * (1 - FUZZ)), 1)", "probability * (1 - FUZZ)) - 1, 1)"),
        ("bracket without reach", "_REACH = 10.0", "_REACH = 0.0"),
    ),
    *_of(
        "winsorizing",
        "statistics/winsorize.py",
        ("statistics/test_winsorize.py::test_ranks",),
        ("interpolating rank", "math.ceil(n * probability * (1 - FUZZ))", "math.floor(n * probability) + 1"),
    ),
    *_of(
        "bootstrap",
        "statistics/bootstrap.py",
        ("statistics/test_bootstrap.py",),
        ("one stream for all blocks", "np.array([seed, block]", "np.array([seed, 0]"),
        ("weights with mean 1.1", "[exp(-1) / factorial(k)", "[exp(-1.1) * 1.1**k / factorial(k)"),
        ("interval at twice the level", "[level / 2, 1 - level / 2]", "[level, 1 - level]"),
        (
            "p without itself",
            "2 * (1 + min(below, above)) / (1 + len(known))",
            "2 * min(below, above) / len(known)",
        ),
        ("variance for its root", "float(known.std(ddof=1))", "float(known.var(ddof=1))"),
    ),
    *_of(
        "sample ratio",
        "statistics/srm.py",
        ("statistics/test_srm.py",),
        (
            "squares over what was observed",
            "((observed - expected) ** 2 / expected)",
            "((observed - expected) ** 2 / observed)",
        ),
        ("divergence with the wrong sign", "degrees + divergence", "degrees - divergence"),
        ("degrees of freedom forgotten", "0.5 * (1 - len(counts)) * np.log1p", "-0.5 * np.log1p"),
        ("entropy's series with the wrong divisor", "(j * (j - 1))", "(j * (j + 1))"),
        ("second term of Stirling's series with the wrong sign", "-1 / 360", "1 / 360"),
        ("e-BH as Bonferroni", "math.log(len(ordered) / (alpha * k))", "math.log(len(ordered) / alpha)"),
        (
            "prior not centred on the shares",
            "counts.sum(), prior_k * shares",
            "counts.sum(), prior_k * np.ones_like(shares)",
        ),
    ),
    *_of(
        "multiplicity",
        "statistics/multiplicity.py",
        ("statistics/test_multiplicity.py",),
        ("hochberg as holm", '"simes-hochberg"', '"holm"'),
        ("intervals not simultaneous", "1 - alpha / family_size / 2", "1 - alpha / 2"),
    ),
    *_of(
        "spending",
        "sequential/spending.py",
        ("sequential/test_spending.py", "sequential/test_boundaries.py"),
        ("Pocock without e - 1", "math.log1p((math.e - 1) * fraction)", "math.log1p(fraction)"),
        ("O'Brien-Fleming one-sided", "ndtri(alpha / sides / 2)", "ndtri(alpha / 2)"),
        ("late as early", "share * math.exp(steepness * (t - 1))", "share"),
    ),
    *_of(
        "boundaries",
        "sequential/boundaries.py",
        _SEQUENTIAL,
        (
            "alpha spent so far as the look's own",
            "increments.append(total - used)",
            "increments.append(total)",
        ),
        ("lower crossings forgotten", "crossing += exit_below(before, information, -boundary)", "pass"),
        ("a second reading spends again", "return fraction > most * (1 + NEW_INFORMATION)", "return True"),
        ("nominal p on one side", "float(sides * ndtr(-boundary))", "float(ndtr(-boundary))"),
    ),
    *_of(
        "integration",
        "sequential/integration.py",
        _SEQUENTIAL,
        ("looks as if independent", "mean = r * before.z + theta", "mean = 0 * before.z + theta"),
        ("no drift in the step", "+ theta * s * s * root", "+ 0"),
        ("likelihood ratio without its square", "(self.z - drift / 2)", "self.z"),
    ),
    *_of(
        "inference at the end",
        "sequential/inference.py",
        _SEQUENTIAL,
        ("p on one side", "min(1.0, 2 * min(above, below))", "min(above, below)"),
        ("interval at twice the level", "tail = alpha / sides", "tail = alpha"),
        ("estimate not median-unbiased", "1 - tail, 0.5)", "1 - tail, 0.4)"),
        (
            "repeated interval of the nominal z",
            "(statistic - look.z_boundary) * std_error",
            "(statistic - 1.96) * std_error",
        ),
    ),
    *_of(
        "designs",
        "sequential/designs.py",
        _SEQUENTIAL,
        ("inflation without its square", "ratio = (theta / fixed) ** 2", "ratio = theta / fixed"),
        (
            "stopping below not counted",
            "np.add(crossing.above, crossing.below)",
            "np.asarray(crossing.above)",
        ),
    ),
    *_of(
        "confidence sequences",
        "sequential/confidence_sequences.py",
        ("sequential/test_confidence_sequences.py",),
        (
            "asymptotic without the mixture's width",
            "math.log1p(growth) / 2 - math.log(alpha)",
            "-math.log(alpha)",
        ),
        (
            "mSPRT likelihood without its determinant",
            "math.log(variance / total) / 2 + tau_squared",
            "tau_squared",
        ),
        ("p may rise again", "p_value = min(p_value, math.exp", "p_value = min(1.0, math.exp"),
    ),
    *_of(
        "power",
        "power.py",
        ("test_power.py",),
        ("one-sided z", "ndtri(design.comparison_alpha / 2)) ** 2", "ndtri(design.comparison_alpha)) ** 2"),
        ("equal arms only", "(1 + 1 / smallest) * _zz", "2 * _zz"),
        ("rho for its square", "variance_reduction=design.rho**2", "variance_reduction=design.rho"),
        ("equal clusters only", "(1 + clusters.cv**2)", "1"),
        (
            "null variance not pooled",
            "null = pooled * (1 - pooled) * (1 + 1 / r)",
            "null = p1 * (1 - p1) * (1 + 1 / r)",
        ),
        ("ratio without the covariance", "- 2 * ratio * covariance", "- 0 * ratio * covariance"),
    ),
)
