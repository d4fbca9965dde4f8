"""The program: commands, settings, and the wiring of rules to the world."""
