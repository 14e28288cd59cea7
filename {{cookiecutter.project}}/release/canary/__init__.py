"""The canary: whether a release is sound is found out on some servers, beside the others."""
