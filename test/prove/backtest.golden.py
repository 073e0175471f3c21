"""Writes the trades of backtesting.py 0.6.6 (`pip install backtesting`) into backtest.golden.json, from the bars and the signal that stand there.

python test/prove/backtest.golden.py
"""

import json
from pathlib import Path

import pandas as pd
from backtesting import Backtest, Strategy

FILE = Path(__file__).with_suffix(".json")
RUNS = {
    "long": {"short": False, "close": False, "fee": 0.001},
    "long_short": {"short": True, "close": False, "fee": 0.001},
    "long_short_close": {"short": True, "close": True, "fee": 0.0005},
}


def trades(frame, signal, short, close, fee):
    class Follow(Strategy):
        def init(self):
            pass

        def next(self):
            want = signal[len(self.data) - 1]
            want = want if short else max(want, 0)
            if want == self.position.is_long - self.position.is_short:
                return
            self.position.close()
            if want:
                # The engine's own "all of it" is just below 1; whole units hide the rest.
                (self.buy if want > 0 else self.sell)(size=0.9999999)

    run = Backtest(frame, Follow, cash=1_000_000, commission=fee, trade_on_close=close, finalize_trades=True).run()
    made = run._trades.sort_values("EntryBar")
    return [
        [int(t.EntryBar), int(t.ExitBar), float(t.EntryPrice), float(t.ExitPrice), int(t.Size), round(float(t.PnL), 6)]
        for t in made.itertuples()
    ]


golden = json.loads(FILE.read_text())
frame = pd.DataFrame(
    {"Open": golden["open"], "Close": golden["close"]},
    index=pd.date_range("2020-01-01", periods=len(golden["open"])),
)
frame["High"] = frame[["Open", "Close"]].max(axis=1)
frame["Low"] = frame[["Open", "Close"]].min(axis=1)
golden["runs"] = {name: trades(frame, golden["signal"], **run) for name, run in RUNS.items()}
lines = [f'"{name}": {json.dumps(golden[name])}' for name in ("open", "close", "signal")]
runs = [
    f'"{name}": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]" for name, rows in golden["runs"].items()
]
FILE.write_text("{\n" + ",\n".join(lines) + ',\n"runs": {\n' + ",\n".join(runs) + "\n}\n}\n")
