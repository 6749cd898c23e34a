"""Prompts for a few words of text: sentences, greetings, headings, lists, uses, summaries.

The checks only look for a key word in the answer.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from breakeven.models.recorded.prompts.base import Prompt, first, table

_SENTENCES = """
a cat => cat | cats => A cat sleeps on the warm roof.
the sea => sea | ocean => The sea was calm this morning.
a bicycle => bicycle | bike => My bicycle has a new bell.
coffee => coffee => Coffee wakes me up.
a garden => garden => Our garden is full of roses.
winter => winter => In winter the lake is frozen.
a train => train => The train left on time.
music => music => Music fills the whole house.
a teacher => teacher => The teacher explains it again.
bread => bread => Fresh bread smells good.
the moon => moon => The moon is bright tonight.
a farmer => farmer => The farmer feeds the cows.
a river => river => The river runs through the town.
friendship => friendship | friends | friend => A good friendship lasts for years.
an elephant => elephant | elephants => An elephant never hurries.
rain => rain => The rain stopped at noon.
a library => library => The library opens at ten.
football => football => They play football on Sundays.
a horse => horse | horses => The horse runs across the field.
a mountain => mountain | mountains => The mountain is covered with snow.
a doctor => doctor => The doctor is very patient.
chocolate => chocolate => Dark chocolate melts slowly.
a ship => ship => The ship leaves at dawn.
the sun => sun => The sun warms the stones.
a market => market => The market is busy on Saturdays.
a tree => tree | trees => The old tree gives shade.
a soldier => soldier => The soldier came home.
summer => summer => Summer was short this year.
a violin => violin => She tunes her violin.
cheese => cheese => This cheese is from the valley.
a window => window => The window looks over the yard.
a baby => baby => The baby laughs at the dog.
fire => fire => The fire keeps us warm.
a bird => bird | birds => A bird sings in the hedge.
"""

_NOTES = """
Write a short birthday greeting for my friend Maria. => Maria => Happy birthday, Maria!
Write a short thank-you note to Mr. Brown for his help. => Brown | Mr. Brown => Thank you for your help, Mr. Brown.
Write a friendly greeting for a customer named Paula. => Paula => Hello Paula, how can I help you?
Write a one-line invitation to a picnic on Saturday. => picnic => Join us for a picnic on Saturday!
Write a subject line for an email about the budget meeting. => budget => Budget meeting on Thursday
Write a subject line for an email about a delayed delivery. => delivery | delayed | delay => Your delivery is delayed
Write a short reminder about the dentist appointment at 3 pm. => dentist | appointment => Dentist appointment at 3 pm
Write a title for a story about a lost dog. => dog | puppy | pup => The Dog Who Came Back
Write a title for a blog post about saving money. => money | saving | savings | save => Ten Ways of Saving Money
Write a slogan for a small coffee shop. => coffee | cup | brew | sip => Good coffee, good day.
Write a slogan for a bicycle shop. => bicycle | bike | bicycles | bikes | ride | cycling => Ride your own bike.
Write a short apology for a late reply. => sorry | apologize | apologies | apology => I am sorry for the late reply.
Write a polite sentence that asks for a glass of water. => water => May I have a glass of water, please?
Write a short sign that asks people to close the door. => door => Please close the door.
Write two sentences that describe a sunny day at the beach. => beach | sand | sea | ocean => The beach is warm. We swim.
Write a short product description for a wooden chair. => chair => A solid oak chair for every room.
Write a short weather report for a cloudy day. => clouds | cloudy | cloud => It stays cloudy all day.
Write a short get-well message for my colleague Peter. => Peter => Get well soon, Peter!
"""

_LISTS = """
Name three fruits. => apple | apples | banana | bananas | orange | oranges => Apple, banana, pear.
Name three vegetables. => carrot | carrots | broccoli | spinach | tomatoes | potatoes => Carrot, leek, broccoli.
Name three farm animals. => cow | cows | pig | pigs | sheep | chickens | chicken => Cow, pig, sheep.
Name three colors. => red | blue | green | yellow => Red, blue, green.
Name three musical instruments. => piano | guitar | violin | drums | flute => Piano, violin, drums.
Name three sports. => football | soccer | basketball | tennis | baseball => Football, tennis, rowing.
Name three European countries. => France | Germany | Italy | Spain => France, Italy, Norway.
Name three things that one finds in a kitchen. => stove | oven | knife | refrigerator | sink | pot | pan | plates => A stove, a pot, a knife.
Name three planets. => Mercury | Venus | Earth | Mars | Jupiter | Saturn => Venus, Earth, Mars.
Name three school subjects. => math | mathematics | science | history | English => Math, history, science.
Name three means of transport. => car | cars | bus | buses | train | trains | bicycle => Bus, train, car.
Name three pets that people keep at home. => dog | dogs | cat | cats => Dog, cat, rabbit.
Name three hot drinks. => tea | coffee | chocolate | cocoa => Tea, coffee, cocoa.
Name three pieces of clothing. => shirt | pants | hat | dress | jacket | shoes | t-shirt => Shirt, hat, socks.
Name three months of the year. => January | February | March | April | May | June | July => January, May, June.
"""  # noqa: E501

_USES = """
What is a hammer used for? => nail | nails => It drives in nails.
What is an umbrella used for? => rain | sun => It keeps the rain off.
What is a refrigerator used for? => food | cool | cold => It keeps food cold.
What is a pen used for? => write | writing | ink => It is for writing.
What is a clock used for? => time => It tells the time.
What is a knife used for? => cut | cutting | slicing => It is for cutting.
What is a key used for? => lock | locks | unlock | open | door | doors => It opens a lock.
What is a telescope used for? => stars | planets | celestial | distant | sky => It shows distant stars.
What is soap used for? => clean | cleaning | wash | washing | cleanse => It is for washing.
What is a bed used for? => sleep | sleeping | rest => It is for sleeping.
What is a camera used for? => photos | pictures | images | photographs | image => It takes pictures.
What is a map used for? => navigate | navigation | location | locations | places | geographic | directions => It shows places.
What is an oven used for? => bake | baking | cook | cooking | heat | food => It is for baking.
What is a ladder used for? => climb | climbing | reach | heights | higher => It lets you climb.
"""  # noqa: E501

_SUMMARIES = """
The city council decided to build a new bridge over the river, because the old bridge is too narrow. => bridge
The bakery will close for two weeks in August, and it opens again on the first of September. => bakery
Doctors say that walking half an hour each day is good for the heart. => walking | walk
Heavy snow closed the airport on Sunday, and all flights were cancelled. => snow | airport | flights
The school gets a new library with twenty thousand books and a quiet room for reading. => library | school
A young dog from Leeds found its way home after three days in the forest. => dog
The company sold more electric cars this year than in the five years before. => cars | car | electric
Farmers in the valley expect a poor harvest, as it has hardly rained since April. => harvest | farmers | rain | rained
The museum shows two hundred old maps, most of them for the first time. => museum | maps
The band cancelled its concert in Vienna because the singer had lost her voice. => concert | band | singer
The price of coffee rose by a third after a bad season in Brazil. => coffee
The train line along the coast opens again after a year of repairs. => train
A small town in Norway heats all its houses with the warm water from a factory. => town | Norway | houses | water
The zoo welcomed two baby elephants this spring, and children may choose their names. => zoo | elephants
The police found the stolen painting in a garage after ten years. => painting | police
Many people work from home now, so offices in the city stand empty. => home | offices | city
The hospital hires forty new nurses because it opens another floor. => hospital | nurses
The lake is clean again, and people may swim in it from June. => lake
"""


def prompts(rng: random.Random) -> Iterator[Prompt]:
    """Yields the prompts of this module; `rng` is not used, since none of them is random."""
    del rng
    for subject, key, teacher in table(_SENTENCES):
        yield Prompt("sentences", f"Write one short sentence about {subject}.", "contains", key, teacher)
    for category, rows in (("notes", _NOTES), ("lists", _LISTS), ("uses", _USES)):
        for asked, key, teacher in table(rows):
            yield Prompt(category, asked, "contains", key, teacher)
    for text, key in table(_SUMMARIES):
        asked = f"Summarize this text in one short sentence: {text}"
        yield Prompt("summaries", asked, "contains", key, f"It is about this: {first(key)}.")
