"""The page: the function in words, vectors to test another implementation with, and what was found."""

from collections.abc import Mapping, Sequence

from metrics.bucketing import BUCKETS, arm_salt, bucket, layer_salt, murmur3
from scripts.assignment.findings import ALPHA, ARMS, EVEN, INDEPENDENT, SHARES, ChiSquare, Finding
from scripts.assignment.tally import CELLS, CONSECUTIVE, EDGES, RANDOM, SALTS, Tally
from scripts.calibration.markdown import prose, table

# Among them salts of every length modulo 4 and of letters of two, three and four bytes, both signs of id and of hash,
# and ids at the ends of 32 and 64 bits.
VECTORS = (
    (layer_salt("homepage"), 0),
    (layer_salt("homepage"), 1),
    (layer_salt("homepage"), -1),
    (layer_salt("search"), 42),
    (layer_salt("früh"), 42),
    (layer_salt("ホーム"), 42),
    (layer_salt("🎬"), 42),
    (arm_salt("homepage_ranking", 0), 1_000_000),
    (arm_salt("homepage_ranking", 1), 1_000_000),
    (arm_salt("top_ten"), 2**31 - 1),
    (arm_salt("top_ten"), 2**31),
    (arm_salt("top_ten"), -(2**31)),
    (arm_salt("top_ten"), 2**63 - 1),
    (arm_salt("top_ten"), -(2**63)),
)


def page(
    tallies: Mapping[str, Tally], findings: Sequence[Finding], command: str, seconds: float, processors: int
) -> str:
    sections = (
        reference(),
        _agreement(tallies),
        _tests(findings),
        prose(f"""
            Made by `{command}` in {seconds / 60:.0f} minutes on {processors} processors. It exits with 1 if a bucket
            differs or a test fails.
        """),
    )
    return "\n\n".join(sections) + "\n"


def reference() -> str:
    """What another implementation needs: the function, and vectors."""
    rows = [(f"`{salt}`", str(unit_id), str(bucket(salt, unit_id))) for salt, unit_id in VECTORS]
    return _function() + "\n\n## Test vectors\n\n" + table(("salt", "id", "bucket"), rows)


def _function() -> str:
    return f"""# Assignment: the bucket of a unit

[metrics/bucketing.py](../metrics/bucketing.py) has it as a Spark column and in plain Python. A service in another
language follows this page and tests itself with the vectors.

```
bucket = signed(murmur3(bytes of the id, murmur3(bytes of the salt, 42))) mod 10000
```

- Bytes of the salt: UTF-8, as it is written (no normalization), with spaces added up to a multiple of 4 bytes. Salts
  that differ only in such spaces are one.
- Bytes of the id: always 8, little-endian, two's complement. An id is a signed 64-bit integer.
- murmur3(bytes, seed): MurmurHash3 x86_32 (Appleby), 32 bits. The hash of the salt is the seed of the id's.
- signed: the 32 bits as two's complement. mod: the remainder is 0 to 9,999, of negative numbers too.
- A layer's salt is `layer:<layer>`, that of an experiment's arms `arm:<experiment>:<epoch>`; epoch 0 is before any
  restart.
- The arm is the first, in the order of `allocations.arms`, whose cumulative share × 10,000, rounded to 6 decimals,
  is above the bucket; the last arm takes what is left.

{_step_by_step()}

In Spark SQL: `pmod(hash('layer:homepage  ', CAST(id AS BIGINT)), 10000)`.
On the command line: `watchlift bucket --salt layer:homepage 42`.

2³² is no multiple of 10,000: of all hashes a bucket has 429,496 or 429,497. Two salts whose hashes are the same give
the same buckets; of two salts that happens once in 4.3 billion."""


def _step_by_step() -> str:
    salt, unit_id = layer_salt("homepage"), 42
    padded, data = f"{salt}  ".encode(), unit_id.to_bytes(8, "little", signed=True)
    seed = murmur3(padded, 42)
    hashed = murmur3(data, seed)
    signed = int.from_bytes(hashed.to_bytes(4), signed=True)
    return prose(f"""
        Step by step, id {unit_id} in `{salt}`: the salt is 14 bytes and gets two spaces; their hash with seed 42 is
        0x{seed:08x}; the hash of the bytes {data.hex(" ")} with that seed is 0x{hashed:08x}, signed {signed}; the
        bucket is {signed % BUCKETS}.
    """)


def _agreement(tallies: Mapping[str, Tally]) -> str:
    drawn = tallies[CONSECUTIVE].ids + tallies[RANDOM].ids
    differ = sum(int(tally.disagreements.sum()) for tally in tallies.values())
    shown = f"{differ:,}" if differ == 0 else f"**{differ:,}**"
    return "## Do Spark and plain Python agree?\n\n" + prose(f"""
        {drawn:,} ids and {tallies[EDGES].ids} at the edges (0, −1, the ends of 2 to 64 bits), each with
        {len(SALTS)} salts, whose lengths are 0, 1, 2 and 3 modulo 4: {shown} buckets differ. Of the ids
        {tallies[CONSECUTIVE].ids:,} are consecutive from 0, the others random over 64 bits.
    """)


def _tests(findings: Sequence[Finding]) -> str:
    failed = sum(each.failed for each in findings)
    smallest = min(findings, key=lambda each: each.test.p_value)
    verdict = f"{failed} of {len(findings)} fail" if failed == 0 else f"**{failed} of {len(findings)} fail**"
    intro = prose(f"""
        Chi-square tests, of consecutive and of random ids by themselves. {verdict}: a test fails where its p-value
        (of counts so uneven, or more), adjusted by Holm over all of them, is below {ALPHA}. The smallest p-value is
        {smallest.test.p_value:.2g}, {smallest.adjusted_p_value:.2g} when adjusted.
    """)
    return "\n\n".join(
        (
            "## Are buckets even, and salts independent?",
            intro,
            "Each of the 10,000 buckets has as many ids as the others:",
            _table("salt", EVEN, findings),
            "Each arm has its share:",
            _table("salt and shares", ARMS, findings),
            f"The percentile of a bucket by one salt says nothing of that by another ({CELLS} × {CELLS} cells):",
            _table("salts", INDEPENDENT, findings),
        )
    )


def _table(what: str, question: str, findings: Sequence[Finding]) -> str:
    """A row per salt or pair of salts, with its tests of consecutive and random ids side by side."""
    asked = [each for each in findings if each.test.question == question]
    consecutive, random = (
        [each for each in asked if each.test.ids == kind] for kind in (CONSECUTIVE, RANDOM)
    )
    rows = [
        (_salts(one.test), f"{one.test.df:,}", *_cells(one), *_cells(other))
        for one, other in zip(consecutive, random, strict=True)
    ]
    return table((what, "df", "χ², consecutive", "p", "χ², random", "p"), rows)


def _salts(test: ChiSquare) -> str:
    names = " × ".join(f"`{salt}`" for salt in test.salts)
    if test.question == ARMS:
        names += ": " + ", ".join(f"{share:g}" for share in SHARES[test.salts[0]].values())
    return names


def _cells(finding: Finding) -> tuple[str, str]:
    p_value = f"{finding.test.p_value:.3f}"
    return f"{finding.test.statistic:,.1f}", f"**{p_value}**" if finding.failed else p_value
