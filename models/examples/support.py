"""An artificial customer support desk: requests in plain language, and the exact answers that a program gives.

About 80% are of four common kinds; 20% are unusual: sums, dates and two requests in one message. Each prompt has one
right answer, so that a program can act as teacher and a program can score.
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable
from typing import NamedTuple

from breakeven.models.scoring.checkers import Checker

COMMON_SHARE = 0.8
# A short system prompt; without one SmolLM2's chat template adds a longer one.
SYSTEM = "Support desk."

ITEMS = [
    "kettle",
    "lamp",
    "chair",
    "backpack",
    "keyboard",
    "blanket",
    "mirror",
    "clock",
    "teapot",
    "bicycle",
    "helmet",
    "tent",
    "scarf",
    "printer",
]
COLOURS = ["blue", "red", "green", "black", "white", "yellow", "grey", "silver"]
NAMES = [
    "anna",
    "ben",
    "clara",
    "david",
    "emma",
    "felix",
    "greta",
    "hugo",
    "ines",
    "jonas",
    "karla",
    "leo",
    "mia",
    "noah",
    "olga",
    "paul",
]
SHIPPING = {"Spain": "7.90", "Norway": "12.50", "Italy": "6.40", "Poland": "5.20", "Ireland": "8.80", "Greece": "9.60"}


class Case(NamedTuple):
    """A request of some kind with its right answer; `checker` is a checker of `models.scoring.checkers`."""

    kind: str
    prompt: str
    answer: str
    checker: Checker = "exact"


def cases(count: int, seed: int) -> list[Case]:
    """`count` distinct requests in random order; the same seed gives the same requests."""
    rng = random.Random(seed)
    found: dict[str, Case] = {}
    while len(found) < count:
        kinds = COMMON if rng.random() < COMMON_SHARE else UNUSUAL
        name = rng.choice(list(kinds))
        prompt, answer = kinds[name](rng)
        found.setdefault(prompt, Case(name, prompt, answer, checker_of(name)))
    return list(found.values())


def checker_of(kind: str) -> Checker:
    """The checker for answers to requests of a kind."""
    return "number" if kind in ("refund", "total") else "exact"


def reference_of(case: Case) -> str:
    """What the checker compares an answer with."""
    return case.answer.split()[-2] if case.checker == "number" else case.answer


def is_common(kind: str) -> bool:
    """Whether a kind of request is one of the common ones."""
    return kind in COMMON


def order_number(rng: random.Random) -> int:
    """The number of an order."""
    return rng.randint(10_000, 99_999)


def _status(rng: random.Random) -> tuple[str, str]:
    order = order_number(rng)
    asked = rng.choice(
        [
            f"Where is my order {order}?",
            f"Can you tell me what happened to order {order}?",
            f"I am still waiting for {order}, when does it come?",
            f"Status of {order} please",
            f"Order {order} has not arrived yet.",
        ]
    )
    return asked, f"LOOKUP {order}"


def _return(rng: random.Random) -> tuple[str, str]:
    order, item = order_number(rng), f"{rng.choice(COLOURS)} {rng.choice(ITEMS)}"
    asked = rng.choice(
        [
            f"I want to return the {item} from order {order}.",
            f"The {item} of order {order} does not fit, I'd like to send it back.",
            f"How do I send back a {item}? The order was {order}.",
            f"Please take back the {item} ({order}).",
        ]
    )
    return asked, f"RETURN {order} {item}"


def _login(rng: random.Random) -> tuple[str, str]:
    address = f"{rng.choice(NAMES)}{rng.randint(1, 999)}@example.org"
    asked = rng.choice(
        [
            f"I can't log in with {address}.",
            f"My password for {address} does not work any more.",
            f"Please reset the password of {address}",
            f"I forgot my password, my address is {address}.",
        ]
    )
    return asked, f"RESET {address}"


def _shipping(rng: random.Random) -> tuple[str, str]:
    country = rng.choice(list(SHIPPING))
    item = rng.choice(ITEMS)
    asked = rng.choice(
        [
            f"How much is shipping a {item} to {country}?",
            f"What does it cost to send a {item} to {country}?",
            f"I live in {country}. What do I pay for delivery of a {item}?",
        ]
    )
    return asked, f"Shipping to {country} costs {SHIPPING[country]} EUR."


def _refund(rng: random.Random) -> tuple[str, str]:
    cents, back, fee = rng.randint(4, 60) * 50, rng.randint(2, 6), rng.choice([10, 20, 25])
    asked = (
        f"I bought {back + rng.randint(1, 4)} {rng.choice(ITEMS)}s at {cents / 100:.2f} EUR each and send back "
        f"{back} of them. There is a fee of {fee}% on returns. How much do I get back?"
    )
    return asked, f"You get back {back * cents * (100 - fee) / 10_000:.2f} EUR."


def _total(rng: random.Random) -> tuple[str, str]:
    one, two = rng.sample(ITEMS, 2)
    cents = [rng.randint(4, 90) * 50 for _ in range(2)]
    counts = [rng.randint(2, 9) for _ in range(2)]
    country = rng.choice(list(SHIPPING))
    asked = (
        f"I need {counts[0]} {one}s at {cents[0] / 100:.2f} EUR and {counts[1]} {two}s at {cents[1] / 100:.2f} EUR, "
        f"sent to {country}. What is the sum with shipping?"
    )
    total = sum(c * n for c, n in zip(cents, counts, strict=True)) + round(float(SHIPPING[country]) * 100)
    return asked, f"That is {total / 100:.2f} EUR."


def _date(rng: random.Random) -> tuple[str, str]:
    day = datetime.date(2026, 1, 1) + datetime.timedelta(days=rng.randint(0, 360))
    wait = rng.randint(9, 45)
    asked = (
        f"I ordered on {day:%d %B} 2026 and was told it takes {wait} days. On which date will my "
        f"{rng.choice(ITEMS)} be here?"
    )
    return asked, f"It will be there on {day + datetime.timedelta(days=wait):%d %B %Y}."


def _two(rng: random.Random) -> tuple[str, str]:
    first, second = rng.sample([_status, _return, _login], 2)
    (asked, answer), (asked_too, answer_too) = first(rng), second(rng)
    return f"{asked} And another thing: {asked_too}", f"{answer}\n{answer_too}"


# Gives a prompt and its right answer.
Maker = Callable[[random.Random], tuple[str, str]]
COMMON: dict[str, Maker] = {"status": _status, "return": _return, "login": _login, "shipping": _shipping}
UNUSUAL: dict[str, Maker] = {"refund": _refund, "total": _total, "date": _date, "two wishes": _two}
