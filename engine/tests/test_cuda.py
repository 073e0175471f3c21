"""What only a GPU shows: which kernels run, in which precision, how a training is gone on with, and what fits."""

import threading
from pathlib import Path

import msgspec
import pytest
import torch
from ask import ask
from networks import FAMILIES, equal, sequenced, stopped_after, weights
from torch.profiler import ProfilerActivity, profile

from sluice_engine import protocol
from sluice_engine.deep import measure

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(),
    reason="no CUDA device here: fused AdamW, bfloat16, attention kernels and the memory of batches are untested",
)

GPU = {"device": "cuda"}
WIDE = {"d_model": 64, "num_attention_heads": 4, "ffn_dim": 128}
ATTENTION = "aten::_scaled_dot_product_"
SIZES = {"2M": (192, 4, 6, 896), "20M": (576, 5, 9, 2304), "200M": (1024, 16, 16, 4032)}
NAMES = ("d_model", "num_hidden_layers", "num_attention_heads", "ffn_dim")


def operations(folder: Path, params: dict) -> set[str]:
    """Operators and kernels of a training."""
    folder.mkdir()
    asked = sequenced(folder, "patchtst", WIDE | GPU | {"epochs": 1} | params, "binary")
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        ask(asked)
    return {event.key for event in profiled.key_averages()}


@pytest.mark.parametrize("kind", FAMILIES)
def test_what_it_trained_answers_alike_as_a_graph(tmp_path, kind):
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.max_memory_allocated()
    made = ask(sequenced(tmp_path, kind, {"device": "auto"}, task="binary", method="export"))
    assert torch.cuda.max_memory_allocated() > before
    assert made.done["metrics"]["parity"] <= 1e-5
    assert {tensor.device.type for tensor in weights(made.out).values()} == {"cpu"}


def test_the_optimizer_is_fused(tmp_path):
    assert "aten::_fused_adamw_" in operations(tmp_path / "a", {})


def test_attention_is_one_kernel_in_bfloat16_and_in_float32(tmp_path):
    for precision in ("auto", "float32"):
        found = {name for name in operations(tmp_path / precision, {"precision": precision}) if name.startswith(ATTENTION)}
        assert found and not any("math" in name for name in found)


@pytest.mark.skipif(torch.cuda.is_available() and not torch.cuda.is_bf16_supported(), reason="this GPU has no bfloat16")
def test_products_are_bfloat16_unless_float32_is_asked_for(tmp_path):
    def are_bfloat16(params: dict) -> bool:
        return any("bf16" in name or "bfloat16" in name for name in operations(tmp_path / str(len(params)), params))

    assert are_bfloat16({})
    assert not are_bfloat16({"precision": "float32"})


@pytest.mark.parametrize("kind", FAMILIES)
def test_equal_seeds_give_equal_weights_where_no_operation_is_said_to_differ(tmp_path, kind):
    made = []
    for name in "ab":
        (tmp_path / name).mkdir()
        made.append(ask(sequenced(tmp_path / name, kind, GPU, task="binary")))
    if not made[0].done["nondeterministic"]:
        assert equal(*(weights(each.out) for each in made))


@pytest.mark.parametrize("kind", FAMILIES)
def test_what_was_stopped_ends_with_the_weights_that_it_would_have_had(tmp_path, kind):
    for name in "ab":
        (tmp_path / name / "checkpoints").mkdir(parents=True)
    whole, asked = (sequenced(tmp_path / name, kind, GPU, task="binary") for name in "ab")
    asked["checkpoints"] = str(tmp_path / "b" / "checkpoints")
    reference = ask(whole)
    stopped_after(9, asked)
    resumed = ask(asked)
    assert any(event.get("code") == "RESUMED" for event in resumed.events)
    if not reference.done["nondeterministic"]:
        assert equal(weights(reference.out), weights(resumed.out))


def searched(size: str, memory_mb: float | None) -> dict:
    params = dict(zip(NAMES, SIZES[size], strict=True)) | GPU
    asked = {"id": "1", "method": "batch_size", "channels": 20, "task": "binary", "classes": 2, "memory_mb": memory_mb}
    asked["model"] = {"kind": "patchtst", "params": params}
    return measure.run(protocol.decode(msgspec.json.encode(asked)), threading.Event())


def test_larger_batches_take_more_memory_and_larger_networks_leave_room_for_fewer_rows():
    limit = 0.6 * torch.cuda.mem_get_info()[1] / (1 << 20)
    found = {size: searched(size, limit) for size in SIZES}
    for of in found.values():
        memory = [one["memory_mb"] for one in of["tried"] if one["fits"]]
        assert of["device"] == "cuda" and memory == sorted(memory) and memory[-1] > memory[0]
    largest = [found[size]["batch_size"] for size in SIZES]
    assert largest == sorted(largest, reverse=True) and largest[0] > largest[-1]
    assert all(size & (size - 1) == 0 for size in largest)


def test_the_search_ends_with_the_memory_of_the_gpu():
    found = searched("200M", None)
    assert found["batch_size"] and found["tried"][-1]["reason"] == "out of memory"
