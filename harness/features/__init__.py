"""Features and where they lie: the store, the importers of archives and arrays, the demo."""
