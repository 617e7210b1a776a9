"""The control process: it lists, dispatches, reconciles and rebuilds."""
