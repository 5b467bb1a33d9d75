"""Chi-square tests of the counts: even buckets, arms as planned, salts independent of each other."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from scipy.stats import chi2_contingency, chisquare

from metrics.bucketing import arm_of, arm_salt
from metrics.statistics.moments import Integers
from metrics.statistics.multiplicity import adjust
from scripts.assignment.tally import CONSECUTIVE, PAIRS, RANDOM, SALTS, Tally

# After adjustment, over all tests: functions that are right fail one run in a thousand.
ALPHA = 0.001
SHARES = {
    arm_salt("homepage_ranking", 0): {"control": 0.5, "treatment": 0.5},
    arm_salt("homepage_ranking", 1): {"control": 0.5, "treatment": 0.5},
    arm_salt("top_ten"): {"control": 0.1, "five": 0.2, "ten": 0.7},
}
EVEN, ARMS, INDEPENDENT = "buckets are even", "arms have their shares", "salts are independent"


class ChiSquare(NamedTuple):
    """A test of counts of one kind of ids, about one salt or two."""

    question: str
    salts: tuple[str, ...]
    ids: str
    statistic: float
    df: int
    p_value: float

    def __str__(self) -> str:
        return f"{self.question}, of {self.ids} ids by {' and '.join(self.salts)}"


class Finding(NamedTuple):
    test: ChiSquare
    adjusted_p_value: float

    @property
    def failed(self) -> bool:
        return self.adjusted_p_value < ALPHA


def findings_of(tallies: Mapping[str, Tally]) -> list[Finding]:
    """All tests, with p-values adjusted by Holm over all of them."""
    tests = [test for kind in (CONSECUTIVE, RANDOM) for test in chi_squares(kind, tallies[kind])]
    adjusted = adjust("holm", [test.p_value for test in tests])
    return [Finding(test, p_value) for test, p_value in zip(tests, adjusted, strict=True)]


def chi_squares(ids: str, tally: Tally) -> Iterator[ChiSquare]:
    """Pearson's tests of one kind of ids."""
    of_salt = dict(zip(SALTS, tally.counts, strict=True))
    for salt, counts in of_salt.items():
        yield ChiSquare(EVEN, (salt,), ids, *_goodness_of_fit(counts))
    for salt, shares in SHARES.items():
        counts_by_arm = by_arm(of_salt[salt], shares)
        expected = [tally.ids * share for share in shares.values()]
        yield ChiSquare(ARMS, (salt,), ids, *_goodness_of_fit(counts_by_arm, expected))
    for (a, b), joint in zip(PAIRS, tally.joint, strict=True):
        yield ChiSquare(INDEPENDENT, (SALTS[a], SALTS[b]), ids, *_independence(joint))


def by_arm(counts: Integers, shares: Mapping[str, float]) -> list[int]:
    """Ids by arm, in the order of the arms, of ids by bucket."""
    arms: Counter[str] = Counter()
    for number, ids in enumerate(counts.tolist()):
        arms[arm_of(number, shares)] += ids
    return [arms[arm] for arm in shares]


def _goodness_of_fit(
    counts: Integers | Sequence[int], expected: Sequence[float] | None = None
) -> tuple[float, int, float]:
    """Statistic, degrees of freedom and p-value; all are expected alike where nothing is said."""
    found = chisquare(counts, expected)
    return float(found.statistic), len(counts) - 1, float(found.pvalue)


def _independence(joint: Integers) -> tuple[float, int, float]:
    # A percentile without an id says nothing of the other salt, and would be divided by.
    filled = joint[joint.any(axis=1)][:, joint.any(axis=0)]
    found = chi2_contingency(filled, correction=False)
    return float(found.statistic), int(found.dof), float(found.pvalue)


def faults(tallies: Mapping[str, Tally], findings: Sequence[Finding]) -> list[str]:
    """What is wrong, in words; nothing where all is as it should be."""
    found = []
    compared = sum(tally.disagreements.size * tally.ids for tally in tallies.values())
    if disagreements := sum(int(tally.disagreements.sum()) for tally in tallies.values()):
        found.append(f"Spark and plain Python disagree on {disagreements:,} of {compared:,} buckets")
    failed = sorted((each for each in findings if each.failed), key=lambda each: each.adjusted_p_value)
    if failed:
        worst = failed[0]
        found.append(
            f"{len(failed)} of {len(findings)} tests fail, first that {worst.test} "
            f"(adjusted p {worst.adjusted_p_value:.2g})"
        )
    return found
