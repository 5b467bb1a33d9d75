"""Numbers and names as a product manager reads them: the same wording in decisions, terminal and page."""

import math
from collections.abc import Sequence
from datetime import datetime

MISSING = "–"
MINUS = "−"


def label(name: str) -> str:
    """'play_starts_7d' -> 'Play starts (7 days)'; 'crash_rate' -> 'Crash rate'."""
    words = name.split("_")
    days = words[-1]
    if len(words) > 1 and days.endswith("d") and days[:-1].isdigit():
        unit = "day" if days == "1d" else "days"
        return f"{' '.join(words[:-1]).capitalize()} ({days[:-1]} {unit})"
    return " ".join(words).capitalize()


def decimals_for(scale: float | None) -> int:
    """Decimals that show two digits of a standard error or a margin: more would be noise."""
    if not scale or not math.isfinite(scale):
        return 3
    return min(8, max(0, 1 - math.floor(math.log10(scale))))


def number(value: float | None, decimals: int, signed: bool = False) -> str:
    if value is None:
        return MISSING
    text = f"{abs(value):,.{decimals}f}"
    is_zero = not any(digit in text for digit in "123456789")
    if value < 0 and not is_zero:
        return MINUS + text
    return f"+{text}" if signed and not is_zero else text


def quantity(value: float | None, signed: bool = False) -> str:
    """A total to three digits, never more exact than it can be: 12,345 -> '12,300'; 0.50 -> '0.5'."""
    if value is None:
        return MISSING
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    text = number(round(value, digits), max(0, digits), signed)
    return text.rstrip("0").rstrip(".") if "." in text else text


def count(value: int | None) -> str:
    return MISSING if value is None else f"{value:,}"


def percent(value: float | None, decimals: int = 1, signed: bool = True) -> str:
    return MISSING if value is None else number(100 * value, decimals, signed) + "%"


def share(value: float) -> str:
    """'50%', '0.5%', '51.3%'."""
    return f"{100 * value:.4g}%"


def p_value(value: float | None) -> str:
    if value is None:
        return MISSING
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def days(n: int) -> str:
    return "1 day" if n == 1 else f"{n} days"


def moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def listing(words: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else "".join(words)


def sentence(words: str) -> str:
    """With a full stop, unless it has an end of its own."""
    return words if words.endswith((".", "!", "?")) else f"{words}."
