"""What the frame of a mail says around a reminder, per language. The reminder's own texts come translated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from domain.delivery import Reminder

FALLBACK = "en"


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
    sent_to: Mapping[str, str]  # by role, with {recipient}
    closed: Mapping[str, str]  # by the state of the recommendation, with {name} where a person closed it

    def reason(self, reminder: Reminder) -> str:
        """Why, in words that name the stake once."""
        if reminder.stake is None or reminder.stake in reminder.why:
            return reminder.why
        return f"{reminder.why} {self.at_stake.format(stake=reminder.stake)}"


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
    ),
    "fr": Words(
        verdicts={"win": "GAGNER", "hold": "MAINTENIR", "let go": "LAISSER PARTIR"},
        due="échéance",
        at_stake="L’enjeu : {stake}.",
        crm="Ouvrir dans le CRM",
        done="Terminé",
        snooze="Reporter de",
        day_1="1 jour",
        days_3="3 jours",
        week_1="1 semaine",
        dismiss="Pas pertinent…",
        facts="Points clés",
        instead="Ou bien",
        why_me="Pourquoi ce message ?",
        rule="La règle",
        matched="s’applique, car :",
        trace="Trace complète",
        because={
            "owner": "Pour vous, responsable de ce client.",
            "manager": "Pour vous, supérieur hiérarchique du responsable de ce client.",
            "lead": "Pour vous, à la tête de l’équipe responsable de ce client.",
            "named": "Pour vous, que la règle désigne.",
        },
        sent_to={
            "owner": "Envoyé à {recipient} parce que vous êtes responsable de ce client.",
            "manager": "Envoyé à {recipient} parce que ce client est suivi par une personne sous votre responsabilité.",
            "lead": "Envoyé à {recipient} parce que votre équipe suit ce client.",
            "named": "Envoyé à {recipient} parce qu’une règle vous désigne.",
        },
        closed={
            "done": "Terminé par {name}.",
            "dismissed": "Marqué comme non pertinent par {name}.",
            "resolved": "Plus nécessaire : le motif a disparu.",
        },
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
    ),
}
