"""What the classifier reads of a text."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from router.features import PLACES, SHAPE, extract, normalise, split_words, word_places

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
    assert features.words.tolist() == [9363, 21536, 22322, 39877, 87248, 112123, 139721, 151721, 239646, 252974]
    assert int(features.runs.astype(np.int64).sum()) == 5707527


def test_case_and_white_space_do_not_change_n_grams() -> None:
    one, other = extract("The  Quick\nBROWN fox"), extract("the quick brown fox")
    assert one.words.tolist() == other.words.tolist()
    assert one.runs.tolist() == other.runs.tolist()
    assert one.shape != other.shape


def test_words_and_pairs_are_told_apart() -> None:
    words = split_words(normalise("Is it 3.5, or not?"))
    assert words == ["is", "it", "3", ".", "5", ",", "or", "not", "?"]
    singles, pairs = word_places(words)
    assert (len(singles), len(pairs)) == (9, 8)
    assert set(singles.tolist()).isdisjoint(pairs.tolist())
    # The order of two words matters to their pair.
    assert word_places(["a", "b"])[1].tolist() != word_places(["b", "a"])[1].tolist()


def test_empty_texts() -> None:
    for text in ("", " ", "\n\n"):
        assert len(extract(text).words) == 0
