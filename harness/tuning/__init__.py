"""Searching the options of a method on validation alone: spaces, studies, trials, and what came out."""
