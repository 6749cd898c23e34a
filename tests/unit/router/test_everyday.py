"""Everyday and hard prompts in plain words: the first are neither novel nor hard, the second are harder than them.

Not by an author of the training's, and not chosen by what the artifact says of them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from breakeven.router.model.artifact import Artifact, load
from breakeven.router.outcomes import read, texts
from tests.bench.difficulty.build import everyday
from tests.bench.difficulty.latent import begins_in, normalised, questions
from tests.bench.difficulty.prompts import training

NOVEL = 0.99
ENGLISH = (
    "hi", "Good morning!", "thank you so much", "ok great, thanks", "What are your opening hours?",
    "I forgot my password, how do I reset it?", "Can I return a shirt that doesn't fit?", "Do you ship to Norway?",
    "Please cancel my subscription.", "How long does delivery take?", "What's the weather like tomorrow?",
    "Set a timer for ten minutes", "Please remind me to call mum at six", "What's 15% of 80?",
)  # fmt: skip
OTHERS = {
    "de": ("Guten Morgen!", "vielen Dank", "Wann habt ihr geöffnet?", "Ich habe mein Passwort vergessen.",
           "Kann ich die Schuhe zurückgeben?", "Wie lange dauert die Lieferung?"),
    "fr": ("bonjour", "merci beaucoup", "Quels sont vos horaires d'ouverture ?", "J'ai oublié mon mot de passe.",
           "Puis-je retourner ces chaussures ?", "Combien de temps prend la livraison ?"),
    "es": ("buenos días", "mil gracias", "¿Cuál es su horario?", "He olvidado mi contraseña.",
           "¿Puedo devolver los zapatos?", "¿Cuánto tarda el envío?"),
    "it": ("buongiorno", "ti ringrazio", "Quali sono gli orari di apertura?", "Ho dimenticato la password.",
           "Posso restituire le scarpe?", "Quanto tempo ci vuole per la consegna?"),
    "pt": ("bom dia", "muito obrigado", "Qual é o horário de funcionamento?", "Esqueci a minha senha.",
           "Posso devolver os sapatos?", "Quanto tempo demora a entrega?"),
    "nl": ("goedemorgen", "dank je wel", "Wat zijn jullie openingstijden?", "Ik ben mijn wachtwoord vergeten.",
           "Kan ik de schoenen terugsturen?", "Hoe lang duurt de levering?"),
    "ja": ("おはようございます", "ありがとうございます", "営業時間を教えてください。", "パスワードを忘れました。",
           "靴を返品できますか？", "配送には何日かかりますか？"),
    "ru": ("доброе утро", "спасибо большое", "Какой у вас график работы?", "Я забыл пароль.",
           "Можно вернуть обувь?", "Сколько времени занимает доставка?"),
    "zh": ("早上好", "非常感谢", "你们几点营业？", "我忘记密码了。", "鞋子可以退货吗？", "送货需要多久？"),
    "pl": ("dzień dobry", "dziękuję bardzo", "Jakie są godziny otwarcia?", "Zapomniałem hasła.",
           "Czy mogę zwrócić buty?", "Ile trwa dostawa?"),
    "tr": ("günaydın", "çok teşekkürler", "Şifremi unuttum.",
           "Ayakkabıları iade edebilir miyim?", "Teslimat ne kadar sürer?"),
}  # fmt: skip
# What the artifact wrongly calls novel; Polish is in none of its training.
FALSE_ALARMS = {"我忘记密码了。", "Czy mogę zwrócić buty?", "Şifremi unuttum."}
HARD = {
    "proof": (
        "Prove that the sum of two continuous functions is continuous, from the definition with epsilon and delta.",
        "Show that there is no rational number whose square is 2, without using unique factorisation.",
        "Prove or disprove: every infinite compact metric space has a nontrivial convergent sequence.",
        "Prove by induction that any map drawn with straight lines can be coloured with two colours.",
        "Give a rigorous proof that the harmonic series diverges and bound its partial sums from both sides.",
    ),
    "design": (
        "Design a rate limiter that works across five data centres and still answers in under two milliseconds. What "
        "are the consistency trade-offs?",
        "How would you build a payment ledger that never loses or doubles a transaction, even if a node dies in the "
        "middle of a commit?",
        "Design the storage layer of a chat service with end-to-end encryption, search and message retention, for a "
        "hundred million users.",
        "We want to move a monolith with one big Postgres to services without downtime. Lay out the architecture, the "
        "order of steps and how to roll back.",
        "Design a scheduler for GPU jobs with preemption, gang scheduling and fairness between teams, and analyse its "
        "failure modes.",
    ),
    "debugging": (
        "Our service leaks about 40 MB an hour, but only in production and only on hosts with more than 16 cores. Heap "
        "dumps show nothing unusual; RSS grows while the Go heap stays flat. GODEBUG=madvdontneed=1 made no "
        "difference. cgo is used for image decoding. Work out what can cause this and how to find it step by step.",
        "This lock-free queue loses an item about once in ten million operations on ARM, never on x86. push: "
        "node->next = head.load(relaxed); head.compare_exchange_weak(node->next, node, release, relaxed). pop: n = "
        "head.load(acquire); head.compare_exchange_weak(n, n->next). Which interleavings are possible, and how do I "
        "fix it without locks?",
        "After the upgrade from Postgres 13 to 15 one query went from 20 ms to 9 s. The plan changed from an index "
        "scan to a bitmap heap scan with a hash join, statistics are fresh, work_mem is the same, and the row estimate "
        "is off by a factor of 400 on a jsonb column. Explain why, and what to change without rewriting the query.",
        "A distributed test fails one time in two hundred: two nodes both believe they are leader for about 300 ms. "
        "Clocks are in sync within 5 ms, the lease is 2 s, and GC pauses are below 50 ms. Here is the log of both "
        "nodes around the event. Find the flaw in the lease renewal and prove that the fix is safe.",
        "My training loss becomes NaN after 11,000 steps with bf16 but not with fp32. Gradient norms look fine until "
        "20 steps before. Attention uses a custom kernel with a fused softmax. How do I find which operation "
        "overflows, and why only then?",
    ),
}


@pytest.fixture(scope="module")
def shipped() -> Artifact:
    return load()


def novel(shipped: Artifact, prompts: list[str]) -> list[str]:
    return [text for text in prompts if (shipped.assess(text).novelty or 0.0) >= NOVEL]


def test_everyday_prompts_are_not_hard(shipped: Artifact) -> None:
    for text in (*ENGLISH, *(text for own in OTHERS.values() for text in own)):
        assert shipped.assess(text).score < 0.6, text


def test_everyday_prompts_are_rarely_novel(shipped: Artifact) -> None:
    others = [text for own in OTHERS.values() for text in own]
    assert novel(shipped, list(ENGLISH)) == []
    assert set(novel(shipped, others)) == FALSE_ALARMS
    assert len(FALSE_ALARMS) / len(others) < 0.2


@pytest.mark.parametrize("kind", HARD)
def test_hard_prompts_are_harder_than_most_everyday_ones(shipped: Artifact, kind: str) -> None:
    scores = [shipped.assess(text).score for text in (*ENGLISH, *(text for own in OTHERS.values() for text in own))]
    for text in HARD[kind]:
        assert (np.array(scores) < shipped.assess(text).score).mean() > 0.8, text


def test_false_alarms_on_everyday_prompts_that_are_not_in_the_reference(shipped: Artifact, data: Path) -> None:
    rows = everyday(data, held_out=True)
    english = [row["prompt"] for row in rows if row["language"] == "en"]
    others = [row["prompt"] for row in rows if row["language"] != "en"]
    assert min(len(english), len(others)) > 200
    assert len(novel(shipped, english)) / len(english) <= 0.02
    assert len(novel(shipped, others)) / len(others) <= 0.20


def test_no_row_of_routerarena_is_trained_on(data: Path) -> None:
    """That benchmark forbids it. It has questions of the sets that are trained on, which are left out."""
    arena = read([data / "routerarena_sub10.jsonl.gz"])
    prompts = "\n".join(normalised(row.text) for row in arena)
    trained = [p.text for p in training()] + [row["prompt"] for row in everyday(data, held_out=False)]
    asked = [q.text for q in questions(data)]
    assert len(trained) + len(asked) > 10_000
    assert not set(texts(arena)) & {*trained, *asked}
    assert [text for text in asked if begins_in(text, prompts)] == []
    # There are some in the files, so that this could fail.
    rows = read([data / "mmlu_pro.jsonl.gz"], "train")
    assert len([row for row in rows if begins_in(row.text, prompts)]) > 20


def test_a_copy_is_recognised_by_its_beginning() -> None:
    question = "A state  built a racetrack that was specially designed\nfor thoroughbred horse racing. Who owns it?"
    copy = normalised(f"Please answer.\n\nQuestion: {question.upper()}\nA. the state")
    assert begins_in(question, copy)
    assert begins_in(question + " Give reasons, please.", copy), "only the beginning counts"
    assert not begins_in(question.replace("racetrack", "stadium"), copy)
    assert not begins_in("Please answer.", copy), "too short to be a copy"
