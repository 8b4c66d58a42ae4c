"""Modifiers: one file one way to change what is trainable, the gradients, or the realised update."""
