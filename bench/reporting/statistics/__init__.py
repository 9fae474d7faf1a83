"""How sure a difference is: intervals, tests, what holds over tasks, verdicts. Pure functions on arrays."""
