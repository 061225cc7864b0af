"""A company to look at: people in three offices, and customers whose lives are invented but hang together.

Every sale is planned from the first lead to the last renewal, and written down as far as it has come by `now`. So
the rules find what they find in a real company: mostly order, here and there something that was forgotten.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TypeVar
from zoneinfo import ZoneInfo

from app.demo_world import (
    AWKWARD,
    FANCY,
    INDUSTRIES,
    MANAGERS,
    OFFICES,
    PEOPLE,
    PRODUCTS,
    REGIONS,
    SOURCES,
    TRADES,
    Product,
    Region,
)
from domain.calendar import add_months
from domain.person import Person
from domain.record import CUSTOMER, Record
from rules.loader import load
from rules.model import Model

T = TypeVar("T")

NUMBERED = {  # what the numbers of each kind begin with
    "customer": "K",
    "lead": "L",
    "opportunity": "O",
    "quote": "Q",
    "order": "B",
    "delivery": "D",
    "contract": "C",
    "invoice": "R",
    "complaint": "X",
    "interaction": "A",
    "holding": "H",
    "product": "P",
}

HISTORY_DAYS = 800  # how far back sales are written in detail
CUSTOMER_AGE_DAYS = 12 * 365
SALES_A_YEAR = {"private": 0.8, "sme": 1.9, "corporate": 3.6}
SIZE = {"private": 1, "sme": 6, "corporate": 30}  # times the price of a product
PROSPECTS = 0.12  # of all customers: met, but nothing sold yet
ENQUIRIES = 0.02  # leads for each customer that nobody has matched with a customer
PAYMENT_DAYS = 30
AWKWARD_EVERY = 30  # one customer of so many has a name that software trips over


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoCompany:
    """Who works there, what is known of their customers, and the company's own pack: file name -> YAML."""

    people: tuple[Person, ...]
    records: tuple[Record, ...]
    rules: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Customer:
    id: str
    segment: str
    owner: str
    zone: ZoneInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sale:
    """What one sale is about, and whether it comes about. `renews`: the contract it prolongs, the day after its end."""

    customer: _Customer
    product: Product
    type: str
    won: bool
    renews: tuple[str, date] | None = None


def company(*, seed: int, customers: int = 500, now: datetime) -> DemoCompany:
    """The demo company as of `now`. The same arguments give the same company."""
    story = _Story(rng=random.Random(seed), now=now, model=load(["base"]).model)  # noqa: S311 - no secret comes of it
    story.catalogue()
    for number in range(customers):
        story.customer(number)
    for _ in range(round(customers * ENQUIRIES)):
        story.enquiry()
    return DemoCompany(people=PEOPLE, records=tuple(story.records), rules=_rules(now.year))


