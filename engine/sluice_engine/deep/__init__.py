"""Deep models on PyTorch, the engine group `deep`. The rest of the engine imports this file alone, and no library with it.

A family is one module here and one row below. Each has
  DEFAULTS                                     its own parameters; what every family takes is TRAINING
  BINARY                                       columns for two classes: 1 logit, or 2
  network(params, channels, length, outputs)   -> torch.nn.Module, forward (B, L, C) float32 -> (B, outputs)
and, where it forecasts otherwise than by `horizon` x channels outputs,
  forecaster(params, channels, length, horizon, of)   of: the K columns asked for -> forward (B, L, C) -> (B, horizon * K), step by step
"""

from importlib import import_module
from types import ModuleType
from typing import Any

FAMILIES = {
    "mlp": ".mlp",
    "cnn": ".cnn",
    "rnn": ".rnn",
    "cnn_lstm": ".cnn_lstm",
    "cnn_gru": ".cnn_gru",
    "patchtst": ".patchtst",
}

TRAINING: dict[str, Any] = {
    "context": 1,  # rows that a sample reads, its own the last
    "epochs": 30,
    "batch_size": 256,  # rows of one optimizer step
    "accumulate": 1,  # parts that a batch is computed in: less memory, the same gradient
    "learning_rate": 1e-3,  # the highest of a schedule
    "weight_decay": 0.01,
    "schedule": "one_cycle",  # one_cycle | plateau | constant
    "patience": 5,  # epochs without a better loss on the stop rows; None trains every epoch
    "loss": None,  # regression: None is mse, or mae, quantile
    "quantile": 0.5,
    "clip_norm": 1.0,  # None: gradients as they are
    "precision": "auto",  # auto | float32 | bfloat16 | float16
    "device": "auto",  # auto | cpu | cuda | mps
    "threads": 1,  # of the CPU; None: every core
    "processes": 1,  # data parallel
    "checkpoint_seconds": 30.0,
    "keep_checkpoints": 2,
}


def load(kind: str) -> ModuleType:
    return import_module(FAMILIES[kind], __package__)
