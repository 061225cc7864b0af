"""What the frame of a mail says around a reminder or a digest, per language. Texts of rules come translated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from domain.delivery import Digest, DigestCustomer, HeldBack, PersonalLink, Reminder

FALLBACK = "en"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Words around a number, {n}: each of our languages has one form for 1 and another for more."""

    one: str
    many: str

    def of(self, n: int, **more: str) -> str:
        return (self.one if n == 1 else self.many).format(n=n, **more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    verdicts: Mapping[str, str]
    due: str
    at_stake: str  # with {stake}
    crm: str
    done: str
    snooze: str
    day_1: str
    days_3: str
    week_1: str
    dismiss: str
    facts: str
    instead: str
    why_me: str
    rule: str
    matched: str
    trace: str
    because: Mapping[str, str]  # by role: why this person
    escalates: str  # with {who} and {day}
    sent_to: Mapping[str, str]  # by role, with {recipient}
    closed: Mapping[str, str]  # by the state of the recommendation, with {name} where a person closed it
    personal: Mapping[PersonalLink, str]  # those that stand in the foot
    withdrawn: str  # with {title}
    entry_gone: str
    sent_entry: str  # with {recipient}
    sorted: str
    nothing: str
    things: Counted
    at_customers: Counted
    due_today: Counted
    are_overdue: Counted
    overdue: str  # with {n}, for one or more
    held: str  # with {rule} and {titles}
    why: str
    more: Counted  # with {stake}, empty where there is none
    here: Counted  # with {reasons}
    here_because: Mapping[HeldBack, str]  # with {n}, and {limit} for the cap
    limit: str  # with {cap}
    sent_digest: str  # with {recipient}

    def reason(self, reminder: Reminder) -> str:
        """Why, in words that name the stake once."""
        if reminder.stake is None or reminder.stake in reminder.why:
            return reminder.why
        return f"{reminder.why} {self.at_stake.format(stake=reminder.stake)}"

    def headline(self, digest: Digest) -> str:
        if digest.things == 0:
            return self.nothing
        return f"{self.things.of(digest.things)}, {self.at_customers.of(digest.at_customers)}"

    def lead(self, digest: Digest) -> str:
        """What is at stake, what is due; empty where nothing is."""
        due = ((self.due_today, digest.due_today), (self.are_overdue, digest.overdue))
        counts = ", ".join(counted.of(n) for counted, n in due if n)
        stake = self.at_stake.format(stake=digest.stake) if digest.stake else ""
        return " ".join(sentence for sentence in (stake, f"{counts}." if counts else "") if sentence)

    def notes(self, customer: DigestCustomer) -> Iterable[str]:
        """What is due at a customer, then a sentence for each rule that holds something back there."""
        overdue = self.overdue.format(n=customer.overdue) if customer.overdue else ""
        due = f"{self.due} {customer.due}" if customer.due else ""
        if overdue or due:
            yield " · ".join(part for part in (overdue, due) if part)
        titles_by_rule: dict[str, list[str]] = {}
        for title, rule in customer.held_back:
            titles_by_rule.setdefault(rule, []).append(title)
        for rule, titles in titles_by_rule.items():
            yield self.held.format(rule=rule, titles=", ".join(titles))

    def left_out(self, digest: Digest) -> Iterable[str]:
        """What is not shown, and why what is shown came in a digest."""
        if digest.more:
            stake = f" ({digest.more_stake})" if digest.more_stake else ""
            yield self.more.of(digest.more, stake=stake)
        counts = {reason: digest.held_back[reason] for reason in HeldBack if digest.held_back.get(reason)}
        if counts:
            limit = self.limit.format(cap=digest.cap) if digest.cap is not None else ""
            reasons = (self.here_because[reason].format(n=n, limit=limit) for reason, n in counts.items())
            yield self.here.of(sum(counts.values()), reasons=", ".join(reasons))


WORDS: Mapping[str, Words] = {
    "en": Words(
        verdicts={"win": "WIN", "hold": "HOLD", "let go": "LET GO"},
        due="due",
        at_stake="{stake} is at stake.",
        crm="Open in CRM",
        done="Done",
        snooze="Snooze",
        day_1="1 day",
        days_3="3 days",
        week_1="1 week",
        dismiss="Not relevant…",
        facts="Key facts",
        instead="Or instead",
        why_me="Why am I getting this?",
        rule="Rule",
        matched="matched because:",
        trace="Full trace",
        because={
            "owner": "Sent to you as account owner.",
            "manager": "Sent to you as the account owner’s manager.",
            "lead": "Sent to you as the lead of the account owner’s team.",
            "named": "Sent to you because the rule names you.",
        },
        escalates="Goes on to {who} on {day} unless somebody acts.",
        sent_to={
            "owner": "Sent to {recipient} because you own this customer.",
            "manager": "Sent to {recipient} because someone who reports to you owns this customer.",
            "lead": "Sent to {recipient} because your team owns this customer.",
            "named": "Sent to {recipient} because a rule names you.",
        },
        closed={
            "done": "Done by {name}.",
            "dismissed": "Marked as not relevant by {name}.",
            "resolved": "No longer needed: what it was about has changed.",
        },
        personal={PersonalLink.SETTINGS: "Notification settings", PersonalLink.PAUSE: "Pause all until…"},
        withdrawn="No longer needed: {title}",
        entry_gone="The entry leaves your calendar.",
        sent_entry="Sent to {recipient} because your calendar has an entry for it.",
        sorted="sorted by value at stake",
        nothing="Nothing to do today",
        things=Counted(one="{n} thing worth doing today", many="{n} things worth doing today"),
        at_customers=Counted(one="at {n} customer", many="at {n} customers"),
        due_today=Counted(one="{n} is due today", many="{n} are due today"),
        are_overdue=Counted(one="{n} is overdue", many="{n} are overdue"),
        overdue="{n} overdue",
        held="Held back by “{rule}”: {titles}",
        why="Why?",
        more=Counted(
            one="{n} more customer{stake} is left out to keep this short.",
            many="{n} more customers{stake} are left out to keep this short.",
        ),
        here=Counted(
            one="{n} is here instead of in a message of its own: {reasons}.",
            many="{n} are here instead of in messages of their own: {reasons}.",
        ),
        here_because={
            HeldBack.CHOSEN: "{n} because you or the rule chose so",
            HeldBack.CAP: "{n} beyond your daily limit{limit}",
            HeldBack.FLOOD: "{n} because so many came at once",
        },
        limit=" of {cap}",
        sent_digest="Sent to {recipient} to bring your reminders together.",
    ),
    "de": Words(
        verdicts={"win": "GEWINNEN", "hold": "HALTEN", "let go": "LOSLASSEN"},
        due="fällig",
        at_stake="Es geht um {stake}.",
        crm="Im CRM öffnen",
        done="Erledigt",
        snooze="Erinnern in",
        day_1="1 Tag",
        days_3="3 Tagen",
        week_1="1 Woche",
        dismiss="Nicht relevant…",
        facts="Eckdaten",
        instead="Oder stattdessen",
        why_me="Warum erhalte ich das?",
        rule="Regel",
        matched="trifft zu, weil:",
        trace="Vollständige Spur",
        because={
            "owner": "An Sie als Kundenbetreuer.",
            "manager": "An Sie als Vorgesetzte des Kundenbetreuers.",
            "lead": "An Sie als Leitung des Teams, das den Kunden betreut.",
            "named": "An Sie, weil die Regel Sie nennt.",
        },
        escalates="Geht am {day} an {who}, wenn bis dahin niemand handelt.",
        sent_to={
            "owner": "Gesendet an {recipient} als Betreuer dieses Kunden.",
            "manager": "Gesendet an {recipient}, weil eine Ihnen unterstellte Person diesen Kunden betreut.",
            "lead": "Gesendet an {recipient}, weil Ihr Team diesen Kunden betreut.",
            "named": "Gesendet an {recipient}, weil eine Regel Sie nennt.",
        },
        closed={
            "done": "Erledigt von {name}.",
            "dismissed": "Von {name} als nicht relevant markiert.",
            "resolved": "Nicht mehr nötig: Der Anlass ist weggefallen.",
        },
        personal={PersonalLink.SETTINGS: "Benachrichtigungen einstellen", PersonalLink.PAUSE: "Alles pausieren bis…"},
        withdrawn="Nicht mehr nötig: {title}",
        entry_gone="Der Eintrag verschwindet aus Ihrem Kalender.",
        sent_entry="Gesendet an {recipient}, weil ein Eintrag dafür in Ihrem Kalender steht.",
        sorted="nach Wert geordnet",
        nothing="Heute ist nichts zu tun",
        things=Counted(one="{n} Sache, die sich heute lohnt", many="{n} Dinge, die sich heute lohnen"),
        at_customers=Counted(one="bei {n} Kunden", many="bei {n} Kunden"),
        due_today=Counted(one="{n} ist heute fällig", many="{n} sind heute fällig"),
        are_overdue=Counted(one="{n} ist überfällig", many="{n} sind überfällig"),
        overdue="{n} überfällig",
        held="Zurückgehalten von «{rule}»: {titles}",
        why="Warum?",
        more=Counted(
            one="{n} weiterer Kunde{stake} ist der Kürze halber nicht aufgeführt.",
            many="{n} weitere Kunden{stake} sind der Kürze halber nicht aufgeführt.",
        ),
        here=Counted(
            one="{n} steht hier statt in einer eigenen Nachricht: {reasons}.",
            many="{n} stehen hier statt in eigenen Nachrichten: {reasons}.",
        ),
        here_because={
            HeldBack.CHOSEN: "{n} wie von Ihnen oder der Regel gewünscht",
            HeldBack.CAP: "{n} über Ihrer Tagesgrenze{limit}",
            HeldBack.FLOOD: "{n}, weil so vieles auf einmal kam",
        },
        limit=" von {cap}",
        sent_digest="Gesendet an {recipient}, um Ihre Erinnerungen zusammenzufassen.",
    ),
    "fr": Words(
        verdicts={"win": "GAGNER", "hold": "MAINTENIR", "let go": "LAISSER PARTIR"},
        due="échéance",
        at_stake="L’enjeu\u00a0: {stake}.",
        crm="Ouvrir dans le CRM",
        done="Terminé",
        snooze="Reporter de",
        day_1="1 jour",
        days_3="3 jours",
        week_1="1 semaine",
        dismiss="Pas pertinent…",
        facts="Points clés",
        instead="Ou bien",
        why_me="Pourquoi ce message\u00a0?",
        rule="La règle",
        matched="s’applique, car\u00a0:",
        trace="Trace complète",
        because={
            "owner": "Pour vous, responsable de ce client.",
            "manager": "Pour vous, supérieur hiérarchique du responsable de ce client.",
            "lead": "Pour vous, à la tête de l’équipe responsable de ce client.",
            "named": "Pour vous, que la règle désigne.",
        },
        escalates="Sans suite, transmis le {day} à {who}.",
        sent_to={
            "owner": "Envoyé à {recipient} parce que vous êtes responsable de ce client.",
            "manager": "Envoyé à {recipient} parce que ce client est suivi par une personne sous votre responsabilité.",
            "lead": "Envoyé à {recipient} parce que votre équipe suit ce client.",
            "named": "Envoyé à {recipient} parce qu’une règle vous désigne.",
        },
        closed={
            "done": "Terminé par {name}.",
            "dismissed": "Marqué comme non pertinent par {name}.",
            "resolved": "Plus nécessaire\u00a0: le motif a disparu.",
        },
        personal={PersonalLink.SETTINGS: "Réglages des notifications", PersonalLink.PAUSE: "Tout suspendre jusqu’au…"},
        withdrawn="Plus nécessaire\u00a0: {title}",
        entry_gone="L’entrée disparaît de votre agenda.",
        sent_entry="Envoyé à {recipient} parce que votre agenda contient une entrée à ce sujet.",
        sorted="par valeur en jeu",
        nothing="Rien à faire aujourd’hui",
        things=Counted(one="{n} action utile aujourd’hui", many="{n} actions utiles aujourd’hui"),
        at_customers=Counted(one="chez {n} client", many="chez {n} clients"),
        due_today=Counted(one="{n} arrive à échéance aujourd’hui", many="{n} arrivent à échéance aujourd’hui"),
        are_overdue=Counted(one="{n} est en retard", many="{n} sont en retard"),
        overdue="{n} en retard",
        held="Retenu par «\u00a0{rule}\u00a0»\u00a0: {titles}",
        why="Pourquoi\u00a0?",
        more=Counted(
            one="{n} autre client{stake} n’est pas affiché, pour rester bref.",
            many="{n} autres clients{stake} ne sont pas affichés, pour rester bref.",
        ),
        here=Counted(
            one="{n} figure ici plutôt que dans un message à part\u00a0: {reasons}.",
            many="{n} figurent ici plutôt que dans des messages à part\u00a0: {reasons}.",
        ),
        here_because={
            HeldBack.CHOSEN: "{n} selon votre choix ou celui de la règle",
            HeldBack.CAP: "{n} au-delà de votre limite quotidienne{limit}",
            HeldBack.FLOOD: "{n} à cause du grand nombre à la fois",
        },
        limit=" de {cap}",
        sent_digest="Envoyé à {recipient} pour regrouper vos rappels.",
    ),
    "it": Words(
        verdicts={"win": "CONQUISTARE", "hold": "MANTENERE", "let go": "LASCIARE"},
        due="scadenza",
        at_stake="In gioco: {stake}.",
        crm="Apri nel CRM",
        done="Fatto",
        snooze="Rimandare di",
        day_1="1 giorno",
        days_3="3 giorni",
        week_1="1 settimana",
        dismiss="Non rilevante…",
        facts="Dati principali",
        instead="Oppure",
        why_me="Perché ricevo questo messaggio?",
        rule="La regola",
        matched="si applica perché:",
        trace="Traccia completa",
        because={
            "owner": "Per Lei, responsabile di questo cliente.",
            "manager": "Per Lei, superiore del responsabile di questo cliente.",
            "lead": "Per Lei, alla guida del team responsabile di questo cliente.",
            "named": "Per Lei, perché la regola La nomina.",
        },
        escalates="Senza riscontro passa a {who} {day}.",
        sent_to={
            "owner": "Inviato a {recipient} perché è responsabile di questo cliente.",
            "manager": "Inviato a {recipient} perché questo cliente è seguito da una persona che Le fa capo.",
            "lead": "Inviato a {recipient} perché il Suo team segue questo cliente.",
            "named": "Inviato a {recipient} perché una regola La nomina.",
        },
        closed={
            "done": "Fatto da {name}.",
            "dismissed": "Segnato come non rilevante da {name}.",
            "resolved": "Non più necessario: il motivo è venuto meno.",
        },
        personal={
            PersonalLink.SETTINGS: "Impostazioni delle notifiche",
            PersonalLink.PAUSE: "Sospendere tutto fino al…",
        },
        withdrawn="Non più necessario: {title}",
        entry_gone="La voce scompare dal Suo calendario.",
        sent_entry="Inviato a {recipient} perché il Suo calendario contiene una voce al riguardo.",
        sorted="per valore in gioco",
        nothing="Niente da fare oggi",
        things=Counted(one="{n} cosa utile da fare oggi", many="{n} cose utili da fare oggi"),
        at_customers=Counted(one="presso {n} cliente", many="presso {n} clienti"),
        due_today=Counted(one="{n} scade oggi", many="{n} scadono oggi"),
        are_overdue=Counted(one="{n} è in ritardo", many="{n} sono in ritardo"),
        overdue="{n} in ritardo",
        held="Trattenuto da «{rule}»: {titles}",
        why="Perché?",
        more=Counted(
            one="{n} altro cliente{stake} non è mostrato, per brevità.",
            many="{n} altri clienti{stake} non sono mostrati, per brevità.",
        ),
        here=Counted(
            one="{n} è qui anziché in un messaggio a sé: {reasons}.",
            many="{n} sono qui anziché in messaggi a sé: {reasons}.",
        ),
        here_because={
            HeldBack.CHOSEN: "{n} come chiesto da Lei o dalla regola",
            HeldBack.CAP: "{n} oltre il Suo limite giornaliero{limit}",
            HeldBack.FLOOD: "{n} perché arrivati in troppi insieme",
        },
        limit=" di {cap}",
        sent_digest="Inviato a {recipient} per riunire i Suoi promemoria.",
    ),
}
