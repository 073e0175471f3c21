"""As cnn_lstm with GRU cells and separable convolutions: fewer multiplications for the same shapes."""

from torch import nn

from .cnn_lstm import DEFAULTS as CNN_LSTM
from .cnn_lstm import convolved

DEFAULTS = CNN_LSTM | {"separable": True}
BINARY = 1


def network(params: dict, channels: int, length: int, outputs: int) -> nn.Module:
    return convolved("gru", params, channels, length, outputs)
