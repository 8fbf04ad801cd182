"""What every room may use: errors, files, paths, text, types, random numbers, processes, hardware."""
