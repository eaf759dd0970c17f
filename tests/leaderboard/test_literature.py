"""The scores of the literature against what else their sources print: rows, averages, s(m)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from hearbench.errors import ResultError
from hearbench.leaderboard.columns import find_column
from hearbench.leaderboard.literature import (
    LiteratureRow,
    literature,
    literature_rows,
    literature_text,
    read_literature,
    score_text,
)
from hearbench.leaderboard.official import official_table
from hearbench.tasks import task_subsets

HEAD = literature_text().partition("\n")[0]
LINE = (
    "A model,esc50,81.2,percent,,0.4,95% interval over seeds,2024,mwmae,hear-10,10,"
    "https://example.org/model,Table 1,"
)
# The heads of WavJEPA's and GRAM's tables.
ELEVEN = ["dcase2016_task2", "fsd50k", "libricount", "esc50", "tfds_crema_d", "vox_lingua_top10",
          "speech_commands-5h", "nsynth_pitch-5h", "beijing_opera", "mridangam_stroke",
          "mridangam_tonic"]  # fmt: skip
GRAM_PRINTED = {
    "HEAR-Naive": 48.0, "Wav2Vec 2.0": 55.7, "HuBERT": 68.7, "WavLM": 59.1, "MAE": 65.5,
    "SSAST": 56.2, "BEATs": 76.6, "SSAM": 79.6, "GRAM-Binaural": 82.5, "GRAM-Ambisonics": 81.1,
    "GRAM-Clean": 83.1, "PASST": 68.1, "Spatial-AST": 74.6,
}  # fmt: skip
WAVJEPA_PRINTED = {
    "HEAR-Naive": 0.0, "Wav2Vec2.0 Base (speech)": 30.9, "HuBERT Base (speech)": 47.3,
    "WavLM Base (speech)": 35.1, "Data2Vec Base (speech)": 23.6,
    "Wav2Vec2.0 Large (speech)": 42.5, "HuBERT Large (speech)": 44.3,
    "WavLM Large (speech)": 58.1, "Data2Vec Large (speech)": 29.0,
    "Wav2Vec2.0 Base (AudioSet)": 31.9, "HuBERT Base (AudioSet)": 51.1,
    "Wav2Vec2.0 Large (AudioSet)": 55.9, "HuBERT Large (AudioSet)": 57.7, "WavJEPA Base": 66.0,
    "WavJEPA Base (half the batch size)": 58.3, "WavJEPA-Nat Base": 60.0,
}  # fmt: skip

USAD_PRINTED = {
    "WavLM Base+": 71.9, "ATST Frame": 78.1, "WavLM Base+ and ATST Frame": 78.5,
    "USAD Small": 77.2, "USAD Base": 78.7, "USAD Large": 79.7,
}  # fmt: skip


def rows_of(source: str) -> dict[str, LiteratureRow]:
    """The rows of one code or address, by model."""
    return {
        row.first.model: row
        for row in literature_rows(literature())
        if row.first.code == source or source in row.first.source
    }


def percents(row: LiteratureRow, tasks: list[str]) -> list[float]:
    """A row's scores on the tasks that it has, in percent."""
    columns = [find_column(task) for task in tasks]
    return [float(100 * row.scores[column].score) for column in columns if column in row.scores]


def test_mw_mae_as_its_readme_has_it() -> None:
    tasks = ["beijing_opera", "tfds_crema_d", "esc50", "libricount", "mridangam_stroke",
             "mridangam_tonic", "nsynth_pitch-5h", "speech_commands-5h", "fsd50k",
             "vox_lingua_top10"]  # fmt: skip
    found = rows_of("mwmae-jax-official")
    provided = found["MW-MAE-B-4x16-4l (provided weights)"]
    assert percents(provided, tasks) == [
        96.3, 73.5, 81.6, 68.8, 97.4, 97.9, 69.2, 90.9, 51.3, 43.9,
    ]  # fmt: skip
    assert percents(found["MW-MAE-B-4x16-4l (paper)"], tasks) == [
        96.0, 73.1, 81.2, 68.8, 97.4, 97.9, 69.3, 90.9, 51.2, 44.2,
    ]  # fmt: skip
    deviations = [score.plus_minus for score in provided.scores.values()]
    assert deviations == [
        Decimal(text) / 1000 for text in ("3", "1", "4", "4", "1", "1", "5", "3", "1", "7")
    ]
    assert (provided.first.code, provided.first.subset, provided.first.seeds) == (
        "mwmae", "hear-10", 10,
    )  # fmt: skip


def test_ced_tiny_is_there_and_the_models_of_the_official_table_are_not() -> None:
    (row,) = rows_of("HEAR_CED").values()
    assert row.first.model == "ced-tiny"
    assert len(row.scores) == 19
    assert float(row.scores["Maestro 5h"].score) == 0.0481
    assert row.scores["Beehive"].score == Decimal("0.38345")


def test_no_row_repeats_an_official_one() -> None:
    official = official_table()
    for row in literature_rows(literature()):
        for other in official:
            scores = dict(zip(official.columns, other.scores, strict=True))
            same = [
                scores[column] is not None and abs(scores[column] - float(score.score)) < 0.0006  # type: ignore[operator]
                for column, score in row.scores.items()
            ]
            assert sum(same) < len(same) / 2, (row.first.model, other.model)


