"""Image sets: read, checked, preprocessed; and the default settings of each."""
