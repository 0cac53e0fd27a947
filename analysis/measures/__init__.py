"""One measure per file, on arrays, records or evidence."""
