"""PatchTST (Nie et al. 2023) as Hugging Face has it: patches of each channel through one transformer, a linear head.

Parameters have Hugging Face's names. It takes an unknown one without a word, so deep.fit holds them to DEFAULTS.
"""

import torch
from torch import Tensor, nn
from transformers import PatchTSTConfig, PatchTSTForClassification, PatchTSTForPrediction, PatchTSTForRegression

from .encoders import InOrder

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
    "pooling_type": "mean",  # None, of forecasts alone: the head reads every patch, as in the paper
    "use_cls_token": False,
    "scaling": "std",
    "int8": False,  # dense layers in 8 bits, once it is trained
    "threads": None,
}
BINARY = 2
OURS = ("context", "position_scale", "int8", "threads")


ANSWERS = {
    PatchTSTForClassification: "prediction_logits",
    PatchTSTForRegression: "regression_outputs",
    PatchTSTForPrediction: "prediction_outputs",
}


class PatchTST(nn.Module):
    """(B, L, C) -> (B, outputs): logits of a classification, or values; of a forecast (B, horizon, C)."""

    def __init__(self, kind: type[nn.Module], params: dict, channels: int, length: int, **sizes: int):
        super().__init__()
        config = PatchTSTConfig(
            num_input_channels=channels,
            context_length=length,
            loss="mse",
            **sizes,
            **{name: value for name, value in params.items() if name in DEFAULTS and name not in OURS},
        )
        self.model, self.answer = kind(config), ANSWERS[kind]
        if params["position_scale"] is not None:
            if params["positional_encoding_type"] != "random":
                raise ValueError("position_scale is of encodings that are learned: positional_encoding_type: random")
            encoding = self.model.model.encoder.positional_encoder.position_enc
            nn.init.uniform_(encoding, -params["position_scale"], params["position_scale"])

    def forward(self, x: Tensor) -> Tensor:
        return self.model(past_values=x, return_dict=True)[self.answer]


class Chosen(nn.Module):
    """(B, H, C) -> (B, H * K): the channels asked for, step by step."""

    def __init__(self, of: list[int]):
        super().__init__()
        self.register_buffer("of", torch.tensor(of), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x.index_select(2, self.of).flatten(1)


def network(params: dict, channels: int, length: int, outputs: int) -> nn.Module:
    kind = PatchTSTForRegression if outputs == 1 else PatchTSTForClassification
    return PatchTST(kind, params, channels, length, num_targets=outputs)


def forecaster(params: dict, channels: int, length: int, horizon: int, of: list[int]) -> nn.Module:
    """Each channel's patches foretell that channel, by one head for all, as in the paper."""
    whole = PatchTST(PatchTSTForPrediction, params, channels, length, prediction_length=horizon)
    return InOrder(patchtst=whole, chosen=Chosen(of))
