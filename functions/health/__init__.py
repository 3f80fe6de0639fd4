"""health: judges the outcomes, switches a broken app off, writes the audit entry, mails the owners."""
