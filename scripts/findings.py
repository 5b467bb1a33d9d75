"""What the steps of a replay saw, beside what they had to see."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from scripts.errors import RunError


class Finding(NamedTuple):
    step: str
    seen: str
    expected: str


@dataclass
class Findings:
    """All until now, the first that was not as expected included."""

    all: list[Finding] = field(default_factory=list)

    def expect(self, step: str, seen: str, expected: str, holds: bool | None = None) -> None:
        """Raises RunError, in one line, where it is not. `holds`: whether it is, where that is not to say the same."""
        self.all.append(Finding(step, seen, expected))
        if not (seen == expected if holds is None else holds):
            raise RunError(f"{step}: {seen}; expected {expected}")


def as_table(findings: Sequence[Finding]) -> str:
    lines = [Finding("step", "seen", "expected"), *findings]
    widths = [max(len(line[column]) for line in lines) for column in range(2)]
    return "".join(
        f"{step.ljust(widths[0])}  {seen.ljust(widths[1])}  {expected}\n" for step, seen, expected in lines
    )
