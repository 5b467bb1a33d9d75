"""The homepage experiment in plain pandas and statsmodels, straight from the landing files: an independent oracle.

It shares no line with the product: read, judge, deduplicate, window, winsorize, CUPED, cluster.
"""

import gzip
import json
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm

START, ENROLLED_UNTIL = pd.Timestamp("2026-03-02"), pd.Timestamp("2026-03-15")


def landed(folder: Path, moment: str) -> pd.DataFrame:
    """Every parsable line, in the order in which copies count, with `ts`, its `day` and its ingest day."""
    rows = []
    for path in sorted(folder.glob("ingest_day=*/hour=*/*.json.gz")):
        for line in gzip.decompress(path.read_bytes()).splitlines():
            try:
                rows.append({**json.loads(line), "ingest_day": path.parts[-3].removeprefix("ingest_day=")})
            except json.JSONDecodeError:
                continue
    frame = pd.DataFrame(rows)
    frame["ts"] = pd.to_datetime(frame[moment], utc=True, errors="coerce").dt.tz_localize(None)
    frame["day"], frame["ingest_day"] = frame["ts"].dt.normalize(), pd.to_datetime(frame["ingest_day"])
    in_time = (frame["day"] >= frame["ingest_day"] - pd.Timedelta(days=3)) & (
        frame["ts"] < frame["ingest_day"] + pd.Timedelta(days=1, minutes=10)
    )
    return frame[in_time & frame["profile_id"].notna() & frame["household_id"].notna()]


def profiles(data_dir: Path, analysis_day: date) -> pd.DataFrame:
    """One row per analysed profile: arm, household, outcomes and covariates."""
    events = landed(data_dir / "landing/events", "ts")
    events = events[events["event_id"].notna() & (events["day"] <= pd.Timestamp(analysis_day))]
    events = events.drop_duplicates(["day", "event_id"])
    shown = landed(data_dir / "landing/exposures", "exposed_at")
    shown = shown[(shown["day"] >= START) & (shown["day"] <= pd.Timestamp(analysis_day))]
    crossed = shown.groupby("profile_id")["arm"].nunique().loc[lambda arms: arms > 1].index
    first = shown[shown["day"] <= ENROLLED_UNTIL].sort_values("ts").drop_duplicates("profile_id")
    first = first[~first["profile_id"].isin(crossed)].set_index("profile_id")
    first["tenure_days"] = (first["day"] - signup_days(data_dir).reindex(first.index)).dt.days
    joined = events.join(first[["ts", "day"]].add_prefix("exposed_"), on="profile_id", how="inner")
    offset = (joined["day"] - joined["exposed_day"]).dt.days
    after = joined["ts"] >= joined["exposed_ts"]

    def total(values: pd.Series, rows: pd.Series) -> pd.Series:
        return values[rows].groupby(joined["profile_id"]).sum().reindex(first.index).fillna(0.0)

    plays = (joined["event_type"] == "play_start").astype(float)
    minutes = joined["watch_ms"].where(joined["event_type"] == "playback").fillna(0.0) / 60000
    week, before = after & (offset < 7), (offset < 0) & (offset >= -14)
    matured = first["day"] + pd.Timedelta(days=6) <= pd.Timestamp(analysis_day)
    known = first["tenure_days"] >= 14
    return first.assign(
        plays=total(plays, week).where(matured),
        minutes=total(minutes, week).where(matured),
        failures=total((joined["event_type"] == "play_failure").astype(float), after),
        attempts=total((joined["event_type"] == "play_attempt").astype(float), after),
        pre_plays=total(plays, before).where(known),
        pre_minutes=total(minutes, before).where(known),
    )


def signup_days(data_dir: Path) -> pd.Series:
    newest = max((data_dir / "landing/profiles").glob("ingest_day=*"))
    rows = [
        json.loads(line)
        for path in sorted(newest.glob("*.json.gz"))
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]
    return pd.to_datetime(pd.DataFrame(rows).set_index("profile_id")["signup_day"])


def capped(values: pd.Series, quantile: float = 0.995) -> pd.Series:
    """Winsorized at the inverse-CDF quantile of all rows that know the value."""
    observed = np.sort(values.dropna().to_numpy())
    return values.clip(upper=observed[int(np.ceil(len(observed) * quantile - 1e-9)) - 1])


def cuped(frame: pd.DataFrame, outcome: pd.Series, pre_minutes: pd.Series) -> dict[str, float]:
    """Effect, clustered standard error and p by CUPED on all covariates; missing ones become means."""
    wide = pd.DataFrame(
        {"pre_plays": frame["pre_plays"], "pre_minutes": pre_minutes, "tenure": frame["tenure_days"]}
    )
    wide = wide.join(pd.get_dummies(frame["device"], drop_first=True, dtype=float))
    used = outcome.notna()
    x, y = wide[used].fillna(wide[used].mean()), outcome[used]
    covariance = np.cov(np.column_stack([x, y]).T)
    theta = np.linalg.solve(covariance[:-1, :-1], covariance[:-1, -1])
    return clustered(y.sub((x - x.mean()).to_numpy() @ theta), frame[used])


def clustered(y: pd.Series, frame: pd.DataFrame) -> dict[str, float]:
    design = sm.add_constant((frame["arm"] == "treatment").astype(float))
    fit = sm.OLS(y, design).fit(cov_type="cluster", cov_kwds={"groups": frame["household_id"]}, use_t=True)
    return {"effect": fit.params.iloc[1], "std_error": fit.bse.iloc[1], "p_value": fit.pvalues.iloc[1]}


def ratio(frame: pd.DataFrame, numerator: str, denominator: str) -> dict[str, float]:
    """Difference of ratios of sums with the delta method over households."""
    scores, ratios = pd.Series(0.0, frame.index), {}
    for arm, sign in (("control", -1.0), ("treatment", 1.0)):
        rows = frame[frame["arm"] == arm]
        ratios[arm] = rows[numerator].sum() / rows[denominator].sum()
        residual = rows[numerator] - ratios[arm] * rows[denominator]
        scores[rows.index] = sign * residual / rows[denominator].sum()
    by_household = scores.groupby(frame["household_id"]).sum()
    n = len(by_household)
    return {
        "effect": ratios["treatment"] - ratios["control"],
        "std_error": float(np.sqrt(n / (n - 1) * (by_household**2).sum())),
    }


def golden(data_dir: Path, analysis_day: date) -> dict[str, dict[str, float]]:
    frame = profiles(data_dir, analysis_day)
    known_pre = frame["pre_minutes"].where(frame["minutes"].notna())
    return {
        "play_starts_7d": cuped(frame, frame["plays"], frame["pre_minutes"]),
        "watch_minutes_7d": cuped(frame, capped(frame["minutes"]), capped(known_pre)),
        "start_failure_rate": ratio(frame, "failures", "attempts"),
    }
