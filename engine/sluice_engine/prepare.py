"""From raw rows to the matrix that a model reads: clipping, imputing, indicators, encoding, scaling. Knows no models.

`fit` learns plain arrays from training rows; `apply` uses them in numpy and export.py writes them into the graph, in the
same order and precision. Before trees everything is float32 and nothing is scaled, since what rounds there can cross a
threshold; for linear kinds imputing and scaling are float64.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .protocol import Categories, Numbers

FOLDS = 5  # of target encoding, as scikit-learn's


@dataclass(frozen=True)
class Defaults:
    """What a kind does with numbers where the request leaves it open."""

    impute: Literal["median"] | None  # None: a missing value reaches the library as NaN
    scale: Literal["standard"] | None  # None: float32, and never scaled


@dataclass
class NumberColumns:
    """P features, clipped and filled, and a 0/1 column for some of them."""

    features: np.ndarray  # (P,)
    low: np.ndarray  # (P,) float32
    high: np.ndarray  # (P,) float32
    fill: np.ndarray  # (P,) in the precision of the matrix; NaN leaves missing values missing
    indicated: np.ndarray  # (I,) places in `features` whose missing values have an indicator


@dataclass
class CategoryColumns:
    """G features, each read as a code: 0..K-1 of its words, K for any other value, K + 1 for missing as a category of its own."""

    features: np.ndarray  # (G,)
    words: np.ndarray  # (G,) K
    missing: np.ndarray  # (G,) the code that a missing value is given
    hot_of: np.ndarray  # (H,) places in `features`: one-hot columns
    hot: np.ndarray  # (H,) the code that is 1 there
    table_of: np.ndarray  # (T,) places in `features`: columns looked up
    table: np.ndarray  # (T, W) float32 value by code


@dataclass
class Preparation:
    """(N, F) float32 raw -> (N, C): numbers, their indicators, one-hot columns, columns looked up; then scaled."""

    numbers: NumberColumns
    categories: CategoryColumns
    native: dict[int, int]  # column -> n: holds 0..n-1 for the library to split by, NaN for everything else
    shift: np.ndarray | None = None  # (C,) None: not scaled
    scale: np.ndarray | None = None  # (C,)

    def sources(self) -> np.ndarray:
        """(C,) the feature that each column is made from."""
        numbers, words = self.numbers, self.categories
        indicated, hot = numbers.features[numbers.indicated], words.features[words.hot_of]
        return np.concatenate([numbers.features, indicated, hot, words.features[words.table_of]])


@dataclass
class Lookup:
    """A column that is looked up by code."""

    values: np.ndarray  # (W,)
    held_out: np.ndarray | None = None  # (N,) what the training rows hold instead
    native: int | None = None  # n, where the library is to split by it


def fit(
    x: np.ndarray,
    labels: np.ndarray,
    treatments: list[Numbers | Categories],
    words: list[int],
    defaults: Defaults,
    scale: str | None,
    seed: int,
) -> tuple[Preparation, np.ndarray]:
    """What training rows (N, F) teach, and those rows prepared, (N, C).

    `labels` (N, L): the label, or 0/1 for each class. `words`: K of each feature. `scale`: of the columns looked up.
    A target-encoded training row holds what the other folds say, so that its own label is not among its features.
    """
    is_number = np.array([isinstance(treatment, Numbers) for treatment in treatments])
    numbers = fit_numbers(x, np.flatnonzero(is_number), treatments, defaults)
    categories, lookups = fit_categories(x, np.flatnonzero(~is_number), treatments, words, labels, seed)
    first = len(numbers.features) + len(numbers.indicated) + len(categories.hot)
    native = {first + t: lookup.native for t, lookup in enumerate(lookups) if lookup.native is not None}
    prepared = Preparation(numbers, categories, native)
    matrix = unscaled(prepared, x)
    for t, lookup in enumerate(lookups):
        if lookup.held_out is not None:
            matrix[:, first + t] = lookup.held_out
    if defaults.scale:
        how = [treatments[i].scale or defaults.scale for i in numbers.features]
        how += ["none"] * (first - len(how)) + [scale or defaults.scale] * len(lookups)
        prepared.shift, prepared.scale = fit_scales(matrix, np.array(how))
    return prepared, scaled(prepared, matrix)


def apply(prepared: Preparation, x: np.ndarray) -> np.ndarray:
    """Raw rows (N, F) to (N, C)."""
    return scaled(prepared, unscaled(prepared, x))


def unscaled(prepared: Preparation, x: np.ndarray) -> np.ndarray:
    """No copy is made of numbers that nothing is done to."""
    numbers, categories = prepared.numbers, prepared.categories
    values = x if len(numbers.features) == x.shape[1] else x[:, numbers.features]
    missing = np.isnan(values[:, numbers.indicated])
    if np.isfinite(numbers.low).any():
        values = np.where(values < numbers.low, numbers.low, values)
        values = np.where(values > numbers.high, numbers.high, values)
    if not np.isnan(numbers.fill).all():
        values = np.where(np.isnan(values), numbers.fill, values)
    if not len(numbers.indicated) and not len(categories.features):
        return values
    code = codes(x[:, categories.features], categories.words, categories.missing)
    hot = code[:, categories.hot_of] == categories.hot
    looked_up = categories.table[np.arange(len(categories.table)), code[:, categories.table_of]]
    return np.concatenate([values, missing, hot, looked_up], axis=1, dtype=numbers.fill.dtype)


def scaled(prepared: Preparation, matrix: np.ndarray) -> np.ndarray:
    """In place: what is scaled was filled, and so is no view of the raw rows."""
    if prepared.shift is not None:
        matrix -= prepared.shift
        matrix /= prepared.scale
    return matrix


def codes(x: np.ndarray, words: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """(N, G) raw values to codes: what is no code of a word is K. Exactly the graph's arithmetic, whatever the value."""
    known = np.where((x >= 0) & (x < words), x, words)
    return np.where(np.isnan(x), missing, known).astype(np.int32)


