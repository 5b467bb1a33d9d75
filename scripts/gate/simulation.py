"""Experiments as the gate sees them: daily estimates that grow with the stage that it has let them reach."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from metrics.configuration.catalogue import Catalogue
from metrics.configuration.experiment import Experiment
from metrics.decision import Stage, decide
from metrics.enrollment import end_of
from metrics.evidence import decision_estimator, gather
from metrics.gate import Action
from metrics.looks import planned_information
from metrics.planning import enrolled_share
from metrics.rows import PROFILE, Estimate, SrmCheck
from metrics.statistics.layout import ALL

# The baseline of each primary: with mde_relative it gives the effect that the design is to detect.
BASELINE = 1.0


@dataclass(frozen=True)
class Scenario:
    """True effects: of primaries in the effect to detect, in the good direction; of guardrails in margins of harm.

    reach, of_guardrails: information at the planned end, in planned maxima, of an experiment that runs through all
    stages.
    """

    name: str
    primary: float = 0.0
    harm: Mapping[str, float] | None = None
    reach: float = 1.1
    of_guardrails: float = 3.0


@dataclass(frozen=True)
class End:
    """How the gate ended an experiment (hold: not at all), on which day since its opening, at which share.

    What is shipped or rolled back is; one that is stopped may be left to run, and then ship after all or be rolled
    back, which counts.
    """

    action: Action
    day: int
    share: float


class Course:
    """One experiment: independent normal increments for each comparison, as information comes in."""

    def __init__(self, experiment: Experiment, catalogue: Catalogue, scenario: Scenario) -> None:
        self.experiment, self.catalogue, self.scenario = experiment, catalogue, scenario
        self.planned = {
            name: planned_information(experiment, catalogue, name, experiment.mde_relative * BASELINE)
            for name in experiment.primary
        }
        margins = {
            name: planned_information(experiment, catalogue, name, margin)
            for name, margin in experiment.guardrails.items()
        }
        self.most = {**self.planned, **margins}
        self.whole = enrolled_share(experiment, experiment.enrollment_days)

    def run(self, rng: np.random.Generator) -> End:
        experiment = self.experiment
        stage, enrolled, history = (
            Stage(experiment.stages[0], experiment.opens),
            dict[date, float](),
            list[Estimate](),
        )
        stopped: End | None = None
        score = dict.fromkeys(self.most, (0.0, 0.0))
        days = (experiment.planned_end(self.catalogue) - experiment.opens).days + 1
        for number in range(1, days + 1):
            day = experiment.opens + timedelta(days=number - 1)
            if day <= experiment.last_enrollment_day:
                enrolled[day] = stage.share
            rows = []
            for name in self.most:
                score[name] = self._grown(name, score[name], self._information(name, enrolled, day), rng)
                rows.append(self._row(name, day, *score[name]))
            check = _fitting(experiment, day)
            evidence = gather(
                experiment, self.catalogue, day, rows, [check], [], history=history, planned=self.planned
            )
            decision = decide(evidence, stage)
            if decision.action in ("ship", "rollback"):
                return End(decision.action, number, stage.share)
            if decision.action == "stop" and stopped is None:
                stopped = End("stop", number, stage.share)
            if decision.stage_to != stage.share:
                stage = Stage(decision.stage_to, day + timedelta(days=1))
            history += rows
        return stopped or End("hold", days, stage.share)

    def _information(self, name: str, enrolled: Mapping[date, float], day: date) -> float:
        matured = day - timedelta(days=(self.catalogue.metrics[name].window or 1) - 1)
        shares = math.fsum(share for since, share in enrolled.items() if since <= matured)
        reach = self.scenario.reach if name in self.planned else self.scenario.of_guardrails
        return reach * self.most[name] * shares / self.whole

    def _grown(
        self, name: str, before: tuple[float, float], information: float, rng: np.random.Generator
    ) -> tuple[float, float]:
        """(information, score): the score's increment has mean effect × information and variance information."""
        gained = information - before[0]
        noise = math.sqrt(gained) * rng.standard_normal()
        return information, before[1] + gained * self._effect(name) + noise

    def _effect(self, name: str) -> float:
        is_good = 1 if self.catalogue.metrics[name].better == "higher" else -1
        if name in self.planned:
            return is_good * self.scenario.primary * self.experiment.mde_relative * BASELINE
        return -is_good * (self.scenario.harm or {}).get(name, 0.0) * self.experiment.guardrails[name]

    def _row(self, name: str, day: date, information: float, score: float) -> Estimate:
        experiment, is_known = self.experiment, information > 0
        return Estimate(
            experiment_id=experiment.id,
            epoch=0,
            analysis_day=day,
            metric=name,
            estimator=decision_estimator(experiment, self.catalogue.metrics[name]),
            segment=ALL,
            segment_value=ALL,
            arm=experiment.treatments[0],
            role=experiment.role(name),
            control_arm=experiment.control,
            status="ok" if is_known else "not_matured",
            control_mean=BASELINE,
            effect=score / information if is_known else None,
            std_error=information**-0.5 if is_known else None,
        )


def _fitting(experiment: Experiment, day: date) -> SrmCheck:
    counts = dict.fromkeys(experiment.arms, 1000)
    return SrmCheck(
        experiment.id, 0, "cumulative", end_of(day), PROFILE, ALL, ALL, counts, dict(counts), triggered=False
    )
