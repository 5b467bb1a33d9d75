"""Create the tables that are missing and add the columns that the catalogue has gained."""

import sys
from collections.abc import Sequence

from jobs.application import job
from jobs.tables import Tables


def main(argv: Sequence[str] | None = None) -> int:
    return job("create_tables", __doc__, Tables.create, argv)


if __name__ == "__main__":
    sys.exit(main())
