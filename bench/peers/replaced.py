"""One step of PatchTST with 2M parameters, and batches of windows, each as it was before and as it is: ENGINE_FOLDER."""

import sys
import time

import accelerate
import numpy as np
import torch
import transformers
from rounds import answer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

sys.path.insert(0, sys.argv[1])
from sluice_engine import deep
from sluice_engine.deep import patchtst, windows

LENGTH, CHANNELS, BATCH = 120, 20, 16
ROWS, ROWS_OF_A_BATCH = 43_200, 256
torch.set_num_threads(1)
torch.manual_seed(0)
params = deep.TRAINING | patchtst.DEFAULTS | {"d_model": 192, "num_hidden_layers": 4, "num_attention_heads": 6, "ffn_dim": 896}
network = patchtst.network(params, CHANNELS, LENGTH, 2).train()
x, y = torch.randn(BATCH, LENGTH, CHANNELS), torch.randint(2, (BATCH,))
rows = torch.randn(ROWS, CHANNELS)
ends = torch.arange(LENGTH - 1, ROWS)
labels = torch.zeros(len(ends))
copies = torch.from_numpy(np.array([rows[end - LENGTH + 1 : end + 1].numpy() for end in ends]))


def passes(attention: str) -> dict:
    """Forward and backward."""
    network.model.config._attn_implementation = attention
    network.zero_grad()
    began = time.perf_counter()
    nn.functional.cross_entropy(network(x), y).backward()
    return {"seconds": time.perf_counter() - began}


def optimizer(**how: bool):
    made = torch.optim.AdamW(network.parameters(), 1e-6, **how)

    def step() -> dict:
        began = time.perf_counter()
        for _ in range(10):
            made.step()
        return {"seconds": (time.perf_counter() - began) / 10}

    return step


def loaded() -> dict:
    """An epoch of batches from copies, shuffled by a loader."""
    began = time.perf_counter()
    count = sum(len(batch) for batch, _ in DataLoader(TensorDataset(copies, labels), ROWS_OF_A_BATCH, shuffle=True))
    return {"seconds": time.perf_counter() - began, "rows": count, "bytes": copies.nbytes}


def mapped() -> dict:
    """The same from views of the rows."""
    samples = windows.Samples(windows.Windows(rows, ends, LENGTH), labels, None)
    numbers = windows.batches(windows.order(len(ends), 0, 0), ROWS_OF_A_BATCH)
    began = time.perf_counter()
    count = sum(len(batch) for batch, *_ in windows.prefetched(samples, numbers, False))
    return {"seconds": time.perf_counter() - began, "rows": count, "bytes": rows.nbytes}


passes("sdpa")  # gradients for the optimizers
work = {
    "eager": lambda: passes("eager"),
    "sdpa": lambda: passes("sdpa"),
    "loop": optimizer(foreach=False, fused=False),
    "fused": optimizer(fused=True),
    "loader": loaded,
    "mapped": mapped,
}
answer(work, torch, transformers, accelerate)
