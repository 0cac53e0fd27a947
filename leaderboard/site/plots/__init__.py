"""Plots of the site as SVG text, one module each.

They are readable alone (light colours as attributes) and in a page (classes that the style sheet themes): no script, no
style element, no external font, so the same markup stands in the page and in the file to download. A point tells what
it is in its ``<title>``, which browsers show without any script; ``assets/plot.js`` shows it for the nearest point and
by arrow keys. That is all that these plots need. Vega-Lite was left out: with its interpreter, without which the
content policy refuses it, it would outweigh all else on a page, and it draws nothing where scripts are off.
"""
