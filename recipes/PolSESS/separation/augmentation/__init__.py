"""New mixtures in training from the components of the corpus."""
