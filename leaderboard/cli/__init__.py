"""The commands that the board adds."""
