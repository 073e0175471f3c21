"""The parts that families are put together from. Shapes: B samples, L rows, C channels."""

from torch import Tensor, nn

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}
CELLS = {"lstm": nn.LSTM, "gru": nn.GRU}


class Convolution(nn.Module):
    """(B, C, L) -> (B, filters, L // pool): convolution of the same length, batch norm, ReLU, max pooling.

    Separable: one filter a channel, then a mixture of the channels (Chollet 2017).
    """

    def __init__(self, channels: int, filters: int, *, kernel: int, pool: int, separable: bool, batch_norm: bool):
        super().__init__()
        if separable:
            depthwise = nn.Conv1d(channels, channels, kernel, padding="same", groups=channels)
            layers: list[nn.Module] = [depthwise, nn.Conv1d(channels, filters, 1)]
        else:
            layers = [nn.Conv1d(channels, filters, kernel, padding="same")]
        if batch_norm:
            layers.append(nn.BatchNorm1d(filters))
        layers.append(nn.ReLU())
        if pool > 1:
            layers.append(nn.MaxPool1d(pool))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Convolutions(nn.Module):
    """(B, L, C) -> (B, L', F): one Convolution after another, each pooling."""

    def __init__(self, channels: int, length: int, params: dict):
        super().__init__()
        self.parts = nn.Sequential()
        for filters in params["filters"]:
            pool = params["pool"] if length >= params["pool"] else 1  # nothing is left to pool
            how = {name: params[name] for name in ("kernel", "separable", "batch_norm")}
            self.parts.append(Convolution(channels, filters, pool=pool, **how))
            channels, length = filters, length // pool
        self.channels, self.length = channels, length

    def forward(self, x: Tensor) -> Tensor:
        return self.parts(x.transpose(1, 2)).transpose(1, 2)


class Recurrence(nn.Module):
    """(B, L, C) -> (B, hidden): the last state of stacked LSTM or GRU layers, dropout between them.

    Cells of one layer each: the dropout in those of several keeps a state in cuDNN that no checkpoint can hold.
    """

    def __init__(self, cell: str, channels: int, *, hidden: int, layers: int, dropout: float):
        super().__init__()
        widths = [channels, *[hidden] * (layers - 1)]
        self.cells = nn.ModuleList(CELLS[cell](width, hidden, batch_first=True) for width in widths)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        for number, cell in enumerate(self.cells):
            x, _ = cell(self.dropout(x) if number else x)
        return x[:, -1]


class Dense(nn.Module):
    """(B, C) -> (B, outputs): hidden layers, each with its activation and dropout, then a linear map."""

    def __init__(self, channels: int, hidden: list[int], outputs: int, *, dropout: float, activation: str = "relu"):
        super().__init__()
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(channels, width), ACTIVATIONS[activation](), nn.Dropout(dropout)]
            channels = width
        self.layers = nn.Sequential(*layers, nn.Linear(channels, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class InOrder(nn.Sequential):
    """Parts one after another, by name."""

    def __init__(self, **parts: nn.Module):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


class Mean(nn.Module):
    """(B, L, C) -> (B, C): the mean over the rows, by pooling: onnxruntime's ReduceMean rounds by the place in memory."""

    def __init__(self, length: int):
        super().__init__()
        self.pool = nn.AvgPool1d(length)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(x.transpose(1, 2))[:, :, 0]
