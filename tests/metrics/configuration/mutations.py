"""Wrong configurations without end: the shipped files, each with one thing in it made wrong, by kind and seed."""

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.metrics.configuration.wrong_values import (
    AGGREGATE_ATTACKS,
    BAD_NAMES,
    BAD_SCHEMAS,
    RAW_YAML,
    ROW_ATTACKS,
    SQL_ATTACKS,
    WRONG,
)

ROOT = Path(__file__).resolve().parents[3]
PROJECTS = {
    "conf": ROOT / "conf",
    "playback": ROOT / "examples" / "playback_runs",
    "units": ROOT / "examples" / "units",
}
_HERE = "@@here@@"
Path_ = tuple[str, ...]


@dataclass(frozen=True)
class Original:
    """A shipped file: `type` says which keys it has (metrics, sources, tables, experiment, units)."""

    project: str
    file: str
    type: str
    text: str
    parsed: dict[str, Any]

    @property
    def document(self) -> dict[str, Any]:
        """A copy, to make something in it wrong."""
        return copy.deepcopy(self.parsed)


@dataclass(frozen=True)
class Mutant:
    """`key` is where the wrong thing is; empty where the whole file is wrong."""

    kind: str
    original: Original
    key: Path_
    content: bytes

    @property
    def name(self) -> str:
        return f"{self.kind} at {'.'.join(self.key)[:80] or 'file'} of {self.original.project}/{self.original.file}"


def originals() -> tuple[Original, ...]:
    found = []
    for project, folder in PROJECTS.items():
        for path in sorted(folder.rglob("*.yml")):
            file = path.relative_to(folder).as_posix()
            kind = "experiment" if "/" in file else "units" if project == "units" else path.stem
            text = path.read_text()
            found.append(Original(project, file, kind, text, yaml.safe_load(text)))
    return tuple(found)


def mutants(count: int, seed: int) -> Iterator[Mutant]:
    """`count` of them, every kind in turn, each at a random place of a random file that has one."""
    chance, files = random.Random(seed), originals()
    for number in range(count):
        kind = list(KINDS)[number % len(KINDS)]
        yield _mutant(kind, chance, files)


def _mutant(kind: str, chance: random.Random, files: tuple[Original, ...]) -> Mutant:
    for original in chance.sample(files, len(files)):
        made = KINDS[kind](chance, original)
        if made is not None:
            return Mutant(kind, original, *made)
    raise AssertionError(f"no file has a place for {kind}")


Made = tuple[Path_, bytes] | None
Kind = Callable[[random.Random, Original], Made]


