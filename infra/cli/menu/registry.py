"""What is registered: organisations, apps, installations and secrets."""
# ruff: noqa: PLC0415 - each command imports its own module when it is called, see main.py

from typing import Annotated

import typer

from infra.cli.menu.menu import Menu
from infra.cli.options import AppId, Json, StackName, Yes

app = Menu()


@app.command()
def apply(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The registry file. - is standard input.")],
    *,
    yes: Yes = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    allow_http: Annotated[bool, typer.Option("--allow-http", help="Accept http URLs.")] = False,
    allow_private_addresses: Annotated[
        bool, typer.Option("--allow-private-addresses", help="Accept private and loopback addresses.")
    ] = False,
    any_port: Annotated[bool, typer.Option("--any-port", help="Accept any port.")] = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Register what FILE says.

    FILE has organisations, apps and installations. Shows what will change and asks first. Applying the same file
    again changes nothing. What FILE does not name stays as it is, keys included; null sets a key back to its
    default. Never deletes: `status: uninstalled` switches an installation off. Never changes whether an app is on
    (`bellhop enable` and `bellhop disable` do that), and never replaces a stored secret.

    A new app's signing secret is shown once, just before it is stored. If the run ends with an error, apply again:
    only apps that `bellhop apps` does not list get another secret.

    The parameters of the stack decide which URLs are accepted. --allow-http, --allow-private-addresses and
    --any-port accept more. For an example with every field, see infra/cli/registry/example-registry.yaml
    """
    from infra.cli.commands import apply as command

    command.run(
        stack,
        file,
        allow_http=allow_http,
        allow_private_addresses=allow_private_addresses,
        any_port=any_port,
        yes=yes,
        dry_run=dry_run,
        as_json=as_json,
    )


@app.command()
def export(*, stack: StackName = "bellhop", as_json: Json = False) -> None:
    """Write the registry as a file for `bellhop apply`.

    It goes to standard output, and changes nothing when it is applied to the stack that it is of. It has no
    secrets and no headers' values, but names a variable for each. On a stack that does not have them, `bellhop
    apply` asks for these variables.
    """
    from infra.cli.commands import export as command

    command.run(stack, as_json=as_json)


@app.command()
def rotate_secret(
    app_id: AppId,
    *,
    overlap: Annotated[
        str, typer.Option(metavar="TIME", help="How long both secrets sign: 0, 30m, 24h, at most 7d.")
    ] = "24h",
    signature: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="hmac, or ed25519 with a public key. By default as it is now."),
    ] = None,
    secret_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Import the secret in this variable. By default a new one is made."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Rotate even during an overlap; drops its older secret.")
    ] = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Give an app a new signing secret.

    It is shown once, just before it is stored; of a key pair only the public key ever is. Until the overlap ends,
    webhook-signature has a signature of each secret. Sentry-Hook-Signature has room for one, and uses the old
    secret; a key pair has no part in it. Functions see the new secret within the stack's CacheSeconds.
    """
    from infra.cli.commands import rotate_secret as command

    command.run(
        stack,
        app_id,
        overlap=overlap,
        signature=signature,
        secret_env=secret_env,
        force=force,
        as_json=as_json,
    )


delete = Menu(help="Delete an app or an organisation, for good.", no_args_is_help=True)
app.add_typer(delete, name="delete")
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted.")]


@delete.command("app")
def delete_app(
    app_id: AppId,
    *,
    discard: Annotated[
        bool, typer.Option("--discard", help="Give up the deliveries that wait; otherwise nothing is deleted.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Delete an app, its secrets and its installations.

    Shows what there is and asks first. Deliveries that wait are never sent; each ends with a log line. Owners'
    addresses are taken out of its audit entries. Nobody gets its slug until what is kept under it has expired. An
    interrupted run is completed by running it again. To switch an app off and keep it: `bellhop disable`.
    """
    from infra.cli.commands import delete as command

    command.app(stack, app_id, discard=discard, dry_run=dry_run, yes=yes, as_json=as_json)


@delete.command("organization")
def delete_organization(
    organization_id: Annotated[
        str, typer.Argument(metavar="ORGANISATION", help="Its organization_id, as in events.")
    ],
    *,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Delete an organisation, and what is installed in it.

    Its owners' addresses are deleted too. Shows what there is and asks first. Apps that belong to it are deleted
    before, by `bellhop delete app`. What waits for its installations is withdrawn. An interrupted run is completed
    by running it again.
    """
    from infra.cli.commands import delete as command

    command.organization(stack, organization_id, dry_run=dry_run, yes=yes, as_json=as_json)
