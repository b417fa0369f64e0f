"""The plots of the benchmarks: one scale with its unit, and every point is visible."""

from typing import TYPE_CHECKING, Any

import pytest

from bench.claims.loads import BY_NAME as CLAIM_SHAPES
from bench.claims.outcome import Outcome
from bench.claims.ways import WAYS
from bench.peers.rounds import Results
from bench.peers.shapes import SHAPES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

pytestmark = [
    pytest.mark.slow,
]

CHARTS = ("throughput", "latency", "full", "burst")
PEERS = ("brummerbus", "SimpleQueue", "Queue")
MACHINE = {"packages": {}, "python": "", "processor": "", "cores": 2, "commit": ""}
CONTEXT: dict[str, Any] = {"machine": MACHINE, "rounds": 1, "quick": 1, "work": {}, "seconds": 1}


@pytest.fixture
def plots() -> Any:
    """The module that draws the figures of peers."""
    pytest.importorskip("matplotlib", reason="plots need the extra 'report'")
    from bench.peers import plots  # noqa: PLC0415 - imports matplotlib

    return plots


@pytest.fixture
def claim_plots() -> Any:
    """The module that draws the figures of the claims."""
    pytest.importorskip("matplotlib", reason="plots need the extra 'report'")
    from bench.claims import claim_plots  # noqa: PLC0415 - imports matplotlib

    return claim_plots


def panels(figure: "Figure") -> "list[Axes]":
    return [panel for panel in figure.axes if panel.get_visible()]


def peers(plots: Any, chart: str) -> "Figure":
    """Draw a figure of peers, whose shapes differ by far; one contestant fails in each."""
    shapes = [shape for shape in SHAPES if shape.kind in plots.FILES[chart].shapes]
    results = Results()
    for number, shape in enumerate(shapes):
        for label in PEERS:
            size = 10.0**number
            results.add(
                shape.name,
                label,
                {"rate": size, "p50": size, "p99": 3 * size, "memory_mb": size},
            )
        results.fail(shape.name, "pebble", "no end")
    return plots.figure_of(results, shapes, plots.FILES[chart], "")


@pytest.fixture
def outcome() -> Outcome:
    """A run in which all contestants are equal, except one that was not measured."""
    shapes = [CLAIM_SHAPES[name] for name in ("small, peak", "heavy, all at once")]
    same = {"memory_mb": 10.0, "p50": 1.0, "p99": 2.0, "rate": 1_000.0, "late_p99": 0.1}
    same |= {"cpu_us": 50.0, "threads": 9.0, "handled": 100.0, "runs": 100.0}
    results = Results()
    for shape in shapes:
        for label in WAYS:
            results.add(shape.name, label, same)
    results.cells["small, peak", "ThreadPoolExecutor"].rounds[:] = [{}]
    return Outcome(results, shapes, CONTEXT)


def points(panel: "Axes") -> list[tuple[float, float]]:
    return [
        tuple(map(float, point))
        for collection in panel.collections
        for point in collection.get_offsets()
        if len(collection.get_offsets()) and hasattr(collection, "get_sizes")
    ]


@pytest.mark.parametrize("chart", CHARTS)
def test_all_panels_of_a_figure_of_peers_have_one_scale_with_its_unit(
    plots: Any, chart: str
) -> None:
    drawn = panels(peers(plots, chart))
    assert len({panel.get_xlim() for panel in drawn}) == 1
    assert {panel.get_xlabel() for panel in drawn} == {plots.FILES[chart].unit}
    for panel in drawn:
        assert panel.xaxis.get_tick_params()["labelbottom"]


def test_all_figures_of_peers_are_tested(plots: Any) -> None:
    assert set(plots.FILES) == set(CHARTS)


def test_bars_begin_at_zero(plots: Any) -> None:
    for panel in panels(peers(plots, "burst")):
        assert panel.get_xlim()[0] == 0.0
        assert {bar.get_x() for bar in panel.patches} == {0.0}


@pytest.mark.parametrize("chart", ["throughput", "latency", "full"])
def test_a_logarithmic_scale_says_so_and_shows_every_point(plots: Any, chart: str) -> None:
    assert "log scale" in plots.FILES[chart].unit
    for panel in panels(peers(plots, chart)):
        least, most = panel.get_xlim()
        assert panel.get_xscale() == "log"
        assert len(points(panel)) == len(PEERS)
        assert all(least < x < most for x, _ in points(panel))


@pytest.mark.parametrize("chart", CHARTS)
def test_a_contestant_without_a_figure_keeps_its_row(plots: Any, chart: str) -> None:
    for panel in panels(peers(plots, chart)):
        names = [label.get_text() for label in panel.get_yticklabels()]
        assert sorted(names) == sorted([*PEERS, "pebble"])
        assert "no figure" in {text.get_text() for text in panel.texts}


def test_the_panels_of_all_claims_have_one_scale(claim_plots: Any, outcome: Outcome) -> None:
    drawn = panels(claim_plots.ratios(outcome))
    assert len({panel.get_xlim() for panel in drawn}) == 1
    assert all("log scale" in panel.get_xlabel() for panel in drawn)


def test_equal_ratios_do_not_hide_each_other(claim_plots: Any, outcome: Outcome) -> None:
    for panel in panels(claim_plots.ratios(outcome)):
        found = points(panel)
        assert len(found) == len(set(found)) == 3
        assert {text.get_text() for text in panel.texts} == {
            "against ThreadPoolExecutor: no figure"
        }


def test_equal_numbers_of_threads_do_not_hide_each_other(
    claim_plots: Any, outcome: Outcome
) -> None:
    (panel,) = panels(claim_plots.threads(outcome))
    found = points(panel)
    assert len(found) == len(set(found)) == 5
    assert panel.get_xlabel() == "threads, log scale"
    assert [text.get_text() for text in panel.texts] == ["ThreadPoolExecutor: no figure"]
