"""Codes compared, as ``fcdcc-keras codes`` shows them. Pure."""
