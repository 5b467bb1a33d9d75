"""What Delta's log says of a table's rows, for audits that need not read them (expectations.known)."""

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from expectations.known import Known

_CONSTRAINT = "delta.constraints."
_MAPPED = "delta.columnMapping.mode"


def known_of(log: DeltaTable | None, day_column: str | None) -> Known | None:
    """None where the log does not tell of rows as they are: files without statistics or with deleted rows in them, days
    that are no partitions, or columns that have other names in files.
    """
    if log is None or "deletionVectors" in (log.protocol().reader_features or ()):
        return None
    configuration = log.metadata().configuration
    if configuration.get(_MAPPED, "none") != "none":
        return None
    files = pa.table(log.get_add_actions(flatten=True))
    told = files.column_names
    if "num_records" not in told or pc.any(pc.is_null(files["num_records"])).as_py():
        return None
    if day_column and f"partition.{day_column}" not in told:
        return None
    constraints = {sql for key, sql in configuration.items() if key.startswith(_CONSTRAINT)}
    not_null = {field.name for field in log.schema().fields if not field.nullable}
    return Known(files, frozenset(constraints), frozenset(not_null))
