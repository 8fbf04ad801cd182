"""Options of data=: data sets with labels, groups and a split."""
