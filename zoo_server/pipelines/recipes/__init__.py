"""The recipe language: from YAML text to a graph of step instances, with every mistake located.  Knows no database."""
