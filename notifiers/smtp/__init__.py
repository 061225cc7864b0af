"""SMTP: many mails over a few connections, and every failure known by its phase.

`notifier` spreads messages over lanes, a `lane` talks to the server, a `wire` pairs requests with answers, and
`failures` says what an answer means.
"""

from notifiers.mail_server import SmtpServer, Tls
from notifiers.smtp.notifier import SmtpLine, SmtpNotifier

__all__ = ["SmtpLine", "SmtpNotifier", "SmtpServer", "Tls"]
