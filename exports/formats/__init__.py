"""Formats of exports, found by file name; their contract is `exports.format.Format`."""

from eesmm_keras.registry import Family

FORMATS = Family(
    "formats",
    kind="format",
    package="eesmm_keras.exports.formats",
    contract="eesmm_keras.exports.format:Format",
)
