"""Everyday prompts: capitals, facts, opposites, translations, yes or no, small sums."""

from __future__ import annotations

import random
from collections.abc import Iterator

from breakeven.models.recorded.prompts.base import Prompt, first, table

_CAPITALS = """
France => Paris
Italy => Rome
Spain => Madrid
Germany => Berlin
Japan => Tokyo
China => Beijing
Egypt => Cairo
Russia => Moscow
England => London
Greece => Athens
Portugal => Lisbon
Ireland => Dublin
Poland => Warsaw
Sweden => Stockholm
Norway => Oslo
Finland => Helsinki
Austria => Vienna
Hungary => Budapest
Kenya => Nairobi
Peru => Lima
Cuba => Havana
Argentina => Buenos Aires
Mexico => Mexico City
Thailand => Bangkok
South Korea => Seoul
Belgium => Brussels
Denmark => Copenhagen
Turkey => Ankara
Canada => Ottawa
Australia => Canberra
Burkina Faso => Ouagadougou
Kyrgyzstan => Bishkek
Bhutan => Thimphu
Eswatini => Mbabane
"""

_CAPITAL_WORDINGS = (
    "What is the capital of {}?",
    "Name the capital city of {}.",
    "Which city is the capital of {}?",
    "I am planning a trip to {}. What is its capital city?",
)

_FACTS = """
Which planet do people call the red planet? => Mars
What gas do plants take in from the air to make food? => carbon dioxide | CO2
Which animal is called the king of the jungle? => lion
What is frozen water called? => ice
Which star is at the center of our solar system? => sun
What is the largest ocean on Earth? => Pacific
What do bees make that people like to eat? => honey
Which organ pumps blood through the human body? => heart
What is the tallest mountain in the world? => Everest
Which language do most people in Brazil speak? => Portuguese
What is the chemical symbol for oxygen? => O | O2
Who wrote the play Romeo and Juliet? => Shakespeare
What is the largest planet in our solar system? => Jupiter
Which instrument do we use to see very small things? => microscope
Who painted the Mona Lisa? => Leonardo | da Vinci
On which continent is the Sahara desert? => Africa
Which animal gives us wool? => sheep
What force pulls things down to the ground? => gravity
Which country gave the Statue of Liberty to the United States? => France
What is the main language spoken in Germany? => German
Which metal is liquid at room temperature? => mercury
What do we call the person who flies an airplane? => pilot
Who was the first president of the United States? => Washington
What is the currency of Japan? => yen
Which season comes after winter? => spring
What do caterpillars turn into? => butterfly | butterflies | moth
What is the hardest natural substance? => diamond | diamonds
Which part of a plant is usually under the ground? => root | roots
What is the natural satellite of the Earth called? => moon
Who developed the theory of relativity? => Einstein
What is the process by which plants make food from sunlight? => photosynthesis
Which sense do we use our ears for? => hearing | hear | sound
What is H2O commonly called? => water
In which country can you find the Great Wall? => China
What color do you get when you mix blue and yellow paint? => green
Which bird is a symbol of peace? => dove
"""

_RARE_FACTS = """
Which chemical element has the atomic number 74? => tungsten | wolfram
In which year was the Peace of Westphalia signed? => 1648
Which river flows through the city of Omsk? => Irtysh | Om
Who composed the opera The Cunning Little Vixen? => Janacek | Janáček
What is the SI unit of magnetic flux? => weber
Which moon of Saturn has a thick atmosphere? => Titan
Who proved the incompleteness theorems of arithmetic? => Godel | Gödel
What is the smallest bone in the human body? => stapes | stirrup
What is the official language of Suriname? => Dutch
Who was the Roman emperor when Pompeii was buried in AD 79? => Titus
"""

_OPPOSITES = """
hot => cold
big => small | little | tiny
up => down
happy => sad | unhappy
fast => slow
day => night
light => dark | darkness | heavy
open => closed | close | shut
old => young | new
rich => poor
early => late
full => empty
wet => dry
strong => weak
love => hate | hatred
tall => short
win => lose
loud => quiet | soft | silent
clean => dirty
soft => hard | rough | loud
thick => thin
heavy => light
inside => outside
above => below | under | beneath
first => last | second
before => after
cheap => expensive
sweet => sour | bitter | salty
near => far
beautiful => ugly
yes => no
friend => enemy | foe
begin => end | finish
good => bad | evil
easy => hard | difficult
left => right
"""

