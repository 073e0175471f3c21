"""Convolutional network: convolutions with pooling, the mean over what rows are left, dense layers."""

from torch import nn

from .encoders import Convolutions, Dense, InOrder, Mean

CONVOLUTION = {"filters": [32, 64], "kernel": 3, "pool": 2, "separable": False, "batch_norm": True}
DEFAULTS = CONVOLUTION | {"dense": [32], "dropout": 0.1, "context": 60}
BINARY = 1


def network(params: dict, channels: int, length: int, outputs: int) -> nn.Module:
    convolutions = Convolutions(channels, length, params)
    dense = Dense(convolutions.channels, params["dense"], outputs, dropout=params["dropout"])
    return InOrder(convolutions=convolutions, mean=Mean(convolutions.length), dense=dense)
