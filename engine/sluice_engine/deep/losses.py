"""What is minimised, row by row: (B, outputs) answers and (B,) labels, of forecasts (B, outputs), -> (B,)."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from ..protocol import Failure

LossOf = Callable[[Tensor, Tensor], Tensor]


def loss_of(task: str, outputs: int, name: str | None, quantile: float) -> LossOf:
    if task in ("regression", "forecast"):
        known = {None: mse, "mse": mse, "mae": mae, "quantile": pinball(quantile)}
        if name not in known:
            raise Failure("BAD_PARAM", f"loss: {name} is neither mse, mae nor quantile")
        return known[name]
    return binary_cross_entropy if outputs == 1 else cross_entropy


def mse(answer: Tensor, y: Tensor) -> Tensor:
    return ((answer - y.view_as(answer)) ** 2).mean(1)


def mae(answer: Tensor, y: Tensor) -> Tensor:
    return (answer - y.view_as(answer)).abs().mean(1)


def pinball(quantile: float) -> LossOf:
    """Whose minimum is the conditional quantile (Koenker & Bassett 1978)."""

    def loss(answer: Tensor, y: Tensor) -> Tensor:
        over = y.view_as(answer) - answer
        return (quantile * over).maximum((quantile - 1) * over).mean(1)

    return loss


def binary_cross_entropy(answer: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(answer[:, 0], y.float(), reduction="none")


def cross_entropy(answer: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(answer, y, reduction="none")
