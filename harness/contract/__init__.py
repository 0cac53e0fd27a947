"""What a method is, and what it may see: its class, its data, its options and variants."""
