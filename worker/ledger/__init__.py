"""Redis: the ledger of submissions, its keys, its scripts, the connection."""
