"""Numbers that a table shares with the layer below it, beside each other."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

# Sums of doubles depend on their order in the last digits; counts do not.
_RELATIVE = 1e-9
_EXACT = 2**53  # beyond it every double is a whole number
_SHOWN = 3


@dataclass(frozen=True)
class Compared:
    """One number: `here` in the audited table, `there` in the layer below; None is unknown, and never a difference."""

    what: str
    here: float | None
    there: float | None

    @property
    def differs(self) -> bool:
        if self.here is None or self.there is None or self.here == self.there:
            return False
        counts = all(float(n).is_integer() and abs(n) < _EXACT for n in (self.here, self.there))
        return counts or not math.isclose(self.here, self.there, rel_tol=_RELATIVE)

    def __str__(self) -> str:
        return f"{self.what}: {_plain(self.here)}, below {_plain(self.there)}"


def differing(compared: Iterable[Compared]) -> list[Compared]:
    return sorted((each for each in compared if each.differs), key=lambda each: each.what)


def in_words(differing: list[Compared]) -> str | None:
    if not differing:
        return None
    more = f"; {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    return "; ".join(map(str, differing[:_SHOWN])) + more


def _plain(number: float | None) -> str:
    return "unknown" if number is None else f"{number:.15g}"
