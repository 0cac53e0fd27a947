"""The papers' tables run again: the runs that each printed row needs, and what came of them. Knows no torch."""
