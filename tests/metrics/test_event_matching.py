import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearbench.metrics.blocks import blocks_of
from hearbench.metrics.event_lists import EventArrays
from hearbench.metrics.event_matching import MatchRule, match_events

RULES = [
    MatchRule(0.2),
    MatchRule(0.05),
    MatchRule(0.05, offset_collar_s=0.05, offset_share=0.2),
    MatchRule(1e-9),
]


def can_match(a: EventArrays, i: int, b: EventArrays, j: int, rule: MatchRule) -> bool:
    """The definition, one pair at a time, in Python's floats."""
    if (a.clip[i], a.label[i]) != (b.clip[j], b.label[j]):
        return False
    a_on, a_off = float(a.onset_ms[i]) / 1000.0, float(a.offset_ms[i]) / 1000.0
    b_on, b_off = float(b.onset_ms[j]) / 1000.0, float(b.offset_ms[j]) / 1000.0
    if not abs(a_on - b_on) <= rule.onset_collar_s:
        return False
    if rule.offset_collar_s is None:
        return True
    return abs(a_off - b_off) <= max(rule.offset_collar_s, rule.offset_share * (a_off - a_on))


def largest(a: EventArrays, b: EventArrays, rule: MatchRule) -> int:
    """Size of a maximum matching, by one augmenting path after the other."""
    edges = [[j for j in range(len(b)) if can_match(a, i, b, j, rule)] for i in range(len(a))]
    owner: dict[int, int] = {}

    def augment(i: int, seen: set[int]) -> bool:
        for j in edges[i]:
            if j not in seen:
                seen.add(j)
                if j not in owner or augment(owner[j], seen):
                    owner[j] = i
                    return True
        return False

    return sum(augment(i, set()) for i in range(len(a)))


def assert_maximum(a: EventArrays, b: EventArrays, rule: MatchRule) -> None:
    pairs = match_events(a, b, rule)
    assert pairs.shape == (len(pairs), 2)
    assert len(set(pairs[:, 0].tolist())) == len(set(pairs[:, 1].tolist())) == len(pairs)
    assert all(can_match(a, i, b, j, rule) for i, j in pairs.tolist())
    assert len(pairs) == largest(a, b, rule)


@st.composite
def events(draw: st.DrawFn) -> EventArrays:
    times = draw(
        st.sampled_from(
            [
                st.integers(0, 30).map(lambda i: i * 10.0),
                st.integers(0, 12).map(lambda i: i * 50.0),
                st.integers(0, 5).map(lambda i: 1e6 + i * 50.0),
                st.floats(-500, 500, allow_subnormal=False),
            ]
        )
    )
    row = st.tuples(
        st.integers(0, 1), st.integers(0, 1), times, st.sampled_from([0.0, 30.0, 250.0, 300.0])
    )
    rows = draw(st.lists(row, max_size=25))
    return EventArrays.from_rows((clip, label, on, on + long) for clip, label, on, long in rows)


@pytest.mark.parametrize("rule", RULES)
@given(a=events(), b=events())
@settings(max_examples=300, deadline=None)
def test_pairs_are_a_maximum_matching(rule: MatchRule, a: EventArrays, b: EventArrays) -> None:
    assert_maximum(a, b, rule)


@pytest.mark.parametrize("rule", RULES)
def test_onsets_an_ulp_beside_the_collar(rule: MatchRule) -> None:
    edge_ms = rule.onset_collar_s * 1000
    for base in (0.0, 100.0, 1234.567, 1e5 / 3):
        near = [base + edge_ms]
        for _ in range(4):
            near = [
                *near,
                float(np.nextafter(near[0], -np.inf)),
                float(np.nextafter(near[-1], np.inf)),
            ]
        for side in (1, -1):
            a = EventArrays.from_rows([(0, 0, base, base + 100)])
            for time in near:
                onset = base + side * (time - base)
                assert_maximum(a, EventArrays.from_rows([(0, 0, onset, base + 100)]), rule)


def test_a_greedy_choice_in_the_lists_order_would_lose_a_pair() -> None:
    # The second reference has only the first estimate, which the first could take as well.
    a = EventArrays.from_rows([(0, 0, 100, 200), (0, 0, 60, 200)])
    b = EventArrays.from_rows([(0, 0, 90, 200), (0, 0, 140, 200)])
    for rule in RULES[1:3]:
        assert sorted(match_events(a, b, rule).tolist()) == [[0, 1], [1, 0]]


def test_two_thousand_candidates_of_each_other() -> None:
    # All onsets within the collar and lengths alike: as many pairs as events, and quickly.
    rng = np.random.default_rng(0)
    a, b = (
        EventArrays.from_rows((0, 0, float(on), 1000.0) for on in rng.uniform(0, 50, 1500))
        for _ in range(2)
    )
    for rule in RULES[:3]:
        assert len(match_events(a, b, rule)) == 1500


def test_pairs_are_looked_at_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    a, b = (
        EventArrays.from_rows(
            (int(rng.integers(3)), int(rng.integers(2)), float(on), float(on + rng.uniform(0, 200)))
            for on in rng.uniform(0, 2000, 150)
        )
        for _ in range(2)
    )
    whole = len(match_events(a, b, RULES[2]))
    monkeypatch.setattr("hearbench.metrics.event_matching._PAIRS_PER_BLOCK", 7)
    assert len(match_events(a, b, RULES[2])) == whole == largest(a, b, RULES[2])


def test_nothing_to_match() -> None:
    none, one = EventArrays.from_rows([]), EventArrays.from_rows([(0, 0, 0.0, 1.0)])
    for a, b in ((none, none), (none, one), (one, none)):
        assert match_events(a, b, RULES[2]).shape == (0, 2)


@given(sizes=st.lists(st.integers(0, 10), max_size=20), limit=st.integers(1, 15))
def test_blocks_cover_all_in_order(sizes: list[int], limit: int) -> None:
    blocks = list(blocks_of(np.array(sizes, dtype=np.int64), limit))
    assert [i for block in blocks for i in range(block.start, block.stop)] == list(
        range(len(sizes))
    )
    for block in blocks:
        assert sum(sizes[block]) <= limit or block.stop - block.start == 1
