"""What the system costs, beside a peer that does the same by hand, in the same run. `python -m benchmarks --help` says how."""
