"""The same hundred rules in the languages of others, as their users would write them: a module for each."""
