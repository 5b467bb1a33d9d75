"""`watchlift power` and `watchlift boundaries`: how many units, and when one may stop."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from jobs.commands.common import add_command, finite, print_answer, shown, table
from metrics.errors import InputError

if TYPE_CHECKING:
    from metrics.power import Design, Requirement
    from metrics.sequential.boundaries import Look
    from metrics.sequential.inference import FinalInference

_SPENDING = "pocock, obrien_fleming, linear or hsd:GAMMA (default: pocock)"


def add_commands(commands: Any) -> None:
    power = add_command(
        commands, "power", "Units needed for an effect, or the effect that units detect.", _power
    )
    power.add_argument("--mean", type=finite, help="mean of the metric in the control")
    power.add_argument("--sd", type=finite, help="its standard deviation over units")
    power.add_argument("--p1", type=finite, help="instead of mean and sd: a proportion in the control")
    power.add_argument("--p2", type=finite, help="the proportion to tell from it")
    power.add_argument("--mde-relative", type=finite, help="the relative change to detect: 0.01 is 1%%")
    power.add_argument(
        "--n", type=finite, help="units in the control instead of the MDE; the others follow --allocation"
    )
    _add_design(power)

    boundaries = add_command(commands, "boundaries", "Boundaries of a sequential test.", _boundaries)
    boundaries.add_argument("--alpha", type=finite, default=0.05, help="total over the sides (default: 0.05)")
    boundaries.add_argument("--sides", type=int, choices=(1, 2), default=2, help="1: upper (default: 2)")
    boundaries.add_argument("--spending", default="pocock", help=_SPENDING)
    boundaries.add_argument(
        "--information",
        nargs="+",
        required=True,
        type=finite,
        metavar="T",
        help="each look's, planned end = 1",
    )
    boundaries.add_argument("--final", action="store_true", help="the last look spends all that is left")
    boundaries.add_argument("--statistic", nargs="+", default=[], type=finite, metavar="Z", help="z by look")
    boundaries.add_argument(
        "--std-error", nargs="+", default=[], type=finite, metavar="S", help="standard error by look"
    )


def _add_design(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--alpha", type=finite, default=0.05, help="two-sided, over all treatments (0.05)")
    parser.add_argument("--power", type=finite, default=0.8, help="default: 0.8")
    parser.add_argument(
        "--rho", type=finite, default=0.0, help="correlation with the covariates of CUPED (0)"
    )
    parser.add_argument(
        "--allocation", type=_allocation, default=(1.0, 1.0), help="control:treatment[:treatment…] (1:1)"
    )
    parser.add_argument("--looks", type=int, default=1, help="equally spaced looks (default: 1)")
    parser.add_argument("--spending", default="pocock", help=_SPENDING)
    parser.add_argument("--randomized-by", choices=("unit", "cluster"), default="unit", help="default: unit")
    parser.add_argument(
        "--icc", type=finite, help="intra-cluster correlation; counts if clusters are randomized"
    )
    parser.add_argument("--cluster-size", type=finite, help="mean units of a cluster")
    parser.add_argument("--cluster-cv", type=finite, default=0.0, help="sd/mean of the cluster sizes (0)")


def _power(arguments: argparse.Namespace) -> None:
    design = _design(arguments)
    try:
        found = _requirement(design, arguments)
    except OverflowError:
        raise InputError("the numbers lie too far apart to compute with; check mean, sd and effect") from None
    arms = _arm_names(len(design.allocation))
    n_per_arm = dict(zip(arms, found.n_per_arm, strict=True))
    answer = {
        "n_per_arm": n_per_arm,
        "mde_absolute": found.mde_absolute,
        "mde_relative": found.mde_relative,
        **asdict(found.factors),
    }
    print_answer(arguments, answer, _power_text(n_per_arm, design, found))


def _requirement(design: "Design", arguments: argparse.Namespace) -> "Requirement":
    from metrics import power

    target = _target(arguments)
    if arguments.p1 is None:
        if target == "--n":
            return power.mde_of_mean(design, arguments.mean, arguments.sd, arguments.n)
        return power.units_for_mean(design, arguments.mean, arguments.sd, arguments.mde_relative)
    if target == "--n":
        return power.mde_of_proportion(design, arguments.p1, arguments.n)
    if target == "--mde-relative" and arguments.mde_relative <= 0:
        raise InputError(f"--mde-relative is {arguments.mde_relative:g}; give a share above 0, such as 0.01")
    p2 = arguments.p2 if target == "--p2" else arguments.p1 * (1 + arguments.mde_relative)
    return power.units_for_proportions(design, arguments.p1, p2)


def _target(arguments: argparse.Namespace) -> str:
    """The option that says what to detect, once the others fit to it."""
    if (arguments.mean is None) != (arguments.sd is None):
        raise InputError("--mean and --sd belong together; give both")
    if (arguments.mean is None) == (arguments.p1 is None):
        raise InputError("no baseline, or two; give --mean and --sd, or --p1 for a proportion")
    options = ["--mde-relative", "--n"] + (["--p2"] if arguments.p1 is not None else [])
    if arguments.p1 is None and arguments.p2 is not None:
        raise InputError("--p2 has no --p1 to be told from; give --p1 instead of --mean and --sd")
    given = [option for option in options if getattr(arguments, option[2:].replace("-", "_")) is not None]
    if len(given) != 1:
        found = ", ".join(given) or "none"
        raise InputError(f"{found} given of {', '.join(options)}; give exactly one")
    return given[0]


def _design(arguments: argparse.Namespace) -> "Design":
    from metrics.power import Clusters, Design

    clusters = None
    if arguments.randomized_by == "cluster":
        if arguments.icc is None or arguments.cluster_size is None:
            raise InputError("--randomized-by cluster needs --icc and --cluster-size; give both")
        clusters = Clusters(arguments.icc, arguments.cluster_size, arguments.cluster_cv)
    return Design(
        alpha=arguments.alpha,
        power=arguments.power,
        allocation=arguments.allocation,
        rho=arguments.rho,
        looks=arguments.looks,
        spending=arguments.spending,
        clusters=clusters,
    )


def _arm_names(arms: int) -> list[str]:
    if arms == 2:
        return ["control", "treatment"]
    return ["control", *(f"treatment_{k}" for k in range(1, arms))]


def _allocation(text: str) -> tuple[float, ...]:
    shares = tuple(finite(part) for part in text.split(":"))
    if len(shares) < 2 or min(shares) <= 0:
        raise argparse.ArgumentTypeError(
            f"'{text}' is not control:treatment in positive numbers, such as 1:3"
        )
    return shares


def _power_text(n_per_arm: dict[str, float], design: "Design", found: "Requirement") -> str:
    relative = "" if found.mde_relative is None else f" ({found.mde_relative:.3%} of the control's)"
    factors = found.factors
    rows = [
        ["less variance by covariates", f"{factors.variance_reduction:.1%}"],
        ["design effect of clusters", f"{factors.design_effect:.4f}"],
        ["inflation by looks", f"{factors.inflation:.4f}"],
    ]
    return (
        table(["arm", "units"], [[arm, f"{math.ceil(n):,}"] for arm, n in n_per_arm.items()])
        + f"\ndetects a change of {shown(found.mde_absolute)}{relative}\n"
        + f"with power {design.power:g} at alpha {design.comparison_alpha:.4g}, two-sided\n\n"
        + table(rows[0], rows[1:])
    )


def _boundaries(arguments: argparse.Namespace) -> None:
    from metrics.sequential.boundaries import boundaries
    from metrics.sequential.inference import check_statistics, final_inference, with_repeated_intervals

    statistics, std_errors = arguments.statistic, arguments.std_error
    check_statistics(len(arguments.information), statistics, std_errors)
    looks = boundaries(
        arguments.information, arguments.alpha, arguments.sides, arguments.spending, arguments.final
    )
    final = None
    if statistics:
        looks = with_repeated_intervals(looks, statistics, std_errors)
        final = final_inference(looks, statistics, std_errors, arguments.alpha, arguments.sides)
    answer = {"looks": [asdict(look) for look in looks], "final": asdict(final) if final else None}
    print_answer(arguments, answer, _boundaries_text(looks, final, arguments))


def _boundaries_text(
    looks: Sequence["Look"], final: "FinalInference | None", arguments: argparse.Namespace
) -> str:
    header = ["look", "information", "alpha spent", "boundary", "nominal p", "repeated interval"]
    statistic = "|Z|" if arguments.sides == 2 else "Z"
    text = table(header, [_row(look) for look in looks])
    text += f"\nreject at a look where {statistic} reaches the boundary; at a dash it cannot\n"
    if final:
        text += f"\nstopping at look {len(arguments.statistic)}: p-value {shown(final.p_value)}"
    if final and final.median_unbiased is not None:
        level = 1 - arguments.alpha * 2 / arguments.sides
        interval = f"{shown(final.ci_low)} to {shown(final.ci_high)}"
        text += f", estimate {shown(final.median_unbiased)},\n{100 * level:g}% interval {interval}"
    return text + "\n" * bool(final)


def _row(look: "Look") -> list[str]:
    interval = "-"
    if look.repeated_ci_low is not None:
        interval = f"{shown(look.repeated_ci_low)} to {shown(look.repeated_ci_high)}"
    return [
        str(look.look),
        shown(look.information_fraction),
        shown(look.alpha_spent),
        "-" if look.z_boundary is None else f"{look.z_boundary:.4f}",
        shown(look.nominal_p),
        interval,
    ]
