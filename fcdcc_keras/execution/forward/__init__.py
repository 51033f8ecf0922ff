"""The forward pass: a coded layer, or a stretch in tiles, from input to output."""
