"""Convolutions with pooling shorten the window, two LSTM layers read what is left, dense layers answer."""

from torch import nn

from .cnn import CONVOLUTION
from .encoders import Convolutions, Dense, InOrder, Recurrence
from .rnn import RECURRENCE

DEFAULTS = CONVOLUTION | RECURRENCE | {"dense": [32], "dropout": 0.1, "context": 60}
BINARY = 1


def network(params: dict, channels: int, length: int, outputs: int) -> nn.Module:
    return convolved("lstm", params, channels, length, outputs)


def convolved(cell: str, params: dict, channels: int, length: int, outputs: int) -> nn.Module:
    convolutions = Convolutions(channels, length, params)
    how = {name: params[name] for name in ("hidden", "layers", "dropout")}
    return InOrder(
        convolutions=convolutions,
        recurrence=Recurrence(cell, convolutions.channels, **how),
        dense=Dense(params["hidden"], params["dense"], outputs, dropout=params["dropout"]),
    )
