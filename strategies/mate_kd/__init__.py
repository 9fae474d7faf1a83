"""MATE-KD: the strategy, and the plain implementation of its equations that it is checked and timed against."""
