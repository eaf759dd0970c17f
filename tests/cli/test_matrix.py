"""Several models' results as one table: tasks down, models across."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers_leaderboard import DCASE, ESC50, write_made_up_result

from hearbench.cli.evaluate import show
from hearbench.evaluation.results import load_results

# By how many wrong clips or missed events their predictions are made up.
MODELS = {"package.models.strong": 1, "weak": 9, "middling": 5}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for name, wrong in MODELS.items():
        for task in (ESC50, DCASE):
            write_made_up_result(tmp_path / "out", task, model=name, wrong=wrong)
    return tmp_path / "out"


def shown(out: Path, columns: int, monkeypatch: pytest.MonkeyPatch) -> str:
    from rich.console import Console

    console = Console(width=columns, force_terminal=True, color_system="standard", record=True)
    monkeypatch.setattr("hearbench.cli.render.output_console", lambda: console)
    show(load_results(out))
    return console.export_text(styles=True)


def test_models_stand_side_by_side(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = load_results(out)
    text = shown(out, 100, monkeypatch)
    assert text.count("package.") == 1
    for task in results.tasks:
        row = next(line for line in text.splitlines() if f" {task} " in line)
        cells = [results.scores((model, task)) for model in results.models]
        means = [f"{next(iter(scores.values())).mean:.3f}" for scores in cells]
        found = [word for word in row.replace("\x1b", " ").split() if word.count(".") == 1]
        assert [mean for mean in means if any(mean in word for word in found)] == means
        # The best alone is bold.
        best = means[results.models.index("package.models.strong")]
        assert f"\x1b[1m{best}" in row
        assert row.count("\x1b[1m") == 1


def test_a_narrow_terminal_gets_them_below_each_other(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = shown(out, 70, monkeypatch)
    assert sum(set(line.strip()) == {"─"} for line in text.splitlines()) == 2
    assert "package." in text
    assert "models.strong" in text
    assert "…" not in text


def test_details_are_a_table_per_model(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show(load_results(out), details=True)
    text = capsys.readouterr().out
    assert all(f"{name}, protocol" in text for name in MODELS)
    assert "mean ± std" in text
