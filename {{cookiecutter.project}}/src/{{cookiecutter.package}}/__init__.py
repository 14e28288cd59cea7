"""The model wing: a data contract, the features, training, the gate, and the server."""
