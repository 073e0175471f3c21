"""A trained graph in 8 bits: weights and inputs of its dense layers as integers, and what that costs."""

import logging
import math
import os
import tempfile

import numpy as np
import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor

from .. import export, fit
from .answers import PREDICTED, Answers
from .losses import LossOf
from .windows import Samples

MEASURED = 1000  # samples at most that a loss is measured on


def quantized(made: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its products by constant matrices in integers, by operators of `ai.onnx` alone.

    A scale for each column of a matrix, and one for each input, by its range in the run: rows must be run one by one.
    Weights take 7 bits. With 8, sums of pairs saturate on CPUs without VNNI: the model would answer otherwise there.
    """
    given = onnx.ModelProto()
    given.CopyFrom(made)
    del given.graph.value_info[:]  # shapes of the exporter, which the quantizer takes for its own
    logging.disable(logging.WARNING)  # it advises to prepare the graph, which the exporter did
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.onnx")
            how = {"per_channel": True, "reduce_range": True, "weight_type": QuantType.QInt8}
            quantize_dynamic(given, path, op_types_to_quantize=["MatMul", "Gemm"], **how)
            return onnx.load(path)
    finally:
        logging.disable(logging.NOTSET)


class Reader:
    """What a quantized graph answers: each row by itself, so that no other decides on its scales."""

    def __init__(self, made: onnx.ModelProto, threads: int):
        self.session = export.session(made.SerializeToString(), threads)

    def __call__(self, x: Tensor) -> Tensor:
        return torch.from_numpy(np.concatenate([self.session.run(None, {"windows": row[None]})[0] for row in x.numpy()]))


def cost(exact: Answers, small: Answers, loss_of: LossOf, samples: Samples) -> dict[str, float | None]:
    """Mean losses of both on the same samples, and by what share the second is larger; None where the first is 0 alone."""
    before, after = (mean_loss(answers, loss_of, samples) for answers in (exact, small))
    change = after / before - 1 if before else 0.0 if after == before else math.inf
    return {"float32_loss": before, "int8_loss": after, "int8_loss_change": fit.number(change)}


def mean_loss(answers: Answers, loss_of: LossOf, samples: Samples) -> float:
    total = 0.0
    for numbers in torch.arange(len(samples)).split(PREDICTED):
        x, y, weight = samples.batch(numbers)
        losses = loss_of(answers(x), y)
        total += float((losses if weight is None else losses * weight).double().sum())
    return total / len(samples)
