"""Figures and measures on runs, fitted states and features: data, a picture and a line of numbers each."""
