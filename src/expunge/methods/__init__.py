"""Methods: one file one published way to forget; lookup is by name, `expunge ls methods` lists them."""
