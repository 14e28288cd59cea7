"""The server of a release; it needs neither pandas nor scikit-learn, nor any training code."""
