"""The files of runs and studies: all reading and writing of run folders."""
