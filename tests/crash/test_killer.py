from pathlib import Path

from tests.crash.killer import run


def test_ten_kills_under_load_leave_nothing_amiss(tmp_path: Path):
    report = run(tmp_path / "killed.db", kills=10, seed=1)
    assert report.violations == []
    assert report.kills == 10
    assert report.instances.total() >= 60
