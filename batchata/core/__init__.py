"""Floor 0: values and rules. Pure: no input or output, no clock, no environment."""
