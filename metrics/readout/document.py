"""The readout as one JSON document: null where a number is unknown, never NaN; dates and times in ISO form."""

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from typing import Any

from metrics.readout.model import Readout
from metrics.readout.phrases import headline


def render_json(readout: Readout) -> str:
    return json.dumps(document(readout), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def document(readout: Readout) -> dict[str, Any]:
    """Plain values, with the decision's headline and the business terms in words added."""
    plain: dict[str, Any] = jsonable(readout)
    decision = plain["decision"]
    plain["decision"] = {**decision, **decision.pop("facts"), "headline": headline(readout)}
    for term, words in zip(plain["business"], readout.business, strict=True):
        term["sentence"] = f"{words.headline}: {words.detail}"
    return plain


def jsonable(value: Any) -> Any:
    """A value of dataclasses, mappings, sequences and scalars as JSON has them."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.isoformat() if isinstance(value, date) else value
