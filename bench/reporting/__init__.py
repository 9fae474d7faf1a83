"""From records on disk to tables: where runs live, what they say together, and how that is printed."""
