"""What the commands about mails do, once it is known which stack they are about."""

import sys
from datetime import UTC, datetime

import typer

from infra.console import actor, health_documents, mailing, output, render_mail, show, stack, text


def resend_mail(
    stack_name: str, app_id: str, key: str | None, to: str | None, *, yes: bool, as_json: bool
) -> None:
    """Ask, have health send mails again."""
    found = stack.find(stack_name)
    stack.bind(found)
    app = show.app(app_id)
    entry = mailing.entry(app, key)
    owners = mailing.chosen(app, entry, to)
    if not as_json:
        render_mail.states(entry, output.console())
        render_mail.suppressed(entry, owners, output.console())
    if not yes:
        question = f"Send the mail again to {', '.join(map(text.printable, owners))}?"
        output.confirm(question, "nothing is sent yet: add --yes to send again", as_json=as_json)
    again = mailing.resend(entry, owners, actor.announcer(found), datetime.now(UTC))
    if as_json:
        output.print_json({"app_id": app_id, "transition_id": entry.transition_id, "sent_again": again})
    else:
        render_mail.resent(app, entry, again, output.console())


def show_mail(stack_name: str, app_id: str, key: str | None, to: str | None, *, html: bool, as_json: bool) -> None:
    """A mail as its owner gets it."""
    found = stack.find(stack_name)
    stack.bind(found)
    shown = mailing.show(show.app(app_id), key, to, found.links)
    if as_json:
        output.print_json(health_documents.mail(shown))
    elif html:
        lines = shown.mail.html.split("\n")  # a terminal gets nothing that could command it
        typer.echo("\n".join(map(text.printable, lines)) if sys.stdout.isatty() else shown.mail.html)
    else:
        render_mail.mail(shown, output.console())
