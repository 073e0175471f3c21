"""The CSV of bench/ingest.js to a checked Parquet file by pandas: CSV FOLDER."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow

from rounds import answer

csv, folder = Path(sys.argv[1]), Path(sys.argv[2])
PRICES = ["open", "high", "low", "close"]
STEP = pd.Timedelta(minutes=1)


def ingest():
    rows = pd.read_csv(csv, parse_dates=["time"], date_format="ISO8601")
    read = len(rows)
    rows = rows.drop_duplicates()
    duplicates = read - len(rows)
    good = is_good(rows)
    conflict = rows[good].duplicated("time", keep="last")
    good &= ~conflict.reindex(rows.index, fill_value=False)
    rows[~good].to_csv(folder / "quarantine.csv")
    rows = rows[good]
    if not rows["time"].is_monotonic_increasing:
        rows = rows.sort_values("time", kind="stable")
    gaps = int((rows["time"].diff().iloc[1:] > STEP).sum())
    rows.to_parquet(folder / "candles.parquet", index=False)
    return {
        "read": read,
        "accepted": len(rows),
        "rejected": int((~good).sum()),
        "duplicates": duplicates,
        "gaps": gaps,
    }


def is_good(rows):
    """Times that exist and have come, finite positive prices, volume not negative, low <= open, close <= high."""
    open_, high, low, close, volume = (rows[name].to_numpy() for name in [*PRICES, "volume"])
    return (
        rows["time"].notna()
        & (rows["time"] <= pd.Timestamp.now(tz="UTC"))
        & np.isfinite(open_ + high + low + close + volume)
        & (np.minimum(open_, low) > 0)
        & (volume >= 0)
        & (np.maximum(open_, close) <= high)
        & (np.minimum(open_, close) >= low)
    )


answer({"pandas": ingest}, pd, pyarrow, np)
