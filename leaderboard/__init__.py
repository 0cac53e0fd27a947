"""The board: published numbers, tables, statistics and the static site. Knows no torch."""
