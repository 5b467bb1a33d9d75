"""`watchlift decisions`: what the gate and people decided, each of the gate's replayed from its row."""

import argparse
import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs.commands.common import add_command, print_answer, table
from metrics import wording
from metrics.gate import Answer, replayed
from metrics.rows import RolloutDecision, row_of

_WIDTH = 80


@dataclass(frozen=True)
class Replay:
    """A decision as it was made, and what its facts lead to today; None where its row does not hold them."""

    made: RolloutDecision
    answer: Answer | None

    @property
    def is_same(self) -> bool | None:
        if self.answer is None:
            return None
        arm = json.loads(self.made.inputs).get("arm")
        found = (self.answer.action, self.answer.stage_to, self.answer.arm)
        return found == (self.made.action, self.made.stage_to, arm)


def add_commands(commands: Any) -> None:
    parser = add_command(
        commands,
        "decisions",
        "What the gate and people decided, each decision replayed from its row.",
        _decisions,
    )
    parser.add_argument("experiment", metavar="EXPERIMENT")


def _decisions(arguments: argparse.Namespace) -> None:
    import pyarrow.compute as pc

    from jobs.delta_reader import read_rows
    from metrics.configuration.project import load_project

    project = load_project(arguments.conf_dir, arguments.data_dir)
    experiment = project.experiment(arguments.experiment)
    rows = read_rows(project.tables, "rollout_decisions", pc.field("experiment_id") == experiment.id)
    # Of several for one time (late data) the most careful counts, which is shown last; then what people set.
    made = sorted((row_of(RolloutDecision, row) for row in rows), key=_order)
    replays = [replay(each) for each in made]
    print_answer(
        arguments, {"decisions": [_document(each) for each in replays]}, _text(experiment.id, replays)
    )


def _order(made: RolloutDecision) -> tuple[int, datetime, bool, float, str]:
    return made.epoch, made.decided_for, made.is_override, -made.stage_to, made.input_version


def replay(made: RolloutDecision) -> Replay:
    try:
        return Replay(made, None if made.is_override else replayed(json.loads(made.inputs)))
    except (KeyError, TypeError):  # of a version that kept less
        return Replay(made, None)


def _document(each: Replay) -> dict[str, Any]:
    made = each.made
    return {
        "epoch": made.epoch,
        "input_version": made.input_version,
        "decided_for": made.decided_for.isoformat(),
        "action": made.action,
        "stage_from": made.stage_from,
        "stage_to": made.stage_to,
        "reasons": list(made.reasons),
        "refused": made.refused,
        "inputs": json.loads(made.inputs),
        "is_replayed": each.is_same,
    }


def _text(experiment_id: str, replays: Sequence[Replay]) -> str:
    if not replays:
        return f"{experiment_id}: nothing decided yet\n"
    rows = [
        [
            f"{each.made.decided_for:%Y-%m-%d}",
            str(each.made.epoch),
            each.made.action,
            wording.share(each.made.stage_from),
            wording.share(each.made.stage_to),
            "by people" if each.made.is_override else {True: "same", False: "OTHER", None: "-"}[each.is_same],
        ]
        for each in replays
    ]
    last = replays[-1].made
    told = [
        textwrap.fill(reason, _WIDTH, initial_indent="  ", subsequent_indent="  ") for reason in last.reasons
    ]
    return "\n".join(
        [
            table(("from day on", "epoch", "decision", "share", "to", "replayed"), rows),
            f"the last, of {last.decided_for:%Y-%m-%d}:",
            *told,
            "",
        ]
    )