_WORDS = """
What do you call a baby dog? => puppy
What do you call a baby cat? => kitten
What do you call a doctor for teeth? => dentist
What do you call a shape with three sides? => triangle
What do you call the day before today? => yesterday
What do you call a person who cooks in a restaurant? => chef | cook
What do you call a place where you can borrow books? => library
What do you call the meal that people eat in the morning? => breakfast
What do you call a group of wolves? => pack
What do you call a scientist who studies stars? => astronomer
What do you call ten years? => decade
What do you call one hundred years? => century
What is the plural of the word "child"? => children
What is the plural of the word "mouse"? => mice
What is the plural of the word "tooth"? => teeth
What is the past tense of the verb "go"? => went
What is the past tense of the verb "eat"? => ate
What is the past tense of the verb "write"? => wrote
"""

_TRANSLATIONS = """
Spanish => thank you => gracias
Spanish => water => agua
Spanish => good morning => buenos días | buenos dias
French => hello => bonjour | salut
French => thank you => merci
French => bread => pain
French => good evening => bonsoir
German => thank you => danke
German => good morning => guten morgen
Italian => thank you => grazie
Portuguese => thank you => obrigado | obrigada
Welsh => thank you => diolch
Finnish => book => kirja
"""

_YES_NO = """
Is the sun a star? => yes
Is ice made of water? => yes
Can penguins fly? => no
Is the Earth flat? => no
Do fish live in water? => yes
Is Paris in France? => yes
Is a whale a mammal? => yes
Is the number 10 larger than the number 3? => yes
Do cats have wings? => no
Is London the capital of Spain? => no
Is gold a metal? => yes
Does a triangle have four sides? => no
Is snow usually black? => no
Do humans need oxygen to live? => yes
Is a tomato an animal? => no
Is the moon bigger than the Earth? => no
Is honey made by bees? => yes
Does water boil when it gets very hot? => yes
Is an elephant smaller than a mouse? => no
Is Africa a continent? => yes
"""


def prompts(rng: random.Random) -> Iterator[Prompt]:
    """Yields the prompts of this module; `rng` makes the random choices, in a fixed order."""
    for number, (country, capital) in enumerate(table(_CAPITALS)):
        wording = _CAPITAL_WORDINGS[number % len(_CAPITAL_WORDINGS)]
        teacher = f"The capital of {country} is {capital}."
        yield Prompt("capitals", wording.format(country), "contains", capital, teacher)
    for category, rows in (("facts", _FACTS), ("rare-facts", _RARE_FACTS), ("words", _WORDS)):
        for question, answer in table(rows):
            yield Prompt(category, question, "contains", answer, f"The answer is {first(answer)}.")
    for word, answer in table(_OPPOSITES):
        teacher = f'The opposite of "{word}" is "{first(answer)}".'
        yield Prompt("opposites", f'What is the opposite of the word "{word}"?', "contains", answer, teacher)
    for language, word, answer in table(_TRANSLATIONS):
        teacher = f'In {language}, "{word}" is "{first(answer)}".'
        yield Prompt("translation", f'How do you say "{word}" in {language}?', "contains", answer, teacher)
    for question, answer in table(_YES_NO):
        other = "no" if answer == "yes" else "yes"
        teacher = f"{answer.capitalize()}."
        yield Prompt("yes-no", f"{question} Answer with yes or no.", "choice", f"{answer} | {other}", teacher)
    yield from _sums(rng)


def _sums(rng: random.Random) -> Iterator[Prompt]:
    """Prompts to add two numbers of one, two or four digits."""
    for size, count in ((9, 12), (60, 6), (4000, 5)):
        for number in range(count):
            a, b = rng.randint(size // 5, size), rng.randint(1 + size // 9, size)
            sign, result = (("+", a + b), ("-", max(a, b) - min(a, b)), ("*", a * b))[number % 3]
            a, b = (max(a, b), min(a, b)) if sign == "-" else (a, b)
            teacher = f"{a} {sign} {b} = {result}"
            category = "small-sums" if size < 100 else "large-sums"
            yield Prompt(category, f"What is {a} {sign} {b}?", "number", str(result), teacher)
