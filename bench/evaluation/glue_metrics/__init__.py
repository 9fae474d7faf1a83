"""The folder of an ``evaluate`` metric module; ``bench.evaluation.metrics`` loads it by its path."""
