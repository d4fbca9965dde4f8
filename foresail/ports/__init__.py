"""What every process shares: ports, who may ask at them, signals, and the limits they count."""
