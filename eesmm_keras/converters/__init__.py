"""Weights of other libraries into encoders and methods of this package.

One layout of names is one converter, a module of this package that is found by its file name; the
contract is `converter.Converter`. The way of an import: `source` (where) -> `reading` (arrays by
name) -> `recognition` (which layout, and the encoder's arguments) -> `importing` (arrays of our shapes,
by `adaptation`) -> `report` (what became of each). `writing` goes the other way by the same layouts.
"""

from eesmm_keras.registry import Family

CONVERTERS = Family(
    "converters",
    kind="converter",
    package="eesmm_keras.converters",
    contract="eesmm_keras.converters.converter:Converter",
    shared=(
        "adaptation", "converter", "importing", "keras_hub_layout", "own_model", "reading",
        "recognition", "report", "source", "swin_layout", "vit_layout", "writing",
    ),
)  # fmt: skip
