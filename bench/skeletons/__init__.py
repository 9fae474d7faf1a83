"""Strategies to start from, one per kind: `bench new` copies them under a name of your own."""
