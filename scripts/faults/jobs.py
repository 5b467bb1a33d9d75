"""Every job that writes tables, as the harness runs it: within its own session, or by spark-submit to be killed."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from jobs.arguments import Days
from jobs.audit_table import audit_days
from jobs.build_profile_windows import build_profile_windows
from jobs.decide_rollout import decide_rollout
from jobs.erase_profiles import erase_profiles, read_profile_ids
from jobs.estimate_effects import estimate_effects
from jobs.ingest_events import ingest_events
from jobs.ingest_exposures import ingest_exposures
from jobs.ingest_profiles import ingest_profiles
from jobs.maintain_tables import maintain_tables
from jobs.monitor_hour import monitor_hour
from jobs.monitor_srm import monitor_srm
from jobs.replay_quarantine import replay_quarantine
from jobs.restate_metric import restate_metric
from jobs.roll_up_profile_days import roll_up_profile_days
from jobs.run_day import run_day
from jobs.run_experiments import run_experiments
from jobs.tables import Tables
from scripts.faults.comparison import difference
from scripts.faults.service import Service, edit, lines_logged

_METRIC, _MEASURE = "start_failure_rate", "play_failures"
_HOUR, _ERASED = 12, 5


@dataclass(frozen=True)
class Job:
    """`work` does what the job does when it is given `arguments`: of the folder `begins` it makes `leaves`.

    `change`: of the configuration, and `prepare`: of the tables, before the job. `keeps_rows`: it only moves them.
    """

    work: Callable[[Tables, Service], object]
    arguments: Callable[[Service], Sequence[str]]
    begins: str
    leaves: str
    change: Callable[[Path], None] | None = None
    prepare: Callable[[Tables], None] | None = None
    keeps_rows: bool = False


def _of_the_last_day(work: Callable[[Tables, Days], object], begins: str, leaves: str) -> Job:
    return Job(
        lambda tables, service: work(tables, service.last),
        lambda service: ["--day", str(service.last.last)],
        begins,
        leaves,
    )


def _range(days: Days) -> list[str]:
    return ["--from", str(days.first), "--to", str(days.last)]


def _hour(service: Service) -> datetime:
    return datetime.combine(service.last.last, time(_HOUR), UTC)


def _settled(service: Service) -> Days:
    """A day from which all of the service lies far back."""
    day = service.last.last + timedelta(days=30)
    return Days(day, day)


def _erased(service: Service) -> Path:
    """A file with the ids of some profiles of which there are rows everywhere."""
    file = service.folder / "erased.txt"
    if not file.exists():
        rows = service.tables("loaded").read("exposures").select("profile_id").distinct().collect()
        ids = sorted(row["profile_id"] for row in rows)[:_ERASED]
        file.write_text("".join(f"{each}\n" for each in ids), encoding="utf-8")
    return file


def _scatter(tables: Tables) -> None:
    """Days of some tables in several small files each."""
    for name in ("events", "profile_days"):
        rows = tables.read(name).repartition(3)
        own = rows.write.format("delta").mode("overwrite")
        own.save(f"{tables.project.tables.root}/{name}")


def _give_ids(conf_dir: Path) -> None:
    """Rows quarantined for want of an id get one of what they hold."""

    def change(values: dict) -> None:
        columns = values["events"]["playback"]["columns"]
        columns["event_id"] = "coalesce(event_id, concat_ws('-', session_id, ts, event_type, profile_id))"

    edit(conf_dir / "sources.yml", change)


def _count_less(conf_dir: Path) -> None:
    """Of the failures to start, those on a television are counted no more."""

    def change(values: dict) -> None:
        values["measures"][_MEASURE]["sql"] = "count_if(event_type = 'play_failure' AND device <> 'tv')"

    edit(conf_dir / "metrics.yml", change)


JOBS: Mapping[str, Job] = {
    "run_day": _of_the_last_day(run_day, "before", "rolled_up"),
    "run_experiments": _of_the_last_day(run_experiments, "rolled_up", "loaded"),
    "ingest_profiles": _of_the_last_day(ingest_profiles, "before", "profiles_in"),
    "ingest_exposures": _of_the_last_day(ingest_exposures, "profiles_in", "exposures_in"),
    "ingest_events": _of_the_last_day(ingest_events, "exposures_in", "events_in"),
    "roll_up_profile_days": _of_the_last_day(roll_up_profile_days, "events_in", "days_in"),
    "build_profile_windows": _of_the_last_day(build_profile_windows, "days_in", "windows_in"),
    "monitor_srm": _of_the_last_day(monitor_srm, "windows_in", "checks_in"),
    "estimate_effects": _of_the_last_day(estimate_effects, "checks_in", "estimates_in"),
    "decide_rollout": _of_the_last_day(decide_rollout, "estimates_in", "decided"),
    "monitor_hour": Job(
        lambda tables, service: monitor_hour(tables, _hour(service)),
        lambda service: ["--hour", f"{_hour(service):%Y-%m-%dT%H}"],
        "before",
        "hour_in",
    ),
    "audit_table": Job(
        lambda tables, service: audit_days(tables, "events", service.last.all),
        lambda service: ["--table", "events", "--day", str(service.last.last)],
        "events_in",
        "audited",
    ),
    "replay_quarantine": Job(
        lambda tables, service: replay_quarantine(tables, service.days),
        lambda service: _range(service.days),
        "loaded",
        "replayed",
        _give_ids,
    ),
    "restate_metric": Job(
        lambda tables, service: restate_metric(tables, _METRIC, service.days),
        lambda service: [*_range(service.days), "--metric", _METRIC, "--reason", "televisions are left out"],
        "loaded",
        "restated",
        _count_less,
    ),
    "erase_profiles": Job(
        lambda tables, service: erase_profiles(tables, read_profile_ids(_erased(service))),
        lambda service: ["--profiles", str(_erased(service))],
        "loaded",
        "erased",
    ),
    "maintain_tables": Job(
        lambda tables, service: maintain_tables(tables, _settled(service)),
        lambda service: ["--day", str(_settled(service).last)],
        "loaded",
        "compacted",
        prepare=_scatter,
        keeps_rows=True,
    ),
}


def begun(service: Service, job: str, name: str) -> Tables:
    """A folder of its own, as the job finds it."""
    conf_dir, change = service.conf_dir, JOBS[job].change
    if change:
        conf_dir = service.folder / f"conf_of_{job}"
        shutil.rmtree(conf_dir, ignore_errors=True)
        shutil.copytree(service.conf_dir, conf_dir)
        change(conf_dir)
    before = JOBS[job].begins
    if not (service.folder / before).exists():
        done(service, next(each for each, made in JOBS.items() if made.leaves == before))
    tables, prepare = service.copy(before, name, conf_dir), JOBS[job].prepare
    if prepare:
        prepare(tables)
    return tables


def done(service: Service, job: str) -> Tables:
    """The folder as the job leaves it: run once within this session, and used again.

    Raises RuntimeError where the job leaves all as it was: killing it would tell nothing.
    """
    chosen = JOBS[job]
    if not (service.folder / chosen.leaves).exists():
        tables = begun(service, job, chosen.leaves)
        files = _files(tables) if chosen.keeps_rows else 0
        service.lines[job] = lines_logged(lambda: chosen.work(tables, service))
        if chosen.keeps_rows:
            has_worked = _files(tables) != files
        else:
            has_worked = bool(difference(tables, service.tables(chosen.begins), growing=()))
        if not has_worked:
            raise RuntimeError(f"{job} had nothing to do")
    return service.tables(chosen.leaves)


def _files(tables: Tables) -> int:
    """How many data files the tables consist of."""
    logs = (tables.files(name) for name in tables.declared)
    return sum(len(log.file_uris()) for log in logs if log)
