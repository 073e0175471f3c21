// What each figure means, in the fewest words that are still true.

export const MEANING: ReadonlyMap<string, string> = new Map(
  Object.entries({
    total_return: 'end over start, minus 1',
    cagr: 'growth per year',
    sharpe: 'mean over deviation of bar returns, per year',
    sortino: 'as sharpe, but only falls count as risk',
    calmar: 'growth per year over the largest drawdown',
    max_drawdown: 'largest fall from a peak, as a fraction',
    win_rate: 'share of trades that earned money',
    profit_factor: 'money won over money lost',
    trades: 'positions opened and closed',
    exposure: 'share of bars with a position',
    probabilistic_sharpe: 'probability that the true sharpe is above 0',
    deflated_sharpe: 'the same, against the best that luck would show',
    excess_sharpe_probability: 'probability of beating the market at equal exposure',
    skill: 'share of a plain guess’s loss that is saved, at least (95 %)',
    roc_auc: '0.5 is guessing, 1 is perfect',
    log_loss: '0.693 is an even guess on two classes; lower is better',
    brier: 'mean squared error of the probability; lower is better',
    mcc: 'correlation of predicted and actual class; 0 is guessing',
    rmse: 'root of the mean squared error, in units of the label',
    mae: 'mean absolute error, in units of the label',
    r2: 'share of the variance that is explained; 0 is the mean, 1 is perfect',
    directional_accuracy: 'share of predictions with the right sign',
  }),
)
