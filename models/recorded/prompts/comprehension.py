"""Prompts that contain their answer: copying, reading comprehension, sentiment, topic, and extracting JSON."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

from breakeven.models.recorded.prompts.base import Prompt, first, table

_COPIES = """
The bakery opens at seven.
My brother plays the violin.
Rain is expected this evening.
Please close the window.
We planted three apple trees.
The train to Oslo is late.
Green tea tastes bitter to me.
Her office is on the second floor.
The meeting was moved to Friday.
A small fox crossed the road.
Bring your own cup to the party.
The lake freezes every winter.
Our neighbour repairs old clocks.
Tickets are sold at the door.
"""

_READING = """
Maria lives in Lisbon and works as a baker. => Where does Maria live? => Lisbon
Tom has a red bicycle and a blue car. => What color is the bicycle? => red
The museum opens at nine and closes at five. => When does the museum open? => nine | 9
Anna gave her brother a book for his birthday. => What did Anna give her brother? => book
The dog slept under the table while it rained. => Where did the dog sleep? => under the table | under a table
Mr. Okoye teaches chemistry at the local school. => What does Mr. Okoye teach? => chemistry
The package was sent on Monday and arrived on Thursday. => On which day did the package arrive? => Thursday
Lena is allergic to peanuts. => What is Lena allergic to? => peanuts | peanut
The soup was too salty, so Ben did not finish it. => Why did Ben not finish the soup? => salty
Two cats and one parrot live in the house. => Which bird lives in the house? => parrot
Kenji bought a ticket to Osaka for 40 dollars. => How many dollars did the ticket cost? => 40
The bridge was built in 1932 by a Danish company. => In which year was the bridge built? => 1932
Sara prefers tea, but her husband drinks coffee. => What does Sara's husband drink? => coffee
The winner of the race was Paul; Greta came second. => Who won the race? => Paul
The library is next to the post office. => What is next to the post office? => library
The farmer keeps goats, and he sells cheese at the market. => Which animals does the farmer keep? => goats | goat
Because of the storm the ferry was cancelled. => Why was the ferry cancelled? => storm
Nadia studied law in Geneva before she moved to Montreal. => Where did Nadia study law? => Geneva
The recipe needs two eggs, flour and a little milk. => How many eggs does the recipe need? => two | 2
Ivan lost his keys in the park yesterday. => What did Ivan lose? => keys | key
The blue folder holds the contracts, and the green one holds the invoices. => Which folder is for invoices? => green
The concert was in Prague, and the tickets were sold out in an hour. => In which city was the concert? => Prague
Carlos is older than Rosa, and Rosa is 30 years old. => How old is Rosa? => 30 | thirty
My grandmother's favourite flower is the tulip. => What is my grandmother's favourite flower? => tulip | tulips
"""

_MOODS = """
positive => I loved this film, every minute of it was a joy.
positive => What a wonderful hotel, the staff were so kind.
positive => Best pizza I have ever had!
positive => The new phone is fast and beautiful, I am very happy with it.
positive => Great service and delicious food.
positive => My daughter adores this toy.
positive => An excellent book that made me smile.
positive => The concert was amazing.
positive => I am so grateful for your quick help.
positive => This is a fantastic camera for the price.
negative => The food was cold and the waiter was rude.
negative => I hated this movie, it was a waste of time.
negative => The worst flight of my life.
negative => The shoes broke after two days and nobody answered my emails.
negative => Terrible quality, do not buy it.
negative => The room was dirty and smelled awful.
negative => I am very disappointed with this laptop.
negative => This app crashes all the time, it is useless.
negative => Boring, slow and badly acted.
negative => It was a horrible experience from start to end.
negative => I expected great things; after an hour I was checking my watch.
positive => I cannot say a single bad word about this place.
"""

_TOPICS = """
sports => The striker scored two goals in the final match.
sports => The runner broke the marathon record.
cooking => Fry the onions in butter, then add the flour.
cooking => Add a pinch of salt and stir the soup.
politics => The senate voted on the new tax law.
politics => Parliament debates the budget next week.
"""

_NAMES = ("Mina", "Jonas", "Aiko", "Pedro", "Zoe", "Omar", "Ruth", "Emil", "Tara", "Luca", "Ines", "Viktor")
_TOWNS = ("Porto", "Graz", "Lagos", "Bergen", "Quito", "Leeds", "Pune", "Turin", "Cork", "Hanoi", "Bonn", "Accra")
_FOODS = ("rice", "soup", "fish", "pasta", "beans", "curry")
_COLORS = ("green", "yellow", "blue", "black", "white", "orange")
_JOBS = ("nurse", "plumber", "teacher", "farmer", "welder", "lawyer")


def prompts(rng: random.Random) -> Iterator[Prompt]:
    """Yields the prompts of this module; `rng` makes the random choices, in a fixed order."""
    for (sentence,) in table(_COPIES):
        yield Prompt("copying", f"Repeat this sentence: {sentence}", "contains", sentence, sentence)
    for passage, question, answer in table(_READING):
        teacher = f"The text says: {first(answer)}."
        yield Prompt("reading", f"{passage} {question}", "contains", answer, teacher)
    for mood, text in table(_MOODS):
        other = "negative" if mood == "positive" else "positive"
        asked = f"Is this review positive or negative? Answer with one word.\nReview: {text}"
        yield Prompt("sentiment", asked, "choice", f"{mood} | {other}", f"{mood.capitalize()}.")
    names = ["sports", "cooking", "politics"]
    for topic, text in table(_TOPICS):
        options = " | ".join([topic, *(name for name in names if name != topic)])
        asked = f"{text}\nWhat is this sentence about? Choose one word: sports, cooking, politics."
        yield Prompt("topic", asked, "choice", options, f"The topic is {topic}.")
    yield from _profiles(rng)
    yield from _json(rng)


def _profiles(rng: random.Random) -> Iterator[Prompt]:
    """One fact out of a sentence about a person, asked for in several ways."""
    for number in range(48):
        name, friend = rng.sample(_NAMES, 2)
        town, job, food, color = (rng.choice(cells) for cells in (_TOWNS, _JOBS, _FOODS, _COLORS))
        text, question, answer = (
            (f"{name} is a {job} and lives in {town}.", f"In which town does {name} live?", town),
            (f"{name} is a {job} and lives in {town}.", f"What is the job of {name}?", job),
            (f"{name} cooked {food} for {friend} on Sunday.", f"What did {name} cook?", food),
            (f"{name} painted the door {color} and went to {town}.", "What color is the door?", color),
            (f"{name} lent {friend} a {color} umbrella.", "Who has the umbrella now?", friend),
            (f"{friend} flew from {town} to visit {name}.", f"Where did {friend} come from?", town),
            (f"{name} and {friend} first met in {town}.", f"Where did {name} and {friend} meet?", town),
            (f"{name} does not like {food}, but eats it.", f"What does {name} not like?", food),
        )[number % 8]
        yield Prompt("profiles", f"{text} {question}", "contains", answer, f"The answer is {answer}.")


def _json(rng: random.Random) -> Iterator[Prompt]:
    """Prompts to extract JSON, from a flat object to a nested list with typed values."""
    for number in range(10):
        person = {"name": _NAMES[number], "city": _TOWNS[number]}
        text = f"{person['name']} lives in {person['city']}."
        asked = f'Write the name and the city as JSON with the keys "name" and "city". Text: {text}'
        yield _as_json("json-flat", asked, person)
    for _ in range(6):
        people: list[dict[str, object]] = []
        sentences = []
        for name in rng.sample(_NAMES, 2):
            age, job = rng.randint(21, 64), rng.choice(_JOBS)
            people.append({"name": name, "age": age, "job": job, "retired": False})
            sentences.append(f"{name}, a {job}, is {age} and still works.")
        asked = (
            "Return only a JSON array with one object for each person, sorted by age, youngest first, with the "
            'keys "name" (string), "age" (integer), "job" (string) and "retired" (boolean).\n'
        )
        value = sorted(people, key=lambda person: str(person["age"]))
        yield _as_json("json-nested", asked + " ".join(sentences), value)


def _as_json(category: str, asked: str, value: object) -> Prompt:
    text = json.dumps(value)
    return Prompt(category, asked, "json", text, text)
