"""Loading a registry file: reading it, and checking what its schema cannot say. Pure.

That is: URLs, mail addresses, headers, OAuth2 credentials, filters, transforms and secrets can be used. What an
entry means beside what is registered, resolving.py says.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bellhop import filters, transforms
from bellhop.expressions import ExpressionError
from bellhop.registry import PUBLISHED
from bellhop.secrets import HMAC
from deliver.http import endpoint_url
from deliver.http.guard import EndpointPolicy
from health.mail import address
from health.mail.address import AddressError
from infra.cli import signing_secrets
from infra.cli.registry import headers, oauth2, validation
from infra.cli.registry.document import Document, Path, read
from infra.cli.registry.events import expand
from infra.cli.registry.model import Entry, Reference, RegistryFile

_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_OF_THE_SECRET = {"secret", "secret_env", "signature"}
_ANYTHING = EndpointPolicy(http=True, private=True, ports=None)

Fields = Mapping[str, Any]  # of an entry, as they are written; None asks for the default, or was refused


def parse(text: str, policy: EndpointPolicy, environ: Mapping[str, str]) -> RegistryFile:
    """Read a registry file; `policy` says which endpoints the stack allows, `environ` may hold secrets.

    Its problems are in the result, so that those that it has on the stack can be told with them.

    Raises:
        RegistryFileError: it is not YAML, or empty.
    """
    document = read(text)
    validation.check(document)
    loaded = _Loader(document, policy, environ).load()
    return replace(loaded, problems=tuple(document.problems))


@dataclass
class _Loader:
    document: Document
    policy: EndpointPolicy
    environ: Mapping[str, str] = field(repr=False)

    def load(self) -> RegistryFile:
        root = self.document.root or {}
        apps = dict(self._entries(root, "apps"))
        secrets = {slug: self._secret(slug, fields) for slug, fields in apps.items()}
        return RegistryFile(
            organizations={
                slug: self._organization(("organizations", slug), fields)
                for slug, fields in self._entries(root, "organizations")
            },
            apps={slug: self._app(("apps", slug), fields) for slug, fields in apps.items()},
            installations=tuple(
                self._installation(("installations", number), fields or {})
                for number, fields in enumerate(root.get("installations") or [])
            ),
            secrets={slug: secret for slug, secret in secrets.items() if secret},
            signatures={
                slug: fields["signature"] or HMAC
                for slug, fields in apps.items()
                if "signature" in fields and ("apps", slug, "signature") not in self.document.refused
            },
            lines=self.document.lines,
        )

    def _entries(self, root: Fields, section: str) -> Iterator[tuple[str, Fields]]:
        for slug, fields in (root.get(section) or {}).items():
            if _SLUG.fullmatch(slug):  # the schema refused any other
                yield slug, fields or {}

    def _organization(self, path: Path, fields: Fields) -> Entry:
        found = dict(fields)
        if "owners" in fields:
            owners = enumerate(fields["owners"] or [])
            found["owners"] = _each_once([self._owner(owner, (*path, "owners", n)) for n, owner in owners])
        if "warnings" in fields:
            found["warnings"] = _flag(fields["warnings"])
        return Entry(path, found)

    def _owner(self, owner: str | None, path: Path) -> str | None:
        """The address as SES takes it."""
        try:
            return None if owner is None else address.encode(owner)
        except AddressError as error:
            self.document.report(path, f"is {owner!r}, which {error}")
            return None

    def _app(self, path: Path, fields: Fields) -> Entry:
        found = {name: value for name, value in fields.items() if name not in _OF_THE_SECRET}
        if (*path, "kind") in self.document.refused:
            found["kind"] = PUBLISHED  # of which nothing else is demanded
        if fields.get("url") is not None:
            self._check_url(fields["url"], (*path, "url"))
        if "events" in fields:
            found["events"] = _events(fields["events"])
        if fields.get("headers") is not None:
            found["headers"] = headers.read(fields["headers"], (*path, "headers"), self.document, self.environ)
        if fields.get("oauth2") is not None:
            found["oauth2"] = self._oauth2(fields["oauth2"], (*path, "oauth2"))
        if "max_per_second" in fields:
            found["max_per_second"] = _rate(fields["max_per_second"])
        if "auto_enable" in fields:
            found["auto_enable"] = _flag(fields["auto_enable"]) or None
        self._check_expression(transforms.compiled, fields.get("transform"), (*path, "transform"))
        return Entry(path, found)

    def _oauth2(self, fields: Fields, path: Path) -> Fields:
        if fields.get("token_url") is not None:
            self._check_url(fields["token_url"], (*path, "token_url"))
        return oauth2.read(fields, path, self.document, self.environ)

    def _check_url(self, url: str, path: Path) -> None:
        problem = endpoint_url.problem(url, self.policy)
        if problem and endpoint_url.problem(url, _ANYTHING) is None:
            problem += " (a local stack may allow it: --allow-http, --allow-private-addresses, --any-port)"
        if problem:
            self.document.report(path, problem)

    def _secret(self, slug: str, fields: Fields) -> str | Reference | None:
        """The signing secret to import. No message repeats it, nor the variable's name, where it may stand."""
        name, secret = fields.get("secret_env"), fields.get("secret")
        if name is not None and secret is None:
            secret = self.environ.get(name)
            if secret is None:
                return Reference.UNSET
        if secret is None or (name is not None and "secret" in fields):
            return None  # where both are there, the schema refused that
        try:
            return signing_secrets.read(secret)
        except signing_secrets.SecretRefusedError as error:
            self.document.report(("apps", slug, "secret" if "secret" in fields else "secret_env"), str(error))
            return None

    def _installation(self, path: Path, fields: Fields) -> Entry:
        found = dict(fields)
        if fields.get("events") is not None:
            found["events"] = _events(fields["events"])
        if fields.get("projects") is not None:
            found["projects"] = _each_once(fields["projects"])
        self._check_expression(filters.compiled, fields.get("filter"), (*path, "filter"))
        return Entry(path, found)

    def _check_expression(self, compiled: Callable[[str], object], text: str | None, path: Path) -> None:
        try:
            if text is not None:
                compiled(text)
        except ExpressionError as error:
            self.document.report(path, str(error))


def _events(names: list[str | None] | None) -> tuple[str, ...]:
    """The event names of a list in which a resource stands for all of its events."""
    return tuple(dict.fromkeys(event for name in names or () for event in (expand(name) if name else None) or ()))


def _each_once(texts: list[str | None] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts or () if text is not None))


def _flag(text: str | None) -> bool | None:
    return None if text is None else text == "true"


def _rate(text: str | None) -> float | None:
    rate = float(text) if text else None
    return int(rate) if rate and rate.is_integer() else rate
