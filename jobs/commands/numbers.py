"""`watchlift srm` and `watchlift adjust`: statistics of numbers given on the command line, or of an experiment."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from jobs.commands.common import add_command, finite, print_answer, shown, table
from metrics.errors import InputError

_MOST_UNITS = 2**63


def add_commands(commands: Any) -> None:
    srm = add_command(commands, "srm", "Are units split over the arms as planned?", _srm)
    srm.add_argument(
        "experiment", nargs="?", metavar="EXPERIMENT", help="what its monitor knew, hour by hour"
    )
    srm.add_argument("--counts", nargs="+", type=_count, metavar="ARM=N", help="or of these units by arm")
    srm.add_argument(
        "--shares", nargs="+", type=_share, metavar="ARM=SHARE", help="planned shares by arm, in any scale"
    )
    srm.add_argument("--prior-k", type=finite, help="weight of the planned shares in the prior (1000)")

    adjust = add_command(commands, "adjust", "P-values adjusted for being several.", _adjust)
    adjust.add_argument("--method", required=True, help="bonferroni, holm, hochberg, hommel, bh or by")
    adjust.add_argument("p_values", nargs="+", type=finite, metavar="P")


def _srm(arguments: argparse.Namespace) -> None:
    if arguments.experiment:
        if arguments.counts or arguments.shares or arguments.prior_k is not None:
            raise InputError("give an EXPERIMENT, or --counts with --shares (and --prior-k), not both")
        from jobs.commands.timeline import print_timeline  # reads tables, which numbers do without

        print_timeline(arguments)
        return
    if not (arguments.counts and arguments.shares):
        raise InputError("give an EXPERIMENT, or --counts ARM=N … and --shares ARM=SHARE …")
    from metrics.statistics.srm import PRIOR_K, srm_test

    counts, shares = _by_arm("--counts", arguments.counts), _by_arm("--shares", arguments.shares)
    if counts.keys() != shares.keys():
        raise InputError(f"--counts has arms {_names(counts)}, --shares {_names(shares)}; give the same arms")
    prior_k = PRIOR_K if arguments.prior_k is None else arguments.prior_k
    found = srm_test(list(counts.values()), [shares[arm] for arm in counts], prior_k)
    expected = dict(zip(counts, found.expected, strict=True))
    rows = [[arm, f"{count:,}", f"{expected[arm]:,.1f}"] for arm, count in counts.items()]
    text = (
        table(["arm", "observed", "expected"], rows)
        + f"\nchi-square {shown(found.chi_square)} on {found.df} df, p-value {_p_value(found)}, for one reading"
        + f"\ne-value {_e_value(found.log_e_value)} against the plan, valid however often one looks\n"
    )
    print_answer(arguments, {**asdict(found), "expected": expected}, text)


def _adjust(arguments: argparse.Namespace) -> None:
    from metrics.statistics.multiplicity import adjust

    adjusted = adjust(arguments.method, arguments.p_values)
    rows = [[shown(p), shown(after)] for p, after in zip(arguments.p_values, adjusted, strict=True)]
    print_answer(arguments, {"adjusted_p_values": adjusted}, table(["p-value", arguments.method], rows))


def _by_arm(option: str, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    for arm in (names := [name for name, _ in pairs]):
        if names.count(arm) > 1:
            raise InputError(f"{option} names arm '{arm}' twice; give each arm once")
    return dict(pairs)


def _names(arms: dict[str, Any]) -> str:
    return ", ".join(arms)


def _count(text: str) -> tuple[str, int]:
    arm, number = _pair(text)
    if not number.isdecimal() or int(number) > _MOST_UNITS:
        raise argparse.ArgumentTypeError(f"'{text}' has no whole number of units; write ARM=N")
    return arm, int(number)


def _share(text: str) -> tuple[str, float]:
    arm, number = _pair(text)
    return arm, finite(number)


def _pair(text: str) -> tuple[str, str]:
    arm, _, number = text.rpartition("=")
    if not arm:
        raise argparse.ArgumentTypeError(f"'{text}' does not name an arm; write ARM=NUMBER")
    return arm, number


def _p_value(found: Any) -> str:
    return shown(found.p_value) if found.p_value else f"10^{found.log_p_value / math.log(10):.1f}"


def _e_value(log_e_value: float) -> str:
    return shown(math.exp(log_e_value)) if log_e_value < 20 else f"10^{log_e_value / math.log(10):.1f}"
