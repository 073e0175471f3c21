"""The grid of bench/backtest.ts by vectorbt: FOLDER RUNS OPTIONS, one JSON object on stdout. Compiled code is warm before the clock starts."""

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import vectorbt as vbt

warnings.filterwarnings("ignore")
folder, runs, options = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
open_ = np.fromfile(folder / "open.f64")
close = np.fromfile(folder / "close.f64")
n = len(close)
signals = np.fromfile(folder / "signals.i8", dtype=np.int8).reshape(-1, n).T  # (n, combinations)

# Known at the close of t, filled at the open of t + 1; everything is sold at the last close.
wanted = np.vstack([np.zeros((1, signals.shape[1]), bool), signals[:-1] == 1])
index = pd.date_range("2000-01-01", periods=n)


def grid():
    portfolio = vbt.Portfolio.from_signals(
        pd.Series(close, index),
        pd.DataFrame(wanted, index),
        pd.DataFrame(~wanted, index),
        price=pd.Series(open_, index),
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


figures = grid()
seconds = []
for _ in range(runs):
    start = time.perf_counter()
    figures = grid()
    seconds.append(time.perf_counter() - start)
print(json.dumps({"seconds": seconds, "figures": {name: list(map(float, values)) for name, values in figures.items()}}))
