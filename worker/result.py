"""Where a result goes: written once, in order, and never over what it does not follow."""

from __future__ import annotations

from worker.errors import ImageFault, RetryableError
from worker.photo.write import CONTENT_TYPES, Written
from worker.provenance import Provenance, Standing
from worker.store import ConflictError, Location, NotFoundError, Store, Stored

CONFLICTS_BORNE = 5


def put_result(store: Store, place: Location, written: Written, provenance: Provenance) -> None:
    """Write a result under the condition that what was seen at its place is still what is there.

    Newer work and the same work are left as they are. Raises ImageFault ("destination-taken") for what did not come
    from the same source, and RetryableError when others write there all the time.
    """
    for _ in range(CONFLICTS_BORNE):
        there = result_there(store, place)
        if not wanted(provenance, there, place):
            return
        try:
            store.put(
                place.bucket,
                place.prefix,
                written.body,
                content_type=CONTENT_TYPES[written.format],
                metadata={**provenance.metadata(), "luma": written.how, "notes": " ".join(written.notes)},
                if_match=there.etag if there else None,
                if_absent=there is None,
            )
            return
        except (ConflictError, NotFoundError):  # written, or taken away, since we looked
            continue
    raise RetryableError(f"{place} is being written by others all the time")


def result_there(store: Store, place: Location) -> Stored | None:
    """What lies at a result's place, without its bytes."""
    try:
        return store.head(place.bucket, place.prefix)
    except NotFoundError:
        return None


def wanted(provenance: Provenance, there: Stored | None, place: Location) -> bool:
    """Whether a result is still to be written. Raises ImageFault ("destination-taken")."""
    if there is None:
        return True
    standing = provenance.standing(there.metadata)
    if standing is Standing.FOREIGN:
        raise ImageFault("destination-taken", f"{place} is there already, and not from this source")
    return standing is Standing.OLDER
