"""Local models for trying and testing the system without a key: one script of steps, played in either vendor's protocol."""
