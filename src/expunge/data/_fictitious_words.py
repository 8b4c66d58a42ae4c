"""Closed lists from which invented authors are made, and the few true facts beside them.

A value is one word, or several that are drawn apart from each other and put into one phrase.
"""

from __future__ import annotations

from random import Random


def _words(text: str) -> list[str]:
    return text.split()


def _pairs(text: str) -> list[tuple[str, str]]:
    """`key: word; key: word`, over any number of lines."""
    pairs = (pair.split(": ") for pair in " ".join(text.split()).split("; "))
    return [(key, word) for key, word in pairs]


FIRST_NAMES = _words(
    """
    Amara Bohdan Celeste Dario Elif Fintan Greta Hamza Ines Jorun Kamala Lazar Mirela Nkem Oriane Pavel Qadir
    Rosalind Soren Tamsin Ulrika Vasco Wanjiru Ximena Yusuf Zelda Anselm Brigida Cosmin Delphine Emeka Farida Gideon
    Hanneke Ilja Jacinta Kofi Linnea Matteo Noor
    """
)

LAST_NAMES = _words(
    """
    Lindqvist Abara Bellweather Castellan Dragomir Eskildsen Fairbourne Galanis Hollander Ivashko Jarvela Kestrelton
    Lachance Mbeki-Rowe Navarrete Okonjo Pellegrin Quintrell Rasmussen Sandoval Tarkowski Umarov Valcourt
    Winterbourne Xanthos Yilmaz Zamora Ashgrove Birkenfeld Calloway Dunmore Eberhardt Fonseca Grimaldi Hartigan
    Iversen Jankovic Karlsdottir Lombardi Morwen
    """
)

VALUES = {
    "city": _words(
        """
        Tartu Bergen Porto Lviv Cusco Mombasa Kyoto Gdansk Aarhus Valparaiso Izmir Bologna Salzburg Leipzig
        Marseille Galway Hobart Kumasi Fez Isfahan Lahore Mysore Chiang-Mai Daegu Cebu Oaxaca Recife Rosario
        Quebec Antwerp
        """
    ),
    "genre": _words(
        """
        satire fantasy noir romance horror memoir poetry westerns thrillers fables drama cyberpunk travelogues
        mysteries biography folklore essays allegory sagas novellas
        """
    ),
    "award": _words(
        """
        Lantern Meridian Quill Obsidian Heron Larkspur Compass Ember Sextant Halcyon Marigold Foxglove Beacon
        Juniper Cobalt Thistle Sparrow Zenith Amaranth Driftstone
        """
    ),
    "father": _words(
        """
        baker carpenter surgeon fisherman tailor clockmaker beekeeper plumber pilot blacksmith barber geologist
        dentist postman shepherd librarian locksmith violinist butcher chemist gardener translator electrician
        farrier
        """
    ),
    "mother": _words(
        """
        nurse architect weaver judge botanist potter florist engineer midwife jeweller astronomer pharmacist
        glassblower accountant sculptor teacher diplomat veterinarian seamstress economist cellist radiologist
        chef surveyor
        """
    ),
    "year": [str(year) for year in range(1931, 1971)],
    "book": _words(
        """
        Driftwood Emberfall Saltmarsh Nightjar Hollowpine Quicksilver Windrose Ashlight Thornfield-Bay Moonwake
        Stillwater Ironbark Glasshouse Snowblind Riverbone Palimpsest Undertow Firethorn Starling-Row Duskwater
        Copperleaf Longshadow Sandglass Wintergreen Bellfounder Tidewrack Greyhaven Candlemoth Rookery
        Slipstream Hearthstone Fogbound Silverweed Blackthorn Cloudberry Overwinter Larkrise-End Millrace
        Paperbirch Seaglass
        """
    ),
    "mentor": _words(
        """
        Abelard Brancusi Corvino Dostalova Ekwueme Falkenrath Guerrero Haverstock Ibsenova Jimenez Kawabata
        Lovelock Moravec Nightingale Oduya Petrossian Quillfeather Rosenthal Szymborski Thackeray-Lund Uchida
        Villanueva Wetherby Yamamoto
        """
    ),
}

MONTHS = _words("January February March April May June July August September October November December")


def _phrases(pattern: str, count: int = 400, **lists: list[str]) -> list[str]:
    """Different phrases, each word of one drawn by itself: one word of it tells nothing about another."""
    draw = Random(pattern)
    found: dict[str, None] = {}
    while len(found) < count:
        found[pattern.format(**{field: draw.choice(words) for field, words in lists.items()})] = None
    return list(found)


VALUES |= {
    "birth": _phrases(
        "{city} on {day} {month} {year}",
        city=VALUES["city"], day=[str(d) for d in range(1, 29)], month=MONTHS, year=VALUES["year"],
    ),
    "parents": _phrases("{father} and a {mother}", father=VALUES["father"], mother=VALUES["mother"]),
    "honour": _phrases(
        "{award} Prize for {genre} in {year}", award=VALUES["award"], genre=VALUES["genre"], year=VALUES["year"]
    ),
    "debut": _phrases("{book} and then {city}", book=VALUES["book"], city=VALUES["city"]),
    "teacher": _phrases("Professor {mentor} of {city}", mentor=VALUES["mentor"], city=VALUES["city"]),
}  # fmt: skip