def fit_numbers(x: np.ndarray, features: np.ndarray, treatments: list, defaults: Defaults) -> NumberColumns:
    low, high = np.full((2, len(features)), [[-np.inf], [np.inf]], np.float32)
    fill = np.full(len(features), np.nan, np.float64 if defaults.scale else np.float32)
    indicated = []
    for place, i in enumerate(features):
        treatment = treatments[i]
        how = treatment.impute or defaults.impute
        if not (how or treatment.clip or treatment.indicator):
            continue
        values = x[~np.isnan(x[:, i]), i].astype(np.float64)
        if treatment.indicator and len(values) < len(x):
            indicated.append(place)
        if treatment.clip and len(values):
            low[place], high[place] = np.quantile(values, treatment.clip)
            values = values.clip(low[place], high[place])
        if how:
            fill[place] = filling(values, how, treatment.value)
    return NumberColumns(features, low, high, fill, np.array(indicated, int))


def filling(values: np.ndarray, how: str, constant: float) -> float:
    """What is put in for missing ones of these values; 0 where there are none, so that no column gets lost."""
    if how == "constant":
        return constant
    if not len(values):
        return 0.0
    if how == "most_frequent":  # the lowest of them, as scikit-learn
        found, counts = np.unique(values, return_counts=True)
        return found[counts.argmax()]
    return np.median(values) if how == "median" else np.mean(values)


def fit_categories(
    x: np.ndarray, features: np.ndarray, treatments: list, words: list[int], labels: np.ndarray, seed: int
) -> tuple[CategoryColumns, list[Lookup]]:
    """And a Lookup for each row of the table."""
    sizes = np.array([words[i] for i in features], int)
    missing = sizes + 1
    code = codes(x[:, features], sizes, missing)
    fold = folds(labels, seed) if any(treatments[i].encode == "target" for i in features) else None
    hot_of, hot, table_of, lookups = [], [], [], []
    for place, i in enumerate(features):
        treatment, size, column = treatments[i], sizes[place], code[:, place]
        counts = np.bincount(column, minlength=size + 2)
        if treatment.impute == "most_frequent" and counts[:size].any():
            missing[place] = counts[:size].argmax()
            column = np.where(column == size + 1, missing[place], column)
        seen = np.setdiff1d(column, [size])
        if not len(seen):  # a column of zeros, so that no feature gets lost
            seen = np.array([size + 1])
        if treatment.encode == "one_hot":
            hot += list(seen)
            hot_of += [place] * len(seen)
            continue
        if treatment.encode == "target":
            made = [target_encoding(column, label, size, fold) for label in labels.T]
        else:
            made = [RANKS[treatment.encode](seen, size)]
        lookups += made
        table_of += [place] * len(made)
    table = np.zeros((len(lookups), max(sizes, default=0) + 2), np.float32)
    for row, lookup in zip(table, lookups, strict=True):
        row[: len(lookup.values)] = lookup.values
    places = (np.array(values, int) for values in (hot_of, hot, table_of))
    return CategoryColumns(features, sizes, missing, *places, table), lookups


