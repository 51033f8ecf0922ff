"""The client's numerics: encode and decode, merge, and compare results."""
