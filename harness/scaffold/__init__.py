"""A new package with a method of its own, written from templates."""
