"""What the classifier reads of a text."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from breakeven.router.features.extract import SHAPE, extract, normalise
from breakeven.router.features.kernel_numpy import HALF, PLACES, SAMPLED, run_places, word_places, word_spans

# Lone surrogates too: JSON can carry them.
PINNED = [
    49020,
    68209,
    81247,
    117483,
    131127,
    144619,
    206319,
    219378,
    236405,
    258489,
    265175,
    300954,
    331406,
    335907,
    376095,
    383779,
    384846,
    419948,
    466016,
    478568,
    478716,
    492867,
]
SHAPED = [177474, 127527, 15291, 46811, 23405, 46811, 0, 45426, 71998, 105476, 0, 0, 54613, 65536, 0, 0, 0, 0, *[0] * 6]
CHOSEN = [141523, 43524, 16470, 7281, 21845, 0]
TEXT = st.text(st.characters(codec=None, categories=None), max_size=300)


@given(TEXT)
def test_every_text_has_sound_features(text: str) -> None:
    features = extract(text)
    places = features.places
    assert places.dtype == np.int64
    assert (np.diff(places) > 0).all()
    assert len(places) == 0 or 0 <= places[0] <= places[-1] < PLACES
    plain = normalise(text)
    assert set(places[: features.words].tolist()) == set(word_places(plain).tolist())
    assert set(places[features.words :].tolist()) == set(run_places(plain).tolist())
    assert places[: features.words].max(initial=0) < HALF
    assert features.sample == (places < SAMPLED).sum()
    assert features.shape.dtype == np.int64
    assert len(features.shape) == len(SHAPE)


def test_features_are_pinned() -> None:
    # A change here makes every artifact wrong: raise VERSION with it.
    features = extract("What is 2 + 2?")
    assert features.places.tolist() == PINNED
    assert features.shape.tolist() == SHAPED
    chosen = extract("Which?\nA. red fox\nB. red dog\nC. a cat sat").shape.tolist()
    assert chosen[-6:] == CHOSEN


def test_case_and_white_space_do_not_change_n_grams() -> None:
    for first, second in (
        ("The  Quick\nBROWN fox", "the quick brown fox"),
        ("\u00c9T\u00c9\u00a0 x", "\u00e9t\u00e9 x"),
    ):
        one, other = extract(first), extract(second)
        assert one.places.tolist() == other.places.tolist()
        assert one.shape.tolist() != other.shape.tolist()


def test_normalised_text_is_lower_case_with_single_spaces() -> None:
    assert (
        normalise("  A\t\x1cB \n\n C\u2003D\u0130 ")
        == " ".join("  A\t\x1cB \n\n C\u2003D\u0130 ".lower().split()).encode()
    )
    assert normalise(" " * 8192) == b""


def words_of(text: str) -> list[str]:
    plain = normalise(text)
    return [plain[start:end].decode() for start, end in zip(*word_spans(plain), strict=True)]


def test_words_and_pairs_are_told_apart() -> None:
    assert words_of("Is it 3.5, or not?") == ["is", "it", "3", ".", "5", ",", "or", "not", "?"]
    places = word_places(normalise("Is it 3.5, or not?"))
    assert len(set(places.tolist())) == len(places) == 9 + 8
    # The order of two words matters to their pair.
    assert word_places(b"a b")[2] != word_places(b"b a")[2]


def test_words_of_other_scripts() -> None:
    assert words_of("“Grüße” — 日本語、テスト。") == ["“", "grüße", "”", "—", "日本語", "、", "テスト", "。"]


@given(st.lists(st.text("abcdefghijklmnop", min_size=1, max_size=9), min_size=1, max_size=60))
def test_a_word_has_one_place_wherever_it_stands(words: list[str]) -> None:
    places = word_places(" ".join(words).encode())[: len(words)].tolist()
    assert places == [int(word_places(word.encode())[0]) for word in words]


def test_empty_texts() -> None:
    for text in ("", " ", "\n\n"):
        assert len(extract(text).places) == 0
