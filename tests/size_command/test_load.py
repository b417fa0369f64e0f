"""`python -m brummerbus size` with a load: how many workers it needs."""

import json
import sys
from typing import Any

import pytest

from brummerbus.sizing._queueing_model import Load, min_workers, predict
from helpers.sizes import run


@pytest.fixture
def gil(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that switches the GIL of the interpreter on or off; on by default."""

    def switch(*, on: bool) -> None:
        monkeypatch.setattr(sys, "_is_gil_enabled", lambda: on, raising=False)

    switch(on=True)
    return switch


def advice(capsys: pytest.CaptureFixture[str], cpu: float, wait: float, *more: str) -> Any:
    """Return the advice for a load of 1,300 deliveries per second, and its text."""
    load = ["--cpu", str(cpu), "--wait", str(wait), "--rate", "1300", *more]
    return json.loads(run(capsys, *load, "--json")), run(capsys, *load)


@pytest.mark.usefixtures("gil")
class TestLoad:
    """How many workers a load needs, from given figures."""

    def test_advises_the_fewest_that_meet_the_target(
        self, place: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """With the table that shows it, and the textbook's number beside it."""
        place(affinity=2)
        figures, text = advice(capsys, 0.3, 0.7)
        load = Load(1300.0, 0.0003, 0.0007, turn=sys.getswitchinterval())
        assert figures["load"] == {"cpu": 0.3, "wait": 0.7, "rate": 1300, "target": 10}
        assert figures["workers"] == min_workers(load, 0.01) == 2
        assert figures["textbook_workers"] == pytest.approx(10 / 3)
        assert figures["compute_utilization"] == pytest.approx(0.39)
        assert [entry["workers"] for entry in figures["table"]] == [1, 2, 3, 4, 5]
        for entry in figures["table"][1:]:
            found = predict(load, entry["workers"])
            assert entry["utilization"] == pytest.approx(found.utilization)
            assert entry["p50_wait"] == pytest.approx(found.p50_wait * 1000)
            assert entry["p99_wait"] == pytest.approx(found.p99_wait * 1000)
            busy = found.utilization * found.workers
            assert entry["handling"] == pytest.approx(busy / 1300 * 1000)
        assert "each 0.3 ms of CPU time and 0.7 ms blocked" in text
        assert "39 % of one server: under the GIL, deliveries compute one at a time" in text
        assert "3.33 = 1 core x 100 % x (1 + 0.7 / 0.3), whatever the rate" in text
        marked = [line for line in text.splitlines() if line.endswith("<- advised")]
        assert [line.split()[0] for line in marked] == ["2"]
        assert "Advice    2 workers: the minimum for a p99 queue wait of at most" in text
        assert "Poisson" in text
        assert "exponential" in text

    def test_too_few_workers_wait_for_ever(
        self, place: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """JSON has null, as it has no infinity."""
        figures, text = advice(capsys, 0.3, 0.7)
        first = figures["table"][0]
        assert (first["workers"], first["p50_wait"], first["p99_wait"]) == (1, None, None)
        assert (first["utilization"], first["handling"]) == (1.0, pytest.approx(1.0))
        assert "  1  100 % unbounded  unbounded       1 ms   1,000/s" in text

    @pytest.mark.parametrize("target", ["2", "2.5", "5"])
    def test_target_is_in_milliseconds(
        self, place: Any, capsys: pytest.CaptureFixture[str], target: str
    ) -> None:
        """A shorter wait takes more workers."""
        figures, text = advice(capsys, 0.3, 0.7, "--target", target)
        wanted = min_workers(Load(1300.0, 0.0003, 0.0007), float(target) / 1000)
        assert (figures["workers"], figures["load"]["target"]) == (wanted, float(target))
        assert f"at most {target} ms" in text

    def test_computing_alone_can_be_too_much(
        self, place: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Under the GIL no number of workers is enough; without it the cores are."""
        figures, text = advice(capsys, 1, 4)
        assert figures["workers"] is figures["computing_p99"] is None
        assert "Advice    no number of workers is enough, as all wait for the GIL: " in text
        assert "computing limits the rate to 1000 deliveries per second" in text

    def test_without_a_gil_the_cores_compute(
        self, place: Any, gil: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """All that this process may use."""
        gil(on=False)
        figures, text = advice(capsys, 1, 4)
        load = Load(1300.0, 0.001, 0.004, compute_servers=6)
        assert (figures["gil"], figures["compute_servers"]) == (False, 6)
        assert figures["workers"] == min_workers(load, 0.01)
        assert figures["textbook_workers"] == pytest.approx(30)
        assert "22 % of 6 cores: this interpreter runs without a GIL" in text
        assert "30 = 6 cores x 100 % x (1 + 4 / 1)" in text

    def test_says_from_where_on_the_wait_only_moves(
        self, place: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """More workers empty the queue, but each delivery waits for the GIL in its handler."""
        figures, text = advice(capsys, 0.7, 0.7)
        assert figures["workers"] is None
        enough = figures["enough_workers"]
        table = {entry["workers"]: entry for entry in figures["table"]}
        assert table[enough]["sustainable_rate"] >= 0.95 / 0.0007
        assert table[32]["p99_wait"] < figures["computing_p99"] / 2
        assert table[32]["handling"] > 2 * 1.4
        assert "no number of workers reaches a p99 of 10 ms: waiting for the GIL takes 3" in text
        assert f"more than {enough} workers only move it there" in text

    def test_says_when_more_do_not_help(
        self, place: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The advised number is the maximum that computing can use."""
        figures, text = advice(capsys, 0.3, 0)
        assert (figures["workers"], figures["enough_workers"]) == (1, 1)
        assert "Advice    1 worker: the minimum" in text
        assert "More do not help: the rest of the wait is for the GIL" in text

    def test_nothing_to_compute_has_no_textbook_number(
        self, place: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Workers are then the only limit, and their maximum is 1,024."""
        figures, text = advice(capsys, 0, 50)
        assert figures["textbook_workers"] is figures["enough_workers"] is None
        assert 65 < figures["workers"] < 100
        assert "Textbook  no limit: nothing computes" in text
        figures, text = advice(capsys, 0, 5000)
        assert figures["workers"] is None
        assert "no pool reaches a p99 of 10 ms; the largest has 1,024 workers" in text

    @pytest.mark.parametrize(
        ("arguments", "missing"),
        [
            ("--cpu 1", "--wait and --rate not given"),
            ("--cpu 1 --rate 5", "--wait not given"),
            ("--wait 0 --rate 5", "--cpu not given"),
            ("--target 5", "--cpu, --wait and --rate not given"),
        ],
    )
    def test_part_of_the_numbers_is_refused(
        self, capsys: pytest.CaptureFixture[str], arguments: str, missing: str
    ) -> None:
        """With what is missing."""
        assert missing in refused(capsys, arguments)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ("--cpu x --wait 1 --rate 1", "--cpu: expected a number from 0 to 1e+09, got 'x'"),
            ("--cpu -1 --wait 1 --rate 1", "--cpu: expected a number from 0 to 1e+09, got '-1'"),
            ("--cpu 1 --wait nan --rate 1", "--wait: expected a number from 0 to 1e+09, got 'nan'"),
            ("--cpu 1 --wait 1 --rate 0", "--rate: expected a number from 1e-06 to 1e+09, got '0'"),
            ("--cpu 1 --wait 1 --rate inf", "--rate: expected a number from 1e-06 to 1e+09"),
            ("--cpu 1 --wait 1 --rate 1 --target 0", "--target: expected a number from 1e-06"),
            ("--cpu 0 --wait 0 --rate 1", "--cpu and --wait must be at least 1e-06 milliseconds"),
        ],
    )
    def test_bad_numbers_are_refused(
        self, capsys: pytest.CaptureFixture[str], arguments: str, message: str
    ) -> None:
        """With the option, its range, and its value."""
        assert message in refused(capsys, arguments)

    def test_extremes_are_answered(self, place: Any, capsys: pytest.CaptureFixture[str]) -> None:
        """The minimum and the maximum that are accepted."""
        for cpu in ("0", "1e-6", "1e9"):
            for rate in ("1e-6", "1e9"):
                run(capsys, "--cpu", cpu, "--wait", "1e9", "--rate", rate)


def refused(capsys: pytest.CaptureFixture[str], arguments: str) -> str:
    """Return the command's message when it rejects its arguments."""
    with pytest.raises(SystemExit) as stop:
        run(capsys, *arguments.split())
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err
