"""conf/sources.yml: how a user's own files become events, exposures and profiles, by SQL expressions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from metrics.configuration.sql import SqlFault, expression_faults, schema_columns
from metrics.configuration.yaml import Section, raise_faults, read_section
from metrics.schemas import EVENT_COLUMNS, EXPOSURE_COLUMNS, PROFILE_COLUMNS

FORMATS = ("json", "csv", "parquet", "delta")
# Their files know their columns.
_TYPED = ("parquet", "delta")
# What every raw row gets beside its own columns.
CORRUPT = "_corrupt"
PROVENANCE = ("ingest_day", "source_file", "row", "raw")
# Options of Spark's readers that would lose rows, or read other files than `path`.
_OWN_OPTIONS = ("mode", "columnnameofcorruptrecord", "path", "paths", "schema")
_REQUIRED = {
    "events": ("event_id", "event_ts", "profile_id", "event_type"),
    "exposures": ("experiment_id", "profile_id", "exposed_at", "arm"),
    "profiles": ("profile_id",),
}
_OPTIONAL = {"events": EVENT_COLUMNS, "exposures": EXPOSURE_COLUMNS, "profiles": PROFILE_COLUMNS}


@dataclass(frozen=True)
class Source:
    """One kind of file: where it lands, how it reads, and an SQL expression per canonical column.

    `path` is a glob that may hold {day}; of a Delta table its folder, and `ingest_day` says by SQL on which day a row
    came. `schema` is the raw columns as DDL (optional for Parquet and Delta). Rows older than
    `max_days_late` at their ingest day, or more than `max_minutes_ahead` after its end, are quarantined.
    `min_daily_rows` is the floor of the audits; 0 where days without rows are normal. If more than `max_quarantined`
    (a share) of the rows of a day are quarantined, its audit fails.
    """

    name: str
    path: str
    format: str
    schema: str
    options: Mapping[str, str]
    where: str | None
    columns: Mapping[str, str]
    max_days_late: int
    max_minutes_ahead: int
    min_daily_rows: int = 1
    max_quarantined: float = 0.05
    ingest_day: str | None = None

    @property
    def by_day(self) -> bool:
        """Whether the source tells the ingest day of a row."""
        return "{day}" in self.path or self.ingest_day is not None

    def path_on(self, day: date) -> str:
        return self.path.replace("{day}", day.isoformat())


@dataclass(frozen=True)
class Sources:
    events: tuple[Source, ...]
    exposures: tuple[Source, ...]
    profiles: tuple[Source, ...]

    @property
    def by_name(self) -> dict[str, Source]:
        """By kind and name, such as events.playback: as events_quarantine has it."""
        kinds = {"events": self.events, "exposures": self.exposures, "profiles": self.profiles}
        return {f"{kind}.{source.name}": source for kind, found in kinds.items() for source in found}

    @property
    def max_days_late(self) -> int:
        """How many days after its own an event may still land."""
        return max(source.max_days_late for source in self.events)

    @property
    def longest_delay(self) -> int:
        """The same of an event or exposure."""
        return max(source.max_days_late for source in (*self.events, *self.exposures))


def load_sources(path: Path, data_dir: Path) -> Sources:
    """Read sources.yml. Relative paths start at the file's folder. Raises ConfigurationError."""
    top = read_section(path)
    sources = Sources(
        events=_sources(top, "events", path, data_dir),
        exposures=_sources(top, "exposures", path, data_dir),
        profiles=_sources(top, "profiles", path, data_dir),
    )
    if not sources.events:
        top.fault("events", "has no source; say where events land and how their columns read")
    top.finish()
    raise_faults(top)
    return sources


def _sources(top: Section, kind: str, path: Path, data_dir: Path) -> tuple[Source, ...]:
    parts = top.section(kind, {}).sections()
    return tuple(_source(name, part, kind, path.parent, data_dir) for name, part in parts.items())


def _source(name: str, section: Section, kind: str, folder: Path, data_dir: Path) -> Source:
    section.check_name("", name)
    file_format = section.choice("format", FORMATS)
    where = section.place("path", {"data_dir": str(data_dir), "day": "{day}"})
    schema = section.text("schema", "") if file_format in _TYPED else section.text("schema")
    raw = _raw_columns(section, schema) if schema.strip() else None
    source = Source(
        name=name,
        path=where if "://" in where else str(folder / where),
        format=file_format,
        schema=schema,
        options=_options(section.section("options", {})),
        where=_expression(section, "where", raw),
        columns=_columns(section.section("columns"), kind, raw),
        max_days_late=section.days("max_days_late", 3, least=0),
        max_minutes_ahead=section.take("max_minutes_ahead", int, 10),
        min_daily_rows=section.take("min_daily_rows", int, 1),
        max_quarantined=section.take("max_quarantined", float, 0.05),
        ingest_day=_expression(section, "ingest_day", raw),
    )
    if source.ingest_day and file_format != "delta":
        section.fault("ingest_day", "is for Delta tables; give the day of files by {day} in `path`")
    if file_format == "delta" and "{day}" in where:
        section.fault(
            "path", "holds {day}; give a Delta table's folder, and `ingest_day` as SQL over its columns"
        )
    if not 0 <= source.max_quarantined <= 1:
        section.fault("max_quarantined", f"is {source.max_quarantined}; give a share from 0 to 1")
    if not 0 <= source.max_minutes_ahead <= 1440:
        section.fault("max_minutes_ahead", f"is {source.max_minutes_ahead}; give 0 to 1440, a day")
    if source.min_daily_rows < 0:
        section.fault("min_daily_rows", f"is {source.min_daily_rows}; give 0 or more")
    section.finish()
    return source


def _raw_columns(section: Section, schema: str) -> dict[str, str] | None:
    """The raw columns and their types; None where the schema is none."""
    try:
        columns = schema_columns(schema)
    except SqlFault as fault:
        section.fault("schema", str(fault))
        return None
    for name in columns:
        if name.lower() in (*PROVENANCE, CORRUPT):
            section.fault("schema", f"names a column '{name}', which every row gets; give it another name")
    return columns


def _options(section: Section) -> dict[str, str]:
    """Options of Spark's reader, whose values are texts."""
    for key in section.values:
        if key.lower() in _OWN_OPTIONS:
            section.fault(key, "is not for a source to set; take it out")
    values = {key: section.take(key, (str, bool, int, float)) for key in section.values}
    return {key: str(value) for key, value in values.items()}


def _expression(section: Section, key: str, raw: Mapping[str, str] | None) -> str | None:
    """SQL over the raw columns; None where it is not given."""
    sql = section.text(key, None) or None
    for fault in expression_faults(sql, raw, aggregate=False) if sql else ():
        section.fault(key, fault)
    return sql


def _columns(section: Section, kind: str, raw: Mapping[str, str] | None) -> dict[str, str]:
    for name in _REQUIRED[kind]:
        if name not in section.values:
            section.fault(name, "is missing; give its SQL expression over the raw columns")
    columns = {
        name: str(section.take(name, (str, int, float))) for name in _OPTIONAL[kind] if name in section.values
    }
    for name, sql in columns.items():
        for fault in expression_faults(sql, raw, aggregate=False):
            section.fault(name, fault)
    section.known.update(_OPTIONAL[kind])
    section.finish()
    return columns
