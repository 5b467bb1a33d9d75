"""The assignment report at small size: it must see functions that differ, lean, or give salts the same buckets."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pytest
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from metrics.bucketing import BUCKETS, bucket, bucket_column, murmur3
from metrics.statistics.moments import Integers
from scripts.assignment import __main__ as command
from scripts.assignment import tally as tallying
from scripts.assignment.findings import ARMS, EVEN, INDEPENDENT, by_arm, faults, findings_of
from scripts.assignment.page import VECTORS, reference
from scripts.assignment.tally import (
    CONSECUTIVE,
    EDGE_IDS,
    EDGES,
    RANDOM,
    SALTS,
    Functions,
    Tally,
    chunks,
    counted,
    tally,
)
from scripts.environment import ROOT

DRAWN = 50_000
PAGE = ROOT / "docs" / "assignment.md"


def drawn() -> Integers:
    """Buckets as they should be: even, and independent from salt to salt."""
    return np.random.default_rng(1).integers(0, BUCKETS, (len(SALTS), DRAWN))


def tallies_of(plain: Integers, in_spark: Integers | None = None) -> dict[str, Tally]:
    """As if consecutive ids had buckets as they should be, and random ids had these."""
    right, edges = drawn(), drawn()[:, : len(EDGE_IDS)]
    other = plain if in_spark is None else in_spark
    return {
        CONSECUTIVE: counted(right, right),
        RANDOM: counted(other, plain),
        EDGES: counted(edges, edges),
    }


def failures(plain: Integers) -> set[tuple[str, tuple[str, ...]]]:
    """Questions and salts of the tests that fail; none of them of consecutive ids."""
    failed = [each.test for each in findings_of(tallies_of(plain)) if each.failed]
    assert {test.ids for test in failed} <= {RANDOM}
    return {(test.question, test.salts) for test in failed}


def questions(plain: Integers) -> set[str]:
    return {question for question, _ in failures(plain)}


def one_further(salt: str, unit_id: str) -> Column:
    return F.pmod(bucket_column(salt, unit_id) + 1, F.lit(BUCKETS))


def wrong_at_the_end(salt: str, unit_id: str) -> Column:
    return F.when(F.col(unit_id) < 2**63 - 1, bucket_column(salt, unit_id))


def test_the_tests_of_a_right_function_pass() -> None:
    assert failures(drawn()) == set()
    right = tallies_of(drawn())
    assert faults(right, findings_of(right)) == []


def test_uneven_buckets_are_found() -> None:
    assert failures(drawn() // 2 * 2) == {(EVEN, (salt,)) for salt in SALTS}


def test_arms_that_lean_are_found() -> None:
    buckets = drawn()
    buckets[:, : DRAWN // 20] //= 2
    assert questions(buckets) == {ARMS}


def test_a_salt_that_does_nothing_is_found() -> None:
    found = failures(np.repeat(drawn()[:1], len(SALTS), axis=0))
    assert {question for question, _ in found} == {INDEPENDENT}
    assert len(found) == 15


def test_epochs_that_share_some_of_their_draw_are_found() -> None:
    buckets = drawn()
    first, second = (SALTS.index(f"arm:homepage_ranking:{epoch}") for epoch in (0, 1))
    buckets[second, : DRAWN // 10] = buckets[first, : DRAWN // 10]
    assert failures(buckets) == {(INDEPENDENT, (SALTS[first], SALTS[second]))}


def test_percentiles_without_an_id_are_left_out() -> None:
    assert questions(drawn() // 200 * 200) == {EVEN}


def test_ids_are_counted_by_arm() -> None:
    counts = np.zeros(BUCKETS, dtype=np.int64)
    counts[[0, 999, 1_000, 2_999, 3_000, 9_999]] = [1, 2, 4, 8, 16, 32]
    assert by_arm(counts, {"a": 0.1, "b": 0.2, "c": 0.7}) == [3, 12, 48]


def test_tallies_add_up() -> None:
    buckets = drawn()
    parts, whole = np.split(buckets, [20_000], axis=1), counted(np.zeros_like(buckets), buckets)
    added = counted(np.zeros_like(parts[0]), parts[0]) + counted(np.zeros_like(parts[1]), parts[1])
    assert added.ids == whole.ids == whole.counts[0].sum() == whole.joint[0].sum() == DRAWN
    for name in ("disagreements", "counts", "joint"):
        assert (getattr(added, name) == getattr(whole, name)).all()


def test_ids_come_in_chunks_and_none_twice(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallying, "CHUNK", 400)
    ids = {
        kind: [[row["id"] for row in frame.collect()] for frame in frames]
        for kind, frames in chunks(spark, 2_000, seed=1).items()
    }
    for kind in (CONSECUTIVE, RANDOM):
        assert [len(chunk) for chunk in ids[kind]] == [400, 400, 200]
    consecutive, random = (np.concatenate(ids[kind]) for kind in (CONSECUTIVE, RANDOM))
    assert sorted(consecutive) == list(range(1_000))
    assert len(np.unique(random)) == 1_000
    assert random.min() < -(2**62) and random.max() > 2**62
    assert ids[EDGES] == [EDGE_IDS]
    assert {0, -1, 1, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)} < set(EDGE_IDS)


@pytest.mark.parametrize(
    ("column", "differ"), [(bucket_column, 0), (one_further, 128), (wrong_at_the_end, 1)]
)
def test_disagreements_are_counted_by_salt(
    spark: SparkSession, column: Callable[[str, str], Column], differ: int
) -> None:
    (edges,) = chunks(spark, 2, seed=1)[EDGES]
    found = tally(edges, Functions(column=column), map)
    assert found.disagreements.tolist() == [differ] * len(SALTS)


def test_salts_are_of_every_length_modulo_four() -> None:
    for salts in (SALTS, [salt for salt, _ in VECTORS]):
        assert {len(salt.encode()) % 4 for salt in salts} == {0, 1, 2, 3}


def test_the_command_compares_tests_and_writes_the_page(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @contextmanager
    def the_tests_own(_: str) -> Iterator[SparkSession]:
        yield spark

    monkeypatch.setattr(command, "embedded_spark", the_tests_own)
    output = tmp_path / "assignment.md"
    assert command.main(["--ids", "100000", "--output", str(output)]) == 0
    written = " ".join(output.read_text(encoding="utf-8").split())
    assert "100,000 ids and 128 at the edges" in written
    assert ": 0 buckets differ. Of the ids 50,000 are consecutive from 0" in written
    assert "0 of 48 fail" in written
    assert "Made by `python -m scripts.assignment --ids 100000 --seed 1` in " in written
    assert "nan" not in written


def test_the_command_fails_in_one_line_where_anything_is_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def none(_: str) -> Iterator[None]:
        yield None

    buckets = drawn()
    buckets[1] = buckets[0]
    wrong = tallies_of(buckets, in_spark=buckets + (np.arange(DRAWN) == 7))
    monkeypatch.setattr(command, "embedded_spark", none)
    monkeypatch.setattr(command, "examine", lambda *_: wrong)
    output = tmp_path / "assignment.md"
    assert command.main(["--output", str(output)]) == 1
    told = capsys.readouterr().err
    assert told == (
        "error: Spark and plain Python disagree on 6 of 600,768 buckets; 1 of 48 tests fail, first that salts are "
        "independent, of random ids by layer:homepage and layer:search (adjusted p 0); "
        f"see {output}\n"
    )
    written = output.read_text(encoding="utf-8")
    assert "**6** buckets" in " ".join(written.split())
    assert "**1 of 48 fail**" in " ".join(written.split())
    assert re.search(r"\| `layer:homepage` × `layer:search` \|.*\| \*\*0\.000\*\* \|\n", written)


def test_too_few_ids_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--ids", "99999"])
    assert "--ids is 99999; give 100000 or more" in capsys.readouterr().err


def test_the_published_vectors_are_the_function_s() -> None:
    rows = re.findall(r"^\| `(.+)` \| (-?\d+) \| (\d+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    published = [(salt, int(unit_id), int(number)) for salt, unit_id, number in rows]
    assert published == [(salt, unit_id, bucket(salt, unit_id)) for salt, unit_id in VECTORS]
    assert reference() in PAGE.read_text(encoding="utf-8")


def test_the_example_s_steps_end_in_the_function_s_bucket() -> None:
    found = re.search(
        r"Step by step, id 42 in `layer:homepage`: .* bucket is (\d+)\.", " ".join(reference().split())
    )
    assert found is not None and int(found[1]) == bucket("layer:homepage", 42)


class Other(NamedTuple):
    """The function as another service may get it wrong; by default it does not."""

    encoding: str = "utf-8"
    padding: bytes = b" "
    seed: int = 42
    byteorder: Literal["little", "big"] = "little"
    signed: bool = True
    id_bytes: int = 8
    truncated: bool = False

    def bucket(self, salt: str, unit_id: int) -> int:
        data = salt.encode(self.encoding, errors="replace")
        data += self.padding * (-len(data) % 4)
        number = (unit_id % 2 ** (8 * self.id_bytes)).to_bytes(self.id_bytes, self.byteorder)
        value = murmur3(number, murmur3(data, self.seed))
        if self.signed and value >= 2**31:
            value -= 2**32
        return abs(value) % BUCKETS if self.truncated else value % BUCKETS


@pytest.mark.parametrize(
    "other",
    [
        Other(encoding="latin-1"),
        Other(encoding="utf-16-le"),
        Other(encoding="ascii"),
        Other(padding=b"\0"),
        Other(seed=0),
        Other(byteorder="big"),
        Other(signed=False),
        Other(id_bytes=4),
        Other(truncated=True),
    ],
    ids=str,
)
def test_the_vectors_find_a_usual_mistake(other: Other) -> None:
    assert any(other.bucket(*vector) != bucket(*vector) for vector in VECTORS)


def test_the_vectors_pass_another_service_that_is_right() -> None:
    assert [Other().bucket(*vector) for vector in VECTORS] == [bucket(*vector) for vector in VECTORS]
