"""Strict YAML: each key is taken by name and type; what nobody took is a fault, and all faults are reported."""

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml

from metrics.errors import ConfigurationError

T = TypeVar("T")
_REQUIRED: Any = object()
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, which plain YAML silently overwrites."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        other = [key for key in keys if not isinstance(key, str)]
        if other:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {other[0]!r} is not a text; put it in quotes", node.start_mark
            )
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"key '{twice[0]}' is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


@dataclass
class Section:
    """One mapping of a file. `take` hands out values and remembers which keys are known."""

    file: str
    path: str
    values: dict[str, Any]
    faults: list[str]
    known: set[str] = field(default_factory=set)

    def fault(self, key: str, message: str) -> None:
        where = f"{self.path}.{key}" if self.path and key else self.path or key
        self.faults.append(f"{self.file}: {where}: {message}")

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
            self.fault(key, f"is {value!r}; expected {_name(kind)}")
            return None if default is _REQUIRED else default
        return value

    def choice(self, key: str, options: tuple[str, ...], default: Any = _REQUIRED) -> Any:
        value = self.take(key, str, default)
        if value is not None and value not in options:
            self.fault(key, f"is '{value}'; expected one of {', '.join(options)}")
            return options[0]
        return value

    def texts(self, key: str, default: Any = _REQUIRED) -> tuple[str, ...]:
        """A list of names, without repeats."""
        values = self.take(key, list, default)
        texts = tuple(str(value) for value in values or ())
        if len(set(texts)) < len(texts):
            self.fault(key, f"lists a name twice: {', '.join(texts)}; name each once")
        return texts

    def name(self, key: str, default: Any = _REQUIRED) -> str:
        """A text that is safe as a folder name and inside SQL."""
        value: str = self.take(key, str, default) or ""
        self.check_name(key, value)
        return value

    def check_name(self, key: str, value: str) -> None:
        if value and not _NAME.fullmatch(value):
            self.fault(
                key,
                f"'{value}' is not a name; use letters, digits, '_', '-' and '.', a letter or digit first",
            )

    def section(self, key: str, default: Any = _REQUIRED) -> "Section":
        values = self.take(key, dict, default)
        path = f"{self.path}.{key}" if self.path else key
        return Section(self.file, path, {str(k): v for k, v in (values or {}).items()}, self.faults)

    def sections(self) -> dict[str, "Section"]:
        """Every key as a mapping of its own, for maps from a free name to its definition."""
        return {key: self.section(key) for key in self.values}

    def finish(self) -> None:
        for key in self.values:
            if key not in self.known:
                near = get_close_matches(key, self.known, 1)
                hint = (
                    f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(sorted(self.known))}"
                )
                self.fault(key, f"is not a key here; {hint}")


def read_section(path: Path) -> Section:
    """The top mapping of a YAML file. Raises ConfigurationError where there is none."""
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise ConfigurationError([f"{path.name}: no such file in {path.parent}; create it"]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError([f"{path.name}: is not valid YAML: {reason}; mend the file"]) from None
    if not isinstance(values, dict):
        raise ConfigurationError([f"{path.name}: holds no keys; expected a mapping"])
    return Section(path.name, "", {str(key): value for key, value in values.items()}, [])


def raise_faults(section: Section) -> None:
    if section.faults:
        raise ConfigurationError(section.faults)


def _is_a(value: object, kind: type | tuple[type, ...]) -> bool:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, (*kinds, int) if float in kinds else kinds)


def _name(kind: type | tuple[type, ...]) -> str:
    names = {dict: "a mapping", list: "a list", str: "a text", float: "a number", int: "a whole number"}
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return " or ".join(names.get(k, k.__name__) for k in kinds)
