"""The claims of a study, measured."""
