"""The commands for datasets, training, evaluation, models and runs."""
