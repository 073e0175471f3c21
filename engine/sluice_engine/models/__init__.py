"""The kinds. A kind is one module here and one row below; its library is imported when it is first asked for.

Each module has
  DEFAULTS                every parameter it takes, by its library's own scikit-learn name, and its default
  TREES                   the parameter that counts iterations, or None
  STOPS_EARLY             whether stop rows can end the fit
  NUMBERS                 prepare.Defaults: how numbers reach it where the request leaves it open
  NATIVE                  whether it can split by categories as they are
  fit(job)                -> Fitted
  predict(model, x, job)  (N, C) prepared -> as the library has it: (N, K) probabilities, (N,) of class 1, or (N,) values
  structure(model, job)   -> what export.graph writes as ONNX: structure.Ensemble or structure.Linear
  native(model, job)      -> {file name: bytes} in the library's own format, {} where that would be a pickle
"""

from importlib import import_module
from types import ModuleType

from .. import deep
from ..protocol import Failure

KINDS = {
    "catboost": ".catboost",
    "lightgbm": ".lightgbm",
    "logistic": ".logistic",
    "random_forest": ".random_forest",
    "ridge": ".ridge",
    "xgboost": ".xgboost",
}


def load(kind: str) -> ModuleType:
    if kind not in KINDS:
        raise Failure("UNKNOWN_KIND", f"no model kind {kind}; there are {', '.join([*KINDS, *deep.FAMILIES])}")
    return import_module(KINDS[kind], __package__)
