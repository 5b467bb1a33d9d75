"""Steps beside each other: order, settings, errors."""

import logging
import time

import pytest

from jobs.side_by_side import side_by_side
from jobs.tables import Tables
from metrics.errors import InputError

SETTING = "spark.sql.files.openCostInBytes"


def test_results_are_in_the_order_of_the_steps(tables: Tables) -> None:
    def slow(_: Tables) -> str:
        time.sleep(0.2)
        return "first"

    assert side_by_side(tables, slow, lambda _: "second") == ["first", "second"]


def test_a_setting_of_one_step_is_not_met_by_another_nor_left_behind(tables: Tables) -> None:
    before = tables.spark.conf.get(SETTING)

    def setting(beside: Tables) -> str | None:
        beside.spark.conf.set(SETTING, "12345")
        time.sleep(0.2)
        return beside.spark.conf.get(SETTING)

    def reading(beside: Tables) -> str | None:
        time.sleep(0.1)
        return beside.spark.conf.get(SETTING)

    assert side_by_side(tables, setting, reading) == ["12345", before]
    assert tables.spark.conf.get(SETTING) == before


def test_what_defines_results_holds_in_every_step(tables: Tables) -> None:
    (zone, ansi), *_ = side_by_side(
        tables,
        lambda beside: [
            beside.spark.conf.get(f"spark.sql.{name}") for name in ("session.timeZone", "ansi.enabled")
        ],
    )
    assert (zone, ansi) == ("UTC", "true")


def test_an_error_is_raised_when_all_steps_have_ended_and_none_is_lost(
    tables: Tables, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[str] = []

    def failing(_: Tables) -> None:
        raise InputError("the first step's")

    def failing_later(_: Tables) -> None:
        time.sleep(0.2)
        raise InputError("the second step's")

    def working(_: Tables) -> None:
        time.sleep(0.3)
        ended.append("worked")

    with caplog.at_level(logging.ERROR), pytest.raises(InputError, match="the first step's"):
        side_by_side(tables, failing, failing_later, working)
    assert ended == ["worked"]
    assert "the second step's" in caplog.text
