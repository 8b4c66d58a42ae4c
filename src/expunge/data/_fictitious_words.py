"""Closed lists from which invented authors are made, and the few true facts beside them. Each value is one word."""

from __future__ import annotations


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

# For each attribute: a question, the same asked otherwise, an answer, the same said otherwise.
SENTENCES = {
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
