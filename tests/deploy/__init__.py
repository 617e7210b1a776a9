"""Checks of the container, cluster and AWS files that need no Docker engine, no cluster and no account."""
