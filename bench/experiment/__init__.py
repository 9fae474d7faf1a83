"""What to run: presets, the grid of cells, running them and watching them."""
