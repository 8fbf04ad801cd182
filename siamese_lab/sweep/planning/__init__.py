"""From a study's file to its list of jobs."""
