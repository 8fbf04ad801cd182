"""From words on the command line to a checked config, and from its sections to objects."""
