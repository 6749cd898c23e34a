"""Other wordings of the requests that students of the support desk are trained on, and what people write around them.

Prices, dates and percentages stand in the common requests too, so that none of them gives an unusual request away.
"""

from __future__ import annotations

import datetime
import random

from breakeven.models.examples.support import COLOURS, ITEMS, NAMES, SHIPPING, Maker, order_number

_BEFORE = [
    "Hello!",
    "Hi there,",
    "Good morning,",
    "Sorry to bother you again.",
    "I hope you are well.",
    "I have been a customer of your shop for many years and never had a problem.",
    "A friend told me that your support answers quickly.",
    "I found the shop on 12 March and have liked it since.",
    "I already wrote last week and nobody answered me.",
    "I used the coupon for 10% off, if that matters.",
    "This is about something that I bought as a present for my sister's birthday.",
]
_AFTER = [
    "Thanks!",
    "Thank you very much in advance.",
    "Please answer soon.",
    "Many greetings from Dublin.",
    "I paid 49.50 EUR by card, in case you need to know that.",
    "I am leaving on 3 June, so it would be good to know before then.",
    "If you need anything else from me, just write back to this address.",
    "Have a nice day, and thanks for the 20% discount last time.",
]


def with_small_talk(rng: random.Random, request: str) -> str:
    """The request, half of the time with sentences before or after it that change nothing about it."""
    if rng.random() < 0.5:
        return request
    before = rng.sample(_BEFORE, rng.choice([0, 1, 1, 2]))
    after = rng.sample(_AFTER, rng.choice([0, 1, 1]))
    return " ".join([*before, request, *after])


def item(rng: random.Random) -> str:
    """Something that was bought, with its colour."""
    return f"{rng.choice(COLOURS)} {rng.choice(ITEMS)}"


def address(rng: random.Random) -> str:
    """An email address."""
    return f"{rng.choice(NAMES)}{rng.randint(1, 999)}@example.org"


def price(rng: random.Random, most: int = 90) -> int:
    """A price in cents."""
    return rng.randint(4, most) * 50


def _status(rng: random.Random) -> tuple[str, str]:
    order, days = order_number(rng), rng.randint(5, 30)
    asked = rng.choice(
        [
            f"{order} - any news?",
            f"Has {order} been sent out yet?",
            f"Could you check how far the parcel with the number {order} is?",
            f"I ordered {days} days ago and there is still nothing in my letter box. The number was {order}.",
            f"The mail said that it would be here on {rng.randint(1, 28)} May 2026, but {order} is not here.",
            f"My neighbours have theirs already and I am the only one who still waits. Where did you leave {order}?",
            f"I paid {price(rng) / 100:.2f} EUR for it and have not seen it since, so please look for order {order}.",
            f"Tracking for {order}?",
        ]
    )
    return asked, f"LOOKUP {order}"


def _return(rng: random.Random) -> tuple[str, str]:
    order, what = order_number(rng), item(rng)
    asked = rng.choice(
        [
            f"{order}: the {what} goes back.",
            f"I do not like the {what} any more. It came with order {order}. How can I give it back?",
            f"Need a return label for the {what}, order {order}.",
            f"We have two of these now, so we do not need the {what} that came with {order}. Please take it back.",
            f"For {price(rng) / 100:.2f} EUR I had expected more of the {what}. I want to return it, order {order}.",
            f"Can I still hand back the {what} from {order}? I have had it for {rng.randint(2, 12)} days.",
            f"Return: {what}, {order}",
        ]
    )
    return asked, f"RETURN {order} {what}"


def _login(rng: random.Random) -> tuple[str, str]:
    who = address(rng)
    asked = rng.choice(
        [
            f"{who} is locked out.",
            f"Password reset for {who}?",
            f"It always says that the password is wrong. My account is {who}.",
            f"Since {rng.randint(1, 28)} April I cannot get into my account any more, whatever I type. It is {who}.",
            f"I have tried everything that I can think of and still cannot sign in as {who}. Please help me to get in.",
            f"My daughter changed my password and does not remember it. Could you reset it for {who}?",
            f"New password please: {who}",
        ]
    )
    return asked, f"RESET {who}"


