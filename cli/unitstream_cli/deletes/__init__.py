"""`unitstream delete`, and what a push deletes that replaces."""
