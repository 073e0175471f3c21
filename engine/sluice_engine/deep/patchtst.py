"""PatchTST (Nie et al. 2023) as Hugging Face has it: patches of each channel through one transformer, a linear head.

Parameters have Hugging Face's names. It takes an unknown one without a word, so deep.fit holds them to DEFAULTS.
"""

import torch
from torch import Tensor, nn
from transformers import PatchTSTConfig, PatchTSTForClassification, PatchTSTForRegression

DEFAULTS = {
    "context": 120,
    "patch_length": 16,
    "patch_stride": 8,
    "d_model": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "ffn_dim": 128,
    "attention_dropout": 0.0,
    "positional_dropout": 0.0,
    "path_dropout": 0.0,
    "ff_dropout": 0.1,
    "head_dropout": 0.1,
    "norm_type": "batchnorm",
    "pre_norm": True,
    "activation_function": "gelu",
    "channel_attention": False,
    "share_embedding": True,
    "positional_encoding_type": "sincos",
    "position_scale": None,  # learned encodings begin within +- this; None: as Hugging Face begins
    "pooling_type": "mean",
    "use_cls_token": False,
    "scaling": "std",
    "threads": None,
}
BINARY = 2
OURS = ("context", "position_scale", "threads")


class PatchTST(nn.Module):
    """(B, L, C) -> (B, outputs): logits of a classification, or values."""

    def __init__(self, params: dict, channels: int, length: int, outputs: int, regression: bool):
        super().__init__()
        config = PatchTSTConfig(
            num_input_channels=channels,
            context_length=length,
            num_targets=outputs,
            loss="mse",
            **{name: value for name, value in params.items() if name in DEFAULTS and name not in OURS},
        )
        self.model = (PatchTSTForRegression if regression else PatchTSTForClassification)(config)
        if params["position_scale"] is not None:
            encoding = self.model.model.encoder.positional_encoder.position_enc
            nn.init.uniform_(encoding, -params["position_scale"], params["position_scale"])
        self.answer = "regression_outputs" if regression else "prediction_logits"

    def forward(self, x: Tensor) -> Tensor:
        return self.model(past_values=x, return_dict=True)[self.answer]


def network(params: dict, channels: int, length: int, outputs: int) -> nn.Module:
    return PatchTST(params, channels, length, outputs, regression=outputs == 1)


def patches(params: dict, length: int) -> int:
    """How many patches a window is cut into."""
    return (max(length, params["patch_length"]) - params["patch_length"]) // params["patch_stride"] + 1
