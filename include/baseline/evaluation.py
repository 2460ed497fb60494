"""How well a simple model names the winner of a season that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from include.baseline.data import Pool

RESAMPLES = 200
SEED = 0

# How far above chance an honest model may surely be. On the commit of 2026-06-12 the best one names
# 38 % at the final five, with an interval from 28, where chance names 20; what knows the end of a
# season names more than 90.
ALARM = 0.25


@dataclass(frozen=True)
class Evaluation:
    """What came of one pool; intervals hold 95 %."""

    pool: Pool
    chance: float
    """Expected share of winners that are named by drawing lots."""
    top_1: float
    """Share of seasons in which the model ranks the winner first."""
    top_1_interval: tuple[float, float]
    auc: float
    """Chance that the model ranks the winner above another castaway, over all seasons."""
    auc_interval: tuple[float, float]

    @property
    def is_too_good(self) -> bool:
        """Whether no honest model could be that good."""
        return self.top_1_interval[0] > self.chance + ALARM


def model() -> Pipeline:
    """Return a logistic regression to which it is news, too, that a value is unknown."""
    return make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(C=0.05),
    )


def evaluate(pool: Pool) -> Evaluation:
    """Train on all seasons but one, rank the castaways of that one, and do so for every season."""
    features = pd.get_dummies(pool.features, dtype="float64").to_numpy("float64", na_value=np.nan)
    chances = cross_val_predict(
        model(),
        features,
        pool.won,
        groups=pool.seasons,
        cv=LeaveOneGroupOut(),
        method="predict_proba",
    )[:, 1]
    won = pool.won.to_numpy()
    seasons = [np.flatnonzero(pool.seasons == season) for season in pool.seasons.unique()]
    # Those who share the first place are drawn lots for.
    hits = sum(won[season][chances[season] == chances[season].max()].mean() for season in seasons)
    top_1 = binomtest(round(hits), len(seasons)).proportion_ci(method="wilson")
    draw = np.random.default_rng(SEED)
    aucs = []
    for _ in range(RESAMPLES):
        drawn = [seasons[i] for i in draw.integers(len(seasons), size=len(seasons))]
        castaways = np.concatenate(drawn)
        aucs.append(roc_auc_score(won[castaways], chances[castaways]))
    return Evaluation(
        pool=pool,
        chance=float(np.mean([1 / len(season) for season in seasons])),
        top_1=hits / len(seasons),
        top_1_interval=(float(top_1.low), float(top_1.high)),
        auc=float(roc_auc_score(won, chances)),
        auc_interval=(float(np.quantile(aucs, 0.025)), float(np.quantile(aucs, 0.975))),
    )
