"""The demo's world: its people and offices, where its customers are and what they are called, what is sold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from domain.person import Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Where customers are, and which office looks after them."""

    country: str
    office: str
    share: int  # of all customers, in percent
    language: str
    cities: tuple[str, ...]
    first: tuple[str, ...]
    last: tuple[str, ...]
    legal: tuple[str, ...]
    dial: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    name: str
    price: int  # a year for a service, once for goods; of the smallest customer
    line: str | None = None  # the line of its contract; None: goods, nothing to renew


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    zone: str
    hours: str
    closed: tuple[tuple[int, int], ...]  # (month, day), every year


OFFICES: Mapping[str, Office] = {
    "zurich": Office(
        zone="Europe/Zurich",
        hours="{mon-thu: 08:00-12:00 13:00-17:30, fri: 08:00-12:00 13:00-16:00}",
        closed=((1, 1), (1, 2), (5, 1), (8, 1), (12, 25), (12, 26)),
    ),
    "new-york": Office(
        zone="America/New_York", hours="{mon-fri: 09:00-17:30}", closed=((1, 1), (6, 19), (7, 4), (11, 11), (12, 25))
    ),
    "sydney": Office(
        zone="Australia/Sydney", hours="{mon-fri: 08:30-17:00}", closed=((1, 1), (1, 26), (4, 25), (12, 25), (12, 26))
    ),
}
TEAMS = {"zurich": "europe", "new-york": "americas", "sydney": "pacific"}


def _person(id_: str, name: str, office: str, language: str, manager: str | None) -> Person:
    return Person(
        id=id_,
        name=name,
        email=f"{id_}@example.com",
        manager=manager,
        team=TEAMS[office],
        language=language,
        timezone=OFFICES[office].zone,
        office=office,
    )


PEOPLE = (
    _person("regula", "Regula Ammann", "zurich", "de", None),
    _person("beat", "Beat Kälin", "zurich", "de", "regula"),
    _person("chantal", "Chantal Rochat", "zurich", "fr", "regula"),
    _person("luca", "Luca Bernasconi", "zurich", "it", "regula"),
    _person("anna", "Anna Grüter", "zurich", "de", "regula"),
    _person("dana", "Dana Whitfield", "new-york", "en", "regula"),
    _person("marcus", "Marcus O’Neill", "new-york", "en", "dana"),
    _person("priya", "Priya Raman", "new-york", "en", "dana"),
    _person("hamish", "Hamish Doyle", "sydney", "en", "regula"),
    _person("mei", "Mei Tran", "sydney", "en", "hamish"),
    _person("jonas", "Jonas Weidmann", "sydney", "de", "hamish"),
)
MANAGERS = frozenset({"regula", "dana", "hamish"})

