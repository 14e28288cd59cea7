"""The whole story of a generated repository, and the tools to tell it."""
