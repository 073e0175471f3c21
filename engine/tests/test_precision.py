"""Devices and precisions: what is trained in less than float32 predicts in it, and what torch is not sure of is told."""

import warnings

import msgspec
import numpy as np
import onnx
import pytest
import torch
from ask import ask
from networks import SMALL, sequenced

from sluice_engine import deep, protocol
from sluice_engine.deep import fit as networks
from sluice_engine.deep import processes, trainer
from sluice_engine.protocol import Failure

FLASH = "Flash Attention defaults to a non-deterministic algorithm. To explicitly enable determinism call torch..."
SCATTER = "scatter_add_cuda_kernel does not have a deterministic implementation, but you set ..."


@pytest.mark.parametrize("kind", ["cnn", "patchtst"])
def test_what_was_trained_in_bfloat16_predicts_in_float32_as_its_export_does(tmp_path, kind):
    for name in "ab":
        (tmp_path / name).mkdir()
    fitted = ask(sequenced(tmp_path / "a", kind, {"precision": "bfloat16"}, task="binary"))
    asked = sequenced(tmp_path / "b", kind, {"precision": "bfloat16"}, task="binary", digest=str(tmp_path / "a"), method="export")
    exported = ask(asked | {"weights": str(fitted.out / "model.safetensors")})
    assert np.array_equal(fitted.columns(), exported.columns())
    again = ask(asked | {"out": str(tmp_path / "a")})  # trains by itself
    assert np.array_equal(fitted.columns(), again.columns()) and again.done["metrics"]["parity"] <= 1e-5
    types = {of.data_type for of in onnx.load(tmp_path / "a" / "model.onnx").graph.initializer}
    assert onnx.TensorProto.BFLOAT16 not in types
    plain = ask(sequenced(tmp_path / "b", kind, task="binary"))
    assert not np.array_equal(plain.columns(), fitted.columns())  # it was trained in bfloat16


def test_what_torch_is_not_sure_of_is_collected_each_time_and_other_warnings_are_shown():
    shown = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.showwarning = lambda message, *_, **__: shown.append(str(message))
        for _ in range(2):
            with trainer.nondeterminism() as found:
                for text in (FLASH, SCATTER, FLASH, "something else"):
                    warnings.warn(text, stacklevel=1)
            assert found == {"Flash Attention", "scatter_add_cuda_kernel"}
    assert shown == ["something else"] * 2
    assert not torch.is_warn_always_enabled()


def test_processes_need_a_device_each(monkeypatch, tmp_path):
    asked = protocol.decode(msgspec.json.encode(sequenced(tmp_path, "mlp", {"device": "auto", "processes": 2})))
    recipe = networks.recipe_of(deep.TRAINING | asked.model.params, asked)
    processes.check_devices(recipe)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(Failure, match="there is 1 of cuda"):
        processes.check_devices(recipe)


def test_progress_of_a_refit_ends_where_it_ends(tmp_path):
    made = ask(sequenced(tmp_path, "mlp", {"epochs": 9}, iterations=2))
    told = [event for event in made.events if event["event"] == "progress"]
    assert told and told[-1]["step"] == told[-1]["of"] and told[-1]["eta"] == 0


@pytest.mark.parametrize("what", ["classes", "starts"])
def test_weights_of_another_question_are_refused(tmp_path, what):
    asked = sequenced(tmp_path, "mlp", SMALL["mlp"], task="binary")
    weights = str(ask(asked).out / "model.safetensors")
    dataset = asked["dataset"]
    if what == "classes":
        dataset["classes"].reverse()
    else:
        dataset["sequence"]["starts"] = [0, 200]
    with pytest.raises(Failure, match="another training"):
        ask(asked | {"weights": weights})
