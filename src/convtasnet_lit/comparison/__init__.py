"""Runs compared: arms, intervals, figures, and the page that shows them."""