@dataclass(slots=True, kw_only=True)
class _Story:
    """Writes records in the order in which they are invented."""

    rng: random.Random
    now: datetime
    model: Model
    records: list[Record] = field(default_factory=list[Record])
    numbers: Counter[str] = field(default_factory=Counter[str])

    # --- who ---

    def catalogue(self) -> None:
        for product in PRODUCTS:
            category = "service" if product.line else "goods"
            self.add("product", None, name=product.name, category=category, price=Decimal(product.price), active=True)

    def customer(self, number: int) -> None:
        region = self.weighted({r: r.share for r in REGIONS})
        segment = self.weighted({"private": 30, "sme": 50, "corporate": 20})
        zone = ZoneInfo(OFFICES[region.office].zone)
        owner = self.rng.choice([p.id for p in PEOPLE if p.office == region.office and p.id not in MANAGERS])
        prospect = self.chance(PROSPECTS)
        age_days = int(self.rng.triangular(20, CUSTOMER_AGE_DAYS, 900))
        years = 0 if prospect else age_days // 365 + 1
        yearly = self.money(2400 * SIZE[segment])
        margin = self.money(600 * SIZE[segment])
        loss_years = self.rng.randint(1, 4) if self.chance(0.07) else 0
        id_ = self.add(
            CUSTOMER,
            None,
            name=self.name(number, segment, region),
            owner=owner,
            industry=self.rng.choice(INDUSTRIES) if segment != "private" else None,
            segment=segment,
            since=None if prospect else self.now.date() - timedelta(days=age_days),
            city=self.rng.choice(region.cities),
            country=region.country,
            language=region.language,
            email=f"customer{number + 1}@customers.example",
            phone=f"{region.dial} 555 {self.rng.randrange(10_000):04}",
            marketing_consent=self.chance(0.7),
            margin_12m=None if prospect else (-margin if loss_years else margin),
            margin_negative_years=None if prospect else loss_years,
            lifetime_value=yearly * years if years else None,
            score=self.rng.randint(5, 98),
        )
        known = _Customer(id=id_, segment=segment, owner=owner, zone=zone)
        if prospect:
            self.lead(self.sale(known, "new", won=False), self.moment(known, self.rng.uniform(0, 60)))
        else:
            self.life(known, age_days)

    def life(self, customer: _Customer, age_days: int) -> None:
        """What there has been with a customer: the first sale, later ones, and small talk."""
        founded_days = min(age_days + 60, HISTORY_DAYS + self.rng.uniform(0, 700))
        self.lead(self.sale(customer, "new", won=True), self.moment(customer, founded_days))
        span_days = min(age_days, HISTORY_DAYS)
        for _ in range(self.around(SALES_A_YEAR[customer.segment] * span_days / 365)):
            sale = self.sale(customer, self.rng.choice(("new", "upsell", "cross_sell")), won=self.chance(0.45))
            self.lead(sale, self.moment(customer, self.rng.uniform(0, span_days)))
        for _ in range(self.around(1.5)):
            direction = self.rng.choice(("in", "out"))
            kind = self.rng.choice(("call", "meeting", "visit", "chat"))
            at = self.moment(customer, self.rng.uniform(0, span_days))
            self.interaction(customer, kind, direction, at, subject="How are things")
        if self.chance(0.2):
            self.complaint(customer, self.moment(customer, self.rng.uniform(0, 180)), "Nobody calls back")

    def name(self, number: int, segment: str, region: Region) -> str:
        awkward, position = divmod(number, AWKWARD_EVERY)
        if position == AWKWARD_EVERY // 2 and awkward < len(AWKWARD):
            return AWKWARD[awkward]
        last = self.rng.choice(region.last)
        if segment == "private":
            return f"{self.rng.choice(region.first)} {last}"
        begin = self.rng.choice((last, last, self.rng.choice(region.cities), self.rng.choice(FANCY)))
        return f"{begin} {self.rng.choice(TRADES[region.language])} {self.rng.choice(region.legal)}"

    def enquiry(self) -> None:
        """A lead that came in with no more than an address."""
        owner = self.rng.choice([p for p in PEOPLE if p.id not in MANAGERS])
        region = self.rng.choice([r for r in REGIONS if r.office == owner.office])
        product = self.rng.choice(PRODUCTS)
        created = self.now - timedelta(hours=self.rng.uniform(1, 90))
        self.add(
            "lead",
            None,
            name=self.name(1, self.rng.choice(("private", "sme")), region),
            owner=owner.id,
            status="new",
            created_at=created,
            source="website",
            product=product.name,
            expected_value=self.money(product.price * SIZE["sme"]),
        )

    # --- the chain, link by link: each goes on only as far as `now` ---

    def sale(self, customer: _Customer, type_: str, *, won: bool) -> _Sale:
        return _Sale(customer=customer, product=self.rng.choice(PRODUCTS), type=type_, won=won)

    def lead(self, sale: _Sale, created: datetime) -> None:
        customer = sale.customer
        minutes = self.rng.randint(5, 200)
        days = self.weighted({(0, 0): 70, (1, 3): 20, (8, 60): 10})  # at once, slowly, nearly forgotten
        contacted = created + timedelta(days=self.rng.randint(*days), minutes=minutes)
        decided = contacted + self.days(1, 14)
        converts = sale.won or self.chance(0.5)
        lead = self.add(
            "lead",
            customer,
            status=self.reached(
                (created, "new"), (contacted, "working"), (decided, "converted" if converts else "discarded")
            ),
            created_at=created,
            source=self.rng.choice(SOURCES),
            product=sale.product.name,
            expected_value=self.money(sale.product.price * SIZE[customer.segment]),
        )
        self.interaction(customer, self.rng.choice(("call", "mail")), "out", contacted, subject="First call", lead=lead)
        if converts:
            self.opportunity(sale, decided, lead=lead)

    def opportunity(self, sale: _Sale, opened: datetime, *, lead: str | None = None) -> None:
        sent = opened + self.days(*self.weighted({(2, 14): 92, (25, 70): 8}))  # some lie for a while
        patience = self.weighted({(2, 13): 56, (15, 80): 44})  # days until the customer answers
        answered = sent + self.days(*patience)
        if opened > self.now:
            return
        amount = self.money(sale.product.price * SIZE[sale.customer.segment])
        opportunity = self.add(
            "opportunity",
            sale.customer,
            lead=lead,
            contract=sale.renews[0] if sale.renews else None,
            type=sale.type,
            stage=self.reached(
                (opened, "new"),
                (opened + timedelta(days=1), "qualified"),
                (sent, "proposal"),
                (sent + (answered - sent) * 0.7, "negotiation"),
                (answered, "won" if sale.won else "lost"),
            ),
            product=sale.product.name,
            amount=amount,
            opened_on=opened.date(),
            closed_on=self.past_day(answered),
        )
        self.quote(sale, amount, sent, answered, opportunity=opportunity)

    def quote(self, sale: _Sale, amount: Decimal, sent: datetime, answered: datetime, *, opportunity: str) -> None:
        customer = sale.customer
        drafted = sent - timedelta(days=1)
        if drafted > self.now:
            return
        lost = self.weighted({"rejected": 70, "expired": 30})
        quote = self.add(
            "quote",
            customer,
            opportunity=opportunity,
            status=self.reached((drafted, "draft"), (sent, "sent"), (answered, "accepted" if sale.won else lost)),
            sent_at=self.past(sent),
            valid_until=sent.date() + timedelta(days=90),
            answered_on=self.past_day(answered),
            product=sale.product.name,
            amount=amount,
            opens=Decimal(self.rng.choice((0, 1, 1, 2, 2, 3, 5))) if sent <= self.now else None,
        )
        self.interaction(customer, "mail", "out", sent, subject="Our quote", quote=quote, opportunity=opportunity)
        if self.chance(0.45):
            asked = sent + (answered - sent) * self.rng.random()
            self.interaction(customer, "mail", "in", asked, subject="Questions about the quote", quote=quote)
        if sale.won and answered <= self.now:
            self.order(sale, amount, answered, quote=quote)

    def order(self, sale: _Sale, amount: Decimal, placed: datetime, *, quote: str) -> None:
        customer = sale.customer
        promised = placed + (self.days(2, 6) if sale.renews else self.days(10, 40))
        late_days = self.weighted({(-6, 0): 64, (1, 20): 24, (20, 90): 12})
        delivered = max(promised + self.days(*late_days), placed + timedelta(days=1))
        shipped = placed + (delivered - placed) * 0.8
        cancelled = placed + timedelta(days=5) if self.chance(0.03) else None
        order = self.add(
            "order",
            customer,
            quote=quote,
            status=self.reached((placed, "placed"), (cancelled, "cancelled"))
            if cancelled
            else self.reached((placed, "placed"), (shipped, "shipped"), (delivered, "delivered")),
            placed_on=placed.date(),
            promised_date=promised.date(),
            product=sale.product.name,
            amount=amount,
        )
        if cancelled:
            return
        self.delivery(customer, placed, shipped, delivered, order=order)
        if promised.date() < delivered.date() and self.chance(0.3):
            self.complaint(customer, promised + self.days(1, 9), "Late delivery", order=order)
        if delivered <= self.now:
            self.delivered(sale, amount, delivered.date(), order=order)

    def delivery(
        self, customer: _Customer, planned: datetime, shipped: datetime, delivered: datetime, *, order: str
    ) -> None:
        checked = delivered + self.days(1, 4)
        good = self.chance(0.92)
        delivery = self.add(
            "delivery",
            customer,
            order=order,
            status=self.reached((planned, "planned"), (shipped, "shipped"), (delivered, "delivered")),
            shipped_on=self.past_day(shipped),
            delivered_on=self.past_day(delivered),
            quality=self.reached((delivered, "pending"), (checked, "passed" if good else "defects")),
            checked_on=self.past_day(checked),
        )
        if not good:
            self.complaint(customer, checked, "Defects", severity="high", order=order, delivery=delivery)

    def delivered(self, sale: _Sale, amount: Decimal, day: date, *, order: str) -> None:
        """What begins with a delivery: goods are billed once, a service has a contract."""
        contract = None
        if sale.product.line:
            contract = self.contract(sale, sale.product.line, amount, day, order=order)
        else:
            self.invoice(sale.customer, day, amount, order=order)
        if sale.renews is None:
            self.add(
                "holding",
                sale.customer,
                order=order,
                contract=contract,
                product=sale.product.name,
                since=day,
                value=amount,
            )

    def contract(self, sale: _Sale, line: str, amount: Decimal, day: date, *, order: str) -> str:
        customer, today = sale.customer, self.now.date()
        start = max(day, sale.renews[1]) if sale.renews else day
        term_months = self.rng.choice((12, 12, 24, 36))
        auto_renews = self.chance(0.5)
        end = add_months(start, term_months) - timedelta(days=1)
        while auto_renews and end < today:
            end = add_months(end, 12)
        cancelled = not auto_renews and self.chance(0.04)
        contract = self.add(
            "contract",
            customer,
            order=order,
            previous=sale.renews[0] if sale.renews else None,
            status="cancelled" if cancelled else "draft" if start > today else "expired" if end < today else "active",
            line=line,
            product=sale.product.name,
            start_date=start,
            end_date=end,
            annual_value=amount,
            notice_days=Decimal(self.rng.choice((30, 60, 90))),
            auto_renews=auto_renews,
        )
        if cancelled:
            return contract
        for months in range(0, 12 * 20, 12):
            if (billed := add_months(start, months)) > min(today, end):
                break
            self.invoice(customer, billed, amount, contract=contract)
        if not auto_renews and self.chance(0.7):
            begun = datetime.combine(end, time(10), customer.zone).astimezone(UTC) - self.days(15, 85)
            renewal = _Sale(
                customer=customer,
                product=sale.product,
                type="renewal",
                won=self.chance(0.85),
                renews=(contract, end + timedelta(days=1)),
            )
            self.opportunity(renewal, begun)
        return contract

    def invoice(
        self,
        customer: _Customer,
        issued: date,
        amount: Decimal,
        *,
        order: str | None = None,
        contract: str | None = None,
    ) -> None:
        today, due = self.now.date(), issued + timedelta(days=PAYMENT_DAYS)
        habit = self.weighted({(-15, 3): 67, (4, 28): 18, (31, 120): 14, (270, 270): 1})  # days after the due date
        settled = due + timedelta(days=self.rng.randint(*habit))
        never = habit == (270, 270)
        invoice = self.add(
            "invoice",
            customer,
            order=order,
            contract=contract,
            status="open" if settled > today else "written_off" if never else "paid",
            issued_on=issued,
            due_date=due,
            paid_on=None if never or settled > today else settled,
            amount=amount,
        )
        if settled > due + timedelta(days=30) and self.chance(0.25):
            opened = datetime.combine(due, time(11), customer.zone).astimezone(UTC)
            self.complaint(customer, opened, "The invoice is wrong", invoice=invoice)

    def complaint(
        self, customer: _Customer, opened: datetime, subject: str, *, severity: str | None = None, **about: str
    ) -> None:
        answered = opened + self.days(*self.weighted({(1, 6): 60, (7, 70): 40}))
        if opened > self.now:
            return
        complaint = self.add(
            "complaint",
            customer,
            **about,
            status=self.reached(
                (opened, "new"),
                (opened + (answered - opened) * 0.4, "in_progress"),
                (answered, "answered"),
                (answered + self.days(5, 20), "closed"),
            ),
            severity=severity or self.weighted({"low": 3, "medium": 5, "high": 2}),
            subject=subject,
            opened_at=opened,
            answered_at=self.past(answered),
        )
        self.interaction(customer, "call", "in", opened, subject=subject, complaint=complaint)
        self.interaction(customer, "letter", "out", answered, subject="Our answer", complaint=complaint)

    def interaction(
        self, customer: _Customer, kind: str, direction: str, at: datetime, *, subject: str, **about: str
    ) -> None:
        if at <= self.now:
            self.add(
                "interaction",
                customer,
                kind=kind,
                direction=direction,
                at=at,
                by=customer.owner,
                subject=subject,
                **about,
            )

    # --- writing ---

    def add(self, kind: str, customer: _Customer | None, /, **raw: date | Decimal | str | bool | int | None) -> str:
        """Write a record as the model takes it; its id."""
        self.numbers[kind] += 1
        id_ = f"{NUMBERED[kind]}-{self.numbers[kind]:05}"
        values = {name: value.isoformat() if isinstance(value, date) else value for name, value in raw.items()}
        fields, refused = self.model.canonical(kind, values)
        assert not refused, refused[0].message
        owner = customer.id if customer and kind != CUSTOMER else None
        self.records.append(Record(kind=kind, id=id_, customer=owner, fields=fields))
        return id_

    def reached(self, *steps: tuple[datetime, T]) -> T | None:
        """The last of the steps that has been taken by now."""
        return next((state for at, state in reversed(steps) if at <= self.now), None)

    def past(self, moment: datetime) -> datetime | None:
        """The moment, unless it is still to come."""
        return moment if moment <= self.now else None

    def past_day(self, moment: datetime) -> date | None:
        return moment.date() if moment <= self.now else None

    # --- chance ---

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def weighted(self, shares: Mapping[T, int]) -> T:
        return self.rng.choices(list(shares), weights=list(shares.values()))[0]

    def around(self, mean: float) -> int:
        """A count that is `mean` on average."""
        return int(self.rng.uniform(0, 2 * mean) + self.rng.random())

    def days(self, low: int, high: int) -> timedelta:
        """Whole days, give or take an hour: what people do by day stays by day."""
        return timedelta(days=self.rng.randint(low, high), minutes=self.rng.randint(-60, 60))

    def money(self, typical: int) -> Decimal:
        """Mostly near the typical amount, now and then a multiple of it; as round as people quote."""
        amount = typical * self.rng.lognormvariate(0, 0.5)
        step = 5 if amount < 2000 else 50 if amount < 20_000 else 500
        return Decimal(max(step, round(amount / step) * step))

    def moment(self, customer: _Customer, days_ago: float) -> datetime:
        """Some time about so many days ago, in the customer's day; never later than now."""
        day = (self.now - timedelta(days=days_ago)).astimezone(customer.zone).date()
        wall = time(self.rng.randint(8, 18), self.rng.randrange(60))
        return min(datetime.combine(day, wall, customer.zone).astimezone(UTC), self.now)


def _rules(year: int) -> Mapping[str, str]:
    """The company's own pack: who it is, and when its offices work in this year and the next."""
    offices = "\n---\n".join(
        f"calendar: {name}\n"
        f"timezone: {office.zone}\n"
        f"hours: {office.hours}\n"
        f"closed: [{', '.join(str(date(y, *day)) for y in (year, year + 1) for day in office.closed)}]"
        for name, office in OFFICES.items()
    )
    head = "company: Nordwand Networks AG\ntimezone: Europe/Zurich\ncurrency: CHF\nlanguage: en\ncalendar: zurich"
    return {"company.yaml": f"{head}\n", "offices.yaml": f"{offices}\n"}
