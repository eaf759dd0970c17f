"""Clips found by their captions, and captions by their clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hearbench.embeddings.texts import TextEmbeddings
from hearbench.metrics.caption_retrieval import DEPTH, KS, QueryScores, query_scores
from hearbench.stats.clip_scores import ClipScore, ratio_clip_score
from hearbench.stats.resampling import bootstrap
from hearbench.zero_shot.record import ZeroShotSummary
from hearbench.zero_shot.similarity import N_RESAMPLES, SEED, Clips, Summary, normalized

__all__ = ["caption_scores"]

_Floats = npt.NDArray[np.float64]


def caption_scores(
    clips: Clips,
    captions: Mapping[str, Mapping[str, tuple[str, ...]]],
    embedded: TextEmbeddings,
) -> dict[str, ZeroShotSummary]:
    """Scores of finding the clips of a caption, and the captions of a clip, in each test split.

    Every caption of every clip is a query for clips, and every clip one for captions. A clip fits a
    caption that it has; so several clips may fit one. Clips without a caption take no part.

    Args:
        captions: By test split and clip.
        embedded: Embeddings of all captions.

    Returns:
        By name; those of clips that are found by captions first.
    """
    tests = list(captions)
    splits = [_CaptionedSplit.of(clips, test, captions[test], embedded) for test in tests]
    scores = [split.scores() for split in splits]
    found = {}
    for name in scores[0]:
        row = [each[name] for each in scores]
        points = np.array([float(score(np.ones((1, score.n_clips)))[0]) for score in row])
        replicates = bootstrap(
            [[score] for score in row],
            strata=[None] * len(row),
            n_resamples=N_RESAMPLES,
            seed=SEED,
        )[0]
        sizes = [score.n_clips for score in row]
        found[name] = Summary(tests, sizes, maximise=True, bounds=(0.0, 1.0)).of(points, replicates)
    return found


@dataclass(frozen=True)
class _CaptionedSplit:
    """The clips of a split that have captions.

    Attributes:
        clips: (n_clips, size), normalized.
        texts: (n_texts, size), normalized, of the captions, each once.
        has: (n_clips, n_texts), how often a clip has a caption.
    """

    clips: _Floats
    texts: _Floats
    has: sparse.csr_array

    @classmethod
    def of(
        cls,
        clips: Clips,
        split: str,
        captions: Mapping[str, tuple[str, ...]],
        embedded: TextEmbeddings,
    ) -> _CaptionedSplit:
        """Those of a test split."""
        at = {clip: row for row, clip in enumerate(clips.store.clips(split))}
        rows = [at[clip] for clip in captions]
        texts = list(dict.fromkeys(text for own in captions.values() for text in own))
        column = {text: number for number, text in enumerate(texts)}
        pairs = np.array(
            [[row, column[text]] for row, own in enumerate(captions.values()) for text in own]
        )
        has = sparse.coo_array(
            (np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(rows), len(texts))
        ).tocsr()
        return cls(normalized(clips.of(split)[rows]), normalized(embedded.of(texts)), has)

    def scores(self) -> dict[str, ClipScore]:
        """Scores as functions of how often each clip counts; which are found stays as it is."""
        of_texts = query_scores(self.texts, self.clips, self.has.T.tocsr())
        of_clips = query_scores(self.clips, self.texts, self.has)
        per_clip = np.asarray(self.has.sum(axis=1), dtype=np.float64)
        found: dict[str, ClipScore] = {}
        for name, values in _named(of_texts):
            found[f"text_to_audio_{name}"] = ratio_clip_score(self.has @ values, per_clip)
        for name, values in _named(of_clips):
            found[f"audio_to_text_{name}"] = ratio_clip_score(values, np.ones(len(values)))
        return found


def _named(scores: QueryScores) -> list[tuple[str, _Floats]]:
    named = [(f"mAP_at_{DEPTH}", scores.average_precision)]
    return [*named, *((f"recall_at_{k}", scores.recall_at[k]) for k in KS)]
