"""Models, teacher, generator, losses and the one training loop."""
