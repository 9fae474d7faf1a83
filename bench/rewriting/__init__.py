"""Rewriting a training set: each row by its own random generator, in worker processes, once, cached."""
