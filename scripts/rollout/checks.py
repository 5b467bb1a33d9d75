"""What the tables of a rollout have to show: its path, and a ledger in which nothing was spent twice."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

import pyarrow.compute as pc

from jobs.commands.decisions import replay
from jobs.delta_reader import allocations_of, planned_of, read_rows
from metrics.configuration.experiment import Experiment
from metrics.configuration.project import Project
from metrics.evidence import deciding_rows
from metrics.looks import ledger_of
from metrics.rows import Estimate, LookRow, RolloutDecision, row_of
from metrics.statistics.layout import ALL
from scripts.findings import Findings

# A look of a comparison.
Place = tuple[str, str, int]


@dataclass
class Checks:
    """Each raises RunError, in one line, where something is not as expected."""

    project: Project
    findings: Findings = field(default_factory=Findings)

    def path(self, name: str, expected: Mapping[date, float]) -> None:
        """The shares that were in force, by their first day."""
        shares = {
            each.effective_from.date(): each.exposed_share for each in allocations_of(self.project, name)
        }
        self.findings.expect(f"{name}: shares", in_days(shares), in_days(expected))

    def ended(self, name: str, action: str, never: Sequence[str]) -> None:
        """The last decision, and those that were never taken."""
        made = self.decisions(name)
        self.findings.expect(f"{name}: last decision", made[-1].action, action)
        found = sorted({each.action for each in made} & set(never))
        self.findings.expect(f"{name}: ever {' or '.join(never)}", ", ".join(found) or "none", "none")

    def replayed(self, name: str) -> None:
        made = self.decisions(name)
        same = sum(replay(each).is_same is True for each in made)
        self.findings.expect(f"{name}: decisions replayed to the same", str(same), str(len(made)))

    def one_version(self, name: str, until: str) -> None:
        """Every look has one version."""
        versions = Counter(_place(look) for look in self.looks(name))
        more = sum(n > 1 for n in versions.values())
        self.findings.expect(f"{name}: looks with more than one version {until}", str(more), "0")

    def ledger(self, experiment: Experiment) -> None:
        """Of each look the version that the estimates of now give is there: nothing was spent twice, or too little."""
        planned = planned_of(self.project, experiment.id)
        rows = read_rows(
            self.project.tables,
            "estimates",
            (pc.field("experiment_id") == experiment.id) & (pc.field("segment") == ALL),
        )
        estimates = [row_of(Estimate, row) for row in rows]
        deciding = deciding_rows(experiment, self.project.catalogue, estimates)
        due = [
            look
            for looks in ledger_of(experiment, self.project.catalogue, deciding, planned).values()
            for look in looks
        ]
        kept = {json.dumps(asdict(look), default=str) for look in self.looks(experiment.id)}
        found = sum(json.dumps(asdict(look), default=str) in kept for look in due)
        self.findings.expect(f"{experiment.id}: looks as a clean run's", str(found), str(len(due)))
        spent = max((look.alpha_spent for look in self.looks(experiment.id)), default=0.0)
        self.findings.expect(
            f"{experiment.id}: alpha spent at most",
            f"{spent:.4f}",
            f"{experiment.alpha:g} at most",
            spent <= experiment.alpha + 1e-12,
        )

    def kept(self, name: str, before: Sequence[LookRow], again: Sequence[date]) -> None:
        """Every look of before is there unchanged; those of the days estimated again have one version more."""
        now = self.looks(name)
        missing = sum(look not in now for look in before)
        self.findings.expect(f"{name}: old looks lost or changed", str(missing), "0")
        versions = Counter(_place(look) for look in now)
        days = {_place(look): look.analysis_day for look in now}
        anew = {days[place] for place, n in versions.items() if n == 2}
        self.findings.expect(f"{name}: days with a second version", _dates(anew), _dates(again))
        most = max(versions.values())
        self.findings.expect(f"{name}: versions of a look at most", str(most), "2" if again else "1")

    def looks(self, name: str) -> list[LookRow]:
        rows = read_rows(self.project.tables, "looks", pc.field("experiment_id") == name)
        return [row_of(LookRow, row) for row in rows]

    def decisions(self, name: str) -> list[RolloutDecision]:
        rows = read_rows(self.project.tables, "rollout_decisions", pc.field("experiment_id") == name)
        return sorted((row_of(RolloutDecision, row) for row in rows), key=lambda each: each.decided_for)

    def runs_in_mlflow(self, name: str, expected: Mapping[str, int]) -> None:
        """How many runs there are by name."""
        from mlflow import MlflowClient

        client = MlflowClient(f"sqlite:///{self.project.data_dir}/mlflow/mlflow.db")
        experiment = client.get_experiment_by_name(name)
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id], max_results=1_000)
        found = Counter(run.info.run_name for run in runs)
        self.findings.expect(f"{name}: runs in MLflow", in_counts(found), in_counts(expected))


def in_days(shares: Mapping[date, float]) -> str:
    return ", ".join(f"{day:%m-%d} {share:g}" for day, share in sorted(shares.items()))


def in_counts(counts: Mapping[str, int]) -> str:
    often = sorted(name for name, n in counts.items() if n > 1)
    return f"{len(counts)} names" + "".join(f", {counts[name]} of {name}" for name in often)


def _place(look: LookRow) -> Place:
    return look.metric, look.arm, look.look


def _dates(days: Any) -> str:
    return ", ".join(f"{day:%m-%d}" for day in sorted(days)) or "none"
