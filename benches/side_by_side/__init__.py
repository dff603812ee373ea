"""The parts of benches/side_by_side.py: what is run (processes, peers, load), what is measured (one file for each mode),
and how it is said (report)."""
