"""Export of trained models to files that need neither Keras nor this package.

>>> from eesmm_keras.exports import export_model
>>> print(export_model("classifier.keras", "onnx", "classifier.onnx"))
"""

from eesmm_keras.exports.errors import ExportError
from eesmm_keras.exports.export import export_model
from eesmm_keras.exports.reduction import Reduction
from eesmm_keras.exports.report import ExportReport

__all__ = ["ExportError", "ExportReport", "Reduction", "export_model"]
