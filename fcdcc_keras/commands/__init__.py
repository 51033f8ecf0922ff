"""The commands of ``fcdcc-keras``, one module each, and what they share."""
