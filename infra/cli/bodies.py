"""The bodies of deliveries: of what has a record from there, of what succeeded at once from the delivery log."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import groupby

from bellhop import large_bodies, successes
from bellhop.attempts import DeliveryRecord
from bellhop.deliveries import Delivery
from bellhop.large_bodies import LargeBody, LostBodyError
from infra.cli.delivered import Kept
from infra.cli.entries import Entry
from infra.cli.minute_packs import AT_ONCE
from infra.cli.views import read_items


def read(entries: Sequence[Entry]) -> list[Delivery | None]:
    """The delivery of each entry, as notify made it; None if its body is not kept. Each pack is read once."""
    packed = [kept for entry in entries if (kept := entry.source.kept)]
    recorded = {entry.delivery_id for entry in entries if entry.source.kept is None}
    of_rows, of_records = _of_packs(packed), _of_records(recorded)
    return [
        of_rows.get(_row_key(entry.source.kept)) if entry.source.kept else of_records.get(entry.delivery_id)
        for entry in entries
    ]


def _of_packs(packed: Iterable[Kept]) -> dict[tuple[str, str, int], Delivery]:
    packs = [list(rows) for _, rows in groupby(sorted((k for k in packed if k.page), key=_row_key), key=_pack_key)]
    if not packs:
        return {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return {key: each for found in pool.map(_of_pack, packs) for key, each in found.items()}


def _of_pack(rows: Sequence[Kept]) -> dict[tuple[str, str, int], Delivery]:
    page, place = _pack_key(rows[0])
    found = successes.kept_of_pack(page, place, {each.number: each.row for each in rows})
    return {(page, place, number): delivery for number, delivery in found.items()}


def _of_records(delivery_ids: Iterable[str]) -> dict[str, Delivery]:
    records = read_items(DeliveryRecord, list(delivery_ids))
    apart = [name for record in records if (name := large_bodies.key(record))]
    large = {each.key: each for each in read_items(LargeBody, apart)}
    found = {}
    for record in records:
        with suppress(LostBodyError):  # as if it had expired
            found[record.delivery_id] = large_bodies.joined(record, large.get(large_bodies.key(record) or ""))
    return found


def _pack_key(kept: Kept) -> tuple[str, str]:
    return kept.page, kept.place


def _row_key(kept: Kept) -> tuple[str, str, int]:
    return kept.page, kept.place, kept.number