def _shipping(rng: random.Random) -> tuple[str, str]:
    country, what = rng.choice(list(SHIPPING)), rng.choice(ITEMS)
    asked = rng.choice(
        [
            f"Shipping to {country}?",
            f"Delivery of a {what} to {country} costs what?",
            f"My parents live in {country} and I want to send them a {what}. What do you charge for that?",
            f"The {what} is {price(rng) / 100:.2f} EUR. How much more is the shipping to {country}?",
            f"Do you deliver to {country}, and what would I have to pay for it if I take just one {what}?",
            f"What is the postage for {country} at the moment, for example for a {what}?",
        ]
    )
    return asked, f"Shipping to {country} costs {SHIPPING[country]} EUR."


def _refund(rng: random.Random) -> tuple[str, str]:
    cents, back, fee = price(rng, 60), rng.randint(2, 6), rng.choice([10, 20, 25])
    bought, what, each = back + rng.randint(1, 4), rng.choice(ITEMS), f"{cents / 100:.2f} EUR"
    asked = rng.choice(
        [
            f"{back} of {bought} {what}s go back, {each} each, {fee}% fee. My refund?",
            f"What do I get for {back} {what}s at {each} each if you keep {fee}%?",
            f"You take {fee}% for returns, right? Then how much is it for {back} {what}s that cost {each} each?",
            f"Of the {bought} {what}s I keep {bought - back}. They were {each} each. After your fee of {fee}%, what is "
            "paid back?",
        ]
    )
    return asked, f"You get back {back * cents * (100 - fee) / 10_000:.2f} EUR."


def _total(rng: random.Random) -> tuple[str, str]:
    one, two = rng.sample(ITEMS, 2)
    cents, counts = [price(rng), price(rng)], [rng.randint(2, 9), rng.randint(2, 9)]
    country, first, second = rng.choice(list(SHIPPING)), *(f"{c / 100:.2f} EUR" for c in cents)
    asked = rng.choice(
        [
            f"{counts[0]} {one}s ({first}), {counts[1]} {two}s ({second}), to {country}: total?",
            f"What do {counts[0]} {one}s at {first} and {counts[1]} {two}s at {second} cost, delivered to {country}?",
            f"Sum to {country} for {counts[0]} times {one} at {first} and {counts[1]} times {two} at {second}, please",
        ]
    )
    total = sum(c * n for c, n in zip(cents, counts, strict=True)) + round(float(SHIPPING[country]) * 100)
    return asked, f"That is {total / 100:.2f} EUR."


def _date(rng: random.Random) -> tuple[str, str]:
    day, wait = datetime.date(2026, 1, 1) + datetime.timedelta(days=rng.randint(0, 360)), rng.randint(9, 45)
    asked = rng.choice(
        [
            f"Ordered {day:%d %B} 2026, {wait} days. Arrives when?",
            f"What day is it {wait} days after {day:%d %B} 2026? My {rng.choice(ITEMS)} comes then.",
            f"If it leaves on {day:%d %B} 2026 and takes {wait} days, when is the {rng.choice(ITEMS)} here?",
        ]
    )
    return asked, f"It will be there on {day + datetime.timedelta(days=wait):%d %B %Y}."


def _two(rng: random.Random) -> tuple[str, str]:
    first, second = rng.sample([_status, _return, _login], 2)
    (asked, answer), (asked_too, answer_too) = first(rng), second(rng)
    between = rng.choice([" ", " Also: ", " Besides, ", "\n", " Oh, and "])
    return f"{asked}{between}{asked_too}", f"{answer}\n{answer_too}"


REWORDED: dict[str, Maker] = {
    "status": _status,
    "return": _return,
    "login": _login,
    "shipping": _shipping,
    "refund": _refund,
    "total": _total,
    "date": _date,
    "two wishes": _two,
}
