"""SMTP: many mails over a few connections, and every failure known by its phase.

`notifier` spreads messages over lanes, a `lane` talks to the server, a `wire` pairs requests with answers, and
`failures` says what an answer means.
"""

from notifiers.smtp.notifier import SmtpLine, SmtpNotifier
from notifiers.smtp.server import SmtpServer, Tls

__all__ = ["SmtpLine", "SmtpNotifier", "SmtpServer", "Tls"]