def _places(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Every key of a document with its value, outer ones first."""
    for key, below in value.items() if isinstance(value, dict) else ():
        yield (*path, key), below
        yield from _places(below, (*path, key))


def _matches(path: Path_, pattern: str) -> bool:
    parts = pattern.split(".")
    return len(parts) == len(path) and all(p in ("*", key) for p, key in zip(parts, path, strict=True))


def _holder(document: Any, path: Path_) -> Any:
    for key in path[:-1]:
        document = document[key]
    return document


def _with(original: Original, path: Path_, value: Any) -> Made:
    """The file with another value at a key."""
    document = original.document
    _holder(document, path)[path[-1]] = value
    return path, _dumped(document)


def _with_raw(original: Original, path: Path_, raw: str) -> Made:
    """The file with a piece of YAML, as it is written, at a key."""
    made = _with(original, path, _HERE)
    assert made is not None
    return path, made[1].replace(f"'{_HERE}'".encode(), raw.encode()).replace(_HERE.encode(), raw.encode())


def _dumped(document: Any) -> bytes:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=10**6).encode()


def _found(original: Original, patterns: Mapping[str, Any]) -> list[tuple[Path_, Any]]:
    return [
        (path, patterns[pattern])
        for path, _ in _places(original.parsed)
        for pattern in patterns
        if _matches(path, pattern)
    ]


def _wrong(group: str) -> Kind:
    """A value that its key cannot have, of one group of `WRONG`."""

    def kind(chance: random.Random, original: Original) -> Made:
        places = _found(original, WRONG[group].get(original.type, {}))
        if not places:
            return None
        path, values = chance.choice(places)
        return _with(original, path, chance.choice(values))

    return kind


def _sql(attacks: Mapping[str, tuple[str, ...]], *patterns: str) -> Kind:
    def kind(chance: random.Random, original: Original) -> Made:
        places = _found(original, dict.fromkeys(patterns, None))
        if not places or original.type not in attacks:
            return None
        path, _ = chance.choice(places)
        return _with(original, path, chance.choice(attacks[original.type]))

    return kind


# Maps from a free name to its definition: another key there is another thing, and not unknown.
_FREE = {
    "metrics": ("measures", "metrics"),
    "sources": ("events", "exposures", "profiles", "*.*.options"),
    "tables": (),
    "experiment": ("arms", "metrics.guardrails"),
    "units": ("arms", "metrics.guardrails", "source.columns"),
}
_MISPLACED = (
    "alpha",
    "kind",
    "margin",
    "sql",
    "stages",
    "schema",
    "numerator",
    "root",
    "vcov",
    "arms",
    "days",
)


def _strict_mappings(original: Original) -> list[Path_]:
    document = original.document
    found: list[Path_] = [(), *(path for path, value in _places(document) if isinstance(value, dict))]
    return [path for path in found if not any(_matches(path, free) for free in _FREE[original.type])]


def _at(document: Any, path: Path_) -> Any:
    for key in path:
        document = document[key]
    return document


def _typo(chance: random.Random, original: Original) -> Made:
    strict = _strict_mappings(original)
    paths = [path for path, _ in _places(original.parsed) if path[:-1] in strict]
    path = chance.choice(paths)
    key, cut = path[-1], chance.randrange(len(path[-1]))
    wrong = chance.choice(
        (f"{key[:cut]}{key[cut]}{key[cut:]}", f"{key[:cut]}_x{key[cut:]}", key.upper(), f"{key} ")
    )
    document = original.document
    mapping = _holder(document, path)
    mapping[wrong] = mapping.pop(key)
    return (*path[:-1], wrong), _dumped(document)


def _misplaced(chance: random.Random, original: Original) -> Made:
    document = original.document
    path = chance.choice(_strict_mappings(original))
    mapping = _at(document, path)
    allowed = {
        "units": ("vcov", "arms"),
        "experiment": ("vcov",),
        "tables": ("schema",),
        "sources": ("schema",),
    }
    optional = {"metrics": ("kind", "sql"), **allowed}[original.type]
    key = chance.choice([key for key in _MISPLACED if key not in mapping and key not in optional])
    mapping[key] = chance.choice((1, "x", ["x"], {"x": 1}))
    return (*path, key), _dumped(document)


_REQUIRED = {
    "metrics": ("measures", "metrics", "measures.*.sql", "metrics.*.kind", "metrics.*.measure", "metrics.*.window",
                "metrics.*.numerator", "metrics.*.denominator", "metrics.*.better"),
    "sources": ("events", "events.*.path", "*.*.format", "*.*.schema", "*.*.columns", "events.*.columns.event_id",
                "events.*.columns.event_ts", "events.*.columns.event_type", "exposures.*.columns.arm",
                "*.*.columns.profile_id"),
    "tables": ("root",),
    "experiment": ("id", "arms", "start", "metrics", "metrics.primary", "metrics.guardrails.*.margin"),
    "units": ("source", "source.path", "source.unit", "source.arm", "source.columns", "source.columns.*.kind",
              "source.columns.*.numerator", "source.columns.*.quantile", "arms"),
}  # fmt: skip


def _missing(chance: random.Random, original: Original) -> Made:
    places = _found(original, dict.fromkeys(_REQUIRED[original.type], None))
    path, _ = chance.choice(places)
    document = original.document
    del _holder(document, path)[path[-1]]
    return path, _dumped(document)


def _wrong_type(chance: random.Random, original: Original) -> Made:
    path, value = chance.choice(list(_places(original.parsed)))
    others: list[Any] = [None, [["x"]]]
    if not isinstance(value, dict):
        others.append({"x": 1})
    if isinstance(value, dict | list):
        others += [7, "text", True, 1.5]
    elif isinstance(value, str) and "columns" not in path[:-1] and path[-1] not in ("window",):
        others += [7, True, 1.5]
    elif isinstance(value, int | float) and path[-1] != "header":
        others += ["many", "1e3"]
    return _with(original, path, chance.choice(others))


def _bad_name(chance: random.Random, original: Original) -> Made:
    """A free name that is none: of a measure, metric, arm or source; or the text of an id, a layer or a catalogue."""
    named = {"metrics": ("measures.*", "metrics.*"), "sources": ("events.*", "exposures.*", "profiles.*"),
             "experiment": ("arms.*",), "units": ("source.columns.*",), "tables": ()}  # fmt: skip
    places = _found(original, dict.fromkeys(named[original.type], None))
    name = chance.choice(BAD_NAMES)
    if not places:
        return None
    path, _ = chance.choice(places)
    document = original.document
    mapping = _holder(document, path)
    mapping[name] = mapping.pop(path[-1])
    return (*path[:-1], name), _dumped(document)


def _raw(group: str) -> Kind:
    """A piece of YAML that is dangerous or none, in the place of a value."""

    def kind(chance: random.Random, original: Original) -> Made:
        path, _ = chance.choice(list(_places(original.parsed)))
        made = _with_raw(original, path, chance.choice(RAW_YAML[group]))
        assert made is not None
        return (), made[1]

    return kind


def _huge(chance: random.Random, original: Original) -> Made:
    numbers = [path for path, value in _places(original.parsed) if type(value) in (int, float)]
    return _with_raw(original, chance.choice(numbers), chance.choice(RAW_YAML["huge"])) if numbers else None


def _bytes_put(*pieces: bytes) -> Kind:
    def kind(chance: random.Random, original: Original) -> Made:
        content = original.text.encode()
        cut = chance.randrange(len(content))
        return (), content[:cut] + chance.choice(pieces) + content[cut:]

    return kind


def _whole(*contents: Callable[[str], bytes]) -> Kind:
    return lambda chance, original: ((), chance.choice(contents)(original.text))


def _twice(chance: random.Random, original: Original) -> Made:
    key = chance.choice(list(original.document))
    return (), f"{original.text}\n{key}: {{}}\n".encode()


def _many_keys(chance: random.Random, original: Original) -> Made:
    keys = "".join(f"key_{n}: {n}\n" for n in range(chance.choice((500, 10_000))))
    return (), f"{original.text}\n{keys}".encode()


def _long_text(chance: random.Random, original: Original) -> Made:
    path, _ = chance.choice(list(_places(original.parsed)))
    made = _with(original, path, chance.choice("x( '") * 1_000_000)
    assert made is not None
    return (), made[1]


_MEASURES = ("measures.*.sql",)
_ROWS = ("*.*.columns.*", "*.*.where")
KINDS: dict[str, Kind] = {
    "unknown key, a typo": _typo,
    "unknown key, misplaced": _misplaced,
    "missing key": _missing,
    "wrong type": _wrong_type,
    "SQL that is more than an expression": _sql(
        {"metrics": SQL_ATTACKS, "sources": SQL_ATTACKS}, *_MEASURES, *_ROWS
    ),
    "SQL of the wrong shape": _sql(
        {"metrics": AGGREGATE_ATTACKS, "sources": ROW_ATTACKS}, *_MEASURES, *_ROWS
    ),
    "schema that is none": _sql({"sources": BAD_SCHEMAS}, "*.*.schema"),
    **{group: _wrong(group) for group in WRONG},
    "name that is none": _bad_name,
    "cycle": _raw("cycle"),
    "alias bomb": _raw("bomb"),
    "deep nesting": _raw("deep"),
    "tag": _raw("tag"),
    "no YAML": _raw("broken"),
    "huge text": _long_text,
    "huge number": _huge,
    "many keys": _many_keys,
    "key given twice": _twice,
    "broken UTF-8": _bytes_put(b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\x80\x80", b"\xf8\x88\x80\x80\x80"),
    "control character": _bytes_put(b"\0", b"\x07", b"\x1b[31m"),
    "another encoding": _whole(lambda t: t.encode("utf-16"), lambda t: t.encode("utf-32")),
    "empty file": _whole(
        lambda _: b"", lambda _: b"# nothing\n", lambda _: b"---\n", lambda _: b"\xef\xbb\xbf"
    ),
    "no mapping": _whole(
        lambda _: b"- a\n- b\n", lambda _: b"just text\n", lambda _: b"42\n", lambda _: b"null\n"
    ),
    "several documents": _whole(
        lambda t: f"{t}\n---\nid: other\n".encode(), lambda t: f"{t}\n---\n{t}".encode()
    ),
    "tab": _whole(lambda t: f"{t}\nmore:\n\tkey: 1\n".encode()),
    "byte order mark inside": _whole(lambda t: f"\n\ufeff{t}".encode()),
}
