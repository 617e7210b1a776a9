"""What whoever submits may ask for, and its commands."""
