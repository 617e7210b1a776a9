"""A job: its message, the context that it needs, what its results say of themselves, quarantine."""
