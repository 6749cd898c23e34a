"""What the classifier reads of a text."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from router.features import PLACES, SHAPE, extract, normalise, word_places, word_spans

# Lone surrogates too: JSON can carry them.
TEXT = st.text(st.characters(codec=None, categories=None), max_size=300)


@given(TEXT)
def test_every_text_has_sound_features(text: str) -> None:
    features = extract(text)
    for family in (features.words, features.runs):
        assert family.dtype == np.uint32
        assert (np.diff(family.astype(np.int64)) > 0).all()
        assert len(family) == 0 or family[-1] < PLACES
    assert len(features.shape) == len(SHAPE)
    assert all(math.isfinite(value) for value in features.shape)


def test_features_are_pinned() -> None:
    # A change here makes every artifact wrong: raise VERSION with it.
    features = extract("What is 2 + 2?")
    assert features.words.tolist() == [7489, 80986, 135388, 141608, 177141, 192613, 213459, 226873, 230612, 232892]
    assert int(features.runs.astype(np.int64).sum()) == 5441068


def test_case_and_white_space_do_not_change_n_grams() -> None:
    one, other = extract("The  Quick\nBROWN fox"), extract("the quick brown fox")
    assert one.words.tolist() == other.words.tolist()
    assert one.runs.tolist() == other.runs.tolist()
    assert one.shape != other.shape


def words_of(text: str) -> list[str]:
    plain = normalise(text)
    return [plain[start:end].decode() for start, end in zip(*word_spans(plain), strict=True)]


def test_words_and_pairs_are_told_apart() -> None:
    assert words_of("Is it 3.5, or not?") == ["is", "it", "3", ".", "5", ",", "or", "not", "?"]
    singles, pairs = word_places(normalise("Is it 3.5, or not?"))
    assert (len(singles), len(pairs)) == (9, 8)
    assert set(singles.tolist()).isdisjoint(pairs.tolist())
    # The order of two words matters to their pair.
    assert word_places(b"a b")[1].tolist() != word_places(b"b a")[1].tolist()


def test_words_of_other_scripts() -> None:
    assert words_of("“Grüße” — 日本語、テスト。") == ["“", "grüße", "”", "—", "日本語", "、", "テスト", "。"]


@given(st.lists(st.text("abcdefghijklmnop", min_size=1, max_size=9), min_size=1, max_size=60))
def test_a_word_has_one_place_wherever_it_stands(words: list[str]) -> None:
    places = word_places(" ".join(words).encode())[0].tolist()
    assert places == [int(word_places(word.encode())[0][0]) for word in words]


def test_empty_texts() -> None:
    for text in ("", " ", "\n\n"):
        assert len(extract(text).words) == 0
