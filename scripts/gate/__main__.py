"""How often the gate ships, stops and rolls back, wrongly and rightly: docs/gate.md.

python -m scripts.gate [--experiments 2000] [--seed 1] [--output docs/gate.md]
"""

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from metrics.configuration.project import load_project
from scripts.environment import ROOT
from scripts.gate.simulation import Course, End, Scenario
from scripts.progress import Progress

SCENARIOS = (
    Scenario("no effect"),
    Scenario("no effect, half of the information planned", reach=0.5, of_guardrails=0.5),
    Scenario("no effect, ten times the information planned", reach=10.0, of_guardrails=10.0),
    Scenario("no effect, guardrails short of their plan until late", of_guardrails=1.05),
    Scenario("rebuffering harmed by its margin", harm={"rebuffering_ratio": 1.0}),
    Scenario("rebuffering harmed by twice its margin", harm={"rebuffering_ratio": 2.0}),
    Scenario("the effect to detect", primary=1.0),
    Scenario("the effect to detect, the other way", primary=-1.0),
)
_PAGE = """# What the gate decides, and how often wrongly

{n:,} experiments of each kind, with the configuration of `{id}` ({primaries} primary, {guardrails} guardrails, stages
{stages}, {spending} spending at {alpha:g} and power {power:g}), looked at every day from the first to the planned end.
Each comparison is a path of independent normal increments, whose information grows with the share that the gate has
let the experiment reach; what happens is decided by `metrics/decision.py` itself, day by day. "Information planned" is
that of the effect to detect (primary: {mde:g} relative; guardrails: their margins). But where it says otherwise, 1.1
times as much comes in for the primary, and three times as much for guardrails. Made by
`{command}`; Monte Carlo errors in brackets.

{table}
What to expect. Without an effect a primary crosses by chance in {half:.1%} of experiments to its good side, which ships
once the guardrails have passed, and in as many to its bad side, which rolls back. A guardrail's interval lies above 0
by chance in at most {half:.1%}, and then harm must reach the margin, too. So at most {half:.1%} may ship, and
{bound:.1%} be rolled back. Harm of twice the margin is to be found at least as often as the design says, {power:.0%};
harm of just the margin looks like less in half of all looks. An effect ships where the primary crosses and no
guardrail is left undecided; futility ends most of what goes the other way before that is certain. An experiment that
was stopped is left to run here, and may ship or be rolled back after all: the errors hold though stopping binds nobody.
"""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.gate", description="Errors and power of the gate."
    )
    parser.add_argument("--experiments", type=int, default=2000, help="of each kind (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "gate.md")
    options = parser.parse_args(argv)
    progress, lines = Progress(), []
    project = load_project(ROOT / "conf", ROOT / "data")
    experiment = project.experiments[0]
    for number, scenario in enumerate(SCENARIOS):
        course = Course(experiment, project.catalogue, scenario)
        ends = [
            course.run(np.random.default_rng((options.seed, number, k))) for k in range(options.experiments)
        ]
        lines.append(_line(scenario, ends))
        progress.say(lines[-1])
    header = "| experiments | ships | rolls back | stops | holds | day of the end, median | rolled back below 20% |"
    written = _PAGE.format(
        n=options.experiments,
        id=experiment.id,
        primaries=len(experiment.primary),
        guardrails=len(experiment.guardrails),
        stages=" → ".join(f"{stage:.0%}" for stage in experiment.stages),
        spending=experiment.spending,
        alpha=experiment.alpha,
        power=experiment.power,
        mde=experiment.mde_relative,
        half=experiment.alpha / 2,
        bound=experiment.alpha / 2 * (1 + len(experiment.guardrails)),
        command=f"python -m scripts.gate --experiments {options.experiments} --seed {options.seed}",
        table="\n".join([header, "|---|---|---|---|---|---|---|", *lines]) + "\n",
    )
    options.output.write_text(written, encoding="utf-8")
    return 0


def shares(ends: Sequence[End]) -> Mapping[str, float]:
    counted = Counter(end.action for end in ends)
    return {action: counted[action] / len(ends) for action in ("ship", "rollback", "stop", "hold")}


def _line(scenario: Scenario, ends: Sequence[End]) -> str:
    cells = [_share(share, len(ends)) for share in shares(ends).values()]
    early = sum(end.action == "rollback" and end.share < 0.2 for end in ends) / len(ends)
    median = int(np.median([end.day for end in ends]))
    return f"| {' | '.join([scenario.name, *cells, str(median), _share(early, len(ends))])} |"


def _share(share: float, n: int) -> str:
    return f"{share:.2%} (± {(share * (1 - share) / n) ** 0.5:.2%})"


if __name__ == "__main__":
    sys.exit(main())
