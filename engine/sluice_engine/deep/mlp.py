"""Multi-layer perceptron on the rows of a window, end to end; on a single row where the context is 1."""

from torch import nn

from .encoders import Dense, InOrder

DEFAULTS = {"hidden": [64, 32], "activation": "relu", "dropout": 0.1}
BINARY = 1


def network(params: dict, channels: int, length: int, outputs: int) -> nn.Module:
    how = {name: params[name] for name in ("dropout", "activation")}
    return InOrder(flatten=nn.Flatten(), dense=Dense(channels * length, params["hidden"], outputs, **how))