def test_grams_averages_are_the_printed_ones() -> None:
    found = rows_of("2602.03307")
    assert set(found) == {*GRAM_PRINTED, "MWMAE"}
    for model, printed in GRAM_PRINTED.items():
        scores = percents(found[model], ELEVEN)
        assert len(scores) in (10, 11)
        assert sum(scores) / len(scores) == pytest.approx(printed, abs=0.0501), model
    # There the paper prints 80.8, which the note says.
    assert sum(percents(found["MWMAE"], ELEVEN)) / 11 == pytest.approx(80.03, abs=0.005)
    assert "80.8" in found["MWMAE"].first.note


def test_usads_averages_are_the_printed_ones() -> None:
    found = rows_of("2506.18843")
    assert set(found) == set(USAD_PRINTED)
    for model, printed in USAD_PRINTED.items():
        scores = [float(100 * score.score) for score in found[model].scores.values()]
        assert len(scores) == 19
        assert sum(scores) / 19 == pytest.approx(printed, abs=0.0501), model


def test_semantic_vocoder_as_its_table_has_it() -> None:
    found = rows_of("2602.23333")
    tasks = ["dcase2016_task2", "esc50", "fsd50k"]
    assert percents(found["SemanticVocoder (dasheng_base)"], tasks) == [93.69, 83.4, 51.583]
    assert percents(found["AudioLDM2 (VAE)"], tasks) == [20.821, 36.15, 16.221]
    assert {row.first.code for row in found.values()} == {"unknown"}


def test_wavjepas_generalizability_is_near_the_printed_one() -> None:
    """The paper's s(m), whose upper end also knows the ablations that aren't printed."""
    found = rows_of("wavjepa")
    assert set(found) == set(WAVJEPA_PRINTED)
    scores = {model: percents(row, ELEVEN) for model, row in found.items()}
    baseline = scores["HEAR-Naive"]
    best = [max(of_task) for of_task in zip(*scores.values(), strict=True)]
    for model, own in scores.items():
        gains = [
            max(0.0, (score - low) / (high - low)) if high > low else 0.0
            for score, low, high in zip(own, baseline, best, strict=True)
        ]
        assert 100 * sum(gains) / 11 == pytest.approx(WAVJEPA_PRINTED[model], abs=0.55), model


def test_cacophonys_best_scores_are_those_in_bold() -> None:
    found = rows_of("Cacophony")
    assert len(found) == 7
    bold = {
        "esc50": "LAION-CLAP",
        "libricount": "Cacophony stage 1 (AudioMAE)",
        "speech_commands-full": "Cacophony stage 1 (AudioMAE)",
        "vocal_imitation": "Cacophony",
        "tfds_gtzan": "WavCaps-CNN14",
        "beijing_opera": "Cacophony",
    }
    for task, model in bold.items():
        column = find_column(task)
        assert max(found, key=lambda name: found[name].scores[column].score) == model
    # A cell that reads 0172 says nothing for certain.
    assert "NSynth Pitch 5h" not in found["LAION-CLAP-fusion"].scores
    assert {score.metric for row in found.values() for score in row.scores.values()} == {"accuracy"}


def test_every_score_has_a_source_and_its_subset_is_kept_to() -> None:
    for row in literature_rows(literature()):
        first = row.first
        assert first.source.startswith("https://")
        assert first.place
        assert 2022 <= first.year <= 2026
        if "github.com" in first.source:
            # A commit, so that it can be read as it was.
            assert len(first.source.split("/")[6]) == 40
        if first.subset in task_subsets():
            columns = {find_column(task) for task in task_subsets()[first.subset].tasks}
            assert set(row.scores) <= columns
            assert len(columns - set(row.scores)) <= 1


def test_percent_and_shares_become_shares_with_the_digits_of_the_source() -> None:
    text = "\n".join([HEAD, LINE, LINE.replace("esc50,81.2,percent,,0.4", "Beehive,0.280,share,,")])
    first, second = read_literature(text, "made.csv")
    assert (first.column, first.score, first.plus_minus) == (
        "ESC-50", Decimal("0.812"), Decimal("0.004"),
    )  # fmt: skip
    assert (second.column, second.plus_minus) == ("Beehive", None)
    assert [score_text(score.score) for score in (first, second)] == ["0.812", "0.280"]
    assert score_text(Decimal("0.96046")) == "0.9605"
    assert len(literature_rows([first, second])) == 1


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("esc50", "esc51", "column: Value error, The leaderboard has no column 'esc51'"),
        ("81.2", "812", "8.12 isn't in 0 to 1"),
        ("81.2", "-1", "-0.01 isn't in 0 to 1"),
        ("81.2", "high", "'high' is no number"),
        ("81.2", "NaN", "score: Input should be a finite number"),
        ("percent", "points", "the unit 'points' is neither percent nor share"),
        ("mwmae", "mine", "code: Input should be 'hear2021', 'mwmae'"),
        ("hear-10", "hear-9", "there is no subset 'hear-9'"),
        (",10,", ",ten,", "seeds: Input should be a valid integer"),
        ("https://example.org/model", "", "it has no address"),
        ("https://example.org/model", "example.org", "doesn't begin with http:// or https://"),
        ("95% interval over seeds", "about", "plus_minus_of: Input should be ''"),
        ("A model", "", "the name is missing"),
        ("Table 1", "Table\u200b1", "it has a hidden character"),
        (",Table 1,", "", "it hasn't the cells model, task"),
        (LINE, f"{LINE}\n{LINE}", "A model has a score on ESC-50 from there already"),
        ("A model", '"A model', "unexpected end of data"),
    ],
)
def test_a_wrong_line_is_named(old: str, new: str, named: str) -> None:
    text = f"{HEAD}\n{LINE.replace(old, new)}\n"
    with pytest.raises(ResultError) as caught:
        read_literature(text, "made.csv")
    assert str(caught.value).startswith("made.csv, line ")
    assert named in str(caught.value)
