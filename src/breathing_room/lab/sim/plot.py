"""Plots of estimates against the truth."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK: Final = "#22313a"
FAINT: Final = "#8a979e"
PANEL: Final = "#1f7a8c"
LEGACY: Final = "#c8553d"
FORCED: Final = "#e0a458"

STYLE: Final[Any] = {
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "grid.color": "#e6eaec",
    "svg.fonttype": "none",
    "svg.hashsalt": "breathing-room",  # else every plot has other ids in it
    "xtick.color": FAINT,
    "ytick.color": FAINT,
}

NAMES: Final = {
    "panel": "the room, with its 95 % interval",
    "legacy": "3 % of heartbeats ÷ 0.03 (biased)",
    "legacy_forced": "the same, first heartbeat forced (biased)",
    "write_rate": "from joins alone",
    "history": "the usual count (estimated)",
}
COLORS: Final = {
    "panel": PANEL,
    "legacy": LEGACY,
    "legacy_forced": FORCED,
    "write_rate": "#6a4c93",
    "history": "#5b8c5a",
}


def plot(result: dict[str, Any], path: Path) -> None:
    """Draw a result as ``--json`` writes it: one crowd over time, or several by size.

    Args:
        result: The result.
        path: The file; its suffix, .png or .svg, is the format.
    """
    crowds = result["crowds"]
    with plt.rc_context(STYLE):
        figure = _sizes(crowds) if len(crowds) > 1 else _time(crowds[0])
        figure.savefig(
            path, dpi=160, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None}
        )
        plt.close(figure)


def _time(crowd: dict[str, Any]) -> Figure:
    """Draw the first run over time; biased figures have a scale of their own beside it, so that the interval
    can be seen.
    """
    seen = [observation for observation in crowd.get("seen", []) if observation["seed"] == crowd["seeds"][0]]
    biased = [name for name in crowd["estimators"] if crowd["estimators"][name]["biased"]]
    others = [name for name in crowd["estimators"] if name not in biased and name != "panel"]
    figure, axes = plt.subplots(1, 2 if biased else 1, figsize=(10 if biased else 7, 4), squeeze=False)
    hours = [observation["at_s"] / 3_600 for observation in seen]
    minutes = not hours or hours[-1] < 2
    times = [hour * 60 for hour in hours] if minutes else hours
    for index, axis in enumerate(axes[0]):
        _frame(axis, "minutes" if minutes else "hours")
        if "panel" in crowd["estimators"]:
            ends = ([observation[end] for observation in seen] for end in ("low", "high"))
            axis.fill_between(times, *ends, color=PANEL, alpha=0.18, linewidth=0)
            axis.plot(
                times,
                [observation["count"] for observation in seen],
                color=PANEL,
                linewidth=1.4,
                label=NAMES["panel"],
            )
        for name in biased if index else others:
            estimates = [observation["estimates"][name][0] for observation in seen]
            axis.plot(times, estimates, color=COLORS[name], linewidth=1.2, label=NAMES[name])
        axis.plot(
            times,
            [observation["truth"] for observation in seen],
            color=INK,
            linewidth=1.6,
            label="people present",
        )
        _legend(axis)
    axes[0][0].set_title("The room")
    if biased:
        axes[0][1].set_title("The planning document's figure beside it")
    axes[0][0].set_ylabel("people")
    return figure


def _sizes(crowds: Sequence[dict[str, Any]]) -> Figure:
    """Draw the estimates over the truth, by the size of the crowd."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), width_ratios=(3, 2))
    truths = [crowd["truth"] for crowd in crowds]
    for axis in (left, right):
        _frame(axis, "people present")
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(_short())
    left.axhline(1, color=INK, linewidth=1.2)
    for name in ("legacy", "legacy_forced", "panel"):
        fared = [crowd["estimators"].get(name) for crowd in crowds]
        if all(fared):
            _ratios(left, truths, fared, name)
    left.set_ylabel("estimate / truth")
    left.set_title("Mean and root mean square error")
    panels = [crowd["estimators"].get("panel") for crowd in crowds]
    if all(panels):
        reached = [100 * fared["rmse"] for fared in panels]
        by_theory = [100 * fared["bound"] for fared in panels]
        right.plot(truths, by_theory, color=INK, linewidth=1.2, label="theory")
        right.plot(truths, reached, "o", color=PANEL, markersize=5, label="the panel")
        right.set_ylabel("root mean square error, %")
        right.set_title("The panel's error")
        _legend(right)
    _legend(left)
    return figure


def _ratios(axis: Axes, truths: Sequence[float], fared: Sequence[dict[str, Any]], name: str) -> None:
    spread = [max(one["rmse"] ** 2 - one["bias"] ** 2, 0.0) ** 0.5 for one in fared]
    axis.errorbar(
        truths,
        [one["ratio"] for one in fared],
        yerr=spread,
        fmt="o-",
        color=COLORS[name],
        markersize=4,
        linewidth=1.2,
        capsize=2,
        label="the panel" if name == "panel" else NAMES[name],
    )


def _frame(axis: Axes, below: str) -> None:
    axis.set_xlabel(below)
    axis.grid(visible=True, axis="y")
    axis.set_axisbelow(True)
    axis.yaxis.set_major_formatter(_thousands())


def _legend(axis: Axes) -> None:
    """Put a legend over the curves, with room enough for it."""
    _, highest = axis.get_ylim()
    axis.set_ylim(0, highest * 1.35)
    axis.legend(frameon=False, fontsize=8, labelcolor=INK, loc="upper right")


def _thousands() -> Callable[[float, float], str]:
    return lambda value, _: f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def _short() -> Callable[[float, float], str]:
    def write(value: float, _: float) -> str:
        if value < 10_000:
            return f"{value:,.0f}"
        return f"{value / 1_000:,.0f} k" if value < 1_000_000 else f"{value / 1_000_000:,.0f} M"

    return write
