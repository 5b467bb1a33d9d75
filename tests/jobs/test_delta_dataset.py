from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from pyarrow.fs import LocalFileSystem, PyFileSystem, SubTreeFileSystem

from jobs.delta_dataset import dataset_of


def test_local_files_are_read_without_python_in_arrows_threads(tmp_path: Path) -> None:
    """Which would call it after the interpreter has ended, and abort a command that had done its work."""
    folder = tmp_path / "größe 100% & more"
    write_deltalake(str(folder), pa.table({"day": ["a", "b", "b"], "n": [1, 2, 3]}), partition_by=["day"])
    dataset = dataset_of(DeltaTable(str(folder)))
    assert isinstance(dataset.filesystem, SubTreeFileSystem)
    assert isinstance(dataset.filesystem.base_fs, LocalFileSystem)
    assert not isinstance(dataset.filesystem.base_fs, PyFileSystem)
    rows = dataset.to_table().sort_by("n").to_pydict()
    assert rows == {"day": ["a", "b", "b"], "n": [1, 2, 3]}
