"""One training: loop, losses, state."""
