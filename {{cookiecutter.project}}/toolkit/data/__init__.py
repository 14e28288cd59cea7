"""The data contract, reading tables, validation, the reference, drift, and adoption."""
