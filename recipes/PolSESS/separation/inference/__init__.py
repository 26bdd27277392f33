"""Loads trained models and separates recordings with them."""