REGIONS = (
    Region(
        country="CH",
        office="zurich",
        share=40,
        language="de",
        dial="+41 44",
        cities=("Zürich", "Bern", "Basel", "Luzern", "St. Gallen", "Winterthur", "Chur", "Zug", "Thun", "Aarau"),
        first=("Urs", "Vreni", "Reto", "Sandra", "Köbi", "Nadja", "Stefan", "Ursina", "Fabio", "Heidi", "Noah", "Mia"),
        last=("Müller", "Meier", "Zgraggen", "Bühler", "Hürlimann", "Ackermann", "Frei", "Wyss", "Näf", "Odermatt"),
        legal=("AG", "GmbH", "Genossenschaft", "& Co. AG", "& Söhne"),
    ),
    Region(
        country="CH",
        office="zurich",
        share=12,
        language="fr",
        dial="+41 21",
        cities=("Lausanne", "Genève", "Neuchâtel", "Fribourg", "Sion", "Vevey", "Yverdon"),
        first=("Amélie", "Loïc", "Noémie", "Hervé", "Zoé", "François", "Inès", "Gaël"),
        last=("Favre", "Rochat", "Dubuis", "Perrin", "Chappuis", "Gaillard", "Crettenand", "Jaquet"),
        legal=("SA", "Sàrl", "& Fils SA", "Coopérative"),
    ),
    Region(
        country="DE",
        office="zurich",
        share=16,
        language="de",
        dial="+49 89",
        cities=("München", "Stuttgart", "Freiburg", "Konstanz", "Ulm", "Augsburg", "Köln", "Lübeck"),
        first=("Jürgen", "Sabine", "Björn", "Käthe", "Matthias", "Ayşe", "Leon", "Greta"),
        last=("Schröder", "Weiß", "Krüger", "Yıldız", "Hoffmann", "Größer", "Lindemann", "Vogt"),
        legal=("GmbH", "GmbH & Co. KG", "AG", "e. K.", "SE"),
    ),
    Region(
        country="US",
        office="new-york",
        share=19,
        language="en",
        dial="+1 212",
        cities=("Brooklyn", "Hoboken", "Albany", "Boston", "Newark", "Hartford", "Providence", "Philadelphia"),
        first=("Ashley", "Tyrone", "Maria", "Ethan", "Grace", "Deshawn", "Olivia", "José"),
        last=("Johnson", "O'Malley", "Garcia", "Kowalski", "Washington", "Nguyen", "Petersen", "Goldberg"),
        legal=("Inc.", "LLC", "Corp.", "& Sons, Inc.", "LP"),
    ),
    Region(
        country="AU",
        office="sydney",
        share=13,
        language="en",
        dial="+61 2",
        cities=("Parramatta", "Newcastle", "Wollongong", "Geelong", "Ballarat", "Cairns", "Hobart"),
        first=("Bruce", "Kylie", "Liam", "Matilda", "Cooper", "Ngaire", "Jack", "Thi"),
        last=("Smith", "Nguyen", "McAllister", "Papadopoulos", "Walker", "Singh", "D'Souza", "Kelly"),
        legal=("Pty Ltd", "Pty. Limited", "Ltd", "& Co Pty Ltd"),
    ),
)
TRADES = {
    "de": ("Bau", "Logistik", "Treuhand", "Maschinen", "Holzbau", "Garage", "Gastro", "Praxis", "Metall", "Reisen"),
    "fr": ("Bâtiment", "Logistique", "Fiduciaire", "Horlogerie", "Vins", "Transports", "Traiteur", "Menuiserie"),
    "en": ("Freight", "Builders", "Dental", "Hardware", "Foods", "Legal", "Motors", "Realty", "Textiles", "Brewing"),
}
FANCY = ("Alpha", "Bluestone", "Nordstern", "Quartz", "Helix", "Edelweiss", "Summit", "Vega", "Kestrel", "Lumen")
INDUSTRIES = ("construction", "healthcare", "hospitality", "manufacturing", "public_sector", "retail", "services")
SOURCES = ("website", "trade fair", "referral", "phone", "newsletter", "partner")
PRODUCTS = (
    Product(name="Fibre Access", price=900, line="service"),
    Product(name="Fibre Backup", price=420, line="service"),
    Product(name="SD-WAN", price=1500, line="service"),
    Product(name="Managed Wi-Fi", price=700, line="service"),
    Product(name="Managed Firewall", price=1100, line="service"),
    Product(name="Cloud Telephony", price=600, line="service"),
    Product(name="Backup Vault", price=380, line="licence"),
    Product(name="Endpoint Protection", price=260, line="licence"),
    Product(name="Hardware Care", price=320, line="maintenance"),
    Product(name="Router M4", price=480),
    Product(name="Switch 48P", price=1300),
    Product(name="Desk Phone", price=190),
    Product(name="Meeting Room Kit", price=2400),
    Product(name="Cabling", price=1700),
)
# Real data has them all: what is neither Latin nor short, and what looks like code to somebody.
AWKWARD = (
    'Müller & Söhne "Zum Löwen" GmbH',
    "<b>Bold</b> Ventures, Inc.",
    "شركة النور للتجارة",
    "O'Brien & D'Angelo's Pty Ltd",
    "{{ 7 * 7 }} Templating LLC",
    '=HYPERLINK("https://example.com") Ltd',
    "מאפיית השחר בע״מ",
    "東京精密株式会社",
    "Robert'); DROP TABLE customers;--",
    "Vereinigte Donaudampfschifffahrtsgesellschaftskapitänsmützenhersteller und Zulieferer für Uniformen, Abzeichen, "
    "Seile und Signalflaggen Aktiengesellschaft in Liquidation, vormals Gebrüder Zwygart & Cie.",
    "Ye Olde ☕ Shoppe 🚀",
    "null",
)
