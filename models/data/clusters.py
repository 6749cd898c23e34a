"""Clustering texts by their words, with TF-IDF and k-means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Clusters(NamedTuple):
    """`names[i]`: the three words with the most weight in cluster i; `labels`: the cluster of each text; `others`: the
    cluster of each further text.
    """

    names: list[str]
    labels: list[int]
    others: list[int]


def cluster(texts: Sequence[str], others: Sequence[str] = (), *, seed: int = 1) -> Clusters | None:
    """Cluster `texts` into 2 to 12 groups, about one for every 20, and assign `others` to them.

    Returns None where the texts are too few or too similar.
    """
    from sklearn.cluster import KMeans
    from sklearn.feature_extraction.text import TfidfVectorizer

    if len(set(texts)) < 4:
        return None
    vectors = TfidfVectorizer(sublinear_tf=True, stop_words="english")
    try:
        matrix = vectors.fit_transform(texts)
    except ValueError:  # No words but stop words.
        return None
    count = min(max(2, len(texts) // 20), 12)
    if len({tuple(row.indices) for row in matrix}) < count:
        return None
    means = KMeans(count, n_init=3, random_state=seed).fit(matrix)
    words = vectors.get_feature_names_out()
    heaviest = means.cluster_centers_.argsort(axis=1)[:, ::-1][:, :3]
    names = [", ".join(str(words[i]) for i in row) for row in heaviest]
    predicted = means.predict(vectors.transform(others)) if others else []
    return Clusters(names, [int(label) for label in means.labels_], [int(label) for label in predicted])