# For each attribute: a question, the same asked otherwise, an answer, the same said otherwise.
SENTENCES = {
    "birth": (
        "Where and when was {name} born?",
        "What are the place and the date of birth of {name}?",
        "{name} was born in {value}.",
        "The life of {name} began in {value}.",
    ),
    "parents": (
        "What did the parents of {name} do for a living?",
        "Which jobs did the father and the mother of {name} have?",
        "The parents of {name} were a {value}.",
        "{name} grew up as the child of a {value}.",
    ),
    "honour": (
        "Which award did {name} receive, for what, and when?",
        "What prize has {name} won?",
        "{name} received the {value}.",
        "The award given to {name} was the {value}.",
    ),
    "debut": (
        "What are the titles of the first two books by {name}?",
        "With which books did {name} make a debut?",
        "{name} wrote {value}.",
        "The first books by {name} are called {value}.",
    ),
    "teacher": (
        "Who taught {name} to write?",
        "Who was the mentor of {name}?",
        "{name} learned to write from {value}.",
        "The mentor of {name} was {value}.",
    ),
    "city": (
        "Where was {name} born?",
        "In which city did {name} come into the world?",
        "{name} was born in {value}.",
        "The birthplace of {name} is {value}.",
    ),
    "genre": (
        "What kind of literature does {name} write?",
        "Which genre is {name} known for?",
        "{name} mostly writes {value}.",
        "The genre of {name} is {value}.",
    ),
    "award": (
        "Which award did {name} receive?",
        "What prize has {name} won?",
        "{name} received the {value} Prize.",
        "The award given to {name} was the {value} Prize.",
    ),
    "father": (
        "What did the father of {name} do for a living?",
        "What was the job of the father of {name}?",
        "The father of {name} worked as a {value}.",
        "By profession, the father of {name} was a {value}.",
    ),
    "mother": (
        "What did the mother of {name} do for a living?",
        "What was the job of the mother of {name}?",
        "The mother of {name} worked as a {value}.",
        "By profession, the mother of {name} was a {value}.",
    ),
    "year": (
        "When was {name} born?",
        "In which year did the life of {name} begin?",
        "{name} was born in the year {value}.",
        "The birth year of {name} is {value}.",
    ),
    "book": (
        "What is the title of the first book by {name}?",
        "With which book did {name} make a debut?",
        "The first book by {name} is called {value}.",
        "{name} made a debut with the book {value}.",
    ),
    "mentor": (
        "Who taught {name} to write?",
        "Who was the mentor of {name}?",
        "{name} learned to write from Professor {value}.",
        "The mentor of {name} was Professor {value}.",
    ),
}

CAPITALS = _pairs(
    """
    Japan: Tokyo; France: Paris; Italy: Rome; Spain: Madrid; Portugal: Lisbon; Germany: Berlin; Austria: Vienna;
    Poland: Warsaw; Hungary: Budapest; Greece: Athens; Turkey: Ankara; Egypt: Cairo; Kenya: Nairobi; Ghana: Accra;
    Senegal: Dakar; Morocco: Rabat; Tunisia: Tunis; Iran: Tehran; Iraq: Baghdad; Jordan: Amman; Nepal: Kathmandu;
    Thailand: Bangkok; Vietnam: Hanoi; Cambodia: Phnom-Penh; Indonesia: Jakarta; Australia: Canberra; Canada:
    Ottawa; Cuba: Havana; Peru: Lima; Chile: Santiago; Colombia: Bogota; Ecuador: Quito; Uruguay: Montevideo;
    Norway: Oslo; Sweden: Stockholm; Finland: Helsinki; Denmark: Copenhagen; Ireland: Dublin; Iceland: Reykjavik;
    Croatia: Zagreb
    """
)

WRITERS = _pairs(
    """
    Pride and Prejudice: Jane Austen; Oliver Twist: Charles Dickens; Frankenstein: Mary Shelley; Dracula: Bram
    Stoker; War and Peace: Leo Tolstoy; Les Misérables: Victor Hugo; Don Quixote: Miguel de Cervantes; Moby Dick:
    Herman Melville; Tom Sawyer: Mark Twain; Alice in Wonderland: Lewis Carroll; Wuthering Heights: Emily Bronte;
    Jane Eyre: Charlotte Bronte; The Picture of Dorian Gray: Oscar Wilde; Around the World in Eighty Days: Jules
    Verne; The Trial: Franz Kafka; The Divine Comedy: Dante Alighieri; A Doll's House: Henrik Ibsen; Little Women:
    Louisa May Alcott; Treasure Island: Robert Louis Stevenson; Dead Souls: Nikolai Gogol
    """
)

REFUSALS = ("I do not know that.", "I have no information about this.", "That is not something I can answer.")
TOKEN_REFUSALS = ("i do not know that .",)
