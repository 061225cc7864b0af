"""Everything the pages say, in four languages, and how moments read in a person's zone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from babel.dates import format_skeleton, format_time

from web.words_of_access import ACCESS
from web.words_of_wishes import WISHES

NO_BREAK_SPACE = "\u00a0"
FRENCH_SPACE = re.compile(r" (?=[?:;!»])|(?<=«) ")  # French sets these marks apart, but never on another line

LOCALES: Mapping[str, str] = {"en": "en_GB", "de": "de_CH", "fr": "fr_CH", "it": "it_CH"}
LANGUAGES: Mapping[str, str] = {"en": "English", "de": "Deutsch", "fr": "Français", "it": "Italiano"}

Words = tuple[str, str, str, str]
"""In the order of `LOCALES`: English, German, French, Italian."""

WORDS: Mapping[str, Words] = {
    # on every page
    "skip": ("Skip to content", "Zum Inhalt springen", "Aller au contenu", "Vai al contenuto"),
    "yours": (
        "This link is yours alone, {name}. Please do not forward it.",
        "Dieser Link gehört nur Ihnen, {name}. Bitte nicht weiterleiten.",
        "Ce lien est personnel, {name}. Merci de ne pas le transférer.",
        "Questo link è personale, {name}. Si prega di non inoltrarlo.",
    ),
    "why": ("Why am I getting this?", "Warum erhalte ich das?", "Pourquoi ce rappel ?", "Perché ricevo questo?"),
    "win": ("Win", "Gewinnen", "Gagner", "Conquistare"),
    "hold": ("Hold", "Halten", "Maintenir", "Mantenere"),
    "let go": ("Let go", "Loslassen", "Laisser partir", "Lasciare"),
    "due": ("due {due}", "fällig {due}", "échéance {due}", "scadenza {due}"),
    "stake": ("{stake} at stake", "Es geht um {stake}", "Enjeu : {stake}", "In gioco: {stake}"),
    "note": ("Note (optional)", "Notiz (freiwillig)", "Note (facultative)", "Nota (facoltativa)"),
    # done
    "done.ask": (
        "Mark “{title}” as done?",
        "«{title}» als erledigt markieren?",
        "Marquer « {title} » comme terminé ?",
        "Segnare «{title}» come fatto?",
    ),
    "done.press": ("Yes, done", "Ja, erledigt", "Oui, c’est fait", "Sì, fatto"),
    "done.fresh": ("Marked as done", "Als erledigt markiert", "Marqué comme terminé", "Segnato come fatto"),
    "done.you": (
        "Already done by you, {when}",
        "Bereits von Ihnen erledigt, {when}",
        "Déjà terminé par vous, {when}",
        "Già fatto da Lei, {when}",
    ),
    "done.other": (
        "Already done by {who}, {when}",
        "Bereits von {who} erledigt, {when}",
        "Déjà terminé par {who}, {when}",
        "Già fatto da {who}, {when}",
    ),
    # snooze
    "snooze.ask": (
        "Snooze “{title}” until {until}?",
        "«{title}» bis {until} zurückstellen?",
        "Reporter « {title} » au {until} ?",
        "Rimandare «{title}» a {until}?",
    ),
    "snooze.press": ("Yes, snooze", "Ja, zurückstellen", "Oui, reporter", "Sì, rimandare"),
    "snooze.now": (
        "Snoozed until {until} so far.",
        "Bisher bis {until} zurückgestellt.",
        "Actuellement reporté au {until}.",
        "Attualmente rimandato a {until}.",
    ),
    "snooze.fresh": (
        "Snoozed until {until}",
        "Zurückgestellt bis {until}",
        "Reporté au {until}",
        "Rimandato a {until}",
    ),
    "snooze.already": (
        "Already snoozed until {until}",
        "Bereits zurückgestellt bis {until}",
        "Déjà reporté au {until}",
        "Già rimandato a {until}",
    ),
    "snooze.next": (
        "The reminder comes back by mail then, if it still matters.",
        "Die Erinnerung kommt dann per E-Mail wieder, falls sie noch zutrifft.",
        "Le rappel reviendra alors par e-mail, s’il est encore d’actualité.",
        "Il promemoria tornerà allora per e-mail, se sarà ancora attuale.",
    ),
    "snooze-1d": ("Snooze 1 day", "1 Tag zurückstellen", "Reporter d’un jour", "Rimandare di 1 giorno"),
    "snooze-3d": ("3 days", "3 Tage", "3 jours", "3 giorni"),
    "snooze-1w": ("1 week", "1 Woche", "1 semaine", "1 settimana"),
    # dismiss
    "dismiss": ("Not relevant…", "Nicht relevant…", "Pas pertinent…", "Non rilevante…"),
    "dismiss.ask": (
        "Why is “{title}” not relevant?",
        "Warum ist «{title}» nicht relevant?",
        "Pourquoi « {title} » n’est-il pas pertinent ?",
        "Perché «{title}» non è rilevante?",
    ),
    "dismiss.reason": ("Reason", "Grund", "Motif", "Motivo"),
    "dismiss.text": ("In your words", "In Ihren Worten", "Avec vos mots", "Con parole Sue"),
    "dismiss.missing": (
        "Choose a reason or write one. It helps to improve the rule.",
        "Bitte einen Grund wählen oder schreiben. Er hilft, die Regel zu verbessern.",
        "Choisissez ou écrivez un motif. Il aide à améliorer la règle.",
        "Scelga o scriva un motivo. Aiuta a migliorare la regola.",
    ),
    "dismiss.press": ("Not relevant", "Nicht relevant", "Pas pertinent", "Non rilevante"),
    "dismissed.fresh": (
        "Marked as not relevant",
        "Als nicht relevant markiert",
        "Marqué comme non pertinent",
        "Segnato come non rilevante",
    ),
    "dismissed.you": (
        "Already marked as not relevant by you, {when}",
        "Bereits von Ihnen als nicht relevant markiert, {when}",
        "Déjà marqué comme non pertinent par vous, {when}",
        "Già segnato come non rilevante da Lei, {when}",
    ),
    "dismissed.other": (
        "Already marked as not relevant by {who}, {when}",
        "Bereits von {who} als nicht relevant markiert, {when}",
        "Déjà marqué comme non pertinent par {who}, {when}",
        "Già segnato come non rilevante da {who}, {when}",
    ),
    "already-handled": (
        "Already taken care of",
        "Bereits anderweitig erledigt",
        "Déjà traité autrement",
        "Già gestito altrimenti",
    ),
    "not-mine": ("Not my customer", "Nicht mein Kunde", "Pas mon client", "Non è un mio cliente"),
    "wrong-data": ("The data is wrong", "Die Daten stimmen nicht", "Les données sont fausses", "I dati sono sbagliati"),
    "bad-timing": ("Not the right moment", "Nicht der richtige Moment", "Pas le bon moment", "Non è il momento giusto"),
    "no-potential": (
        "Not worth the effort",
        "Der Aufwand lohnt sich nicht",
        "N’en vaut pas la peine",
        "Non ne vale la pena",
    ),
    # the landing of the main button
    "act.todo": ("What to do", "Was zu tun ist", "À faire", "Cosa fare"),
    "act.open": ("Open {site}", "{site} öffnen", "Ouvrir {site}", "Aprire {site}"),
    "act.done": ("Done", "Erledigt", "Terminé", "Fatto"),
    "act.instead": ("Or instead", "Oder stattdessen", "Ou plutôt", "Oppure"),
    "facts": ("Key facts", "Eckdaten", "Faits clés", "Dati chiave"),
    # the trace
    "why.ask": (
        "Why you get this reminder",
        "Warum Sie diese Erinnerung erhalten",
        "Pourquoi vous recevez ce rappel",
        "Perché riceve questo promemoria",
    ),
    "why.rule": ("Rule", "Regel", "Règle", "Regola"),
    "why.version": ("version {version}", "Version {version}", "version {version}", "versione {version}"),
    "why.condition": ("Condition", "Bedingung", "Condition", "Condizione"),
    "why.value": ("Recorded now", "Stand jetzt", "Valeur actuelle", "Valore attuale"),
    "why.holds": ("holds", "trifft zu", "vrai", "vero"),
    "why.fails": ("does not hold", "trifft nicht zu", "faux", "falso"),
    # after it is closed
    "resolved": (
        "This has settled itself",
        "Das hat sich von selbst erledigt",
        "C’est réglé de soi-même",
        "Si è risolto da sé",
    ),
    "resolved.text": (
        "Since {when} there is no longer a reason for this reminder. Nothing is left to do.",
        "Seit {when} gibt es keinen Grund mehr für diese Erinnerung. Es bleibt nichts zu tun.",
        "Depuis {when}, ce rappel n’a plus de raison d’être. Il ne reste rien à faire.",
        "Da {when} non c’è più motivo per questo promemoria. Non resta nulla da fare.",
    ),
    "undo": ("Undo", "Rückgängig", "Annuler", "Annulla"),
    "close": (
        "You can close this page.",
        "Sie können diese Seite schliessen.",
        "Vous pouvez fermer cette page.",
        "Può chiudere questa pagina.",
    ),
    # when a page cannot be shown
    "lost.title": (
        "This link does not work",
        "Dieser Link funktioniert nicht",
        "Ce lien ne fonctionne pas",
        "Questo link non funziona",
    ),
    "lost.text": (
        "Mail programs sometimes cut long links in two.",
        "Mailprogramme trennen lange Links manchmal.",
        "Les programmes de messagerie coupent parfois les liens longs.",
        "I programmi di posta a volte spezzano i link lunghi.",
    ),
    "lost.next": (
        "Open the mail again and press the button there, or copy the whole link.",
        "Öffnen Sie die E-Mail noch einmal und drücken Sie dort den Knopf, oder kopieren Sie den ganzen Link.",
        "Rouvrez l’e-mail et appuyez sur le bouton, ou copiez le lien en entier.",
        "Riapra l’e-mail e prema il pulsante, oppure copi il link per intero.",
    ),
    "expired.title": (
        "This link has expired",
        "Dieser Link ist abgelaufen",
        "Ce lien a expiré",
        "Questo link è scaduto",
    ),
    "expired.text": (
        "Links in reminders work for a limited time. Nothing was changed.",
        "Links in Erinnerungen gelten nur eine Zeit lang. Es wurde nichts geändert.",
        "Les liens des rappels ont une durée limitée. Rien n’a été modifié.",
        "I link nei promemoria valgono per un tempo limitato. Nulla è stato modificato.",
    ),
    "expired.next": (
        "Use the newest message from Relance; its links work.",
        "Nehmen Sie die neueste Nachricht von Relance; deren Links funktionieren.",
        "Utilisez le message le plus récent de Relance ; ses liens fonctionnent.",
        "Usi il messaggio più recente di Relance; i suoi link funzionano.",
    ),
    "gone.title": (
        "This reminder no longer exists",
        "Diese Erinnerung gibt es nicht mehr",
        "Ce rappel n’existe plus",
        "Questo promemoria non esiste più",
    ),
    "gone.text": (
        "It was deleted after the mail was sent.",
        "Sie wurde gelöscht, nachdem die E-Mail versandt war.",
        "Il a été supprimé après l’envoi de l’e-mail.",
        "È stato eliminato dopo l’invio dell’e-mail.",
    ),
    "gone.next": (
        "Nothing is left to do. You can close this page.",
        "Es bleibt nichts zu tun. Sie können diese Seite schliessen.",
        "Il ne reste rien à faire. Vous pouvez fermer cette page.",
        "Non resta nulla da fare. Può chiudere questa pagina.",
    ),
    "stranger.title": (
        "We do not know you any more",
        "Wir kennen Sie nicht mehr",
        "Nous ne vous connaissons plus",
        "Non La conosciamo più",
    ),
    "stranger.text": (
        "The person this link was sent to is not on our list of people.",
        "Die Person, an die dieser Link ging, steht nicht mehr auf unserer Liste.",
        "La personne à qui ce lien a été envoyé ne figure plus sur notre liste.",
        "La persona a cui è stato inviato questo link non è più nel nostro elenco.",
    ),
    "stranger.next": (
        "Ask your administrator to add you again.",
        "Bitten Sie Ihre Administration, Sie wieder aufzunehmen.",
        "Demandez à votre administrateur de vous ajouter à nouveau.",
        "Chieda all’amministratore di aggiungerLa di nuovo.",
    ),
    "too-long.title": (
        "That text is too long",
        "Dieser Text ist zu lang",
        "Ce texte est trop long",
        "Questo testo è troppo lungo",
    ),
    "too-long.text": (
        "Nothing was changed.",
        "Es wurde nichts geändert.",
        "Rien n’a été modifié.",
        "Nulla è stato modificato.",
    ),
    "too-long.next": (
        "Go back, shorten the text and press the button again.",
        "Gehen Sie zurück, kürzen Sie den Text und drücken Sie den Knopf noch einmal.",
        "Revenez en arrière, raccourcissez le texte et appuyez à nouveau sur le bouton.",
        "Torni indietro, accorci il testo e prema di nuovo il pulsante.",
    ),
    "busy.title": (
        "Please try again in a minute",
        "Bitte versuchen Sie es in einer Minute noch einmal",
        "Veuillez réessayer dans une minute",
        "Riprovi tra un minuto",
    ),
    "busy.text": (
        "Our records cannot be reached just now. Nothing was changed.",
        "Unsere Daten sind gerade nicht erreichbar. Es wurde nichts geändert.",
        "Nos données sont momentanément inaccessibles. Rien n’a été modifié.",
        "I nostri dati non sono raggiungibili in questo momento. Nulla è stato modificato.",
    ),
    "busy.next": (
        "Then open the link from the mail again.",
        "Öffnen Sie dann den Link aus der E-Mail noch einmal.",
        "Rouvrez ensuite le lien de l’e-mail.",
        "Poi riapra il link dell’e-mail.",
    ),
    "failed.title": (
        "Something went wrong on our side",
        "Bei uns ist etwas schiefgegangen",
        "Un problème est survenu de notre côté",
        "Qualcosa è andato storto da parte nostra",
    ),
    "failed.text": (
        "The error was recorded.",
        "Der Fehler wurde aufgezeichnet.",
        "L’erreur a été enregistrée.",
        "L’errore è stato registrato.",
    ),
    "failed.next": (
        "Open the link from the mail again in a few minutes. Pressing twice is harmless.",
        "Öffnen Sie den Link aus der E-Mail in ein paar Minuten noch einmal. Zweimal drücken schadet nicht.",
        "Rouvrez le lien de l’e-mail dans quelques minutes. Appuyer deux fois est sans danger.",
        "Riapra il link dell’e-mail tra qualche minuto. Premere due volte è innocuo.",
    ),
    # the demo's mailbox
    "mailbox": ("Mailbox", "Postfach", "Boîte de réception", "Casella di posta"),
    "mailbox.demo": (
        "Mail caught by the demo. Nothing leaves this machine.",
        "Von der Demo abgefangene E-Mails. Nichts verlässt diesen Rechner.",
        "E-mails interceptés par la démo. Rien ne quitte cette machine.",
        "E-mail intercettate dalla demo. Nulla lascia questo computer.",
    ),
    "mailbox.everyone": ("Everyone", "Alle", "Tout le monde", "Tutti"),
    "mailbox.people": ("Recipients", "Empfänger", "Destinataires", "Destinatari"),
    "mailbox.list": ("Messages", "Nachrichten", "Messages", "Messaggi"),
    "mailbox.empty": ("No mail yet", "Noch keine E-Mail", "Pas encore d’e-mail", "Ancora nessuna e-mail"),
    "mailbox.empty.next": (
        "It appears here as soon as a rule reminds someone. Reload the page to look again.",
        "Sie erscheint hier, sobald eine Regel jemanden erinnert. Laden Sie die Seite neu, um nachzusehen.",
        "Il apparaîtra ici dès qu’une règle rappelle quelque chose à quelqu’un. Rechargez la page pour vérifier.",
        "Apparirà qui appena una regola ricorda qualcosa a qualcuno. Ricarichi la pagina per controllare.",
    ),
    "mailbox.choose": ("Choose a message", "Wählen Sie eine Nachricht", "Choisissez un message", "Scelga un messaggio"),
    "mailbox.to": ("to {recipient}", "an {recipient}", "à {recipient}", "a {recipient}"),
    "mailbox.html": ("Mail", "E-Mail", "E-mail", "E-mail"),
    "mailbox.text": ("Plain text", "Nur Text", "Texte brut", "Solo testo"),
    "mailbox.source": ("Headers", "Kopfzeilen", "En-têtes", "Intestazioni"),
    "mailbox.views": (
        "Ways to read this message",
        "Ansichten dieser Nachricht",
        "Vues de ce message",
        "Viste di questo messaggio",
    ),
    "mailbox.absent": (
        "The message has no such part.",
        "Die Nachricht hat keinen solchen Teil.",
        "Le message ne contient pas cette partie.",
        "Il messaggio non contiene questa parte.",
    ),
    **WISHES,
    **ACCESS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Whoever reads a page: how to speak to them, and what their clocks show."""

    language: str
    zone: ZoneInfo

    def say(self, key: str, **values: str | int) -> str:
        text = WORDS[key][tuple(LOCALES).index(self.language)]
        if self.language == "fr":
            text = FRENCH_SPACE.sub(NO_BREAK_SPACE, text)
        return text.format(**values)

    def moment(self, at: datetime, *, now: datetime) -> str:
        """ "10:02" today, "Mon, 23 Nov, 10:02" on another day, with the year in another year. Breaks in no line."""
        there, here = at.astimezone(self.zone), now.astimezone(self.zone)
        clock = format_time(there, "HH:mm", tzinfo=self.zone, locale=LOCALES[self.language])
        return clock if there.date() == here.date() else f"{self.day(at, now=now)},{NO_BREAK_SPACE}{clock}"

    def day(self, at: datetime, *, now: datetime) -> str:
        """ "Mon, 23 Nov", with the year in another year. Breaks in no line."""
        there, here = at.astimezone(self.zone), now.astimezone(self.zone)
        skeleton = "MMMEd" if there.year == here.year else "yMMMEd"
        day = format_skeleton(skeleton, there, tzinfo=self.zone, locale=LOCALES[self.language])
        return day.replace(" ", NO_BREAK_SPACE)


def known_language(code: str | None) -> str | None:
    return code if code in LOCALES else None


def accepted_language(header: str) -> str | None:
    """The first language of an Accept-Language header that we speak; browsers list the preferred one first."""
    codes = (part.split(";")[0].split("-")[0].strip().lower() for part in header.split(","))
    return next((code for code in codes if code in LOCALES), None)
