"""Problems and traces in: files and data sets that somebody else made, row by row.

`opening` finds the reader of a place, `records` and `tables` read its rows, `naming` says which
column holds what, `problems` and `traces` make rows of rdpt, and `account` counts what became of
every value that a column was pointed at.
"""
