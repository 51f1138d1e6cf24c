"""Dataset folders: a whole datastack as files, read, checked, imported and made up."""

from matengine.datasets.folder import Dataset, Segmentation, Table, open_dataset

__all__ = ["Dataset", "Segmentation", "Table", "open_dataset"]
