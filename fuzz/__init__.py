"""Coverage-guided fuzzing of every reader of outside bytes. `python -m fuzz --help`; docs/testing.md says more."""
