"""Where a result goes: written once, in order, and never over what it does not follow."""

from __future__ import annotations

from photochrom.worker.errors import ImageFault, RetryableError
from photochrom.worker.jobs.provenance import Provenance, Standing
from photochrom.worker.photo.write import CONTENT_TYPES, Written
from photochrom.worker.s3.store import ConflictError, Location, NotFoundError, Store, Stored

CONFLICTS_BORNE = 5

LEFT_UNCOLOURED, LEFT_CURRENT, LEFT_NEWER = "left-uncoloured", "left-current", "left-newer"
"""Notes of stale work on what it left: there was no result, one of this version already, or one of later work."""


def put_result(
    store: Store, place: Location, there: Stored | None, written: Written, provenance: Provenance, stale: bool = False
) -> tuple[str, ...]:
    """Write a result under the condition that `there`, which was seen at its place, is still what is there.

    Where it is not, its place is looked at again. What `notes_if_left` names is left as it is. Gives back the notes on
    what lies there in the end. Raises ImageFault ("destination-taken") for what did not come from the same source, and
    RetryableError when others write there all the time.
    """
    for _ in range(CONFLICTS_BORNE):
        left = notes_if_left(provenance, there, place, stale)
        if left is not None:
            return left
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
            return written.notes
        except (ConflictError, NotFoundError):  # written, or taken away, since we looked
            there = result_there(store, place)
    raise RetryableError(f"{place} is being written by others all the time")


def result_there(store: Store, place: Location) -> Stored | None:
    """What lies at a result's place, without its bytes."""
    try:
        return store.head(place.bucket, place.prefix)
    except NotFoundError:
        return None


def notes_if_left(
    provenance: Provenance, there: Stored | None, place: Location, stale: bool = False
) -> tuple[str, ...] | None:
    """The notes on what is left as it is at a result's place; None where the result is still to be written.

    The same work and later work are left. Stale work leaves, too, what was never coloured and what this version of the
    model made; the first note then says which it was, unless it is this submission's own result, delivered again.
    Raises ImageFault ("destination-taken").
    """
    if there is None:
        return (LEFT_UNCOLOURED,) if stale else None
    standing = provenance.standing(there.metadata)
    if standing is Standing.FOREIGN:
        raise ImageFault("destination-taken", f"{place} is there already, and not from this source")
    current = provenance.has_same_model(there.metadata)
    if standing is Standing.OLDER and not (stale and current):
        return None
    notes = tuple(there.metadata.get("notes", "").split())
    if not stale or provenance.has_same_submission(there.metadata):
        return notes
    return (LEFT_CURRENT if current else LEFT_NEWER, *notes)
