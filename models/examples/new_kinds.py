"""Kinds of requests that the students of the support desk were never trained on: they cannot know the right answers."""

from __future__ import annotations

import random

from breakeven.models.examples.support import SHIPPING, Maker, order_number
from breakeven.models.examples.wordings import address, item

_STREETS = ["Mill Lane", "Station Road", "Church Street", "Park Avenue", "Harbour Way", "Hill Road"]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]


def _cancel(rng: random.Random) -> tuple[str, str]:
    order = order_number(rng)
    asked = rng.choice(
        [
            f"Please cancel {order}.",
            f"I changed my mind, do not send order {order} at all.",
            f"Order {order} was a mistake. Can you stop it before it leaves?",
            f"I do not want {order} any more, it has taken too long.",
        ]
    )
    return asked, f"CANCEL {order}"


def _move(rng: random.Random) -> tuple[str, str]:
    order, street = order_number(rng), f"{rng.randint(1, 99)} {rng.choice(_STREETS)}"
    asked = rng.choice(
        [
            f"Send {order} to {street} instead.",
            f"We have moved. Order {order} should now go to {street}.",
            f"The address of order {order} is wrong, it must be {street}.",
        ]
    )
    return asked, f"ADDRESS {order} {street}"


def _invoice(rng: random.Random) -> tuple[str, str]:
    order = order_number(rng)
    asked = rng.choice(
        [
            f"I need the invoice for {order}.",
            f"Where is the bill of order {order}? There was none in the box.",
            f"For my taxes, please send me the receipt of {order} once more.",
        ]
    )
    return asked, f"INVOICE {order}"


def _exchange(rng: random.Random) -> tuple[str, str]:
    order, old, new = order_number(rng), item(rng), item(rng)
    asked = rng.choice(
        [
            f"Can I swap the {old} of {order} for a {new}?",
            f"I got a {old} with order {order} and would rather have a {new}.",
            f"Please exchange: {old}, order {order}, against a {new}.",
        ]
    )
    return asked, f"EXCHANGE {order} {old} {new}"


def _stock(rng: random.Random) -> tuple[str, str]:
    what = item(rng)
    asked = rng.choice(
        [
            f"Is the {what} in stock?",
            f"When do you have the {what} again?",
            f"I would like to order a {what}, but the page says that there is none left. Is that so?",
        ]
    )
    return asked, f"STOCK {what}"


def _broken(rng: random.Random) -> tuple[str, str]:
    order, what = order_number(rng), item(rng)
    asked = rng.choice(
        [
            f"The {what} from {order} arrived broken.",
            f"There is a crack in the {what} that came with order {order}.",
            f"Order {order}: the {what} does not work at all, and I am rather angry about it.",
        ]
    )
    return asked, f"COMPLAINT {order} {what}"


def _new_address(rng: random.Random) -> tuple[str, str]:
    old, new = address(rng), address(rng)
    asked = rng.choice(
        [
            f"My mail is {new} now, no longer {old}.",
            f"Please change {old} to {new} in my account.",
            f"I do not use {old} any more, so write to {new} from now on.",
        ]
    )
    return asked, f"EMAIL {old} {new}"


def _day(rng: random.Random) -> tuple[str, str]:
    order, day = order_number(rng), rng.choice(_DAYS)
    asked = rng.choice(
        [
            f"Can {order} come on {day}?",
            f"I am only at home on {day}. Please bring order {order} then.",
            f"Deliver {order} on a {day}, please, since nobody is here on other days.",
        ]
    )
    return asked, f"SCHEDULE {order} {day}"


def _cheaper(rng: random.Random) -> tuple[str, str]:
    one, two = rng.sample(list(SHIPPING), 2)
    cheap = min(one, two, key=lambda country: float(SHIPPING[country]))
    asked = rng.choice(
        [
            f"Is shipping to {one} or to {two} cheaper?",
            f"I can have it sent to {one} or {two}. Where do I pay less?",
        ]
    )
    return asked, f"Shipping to {cheap} is cheaper."


NEW_KINDS: dict[str, Maker] = {
    "cancel": _cancel,
    "move": _move,
    "invoice": _invoice,
    "exchange": _exchange,
    "stock": _stock,
    "broken": _broken,
    "new address": _new_address,
    "delivery day": _day,
    "cheaper": _cheaper,
}
