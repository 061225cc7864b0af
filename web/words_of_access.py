"""What the pages say about signing in and about tokens."""

from __future__ import annotations

from collections.abc import Mapping

ACCESS: Mapping[str, tuple[str, str, str, str]] = {
    # signing in
    "login": ("Sign in", "Anmelden", "Se connecter", "Accedi"),
    "login.email": ("E-mail address", "E-Mail-Adresse", "Adresse e-mail", "Indirizzo e-mail"),
    "login.password": ("Password", "Passwort", "Mot de passe", "Password"),
    "login.press": ("Sign in", "Anmelden", "Se connecter", "Accedi"),
    "login.provider": (
        "Sign in with your organisation",
        "Mit dem Konto Ihrer Organisation anmelden",
        "Se connecter avec votre organisation",
        "Accedi con la Sua organizzazione",
    ),
    "login.forgotten": (
        "Forgotten your password? Ask your administrator for a new one.",
        "Passwort vergessen? Ihre Administration gibt Ihnen ein neues.",
        "Mot de passe oublié ? Demandez-en un nouveau à votre administrateur.",
        "Password dimenticata? Ne chieda una nuova all’amministratore.",
    ),
    "login.wrong": (
        "The address or the password is wrong.",
        "Die Adresse oder das Passwort stimmt nicht.",
        "L’adresse ou le mot de passe est incorrect.",
        "L’indirizzo o la password non sono corretti.",
    ),
    "login.locked": (
        "Too many attempts. Try again in {minutes} min.",
        "Zu viele Versuche. Versuchen Sie es in {minutes} Min. noch einmal.",
        "Trop de tentatives. Réessayez dans {minutes} min.",
        "Troppi tentativi. Riprovi tra {minutes} min.",
    ),
    "login.disabled": (
        "This account is disabled. Ask your administrator.",
        "Dieses Konto ist gesperrt. Fragen Sie Ihre Administration.",
        "Ce compte est désactivé. Adressez-vous à votre administrateur.",
        "Questo account è disattivato. Si rivolga all’amministratore.",
    ),
    # one's account
    "account": ("Your account", "Ihr Konto", "Votre compte", "Il Suo account"),
    "account.who": (
        "You are signed in as {name}.",
        "Sie sind angemeldet als {name}.",
        "Vous êtes connecté en tant que {name}.",
        "Ha effettuato l’accesso come {name}.",
    ),
    "account.role": ("Role: {role}", "Rolle: {role}", "Rôle : {role}", "Ruolo: {role}"),
    "role.sales": ("Sales", "Verkauf", "Vente", "Vendite"),
    "role.manager": ("Manager", "Leitung", "Direction", "Direzione"),
    "role.product-manager": ("Product manager", "Produktmanagement", "Chef de produit", "Product manager"),
    "role.admin": ("Administrator", "Administration", "Administrateur", "Amministratore"),
    "role.integrator": ("Integration", "Integration", "Intégration", "Integrazione"),
    "logout": ("Sign out", "Abmelden", "Se déconnecter", "Esci"),
    # tokens
    "tokens": ("Your API tokens", "Ihre API-Tokens", "Vos jetons d’API", "I Suoi token API"),
    "tokens.what": (
        "A token lets a program act in your name.",
        "Mit einem Token handelt ein Programm in Ihrem Namen.",
        "Un jeton permet à un programme d’agir en votre nom.",
        "Un token permette a un programma di agire a Suo nome.",
    ),
    "tokens.none": ("You have none.", "Sie haben keine.", "Vous n’en avez aucun.", "Non ne ha nessuno."),
    "tokens.all": (
        "all that you may do",
        "alles, was Sie dürfen",
        "tout ce que vous pouvez faire",
        "tutto ciò che Lei può fare",
    ),
    "tokens.until": ("valid until {day}", "gültig bis {day}", "valable jusqu’au {day}", "valido fino al {day}"),
    "tokens.used": ("last used {moment}", "zuletzt benutzt {moment}", "dernier usage {moment}", "ultimo uso {moment}"),
    "tokens.unused": ("never used", "nie benutzt", "jamais utilisé", "mai usato"),
    "tokens.revoke": ("Revoke", "Widerrufen", "Révoquer", "Revoca"),
    "tokens.revoke.which": (
        "Revoke “{name}”",
        "«{name}» widerrufen",
        "Révoquer « {name} »",
        "Revoca «{name}»",
    ),
    "tokens.new": ("A new token", "Ein neuer Token", "Un nouveau jeton", "Un nuovo token"),
    "tokens.name": ("What is it for?", "Wofür ist er?", "À quoi sert-il ?", "A che cosa serve?"),
    "tokens.name.missing": (
        "Write what it is for, in at most 200 characters.",
        "Schreiben Sie, wofür er ist, in höchstens 200 Zeichen.",
        "Indiquez à quoi il sert, en 200 caractères au plus.",
        "Scriva a che cosa serve, in al massimo 200 caratteri.",
    ),
    "tokens.days": ("Valid for", "Gültig", "Valable", "Valido per"),
    "tokens.days.n": ("{days} days", "{days} Tage", "{days} jours", "{days} giorni"),
    "tokens.scopes": (
        "What it may do (nothing chosen: all that you may)",
        "Was er darf (nichts gewählt: alles, was Sie dürfen)",
        "Ce qu’il peut faire (rien de choisi : tout ce que vous pouvez)",
        "Che cosa può fare (nessuna scelta: tutto ciò che può Lei)",
    ),
    "tokens.press": ("Make a token", "Token erstellen", "Créer un jeton", "Crea un token"),
    "tokens.made": (
        "Copy the token now. It is not shown again.",
        "Kopieren Sie den Token jetzt. Er wird nicht noch einmal gezeigt.",
        "Copiez le jeton maintenant. Il ne sera plus affiché.",
        "Copi il token ora. Non verrà più mostrato.",
    ),
    # when it does not work
    "stale.title": (
        "This form cannot be used any more",
        "Dieses Formular gilt nicht mehr",
        "Ce formulaire n’est plus valable",
        "Questo modulo non è più valido",
    ),
    "stale.text": (
        "It was opened before you signed in again, or it comes from another site. Nothing was changed.",
        "Es wurde vor der letzten Anmeldung geöffnet oder kommt von einer anderen Website. Es wurde nichts geändert.",
        "Il a été ouvert avant votre dernière connexion ou vient d’un autre site. Rien n’a été modifié.",
        "È stato aperto prima dell’ultimo accesso o proviene da un altro sito. Nulla è stato modificato.",
    ),
    "stale.next": (
        "Open the page again and fill in the form once more.",
        "Öffnen Sie die Seite noch einmal und füllen Sie das Formular erneut aus.",
        "Rouvrez la page et remplissez à nouveau le formulaire.",
        "Riapra la pagina e compili di nuovo il modulo.",
    ),
    "no-account.title": (
        "You have no account here",
        "Sie haben hier kein Konto",
        "Vous n’avez pas de compte ici",
        "Non ha un account qui",
    ),
    "no-account.text": (
        "Your organisation knows you, but Relance does not let you in with this address.",
        "Ihre Organisation kennt Sie, aber mit dieser Adresse lässt Relance Sie nicht ein.",
        "Votre organisation vous connaît, mais Relance ne vous ouvre pas avec cette adresse.",
        "La Sua organizzazione La conosce, ma Relance non La fa entrare con questo indirizzo.",
    ),
    "no-account.next": (
        "Ask your administrator to add you.",
        "Bitten Sie Ihre Administration, Sie aufzunehmen.",
        "Demandez à votre administrateur de vous ajouter.",
        "Chieda all’amministratore di aggiungerLa.",
    ),
    "sign-in-failed.title": (
        "Signing in did not work",
        "Die Anmeldung hat nicht geklappt",
        "La connexion n’a pas abouti",
        "L’accesso non è riuscito",
    ),
    "sign-in-failed.text": (
        "It was broken off, took too long, or its answer could not be trusted.",
        "Sie wurde abgebrochen, dauerte zu lange, oder der Antwort war nicht zu trauen.",
        "Elle a été interrompue, a pris trop de temps, ou la réponse n’était pas fiable.",
        "È stato interrotto, ha richiesto troppo tempo o la risposta non era affidabile.",
    ),
    "sign-in-failed.next": (
        "Go to the sign-in page and begin again.",
        "Beginnen Sie auf der Anmeldeseite noch einmal.",
        "Recommencez à la page de connexion.",
        "Ricominci dalla pagina di accesso.",
    ),
}
