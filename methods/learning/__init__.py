"""What methods share: layers, losses, the sampler, the training loop and its schedule."""
