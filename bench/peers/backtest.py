"""The grid of bench/backtest.js by vectorbt: FOLDER OPTIONS, with float64 prices and a row of int8 for each signal."""

import json
import sys
import warnings
from pathlib import Path

import numba
import numpy as np
import pandas as pd
import vectorbt as vbt

from rounds import answer

warnings.filterwarnings("ignore")
folder, options = Path(sys.argv[1]), json.loads(sys.argv[2])
open_ = np.fromfile(folder / "open.f64")
close = np.fromfile(folder / "close.f64")
n = len(close)
signals = np.fromfile(folder / "signals.i8", dtype=np.int8).reshape(-1, n).T  # (n, combinations)

# Known at the close of t, filled at the open of t + 1.
wanted = np.vstack([np.zeros((1, signals.shape[1]), bool), signals[:-1] == 1])
index = pd.date_range("2000-01-01", periods=n)
opens, closes = pd.Series(open_, index), pd.Series(close, index)
entries, exits = pd.DataFrame(wanted, index), pd.DataFrame(~wanted, index)


def grid():
    portfolio = vbt.Portfolio.from_signals(
        closes,
        entries,
        exits,
        price=opens,
        fees=options["fee"],
        slippage=options["slippage"],
        init_cash=1_000_000,
        freq="1D",
    )
    returns = portfolio.returns()
    accessor = returns.vbt.returns(freq="1D", year_freq=f"{options['periods_per_year']}D")
    return {
        "total_return": accessor.total(),
        "sharpe": accessor.sharpe_ratio(),
        "sortino": accessor.sortino_ratio(),
        "max_drawdown": -accessor.max_drawdown(),
        "cagr": accessor.annualized(),
        "win_rate": portfolio.trades.win_rate(),
        "profit_factor": portfolio.trades.profit_factor(),
        "trades": portfolio.trades.count(),
    }


# Compiles what numba compiles before a clock runs.
figures = {name: list(map(float, values)) for name, values in grid().items()}
answer({"vectorbt": lambda: grid() and None, "figures": lambda: figures}, vbt, numba, np, pd)
