"""Names of the objects in the state bucket."""


def submission(name: str) -> str:
    return f"submissions/{name}/submission.json"


def page(name: str, number: int) -> str:
    return f"submissions/{name}/pages/{number:08d}.json"


def ended(name: str) -> str:
    return f"submissions/{name}/ended.json"


def quarantine(name: str, ordinal: int | None = None) -> str:
    """The record of one quarantined image, or the prefix of all of them."""
    return f"submissions/{name}/quarantine/" + ("" if ordinal is None else f"{ordinal:012d}.json")
