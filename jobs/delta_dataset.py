"""Rows of a Delta table without Spark."""

from urllib.parse import unquote, urlparse

import pyarrow.dataset as ds
from deltalake import DeltaTable
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem


def dataset_of(table: DeltaTable) -> ds.Dataset:
    """The table's rows to be read by Arrow; a local one's through Arrow's own file system.

    delta-rs's is written in Python, which Arrow's threads still call as they close files: where the process ends just
    then, it aborts (exit 134 in one of twelve short commands; apache/arrow issue 34314).
    """
    place = urlparse(table.table_uri)
    if place.scheme not in ("", "file"):
        return table.to_pyarrow_dataset()
    return table.to_pyarrow_dataset(filesystem=SubTreeFileSystem(unquote(place.path), LocalFileSystem()))
