"""The frame of every Spark job: parse, read the configuration, open a session, do the step."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from jobs.arguments import day_parser, days_of, job_parser, run
from jobs.session import spark_session
from jobs.tables import Tables
from metrics.configuration.project import load_project


def job(
    name: str, description: str | None, step: Callable[[Tables], None], argv: Sequence[str] | None
) -> int:
    """Run a step as an application of its own; gives the exit code."""

    def work(arguments: Sequence[str]) -> None:
        parsed = job_parser(description).parse_args(arguments)
        project = load_project(parsed.conf_dir, parsed.data_dir)
        with spark_session(name) as spark:
            step(Tables(spark, project))

    return run(work, argv)


def day_job(
    name: str,
    description: str | None,
    step: Callable[..., object],
    argv: Sequence[str] | None,
    flags: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """The same for a step over days: it refuses to start without --day, or --from and --to.

    `flags`: further options, by name what they do; the step is given each.
    """

    def work(arguments: Sequence[str]) -> None:
        parser = day_parser(description)
        for flag, what in flags.items():
            parser.add_argument(f"--{flag}", action="store_true", help=what)
        parsed = parser.parse_args(arguments)
        days = days_of(parsed)
        project = load_project(parsed.conf_dir, parsed.data_dir)
        with spark_session(name) as spark:
            tables = Tables(spark, project, reason=parsed.reason)
            tables.create()
            step(tables, days, **{flag: getattr(parsed, flag) for flag in flags})

    return run(work, argv)
