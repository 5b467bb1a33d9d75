"""What a fault did, as a row of the report."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from scripts.faults.comparison import Difference


@dataclass
class Outcome:
    """`runs`: how often a job was started; `failed`: of its last runs, which nothing disturbed, those that failed;
    lost and doubled rows in the end, by table; messages shown on the way.
    """

    fault: str
    runs: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    doubled: dict[str, int] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    failed: int = 0

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.failed)

    def add(self, found: Difference) -> None:
        for mine, its in ((self.lost, found.lost), (self.doubled, found.doubled)):
            for name, rows in its.items():
                mine[name] = mine.get(name, 0) + rows

    def say(self, message: str) -> None:
        if message not in self.messages:
            self.messages.append(message)


def report(outcomes: Iterable[Outcome]) -> str:
    lines = ["| fault | runs | rows lost | rows doubled | message shown |", "|---|---|---|---|---|"]
    for outcome in outcomes:
        cells = [outcome.fault, str(outcome.runs), _rows(outcome.lost), _rows(outcome.doubled)]
        lines.append(f"| {' | '.join([*cells, '<br>'.join(outcome.messages) or '–'])} |")
    return "\n".join(lines) + "\n"


def _rows(by_table: dict[str, int]) -> str:
    return ", ".join(f"{rows} in {name}" for name, rows in by_table.items()) or "0"
