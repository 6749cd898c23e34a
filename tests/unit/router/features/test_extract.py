"""The features of a text: n-grams and shape measures."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from breakeven.router.features.extract import SHAPE, extract, normalise
from breakeven.router.features.kernel_numpy import (
    BUCKETS,
    SAMPLED_BUCKETS,
    WORD_BUCKETS,
    byte_ngram_buckets,
    word_buckets,
    word_spans,
)

# Lone surrogates too: JSON can carry them.
EXPECTED_BUCKETS = [
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
EXPECTED_SHAPE = [177474, 127527, 15291, 46811, 23405, 46811, 0, 45426, 71998, 105476, 0, 0, 54613, 65536, 0, 0]
EXPECTED_SHAPE += [0] * 8
EXPECTED_OPTION_MEASURES = [141523, 43524, 16470, 7281, 21845, 0]
TEXT = st.text(st.characters(codec=None, categories=None), max_size=300)


@given(TEXT)
def test_features_of_every_text_are_sorted_distinct_and_in_range(text: str) -> None:
    features = extract(text)
    buckets = features.buckets
    assert buckets.dtype == np.int64
    assert (np.diff(buckets) > 0).all()
    assert len(buckets) == 0 or 0 <= buckets[0] <= buckets[-1] < BUCKETS
    plain = normalise(text)
    assert set(buckets[: features.word_end].tolist()) == set(word_buckets(plain).tolist())
    assert set(buckets[features.word_end :].tolist()) == set(byte_ngram_buckets(plain).tolist())
    assert buckets[: features.word_end].max(initial=0) < WORD_BUCKETS
    assert features.sample_end == (buckets < SAMPLED_BUCKETS).sum()
    assert features.shape.dtype == np.int64
    assert len(features.shape) == len(SHAPE)


def test_features_do_not_change_within_a_version() -> None:
    # A change of these values invalidates every artifact: raise VERSION with it.
    features = extract("What is 2 + 2?")
    assert features.buckets.tolist() == EXPECTED_BUCKETS
    assert features.shape.tolist() == EXPECTED_SHAPE
    chosen = extract("Which?\nA. red fox\nB. red dog\nC. a cat sat").shape.tolist()
    assert chosen[-6:] == EXPECTED_OPTION_MEASURES


def test_case_and_white_space_do_not_change_n_grams() -> None:
    for first, second in (
        ("The  Quick\nBROWN fox", "the quick brown fox"),
        ("\u00c9T\u00c9\u00a0 x", "\u00e9t\u00e9 x"),
    ):
        one, other = extract(first), extract(second)
        assert one.buckets.tolist() == other.buckets.tolist()
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


def test_unigrams_and_bigrams_have_different_buckets() -> None:
    assert words_of("Is it 3.5, or not?") == ["is", "it", "3", ".", "5", ",", "or", "not", "?"]
    buckets = word_buckets(normalise("Is it 3.5, or not?"))
    assert len(set(buckets.tolist())) == len(buckets) == 9 + 8
    # A bigram depends on the order of its words.
    assert word_buckets(b"a b")[2] != word_buckets(b"b a")[2]


def test_words_of_other_scripts_are_split_at_punctuation() -> None:
    assert words_of("“Grüße” — 日本語、テスト。") == ["“", "grüße", "”", "—", "日本語", "、", "テスト", "。"]


@given(st.lists(st.text("abcdefghijklmnop", min_size=1, max_size=9), min_size=1, max_size=60))
def test_a_word_has_the_same_bucket_in_every_position(words: list[str]) -> None:
    buckets = word_buckets(" ".join(words).encode())[: len(words)].tolist()
    assert buckets == [int(word_buckets(word.encode())[0]) for word in words]


def test_empty_texts_have_no_n_grams() -> None:
    for text in ("", " ", "\n\n"):
        assert len(extract(text).buckets) == 0
