"""What every run has in common, simulated or real: how it starts and ends, its rounds, its
summary."""
