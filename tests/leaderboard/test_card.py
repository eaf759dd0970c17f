from __future__ import annotations

from pathlib import Path

import pytest

from hearbench.errors import HearError, ResultError
from hearbench.leaderboard.card import Card
from hearbench.leaderboard.skeleton import write_skeleton

GOOD = """
model = "Tone bank"
team = "Tones"
authors = ["A. Body", "B. Ody"]
url = "https://example.org/tones"
description = "Filters."
pretraining = "none"
api = "tone_bank.hear"
licence = "Apache-2.0"
"""


def card(tmp_path: Path, text: str) -> Card:
    path = tmp_path / "card.toml"
    path.write_text(text)
    return Card.read(path)


def test_a_card_is_read(tmp_path: Path) -> None:
    more = '[options]\nlayer = 3\n[missing]\nmaestro = "its hop is too long"\n'
    found = card(tmp_path, GOOD + more)
    assert (found.model, found.authors) == ("Tone bank", ("A. Body", "B. Ody"))
    assert found.options == {"layer": 3}
    assert found.missing == {"maestro": "its hop is too long"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('team = "Tones"\n', "", r"card\.toml: team is missing"),
        ('team = "Tones"', 'teem = "Tones"', r"team is missing; teem is no key of a card"),
        ('"Tone bank"', '"Tone, bank"', r"model .*comma"),
        ('"Tone bank"', r'"Tone\nbank"', r"model .*line's end"),
        ('"Tone bank"', '"=1+1"', r"model .*formula"),
        ('"https://example.org/tones"', '"javascript:alert(1)"', r"url .*http"),
        ('"https://example.org/tones"', '""', r"url is empty; fill it in"),
        ('"none"', '"everything"', r"pretraining .*'speech', 'broad', 'music' or 'none'"),
        ('"tone_bank.hear"', '"tone bank; rm"', r"api .*pattern"),
        ('["A. Body", "B. Ody"]', "[]", r"authors is empty; fill it in\.$"),
        ('"B. Ody"', '"<second author>"', r": authors is still the skeleton's placeholder; fill"),
        ("tones", "where-the-model-is-described", r": url is still the skeleton's placeholder"),
        ('"Filters."', '"<What the model is>"', r"description .*placeholder"),
        ('"Tones"', r'"To\u0007nes"', r"team .*can't be seen"),
        ("model =", "model", r"isn't a TOML file"),
    ],
)
def test_what_a_card_can_not_say(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(ResultError, match=message):
        card(tmp_path, GOOD.replace(old, new))


def test_a_card_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="hearbench init-model"):
        Card.read(tmp_path / "card.toml")


def test_the_skeletons_card_only_wants_to_be_filled_in(tmp_path: Path) -> None:
    write_skeleton("my-model", tmp_path / "m")
    path = tmp_path / "m" / "card.toml"
    with pytest.raises(ResultError) as refused:
        Card.read(path)
    assert str(refused.value) == (
        f"{path}: model, team, authors, url, description, pretraining_data and training_sets are "
        "still the skeleton's placeholders; fill them in."
    )
    text = (
        path.read_text()
        .replace('["<a known training set>"]', "[]")
        .replace("<", "A ")
        .replace(">", "")
    )
    path.write_text(text.replace("example.org/where-the-model-is-described", "example.org/tones"))
    found = Card.read(path)
    assert found.api == "my_model.hear"
    assert found.training_sets == ()


def test_training_sets_have_names_and_aliases(tmp_path: Path) -> None:
    assert card(tmp_path, GOOD).training_sets is None
    found = card(tmp_path, GOOD + 'training_sets = ["audio set", "FSD50K", "LS-960", "AudioSet"]\n')
    assert found.training_sets == ("AudioSet", "FSD50K", "LibriSpeech train")
    with pytest.raises(ResultError, match=r"training_sets .*'AudioSett'.*'AudioSet'"):
        card(tmp_path, GOOD + 'training_sets = ["AudioSett"]\n')
    # What a model without weights has nothing to say about isn't said for it.
    assert (found.weights_url, found.weights_licence) == ("", "")


@pytest.mark.parametrize("name", ["", "1a", "a b", "../a", "A", "class", "-a", "a--b"])
def test_names_that_are_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(HearError, match="can't be the name of a package"):
        write_skeleton(name, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(HearError, match=r"holds README\.md already"):
        write_skeleton("my-model", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
