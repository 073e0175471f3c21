"""What is minimised, row by row: (B, outputs) answers and (B,) labels -> (B,)."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

LossOf = Callable[[Tensor, Tensor], Tensor]


def loss_of(task: str, outputs: int, name: str | None, quantile: float) -> LossOf:
    if task == "regression":
        return {None: mse, "mse": mse, "mae": mae, "quantile": pinball(quantile)}[name]
    return binary_cross_entropy if outputs == 1 else cross_entropy


def mse(answer: Tensor, y: Tensor) -> Tensor:
    return (answer[:, 0] - y) ** 2


def mae(answer: Tensor, y: Tensor) -> Tensor:
    return (answer[:, 0] - y).abs()


def pinball(quantile: float) -> LossOf:
    """Whose minimum is the conditional quantile (Koenker & Bassett 1978)."""

    def loss(answer: Tensor, y: Tensor) -> Tensor:
        over = y - answer[:, 0]
        return (quantile * over).maximum((quantile - 1) * over)

    return loss


def binary_cross_entropy(answer: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(answer[:, 0], y.float(), reduction="none")


def cross_entropy(answer: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(answer, y, reduction="none")
