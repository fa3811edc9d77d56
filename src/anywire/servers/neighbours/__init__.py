"""Neighbours: nodes of one machine that pass on to each other what reached the wrong one."""
