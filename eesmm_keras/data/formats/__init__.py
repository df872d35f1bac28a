"""Data sources, found by file name; their contract is `data.source.Source`."""

from eesmm_keras.registry import Family

SOURCES = Family(
    "sources",
    kind="data source",
    package="eesmm_keras.data.formats",
    contract="eesmm_keras.data.source:Source",
)
