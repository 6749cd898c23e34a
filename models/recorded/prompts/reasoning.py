"""Prompts that need several steps: units, dates, sorting, word problems, code and logic."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, timedelta

from breakeven.models.recorded.prompts.base import Prompt, first, table

_UNITS = (
    ("minutes", "hour", 60, "How many {} are in {} {}s?"),
    ("centimeters", "meter", 100, "How many {} are in {} {}s?"),
    ("grams", "kilogram", 1000, "Convert to {}: {} {}s."),
    ("days", "week", 7, "How many {} are in {} {}s?"),
    ("months", "year", 12, "How many {} do {} {}s have?"),
)

_CODE = """
print(2 + 3) => 5
print(len("hello")) => 5
print("ab" * 3) => ababab
print(10 // 3) => 3
print(max(4, 9, 2)) => 9
print("cat"[0]) => c
print([1, 2, 3][-1]) => 3
print(sum([1, 2, 3, 4])) => 10
print("Hi" + "There") => HiThere
print(sum(i * i for i in range(5))) => 30
print("".join(sorted("dcab"))) => abcd
x = 3; x = x * 2 + 1; print(x) => 7
print({"a": 1, "b": 2}["b"] ** 5) => 32
print(sum(1 for c in "banana" if c == "a") * 7) => 21
print([n for n in range(20) if n % 7 == 3]) => [3, 10, 17]
f = lambda n: 1 if n < 2 else n * f(n - 1); print(f(6)) => 720
print(bin(37)[2:].count("1") + (17 ^ 5)) => 23
print("%d-%s" % (len("a,b,,c".split(",")), "xyz"[::-1])) => 4-zyx
"""

_LOGIC = """
All cats are animals. Milo is a cat. Is Milo an animal? Answer yes or no. => yes | no
Ann is taller than Bea. Bea is taller than Cleo. Who is the shortest? => Cleo | Ann
If it rains, the street is wet. The street is not wet. Does it rain? Answer yes or no. => no | yes
No fish can sing. Nemo can sing. Is Nemo a fish? Answer yes or no. => no | yes
The red box is left of the blue box, and the green box is left of the red box. Which box is in the middle? => red | green | blue
Five runners: Dan beat Eve, Eve beat Fay, Gus lost to everyone, Hal beat Dan. Who came third? Give only the name. => Eve | Dan | Fay | Gus | Hal
One of three boxes holds a coin. Each has a label: A says "not here", B says "it is in A", C says "not here". Exactly one label is true. Which box holds the coin? Give only the letter. => C | A | B
Yesterday was two days before Friday. Which day is tomorrow? Give only the day. => Friday | Monday | Tuesday | Wednesday | Thursday | Saturday | Sunday
Knights always tell the truth, knaves always lie. Pat says: "We are both knaves", speaking of Pat and Sam. Is Sam a knight or a knave? Give one word. => knight | knave
If some A are B and all B are C, are some A certainly C? Answer yes or no. => yes | no
"""  # noqa: E501

_STORIES = """
Sam has {a} apples and buys {b} more. How many apples does Sam have now? => a + b
There are {b} birds on a wire. {c} of them fly away. How many birds are left? => b - c
A pen costs {c} dollars. How many dollars do {d} pens cost? => c * d
A class has {a} boys and {b} girls. How many pupils are in the class? => a + b
Lea reads {a} pages a day for {d} days, then {b} more pages. How many pages did she read? => a * d + b
A baker makes {b} rolls in each of {a} batches and burns {c}. She packs the rest in bags of {d}, and keeps what does not fill a bag. How many rolls does she keep? => (a * b - c) % d
A tank holds {a}0 liters. It loses {c} liters an hour and gains {d} liters every second hour. How many liters does it hold after {b} hours, if {b} is rounded down to an even number? => a * 10 - c * (b // 2 * 2) + d * (b // 2)
Two trains leave at the same time, one at {a}0 and the other at {b}0 km an hour, in opposite directions. How many km apart are they after {d} hours? => (a + b) * 10 * d
A shop raises a price of {a}00 dollars by {c}0 percent and then lowers the new price by {c}0 percent. What is the price now, in dollars? => a * 100 * (100 - c * c) / 100
"""  # noqa: E501

_SORTABLE = ("apple", "pear", "zebra", "moon", "cloud", "river", "table", "garden", "ink", "violin", "bread", "fox")


def prompts(rng: random.Random) -> Iterator[Prompt]:
    """Yields the prompts of this module; `rng` makes the random choices, in a fixed order."""
    for target, source, factor, wording in _UNITS:
        for amount in (2, rng.randint(3, 9)):
            teacher = f"{amount} {source}s are {amount * factor} {target}."
            asked = wording.format(target, amount, source)
            yield Prompt("units", asked, "number", str(amount * factor), teacher)
    yield from _hard_units(rng)
    for code, output in table(_CODE):
        asked = f"What does this Python code print?\n{code}"
        yield Prompt("code", asked, "contains", output, f"It prints {output}")
    for question, reference in table(_LOGIC):
        yield Prompt("logic", question, "choice", reference, f"{first(reference).capitalize()}.")
    for number, (story, formula) in enumerate(table(_STORIES)):
        for _ in range(2 if number > 3 else 4):
            yield _story("word-problem" if number > 3 else "one-step", story, formula, rng)
    yield from _sorting(rng)
    yield from _dates(rng)


def _hard_units(rng: random.Random) -> Iterator[Prompt]:
    for _ in range(2):
        celsius = rng.randint(3, 19) * 5
        fahrenheit = celsius * 9 // 5 + 32
        asked = f"Convert {celsius} degrees Celsius to degrees Fahrenheit."
        yield Prompt("units", asked, "number", str(fahrenheit), f"{celsius} °C are {fahrenheit} °F, so: {fahrenheit}")
    for _ in range(2):
        speed = rng.randint(3, 30) * 18
        asked = f"How many meters per second are {speed} kilometers per hour?"
        meters = speed * 10 // 36
        yield Prompt("units", asked, "number", str(meters), f"{speed} km/h are {meters} meters per second.")


def _story(category: str, story: str, formula: str, rng: random.Random) -> Prompt:
    values = {"a": rng.randint(4, 9), "b": rng.randint(5, 9), "c": rng.randint(2, 4), "d": rng.randint(3, 5)}
    # The formula is ours, a line of the table above.
    result = eval(formula, {"__builtins__": {}}, dict(values))  # noqa: S307
    number = f"{result:g}"
    return Prompt(category, story.format(**values), "number", number, f"The answer is {number}.")


def _sorting(rng: random.Random) -> Iterator[Prompt]:
    for size in (3, 3, 4, 5, 8):
        words = rng.sample(_SORTABLE, size)
        asked = f"Sort these words from A to Z: {', '.join(words)}"
        answer = ", ".join(sorted(words))
        yield Prompt("sorting", asked, "contains", answer, answer)
    for size in (3, 3, 5, 8):
        numbers = rng.sample(range(1, 10 ** (1 + size // 3)), size)
        asked = f"Sort these numbers from smallest to largest: {', '.join(map(str, numbers))}"
        answer = ", ".join(map(str, sorted(numbers)))
        yield Prompt("sorting", asked, "contains", answer, answer)


def _dates(rng: random.Random) -> Iterator[Prompt]:
    days = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    for number in range(5):
        following = days[(number + 1) % 7]
        asked = f"Which day of the week comes after {days[number]}?"
        yield Prompt("dates", asked, "contains", following, f"After {days[number]} comes {following}.")
    for _ in range(4):
        start = date(2027, rng.randint(1, 12), rng.randint(1, 28))
        gap = rng.randint(20, 200)
        asked = f"Which date is {gap} days after {start:%Y-%m-%d}? Give it as YYYY-MM-DD."
        end = f"{start + timedelta(gap):%Y-%m-%d}"
        yield Prompt("date-arithmetic", asked, "contains", end, f"It is {end}.")
    for _ in range(4):
        start = date(2027, rng.randint(1, 6), rng.randint(1, 28))
        gap = rng.randint(30, 150)
        asked = f"How many days are there from {start:%Y-%m-%d} to {start + timedelta(gap):%Y-%m-%d}?"
        yield Prompt("date-arithmetic", asked, "number", str(gap), f"There are {gap} days.")
