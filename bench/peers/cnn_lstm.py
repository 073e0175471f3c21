"""The CNN-LSTM job as it is usually written in a notebook: CSV FOLDER and the parameters as JSON. Answers `train` once."""

import json
import logging
import resource
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import sklearn
import torch
from rounds import answer
from sklearn.preprocessing import MinMaxScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

csv, folder, given = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
COLUMNS = ["open", "high", "low", "close", "volume", "sma_7", "sma_14", "sma_30", "rsi_14"]
EPOCHS, PATIENCE = 50, 15
logging.getLogger("torch.onnx").setLevel(logging.ERROR)
warnings.simplefilter("ignore", FutureWarning)


class CnnLstm(nn.Module):
    """(B, L, C) -> (B, 1)."""

    def __init__(self, channels, filters, kernel, hidden, dense, dropout):
        super().__init__()
        first, second = filters
        self.conv1 = nn.Conv1d(channels, first, kernel, padding="same")
        self.conv2 = nn.Conv1d(first, second, kernel, padding="same")
        self.pool = nn.MaxPool1d(2)
        self.lstm1 = nn.LSTM(second, hidden, batch_first=True)
        self.lstm2 = nn.LSTM(hidden, hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(hidden, dense)
        self.out = nn.Linear(dense, 1)

    def forward(self, x):
        x = x.transpose(1, 2)
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x)))
        x, _ = self.lstm1(x.transpose(1, 2))
        x, _ = self.lstm2(self.dropout(x))
        return self.out(self.dropout(torch.relu(self.dense(x[:, -1]))))


def read():
    return pd.read_csv(csv, parse_dates=["time"], date_format="ISO8601")


def features(rows):
    """Averages, Wilder's RSI, and the return of the next minute, which is what is to be predicted."""
    for n in (7, 14, 30):
        rows[f"sma_{n}"] = rows["close"].rolling(n).mean()
    move = rows["close"].diff()
    gain = move.clip(lower=0).ewm(alpha=1 / 14, adjust=False).mean()
    loss = (-move.clip(upper=0)).ewm(alpha=1 / 14, adjust=False).mean()
    rows["rsi_14"] = 100 * gain / (gain + loss)
    rows["target"] = rows["close"].shift(-1) / rows["close"] - 1
    return rows.dropna().reset_index(drop=True)


def windows(rows):
    """Scalers of the training part, one a column, then a copy of every window; the first 80 % of the windows are for training."""
    context = given["context"]
    count = len(rows) - context + 1
    cut = int(count * 0.8)
    learned = cut + context - 2  # the label of the row before the first validation row is a price of that: it is left out
    scaler, scaled = {}, {}
    for name in [*COLUMNS, "target"]:
        values = rows[[name]].to_numpy()
        scaler[name] = MinMaxScaler().fit(values[:learned])
        scaled[name] = scaler[name].transform(values)[:, 0]
    x = np.column_stack([scaled[name] for name in COLUMNS])
    samples = np.array([x[i : i + context] for i in range(count)])
    labels = scaled["target"][context - 1 :]
    parts = [(samples[: cut - 1], labels[: cut - 1]), (samples[cut:], labels[cut:])]
    tensors = [TensorDataset(torch.tensor(a, dtype=torch.float32), torch.tensor(b, dtype=torch.float32)) for a, b in parts]
    return tensors, scaler["target"], rows["time"].iloc[context - 1 + cut :]


def validate(model, loader, loss_of):
    model.eval()
    with torch.no_grad():
        outputs = [(model(x)[:, 0], y) for x, y in loader]
    predicted, y = (torch.cat(part) for part in zip(*outputs, strict=True))
    return float(loss_of(predicted, y)), predicted


def train(parts):
    torch.manual_seed(given["seed"])
    model = CnnLstm(len(COLUMNS), given["filters"], given["kernel"], given["hidden"], given["dense"][0], given["dropout"])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=5)
    loss_of = nn.MSELoss()
    learned = DataLoader(parts[0], batch_size=given["batch_size"], shuffle=True)
    held = DataLoader(parts[1], batch_size=given["batch_size"])
    best, best_epoch, weights = float("inf"), 0, None
    for epoch in range(1, EPOCHS + 1):
        model.train()
        for x, y in learned:
            optimizer.zero_grad()
            loss_of(model(x)[:, 0], y).backward()
            optimizer.step()
        loss, _ = validate(model, held, loss_of)
        schedule.step(loss)
        if loss < best:
            best, best_epoch = loss, epoch
            weights = {name: value.clone() for name, value in model.state_dict().items()}
        elif epoch - best_epoch >= PATIENCE:
            break
    model.load_state_dict(weights)
    return model, epoch, validate(model, held, loss_of)[1]


def export(model):
    torch.save(model.state_dict(), folder / "model.pt")
    example = torch.zeros(2, given["context"], len(COLUMNS))
    sizes = ({0: torch.export.Dim("N")},)
    torch.onnx.export(model.eval(), (example,), folder / "model.onnx", dynamo=True, dynamic_shapes=sizes, verbose=False)


def job():
    torch.set_num_threads(given["threads"])
    seconds = {}

    def clocked(stage, work, *args):
        start = time.perf_counter()
        result = work(*args)
        seconds[stage] = time.perf_counter() - start
        return result

    rows = clocked("features", features, clocked("ingest", read))
    parts, scaler, times = clocked("windows", windows, rows)
    model, epochs, predicted = clocked("training", train, parts)
    clocked("export", export, model)
    scaler.inverse_transform(predicted.numpy().astype(np.float64)[:, None]).tofile(folder / "predicted.f64")
    times.dt.as_unit("ms").astype("int64").to_numpy(np.float64).tofile(folder / "times.f64")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {"seconds": seconds, "epochs": epochs, "memory": memory}


answer({"train": job}, torch, pd, np, sklearn, onnx)
