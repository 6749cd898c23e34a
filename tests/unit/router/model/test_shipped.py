"""The artifact that ships: it orders prompts as a person would, and everyday prompts are neither novel nor hard."""

from __future__ import annotations

import numpy as np
import pytest

from breakeven.router.evaluation.evaluate import auroc
from breakeven.router.model.artifact import Artifact, load
from tests.bench.difficulty.measure import length_matched, novelty_rates, of_author
from tests.bench.difficulty.prompts import TEST, training

EVERYDAY = {
    "en": ("hi", "thanks a lot!", "How can I track my order?", "Where do I change my delivery address?"),
    "de": ("hallo", "danke schön", "Wie kann ich meine Bestellung verfolgen?", "Wo ändere ich meine Adresse?"),
    "es": ("hola", "muchas gracias", "¿Dónde está mi pedido?", "¿Cómo cambio mi dirección de envío?"),
    "fr": ("salut", "merci bien", "Où en est ma commande ?", "Comment changer mon adresse de livraison ?"),
    "ru": ("привет", "большое спасибо", "Где мой заказ?", "Как изменить адрес доставки?"),
    "zh": ("你好", "谢谢你", "我的订单到哪里了？", "怎么修改收货地址？"),
    "ja": ("やあ", "どうもありがとう", "注文した商品はどこですか？", "お届け先の住所を変更するには？"),
    "it": ("ciao", "grazie mille", "Dov'è il mio ordine?", "Come cambio l'indirizzo di consegna?"),
}
HARD = (
    "Prove that the set of algebraic numbers is countable.",
    "Show that every bounded linear functional on a Hilbert space is an inner product with a fixed vector.",
    "prove there are arbitrarily long gaps between consecutive primes",
    "Prove that a graph is bipartite iff it has no odd cycle, and give a linear-time algorithm with a proof.",
    "Design a distributed message queue with per-key ordering and exactly-once delivery across two regions; discuss "
    "failure modes, rebalancing and how you'd verify it.",
    "Design the backend of a ride-hailing app for a million concurrent drivers: matching, surge pricing, consistency, "
    "and what happens when a zone fails.",
    "Architect a multi-tenant log store with retention by tenant, encryption keys per tenant, and fast queries.",
    "Our consumer group rebalances every few minutes under load, lag grows although CPU is idle, and after the deploy"
    " some partitions are processed twice. Heartbeats look fine; max.poll.interval.ms is 5 minutes, a batch takes 40 "
    "s on average but p99 is unknown. Find the root cause, explain the sequence of events, and give a fix without "
    "duplicates.",
    "A race between the cache invalidation and the write-behind thread corrupts about one in a million entries under "
    "load. Here's the code path: get -> miss -> load -> put, while update -> db commit -> invalidate. Show the "
    "interleaving and design a protocol which is linearizable.",
    "The kernel panics in tcp_retransmit_skb with a use-after-free, only with GRO on, after about nine hours. KASAN is "
    "too slow to reproduce it. Work out a strategy to find the bug, the likely causes, and how to prove the fix.",
    "Derive the Euler equations of a rigid body and analyse the stability of rotation about each principal axis.",
    "Beweise, dass jede beschränkte monotone Folge reeller Zahlen konvergiert.",
    "证明任意有限域的乘法群是循环群。",
)
EASY_BUT_LONG = (
    "Hi! I hope you're having a good week. I've been a customer since the spring, and I have to say that the "
    "vegetables are always fresh and the drivers are friendly; my children run to the door when they hear the van. "
    "We'll be away for two weeks in August, first at my mother's and then by the sea if the weather is kind. Could "
    "you tell me how I pause the deliveries? Many thanks and warm wishes, Barbara",
    "Please tell me in one sentence what this message is about: Dear parents, the autumn fair is on the 12th from two"
    " to five. Class 3b runs the tombola, class 4a sells pumpkins, and the choir sings at three. Cakes may be left in"
    " the hall from noon on. Please bring your own cups. Helpers for the tent meet on Friday at four behind the gym. "
    "Parking is at the church. We look forward to seeing you! The parents' council",
)


@pytest.fixture(scope="module")
def shipped() -> Artifact:
    return load()


@pytest.mark.parametrize("language", EVERYDAY)
def test_everyday_prompts_are_neither_novel_nor_hard(shipped: Artifact, language: str) -> None:
    for text in EVERYDAY[language]:
        seen = shipped.assess(text)
        assert seen.novelty is not None
        assert (seen.novelty < 0.99, seen.score < 0.6) == (True, True), (text, seen)


@pytest.mark.parametrize("text", HARD)
def test_hard_prompts_rank_above_most_everyday_traffic(shipped: Artifact, text: str) -> None:
    everyday = np.array([shipped.assess(prompt.text).score for prompt in of_author(TEST) if prompt.level <= 1])
    assert (everyday < shipped.assess(text).score).mean() > 0.8


def test_a_long_text_is_not_hard_for_its_length(shipped: Artifact) -> None:
    hard = [shipped.assess(text).score for text in HARD]
    assert max(shipped.assess(text).score for text in EASY_BUT_LONG) < min(hard)


def test_an_author_who_was_not_trained_on_is_ordered_as_meant(shipped: Artifact) -> None:
    """Floors below the figures of the model card (`python -m tests.bench.difficulty.measure`)."""
    assert not set(TEST) & {prompt.author for prompt in training()}
    prompts = of_author(TEST)
    level = np.array([prompt.level for prompt in prompts])
    score = np.array([shipped.assess(prompt.text).score for prompt in prompts])
    chosen = (level >= 3) | (level <= 1)
    assert auroc(score[chosen], level[chosen] >= 3) > 0.95
    assert (
        length_matched(score[chosen], level[chosen] >= 3, [p.text for p, c in zip(prompts, chosen, strict=True) if c])
        > 0.93
    )
    assert all(np.diff([score[level == one].mean() for one in range(5)]) > 0)


def test_noise_is_novel(shipped: Artifact) -> None:
    rates = novelty_rates(shipped)
    assert rates["base64"] > 0.9
    assert rates["random characters"] > 0.9
    assert rates["keyboard mash"] > 0.7


def test_the_score_only_ranks_and_the_card_says_so(shipped: Artifact) -> None:
    assert shipped.difficulty.ranks
    assert shipped.metadata["score"] == "rank"


def test_no_data_that_may_not_be_trained_on_is_in_it(shipped: Artifact) -> None:
    for word in ("alpaca", "routerarena", "ifeval", "bbh", "bfcl", "mtbench"):
        assert not any(word in source.lower() for source in shipped.metadata["sources"])
