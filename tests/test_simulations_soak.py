"""The soak: it counts what the system says of each node, and says when that has grown."""

import os
from pathlib import Path

import pytest

from simulations import soak as soaking
from simulations.__main__ import main
from simulations.soak import Options, Outcome, resident_kib, soak


def test_memory_is_flat_if_no_node_takes_over_a_twentieth_more_than_after_minute_2() -> None:
    outcome = Outcome(kib={"a": [10, 1000, 5000, 1050], "b": [900, 1000, 1000, 990]})
    assert outcome.growth() == {"a": 1.05, "b": 0.99}
    assert outcome.ok
    outcome.kib["b"].append(1051)
    assert not outcome.ok


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
def test_a_ring_is_soaked(monkeypatch: pytest.MonkeyPatch) -> None:
    """With minutes of a second: whether memory is flat shows in real ones."""
    monkeypatch.setattr(soaking, "MINUTE_S", 1.0)
    said = list[str]()
    outcome = soak(Options(nodes=2, minutes=3, rate=20, seed=1), said.append)
    assert isinstance(outcome, Outcome)
    assert outcome.failed == 0
    assert outcome.created > 20
    assert outcome.ended > 0
    assert {name: len(kib) for name, kib in outcome.kib.items()} == {"a": 3, "b": 3}
    assert all(kib[0] > 1000 for kib in outcome.kib.values())
    assert [line.split(":")[0] for line in said] == ["minute 1", "minute 2", "minute 3"]
    assert resident_kib(os.getpid()) > 1000


def test_too_few_minutes_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """There has to be something after minute 2."""
    with pytest.raises(SystemExit) as stopped:
        main(["soak", "--minutes", "2"])
    assert stopped.value.code == 2
    assert "--minutes: '2' cannot be used; give a whole number from 3" in capsys.readouterr().err
