"""Layers: conf/layers.yml, and whether the experiments of each fit into it."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from metrics.configuration.catalogue import Catalogue
from metrics.configuration.experiment import Experiment
from metrics.configuration.yaml import Section, raise_faults, read_section

_ROUNDING = 1e-9


def load_layers(path: Path, experiments: Sequence[Experiment]) -> dict[str, float]:
    """The holdout, a share of its buckets, of each layer that declares one. Without a file no layer has any."""
    holdouts: dict[str, float] = {}
    if not path.is_file():
        return holdouts
    top = read_section(path)
    known = {each.layer for each in experiments}
    for name, section in top.section("layers").sections().items():
        if name not in known:
            section.fault("", "is the layer of no experiment; correct the name, or take it out")
        holdouts[name] = _holdout(section)
        section.finish()
    top.finish()
    raise_faults(top)
    return holdouts


def faults_of_layers(
    experiments: Sequence[Experiment], holdouts: Mapping[str, float], catalogue: Catalogue
) -> list[str]:
    """Where experiments of one layer would not fit beside each other by their planned times.

    For `validate`: at run time a layer has room for what is allocated, whatever was planned.
    """
    layers = sorted({each.layer for each in experiments})
    return [fault for layer in layers for fault in _overfull(layer, experiments, holdouts, catalogue)]


def _holdout(section: Section) -> float:
    holdout = section.take("holdout", float)
    if holdout is not None and not 0 <= holdout < 1:
        section.fault("holdout", f"is {holdout}; expected a share from 0 to 1, 1 excluded")
        return 0.0
    return float(holdout or 0.0)


def _overfull(
    layer: str, experiments: Sequence[Experiment], holdouts: Mapping[str, float], catalogue: Catalogue
) -> list[str]:
    """What is wrong on the first day on which the layer's experiments do not fit beside each other."""
    inside = [each for each in experiments if each.layer == layer and each.randomized_by != "none"]
    holdout = holdouts.get(layer, 0.0)
    for day in sorted({each.start for each in inside}):
        running = [each for each in inside if each.is_running(day, catalogue)]
        named = ", ".join(f"{each.id} {each.stages[-1]:g}" for each in running)
        if sum(each.stages[-1] for each in running) + holdout > 1 + _ROUNDING:
            held = f" beside a holdout of {holdout:g}" if holdout else ""
            return [
                _fault(
                    layer,
                    day,
                    f"{named} do not fit{held}; lower rollout.stages, move a start, or use another layer",
                )
            ]
        if len({each.randomized_by for each in running}) > 1:
            return [
                _fault(
                    layer,
                    day,
                    f"{named} are randomized by unit and by cluster, so they could share a profile; "
                    "give one another layer",
                )
            ]
    return []


def _fault(layer: str, day: date, what: str) -> str:
    return f"experiments: layer '{layer}' on {day}: {what}"
