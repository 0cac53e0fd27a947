"""From videos to features: decoding, encoders, shards that survive any interruption, the draft of a track."""
