"""Part `core`: every idea that the thin path needs, on handwritten digits."""
