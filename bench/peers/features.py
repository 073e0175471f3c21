"""The indicators of bench/features.js by TA-Lib and by pandas: FOLDER, with a file of float64 for each column of the candles."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import talib

from rounds import answer

folder = Path(sys.argv[1])
high, low, close, volume = (np.fromfile(folder / f"{name}.f64") for name in "high low close volume".split())


def by_talib():
    return {
        "sma_20": talib.SMA(close, 20),
        "ema_20": talib.EMA(close, 20),
        "wma_20": talib.WMA(close, 20),
        "cci_20": talib.CCI(high, low, close, 20),
        "stddev_pop_20": talib.STDDEV(close, 20),
        "rsi_14": talib.RSI(close, 14),
        "atr_14": talib.ATR(high, low, close, 14),
        "natr_14": talib.NATR(high, low, close, 14),
        "adx_14": talib.ADX(high, low, close, 14),
        "plus_di_14": talib.PLUS_DI(high, low, close, 14),
        "minus_di_14": talib.MINUS_DI(high, low, close, 14),
        "mfi_14": talib.MFI(high, low, close, volume, 14),
        "willr_14": talib.WILLR(high, low, close, 14),
        "roc_10": talib.ROC(close, 10),
        "mom_10": talib.MOM(close, 10),
        "macd_12_26_9_hist": talib.MACD(close, 12, 26, 9)[2],
        "bb_20_2_upper": talib.BBANDS(close, 20, 2, 2)[0],
        "stoch_14_3_3_d": talib.STOCH(high, low, close, 14, 3, 0, 3, 0)[1],
        "aroon_25_up": talib.AROON(high, low, 25)[1],
        "obv": talib.OBV(close, volume),
    }


c, h, l, v = map(pd.Series, (close, high, low, volume))


def wilder(x, n):
    return x.ewm(alpha=1 / n, adjust=False).mean()


weights = np.arange(1.0, 21.0)


def full(values):
    """With NaNs in front, as long as the candles."""
    return np.concatenate([np.full(len(close) - len(values), np.nan), values])


def windows(x, n):
    return np.lib.stride_tricks.sliding_window_view(x, n)


def by_pandas():
    """As it is usually written: a Python call a row where pandas has no function (wma, cci, aroon)."""
    return indicators(
        c.rolling(20).apply(lambda w: w @ weights, raw=True),
        lambda x: x.rolling(20).apply(lambda w: np.abs(w - w.mean()).mean(), raw=True),
        h.rolling(26).apply(np.argmax, raw=True),
    )


def by_tuned_pandas():
    """The same three by NumPy over windows."""
    return indicators(
        full(windows(close, 20) @ weights),
        lambda x: full(np.abs(windows(x.to_numpy(), 20) - x.rolling(20).mean().to_numpy()[19:, None]).mean(axis=1)),
        full(windows(high, 26).argmax(axis=1)),
    )


def indicators(weighted, spread, newest):
    """`spread`: from a series to the mean deviations of its windows."""
    move = c.diff()
    before = c.shift()
    true_range = np.maximum(h, before) - np.minimum(l, before)
    atr = wilder(true_range, 14)
    up, down = h.diff(), -l.diff()
    plus = 100 * wilder(up.where((up > down) & (up > 0), 0), 14) / atr
    minus = 100 * wilder(down.where((down > up) & (down > 0), 0), 14) / atr
    typical = (h + l + c) / 3
    mean = typical.rolling(20).mean()
    flow = typical * v
    inflow = flow.where(typical.diff() > 0, 0).rolling(14).sum()
    outflow = flow.where(typical.diff() < 0, 0).rolling(14).sum()
    highest, lowest = h.rolling(14).max(), l.rolling(14).min()
    line = c.ewm(span=12, adjust=False).mean() - c.ewm(span=26, adjust=False).mean()
    return {
        "sma_20": c.rolling(20).mean(),
        "ema_20": c.ewm(span=20, adjust=False).mean(),
        "wma_20": weighted / 210,
        "cci_20": (typical - mean) / (0.015 * spread(typical)),
        "stddev_pop_20": c.rolling(20).std(ddof=0),
        "rsi_14": 100 * wilder(move.clip(lower=0), 14) / wilder(move.abs(), 14),
        "atr_14": atr,
        "natr_14": 100 * atr / c,
        "adx_14": wilder(100 * (plus - minus).abs() / (plus + minus), 14),
        "plus_di_14": plus,
        "minus_di_14": minus,
        "mfi_14": 100 * inflow / (inflow + outflow),
        "willr_14": -100 * (highest - c) / (highest - lowest),
        "roc_10": 100 * c.pct_change(10),
        "mom_10": c.diff(10),
        "macd_12_26_9_hist": line - line.ewm(span=9, adjust=False).mean(),
        "bb_20_2_upper": c.rolling(20).mean() + 2 * c.rolling(20).std(ddof=0),
        "stoch_14_3_3_d": (100 * (c - lowest) / (highest - lowest)).rolling(3).mean().rolling(3).mean(),
        "aroon_25_up": 4.0 * newest,
        "obv": (np.sign(move).fillna(1) * v).cumsum(),
    }


def worst(theirs, skip=0):
    """Largest difference from our columns, relative to the larger side (at least 1), over the last len - skip rows."""
    return max(distance(np.fromfile(folder / f"ours_{name}.f64"), np.asarray(values), skip) for name, values in theirs.items())


def distance(a, b, skip):
    a, b = a[-len(b) :][skip:], b[skip:]
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        return float("inf")
    return float(np.nanmax(np.abs(a - b) / np.maximum(1, np.maximum(np.abs(a), np.abs(b)))))


def silent(run):
    return lambda: run() and None


# Averages without an end begin otherwise in pandas: after 2,000 rows nothing is left of that.
answer(
    {
        "TA-Lib": silent(by_talib),
        "pandas": silent(by_pandas),
        "tuned pandas": silent(by_tuned_pandas),
        "differences": lambda: {"TA-Lib": worst(by_talib()), "pandas": max(worst(by_pandas(), 2000), worst(by_tuned_pandas(), 2000))},
    },
    np,
    pd,
    talib,
)
