"""A part of a data set through a trained twin and its evaluation protocols."""
