"""Sluice's Python side: fits and exports models with the field's libraries. Chooses nothing, serves no one."""
