"""Strict YAML: each key is taken by name and type; what nobody took is a fault, and all faults are reported."""

import re
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml

from metrics.errors import ConfigurationError

T = TypeVar("T")
_REQUIRED: Any = object()
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_MOST_BYTES = 200_000
_MOST_NODES = 100_000
_DEEPEST = 50
_LARGEST = 10**15
_MOST_DAYS = 3650
_MOST_UNKNOWN = 20


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses what plain YAML takes in silence: a key given twice, tags, endless nesting.

    What looks like a day or a number and is none (2026-02-30) stays a text, so that the fault has its key.
    """

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if tag := getattr(event, "tag", None):
            raise _error(f"tag {shown(tag)} is not for a configuration", event)
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _error(f"is nested more than {_DEEPEST} levels deep", event)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise _error(f"key {shown(key)} is not a text; put it in quotes", key_node)
            if key in seen:
                raise _error(f"key {shown(key)} is given twice", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _or_text(construct: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def value_or_text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
        try:
            return construct(loader, node)
        except (ValueError, OverflowError):
            return node.value

    return value_or_text


for _kind in ("int", "float", "timestamp"):
    _tag = f"tag:yaml.org,2002:{_kind}"
    _Loader.add_constructor(_tag, _or_text(yaml.SafeLoader.yaml_constructors[_tag]))


def _error(problem: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(None, None, problem, at.start_mark)


def _refuse_bombs(node: yaml.Node | None, sizes: dict[int, int]) -> int:
    """How many nodes there are once every alias stands for its anchor. Raises YAMLError for cycles and for too many."""
    if node is None or isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in sizes:
        sizes[id(node)] = 0
        pairs = isinstance(node, yaml.MappingNode)
        children = [child for pair in node.value for child in pair] if pairs else node.value
        sizes[id(node)] = 1 + sum(_refuse_bombs(child, sizes) for child in children)
    if sizes[id(node)] == 0:
        raise _error("an alias stands inside its own anchor", node)
    if sizes[id(node)] > _MOST_NODES:
        raise _error(f"aliases make more than {_MOST_NODES:,} values of it", node)
    return sizes[id(node)]


class _Short(reprlib.Repr):
    """Any value in one short line, however large or nested it is."""

    def repr_int(self, x: int, level: int) -> str:
        return super().repr_int(x, level) if x.bit_length() < 1000 else "(a huge number)"

    def repr_date(self, x: date, _level: int) -> str:
        return x.isoformat()


def shown(value: object, letters: int = 80) -> str:
    """A value as messages name it: in quotes where it is a text, in one line, cut in the middle."""
    short = _Short()
    short.maxstring = short.maxlong = short.maxother = letters
    short.maxlevel, short.maxlist, short.maxdict = 2, 6, 4
    return short.repr(value)


def plain(key: str) -> str:
    """A key or a name as it is, unless it is long or holds what does not print."""
    return key if len(key) <= 80 and key.isprintable() else shown(key)


@dataclass
class Section:
    """One mapping of a file. `take` hands out values and remembers which keys are known."""

    file: str
    path: str
    values: dict[str, Any]
    faults: list[str]
    known: set[str] = field(default_factory=set)

    def fault(self, key: str, message: str) -> None:
        where = ".".join(filter(None, (self.path, plain(key))))
        self.faults.append(": ".join(filter(None, (self.file, where, message))))

    def take(self, key: str, kind: type[T] | tuple[type, ...], default: Any = _REQUIRED) -> Any:
        """The value of `key`, of type `kind`; `default` where absent. A fault leaves the default (or None)."""
        self.known.add(key)
        if key not in self.values:
            if default is _REQUIRED:
                self.fault(key, "is missing; add it")
                return None
            return default
        value = self.values[key]
        if not _is_a(value, kind):
            self.fault(key, f"is {shown(value)}; expected {_name(kind)}")
            return None if default is _REQUIRED else default
        return value

    def choice(self, key: str, options: tuple[str, ...], default: Any = _REQUIRED) -> Any:
        value = self.take(key, str, default)
        if value is not None and value not in options:
            self.fault(key, f"is {shown(value)}; expected one of {', '.join(options)}")
            return options[0]
        return value

    def text(self, key: str, default: Any = _REQUIRED) -> str:
        """A text that is not empty; "" with a fault where there is none."""
        value: str | None = self.take(key, str, default)
        if value is not None and not value.strip():
            self.fault(key, "is empty; give a text")
        return value or ""

    def place(self, key: str, known: Mapping[str, str], default: Any = _REQUIRED) -> str:
        """A path or glob, with the {placeholders} that are `known` filled in."""
        place = self.text(key, default)
        for name in _PLACEHOLDER.findall(place):
            if name not in known:
                names = " or ".join(f"{{{each}}}" for each in known) or "none"
                self.fault(key, f"has the placeholder {{{shown(name)[1:-1]}}}; expected {names}")
        for name, value in known.items():
            place = place.replace(f"{{{name}}}", value)
        if not place.isprintable() or "`" in place:
            self.fault(key, f"is {shown(place)}; expected a path without backticks and line breaks")
        return place

    def texts(self, key: str, default: Any = _REQUIRED) -> tuple[str, ...]:
        """A list of names, without repeats."""
        values = self.take(key, list, default) or ()
        for value in values:
            if not isinstance(value, str) or not value:
                self.fault(
                    key, f"lists {shown(value)}; expected names (in quotes, if YAML takes them for others)"
                )
        texts = tuple(value for value in values if isinstance(value, str))
        if len(set(texts)) < len(texts):
            self.fault(key, f"lists a name twice: {shown(values)}; name each once")
        return texts

    def days(self, key: str, default: Any = _REQUIRED, least: int = 1) -> int:
        """A number of days, from `least` to ten years."""
        days = self.take(key, int, default)
        if days is not None and not least <= days <= _MOST_DAYS:
            self.fault(key, f"is {days}; expected days from {least} to {_MOST_DAYS:,}")
            days = None
        return least if days is None else int(days)

    def name(self, key: str, default: Any = _REQUIRED) -> str:
        """A text that is safe as a folder name and inside SQL."""
        value = self.text(key, default)
        if value:
            self.check_name(key, value)
        return value

    def check_name(self, key: str, value: str) -> None:
        if not _NAME.fullmatch(value):
            self.fault(
                key,
                f"{shown(value)} is not a name; use up to 100 letters, digits, '_', '-' and '.', "
                "a letter or digit first",
            )

    def section(self, key: str, default: Any = _REQUIRED) -> "Section":
        values = self.take(key, dict, default)
        path = ".".join(filter(None, (self.path, plain(key))))
        return Section(self.file, path, dict(values or {}), self.faults)

    def sections(self) -> dict[str, "Section"]:
        """Every key as a mapping of its own, for maps from a free name to its definition."""
        return {key: self.section(key) for key in self.values}

    def items(self, key: str) -> list["Section"]:
        """A list of mappings, each as a section; none where the key is absent."""
        found = []
        for number, values in enumerate(self.take(key, list, []), start=1):
            place = ".".join(filter(None, (self.path, f"{plain(key)}[{number}]")))
            if not isinstance(values, dict):
                self.fault(f"{key}[{number}]", f"is {shown(values)}; expected a mapping")
            else:
                found.append(Section(self.file, place, values, self.faults))
        return found

    def finish(self) -> None:
        unknown = [key for key in self.values if key not in self.known]
        for key in unknown[:_MOST_UNKNOWN]:
            near = get_close_matches(key[:100], self.known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(sorted(self.known))}"
            self.fault(key, f"is not a key here; {hint}")
        if more := len(unknown[_MOST_UNKNOWN:]):
            self.fault("", f"has {more} more keys that are none here; take them out")


def read_section(path: Path) -> Section:
    """The top mapping of a YAML file. Raises ConfigurationError where there is none."""
    name = plain(path.name)
    try:
        values = _load(path)
    except FileNotFoundError:
        raise ConfigurationError([f"{name}: no such file in {path.parent}; create it"]) from None
    except OSError as error:
        raise ConfigurationError([f"{name}: cannot be read ({error.strerror}); mend the file"]) from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:400]
        raise ConfigurationError([f"{name}: is not valid YAML: {reason}; mend the file"]) from None
    if not isinstance(values, dict):
        raise ConfigurationError([f"{name}: holds no keys; expected a mapping"])
    return Section(name, "", values, [])


def _load(path: Path) -> Any:
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise yaml.YAMLError(f"it has more than {_MOST_BYTES:,} bytes")
    loader = _Loader(content.decode("utf-8"))
    try:
        node = loader.get_single_node()
        _refuse_bombs(node, {})
        return loader.construct_document(node) if node else None
    finally:
        loader.dispose()


def raise_faults(section: Section) -> None:
    if section.faults:
        raise ConfigurationError(section.faults)


def _is_a(value: object, kind: type | tuple[type, ...]) -> bool:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, datetime):
        return False  # a kind of date to Python; here days are days
    if isinstance(value, int | float):
        return abs(value) <= _LARGEST and (float in kinds or type(value) in kinds)  # which NaN is not
    return isinstance(value, kinds)


def _name(kind: type | tuple[type, ...]) -> str:
    names = {
        dict: "a mapping",
        list: "a list",
        str: "a text",
        bool: "true or false",
        float: "a number up to 1e15",
        int: "a whole number up to 1e15",
        date: "a day such as 2026-03-02",
    }
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return " or ".join(names[k] for k in kinds)
