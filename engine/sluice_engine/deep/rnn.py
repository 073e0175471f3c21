"""Recurrent network: LSTM (Hochreiter & Schmidhuber 1997) or GRU (Cho et al. 2014), dense layers on its last state."""

from torch import nn

from .encoders import Dense, InOrder, Recurrence

RECURRENCE = {"hidden": 64, "layers": 2}
DEFAULTS = RECURRENCE | {"cell": "gru", "dense": [32], "dropout": 0.1, "context": 60}
BINARY = 1


def network(params: dict, channels: int, length: int, outputs: int) -> nn.Module:
    how = {name: params[name] for name in ("hidden", "layers", "dropout")}
    dense = Dense(params["hidden"], params["dense"], outputs, dropout=params["dropout"])
    return InOrder(recurrence=Recurrence(params["cell"], channels, **how), dense=dense)
