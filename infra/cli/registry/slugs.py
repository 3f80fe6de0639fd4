"""Which organisations the slugs of a registry file mean: those of the file, and those that are registered.

Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bellhop.client.contract import did_you_mean
from infra.cli.registry.document import Problem
from infra.cli.registry.model import Entry, RegistryFile


@dataclass(frozen=True, slots=True)
class Unknown:
    """A slug that means no organisation, or several; `message` goes on after it."""

    message: str


@dataclass
class Slugs:
    """The organisations by slug; `registered` has the slug of each that the stack has, by id.

    `ids` has the organisations of the file. Two that are registered may have one slug, but no file makes that so.
    """

    file: RegistryFile
    registered: Mapping[str, str]
    ids: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._by_slug: dict[str, list[str]] = {}
        for organization_id, slug in self.registered.items():
            self._by_slug.setdefault(slug, []).append(organization_id)
        for slug, entry in self.file.organizations.items():
            chosen = self._chosen(slug, entry)
            if chosen:
                self.ids[slug] = chosen
        self._refuse_shared_ids()
        self._refuse_shared_slugs()

    @property
    def known(self) -> list[str]:
        """Every slug that means an organisation."""
        return [*self.file.organizations, *self._by_slug]

    def find(self, slug: str) -> str | Unknown:
        """The id of the organisation that an entry refers to."""
        if slug in self.ids:
            return self.ids[slug]
        found = self._by_slug.get(slug, [])
        if len(found) == 1:
            return found[0]
        if found:
            return Unknown(f"{_shared(found)}; name one under organizations, with its `id`")
        return Unknown(f"is neither an organisation of this file nor registered{did_you_mean(slug, self.known)}")

    def _chosen(self, slug: str, entry: Entry) -> str | None:
        if "id" in entry.fields:
            return entry.fields["id"] or slug
        found = self._by_slug.get(slug, [])
        if len(found) > 1:
            self.problems.append(self.file.problem(entry.path, f"{_shared(found)}; name one by `id`"))
            return None
        return found[0] if found else slug

    def _refuse_shared_ids(self) -> None:
        first: dict[str, str] = {}
        for slug, organization_id in self.ids.items():
            if first.setdefault(organization_id, slug) != slug:
                message = f"has the id of {first[organization_id]}; give it its own `id`"
                self.problems.append(self.file.problem(("organizations", slug), message))

    def _refuse_shared_slugs(self) -> None:
        """Refuse a slug that is new to its organisation and stays that of another."""
        becoming = {**self.registered, **{organization_id: slug for slug, organization_id in self.ids.items()}}
        for slug, organization_id in self.ids.items():
            others = [
                id_ for id_ in self._by_slug.get(slug, []) if id_ != organization_id and becoming[id_] == slug
            ]
            if others and self.registered.get(organization_id) != slug:
                message = f"is the slug of the registered organisation {others[0]}; correct the `id` or the slug"
                self.problems.append(self.file.problem(("organizations", slug), message))


def _shared(ids: list[str]) -> str:
    return f"is the slug of {len(ids)} registered organisations ({', '.join(sorted(ids)[:5])})"
