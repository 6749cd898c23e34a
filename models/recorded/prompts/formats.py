"""Unusual prompts: encodings, ciphers, numerals, counting letters, and languages that a small model hardly knows."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator

from breakeven.models.recorded.prompts.base import Prompt, first, table

_SECRETS = ("hello world", "blue horse", "meet at noon", "seven bridges", "no signal", "green tea", "open door")
_REVERSED = ("stone", "planet", "window", "guitar", "market", "silver", "elephant", "notebook")
_LETTERS = (("strawberry", "r"), ("mississippi", "s"), ("banana", "a"), ("committee", "e"), ("parallel", "l"))
_ROMAN = ((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"))
_ROMAN_SMALL = ((40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))
_MORSE = {"A": ".-", "E": ".", "G": "--.", "H": "....", "L": ".-..", "N": "-.", "O": "---", "S": "...", "T": "-"}

_LANGUAGES = """
Zein da Frantziako hiriburua? => Paris | Parisen
Mikä on Suomen pääkaupunki? => Helsinki
Mji mkuu wa Kenya ni upi? => Nairobi
Quae urbs caput Italiae est? => Roma | Rome
Hvað heitir höfuðborg Íslands? => Reykjavík | Reykjavik
Jaka jest stolica Polski? => Warszawa | Warsaw
Beth yw prifddinas Cymru? => Caerdydd | Cardiff
Mi Japanio ĉefurbo? => Tokio | Tokyo
Mennyi kettő meg három? => öt | 5
Combien de jours y a-t-il dans une semaine ? => sept | 7
¿De qué color es la nieve? => blanca | blanco
Welche Farbe hat Gras? => grün | gruen
"""


def prompts(rng: random.Random) -> Iterator[Prompt]:
    """Yields the prompts of this module; `rng` makes the random choices, in a fixed order."""
    for text in _SECRETS:
        coded = base64.b64encode(text.encode()).decode()
        yield Prompt("base64", f"Decode this base64 text: {coded}", "contains", text, f"It says: {text}")
    for text in _SECRETS[1:6]:
        shift = rng.randint(3, 20)
        asked = f"This text was shifted by {shift} letters (Caesar cipher). Decode it: {_shifted(text, shift)}"
        yield Prompt("cipher", asked, "contains", text, f"It says: {text}")
    for word in ("SOS", "HELLO", "LONG", "TEASE"):
        asked = f"Decode this Morse code: {' '.join(_MORSE[letter] for letter in word)}"
        yield Prompt("cipher", asked, "contains", word, f"It says {word}.")
    for word in _REVERSED:
        asked = f'Spell the word "{word}" backwards. Give only the result.'
        yield Prompt("reversal", asked, "exact", word[::-1], word[::-1])
    for word, letter in _LETTERS:
        asked = f'How many times does the letter "{letter}" occur in the word "{word}"?'
        count = word.count(letter)
        yield Prompt("letters", asked, "number", str(count), f'The letter "{letter}" occurs {count} times: {count}')
    yield from _numerals(rng)
    for question, answer in table(_LANGUAGES):
        yield Prompt("languages", question, "contains", answer, f"{first(answer).capitalize()}.")


def _numerals(rng: random.Random) -> Iterator[Prompt]:
    for limit in (10, 40, 100, 900, 4000):
        value = rng.randint(limit // 3, limit - 1)
        teacher = f"{value} is {_roman(value)}."
        yield Prompt("numerals", f"Write {value} as a Roman numeral.", "contains", _roman(value), teacher)
        value = rng.randint(limit // 3, limit - 1)
        asked = f"Which number is the Roman numeral {_roman(value)}?"
        yield Prompt("numerals", asked, "number", str(value), f"{_roman(value)} is {value}.")
    for limit in (8, 30, 200):
        value = rng.randint(limit // 2, limit)
        asked = f"Convert the binary number {value:b} to decimal."
        yield Prompt("numerals", asked, "number", str(value), f"It is {value}.")
        asked = f"Convert the hexadecimal number 0x{value + 16:x} to decimal."
        yield Prompt("numerals", asked, "number", str(value + 16), f"It is {value + 16}.")


def _roman(value: int) -> str:
    text = ""
    for worth, letters in _ROMAN + _ROMAN_SMALL:
        while value >= worth:
            text += letters
            value -= worth
    return text


def _shifted(text: str, shift: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return text.translate(str.maketrans(letters, letters[shift:] + letters[:shift]))