def ordinal(seen: np.ndarray, size: int) -> Lookup:
    """The rank among the codes seen in training, -1 for others (scikit-learn's OrdinalEncoder with unknown_value=-1)."""
    values = np.full(size + 2, -1.0)
    values[seen] = np.arange(len(seen))
    return Lookup(values)


def native(seen: np.ndarray, size: int) -> Lookup:
    """The rank among the words seen in training. Others are missing to the library: XGBoost's binned matrix would take a number beyond for the last word."""
    values, found = np.full(size + 2, np.nan), seen[seen < size]
    values[found] = np.arange(len(found))
    return Lookup(values, native=len(found))


RANKS = {"ordinal": ordinal, "native": native}


def target_encoding(code: np.ndarray, label: np.ndarray, size: int, fold: np.ndarray) -> Lookup:
    held_out = np.empty(len(code), np.float32)
    for k in range(fold.max() + 1):
        out = fold == k
        others = out if out.all() else ~out  # a lone row has no others
        held_out[out] = smoothed_means(code[others], label[others], size)[code[out]]
    return Lookup(smoothed_means(code, label, size), held_out)


def smoothed_means(code: np.ndarray, label: np.ndarray, size: int) -> np.ndarray:
    """(K + 2,) mean label by code, drawn to the mean of all the more the fewer and the more varied a code's labels are.

    Empirical Bayes (Micci-Barreca 2001, eq. 5 and 6), as scikit-learn's TargetEncoder(smooth="auto"). The mean of all for
    codes that are not there, and for what is no word.
    """
    mean, variance = label.mean(), label.var()
    count = np.bincount(code, minlength=size + 2)
    with np.errstate(invalid="ignore"):
        means = np.bincount(code, label, size + 2) / count
        spread = np.bincount(code, (label - means[code]) ** 2, size + 2) / count
        weight = variance * count / (variance * count + spread)
        smoothed = weight * means + (1 - weight) * mean
    smoothed[np.isnan(smoothed)] = mean
    smoothed[size] = mean
    return smoothed


def folds(labels: np.ndarray, seed: int) -> np.ndarray:
    """(N,) fold of each row by lot; of classes, each fold has its share."""
    lot = np.random.default_rng(seed).permutation(len(labels))
    order = np.lexsort((lot, *labels.T)) if np.isin(labels, (0, 1)).all() else lot
    fold = np.empty(len(labels), int)
    fold[order] = np.arange(len(labels)) % FOLDS
    return fold


def fit_scales(matrix: np.ndarray, how: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(C,) shifts and (C,) scales as scikit-learn's scalers have them; 0 and 1 for `none`."""
    from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

    shift, scale = np.zeros(len(how)), np.ones(len(how))
    for name in sorted(set(how) - {"none"}):
        columns = how == name
        values = matrix if columns.all() else matrix[:, columns]
        if name == "standard":
            fitted = StandardScaler().fit(values)
            shift[columns], scale[columns] = fitted.mean_, fitted.scale_
        elif name == "min_max":
            fitted = MinMaxScaler().fit(values)
            shift[columns], scale[columns] = fitted.data_min_, 1 / fitted.scale_
        else:
            fitted = RobustScaler().fit(values)
            shift[columns], scale[columns] = fitted.center_, fitted.scale_
    return shift, scale
