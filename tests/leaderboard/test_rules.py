"""The challenge's rules on licences, addresses and versions."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from helpers_leaderboard import write_honest_submission

from hearbench.leaderboard.bundle import write_bundle
from hearbench.leaderboard.card import Card
from hearbench.leaderboard.check import check_bundle
from hearbench.leaderboard.official import official_table
from hearbench.leaderboard.origin import Origin
from hearbench.leaderboard.rules import card_problems, rule_notes, rule_problems
from hearbench.leaderboard.submission import MeasuredModel, Submission
from hearbench.leaderboard.table import COLUMNS
from hearbench.validate.report import Report

CARD = Card(
    model="Bands", team="Tones", authors=("A. Body",), url="https://example.org/bands",
    description="Bands.", pretraining="none", api="bands", licence="Apache-2.0",
)  # fmt: skip


@pytest.mark.parametrize(
    ("licence", "fits"),
    [
        ("Apache-2.0", True), ("MIT", True), ("mit", True), ("BSD-3-Clause", True),
        ("GPL-3.0-only", False), ("CC-BY-NC-4.0", False), ("CC-BY-4.0", False), ("ours", False),
        ("GPL-2.0-only OR MIT", True), ("GPL-2.0-only AND MIT", False), ("MIT AND ISC", True),
    ],
)  # fmt: skip
def test_licences_of_code(licence: str, fits: bool) -> None:
    found = card_problems(CARD.model_copy(update={"licence": licence}), has_weights=False)
    assert bool(found) is not fits
    assert all(text.startswith("licence ") for text in found)


@pytest.mark.parametrize(
    ("licence", "fits"),
    [
        ("CC-BY-4.0", True), ("CC0-1.0", True), ("MIT", True), ("CC-BY-NC-4.0", False),
        ("CC-BY-SA-4.0", False), ("", False),
    ],
)  # fmt: skip
def test_licences_of_weights(licence: str, fits: bool) -> None:
    card = CARD.model_copy(
        update={"weights_licence": licence, "weights_url": "https://example.org/w"}
    )
    found = card_problems(card, has_weights=True)
    assert bool(found) is not fits
    assert all(text.startswith("weights_licence ") for text in found)
    # A model without weights has none to license.
    alone = card.model_copy(update={"weights_url": ""})
    assert card_problems(alone, has_weights=False) == []
    assert any(text.startswith("weights_url") for text in card_problems(alone, has_weights=True))


def _submission(**changes: Any) -> Submission:
    return Submission(
        hearbench_version="1",
        created=dt.date(2026, 5, 1),
        card=CARD,
        model=MeasuredModel(
            n_weights=1, sample_rate=16000, scene_embedding_size=1, timestamp_embedding_size=1,
            hop_ms=50.0, digest="2" * 64, weights_digest=None,
            versions=changes.pop("versions", {"python": "3.11", "torch": "2.9"}),
        ),
        scores=dict.fromkeys(COLUMNS),
        tasks=(),
        missing={},
        **changes,
    )  # fmt: skip


def test_what_is_recorded_of_the_machine() -> None:
    origin = Origin(address="git+https://example.org/o/m@v1", commit="a" * 40)
    assert list(rule_problems(_submission())) == []
    assert list(rule_problems(_submission(origin=origin, machine={"device": "cpu"}))) == []
    gpu = {"device": "cuda:0", "cuda": "12.4", "cudnn": "9.1.0"}
    assert list(rule_problems(_submission(origin=origin, machine=gpu))) == []
    for changes, named in (
        ({"machine": {"device": "cuda", "cuda": "12.4"}}, "cudnn"),
        ({"machine": {"device": "cuda", "cudnn": "9.1.0"}}, "cuda"),
        ({"machine": {}}, "device"),
        ({"machine": {"device": "cpu"}, "versions": {"torch": "2.9"}}, "Python"),
        ({"machine": {"device": "cpu"}, "versions": {"python": "3.9"}}, "framework"),
    ):
        (found,) = rule_problems(_submission(origin=origin, **changes))
        assert named in found
    weighed = origin.model_copy(update={"weights_sha256": "b" * 64})
    found_all = list(rule_problems(_submission(origin=weighed, machine=gpu)))
    assert [text.split()[0] for text in found_all] == ["weights_licence", "weights_url"]


def test_an_address_that_others_can_not_use_is_noted() -> None:
    origin = Origin(address="git+https://example.org/o/m@v1", commit="a" * 40)
    own = Origin(address="git+file:///home/me/m@v1", commit="a" * 40)
    assert list(rule_notes(_submission(origin=origin))) == []
    assert ["/home/me/m" in note for note in rule_notes(_submission(origin=own))] == [True]
    assert len(list(rule_notes(_submission()))) == 1


def test_a_record_of_earlier_versions_is_as_it_was() -> None:
    said = _submission().model_dump(mode="json")
    assert not {"origin", "machine"} & said.keys()
    assert Submission.model_validate(said) == _submission()


def test_a_bundle_against_the_rules_is_refused(tmp_path: Path) -> None:
    bundle = write_honest_submission(tmp_path)
    said = Submission.model_validate_json((bundle / "submission.json").read_text())
    report = Report.model_validate_json((bundle / "validation.json").read_text())
    results = {path.name: path for path in (bundle / "results").iterdir()}
    card = said.card.model_copy(update={"licence": "GPL-3.0-only"})
    changed = tmp_path / "changed"
    write_bundle(changed, said.model_copy(update={"card": card}), report, results)
    assert check_bundle(bundle, official_table(), lambda _name: None).problems == ()
    (problem,) = check_bundle(changed, official_table(), lambda _name: None).problems
    assert problem.startswith("submission.json: licence is GPL-3.0-only")
